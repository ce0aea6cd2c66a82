// Package certs gives the webhook its serving certificate, and the API server the CA to trust it by.
//
// There are two sources. [Mounted] serves the files that cert-manager, or any other tool, keeps in a mounted Secret;
// whoever writes those files also writes the caBundle. [SelfManaged] needs nothing but the API server:
//
//   - A Secret holds a CA. Every replica signs its own serving certificate with it, in memory.
//   - The CA's certificate stands as caBundle in the webhook configurations.
//
// # Rotation
//
// A CA may sign only after every API server trusts it, so it becomes public before it is used, and stays so afterwards.
// The Secret holds up to three kinds of CA, and the caBundle is all their certificates:
//
//	current   signs
//	next      waits: public, not used yet
//	previous  used no more, trusted until it expires
//
// These are the steps, taken by whichever replica comes first:
//
//	no current, or it expired                         a new CA is current at once; nothing valid can be lost
//	a third of current's life is left                 a new CA is next
//	next is in every caBundle                         the time is noted
//	next is missing from some caBundle                the time is forgotten
//	next has been in every caBundle for a settle time next is current, current is previous
//	previous expired                                  it is forgotten
//
// A replica keeps its serving certificate until a third of its life is left, and then signs a new one with the current
// CA: before the other one has expired, and in a handler that the TLS server asks anew for each connection. So nothing
// restarts, and no handshake meets a certificate that its client cannot verify.
//
// # Agreement between replicas
//
// No replica leads. The Secret is the truth, and an update of a Secret that has changed meanwhile is a conflict, after which
// the replica reads again. The configurations are read before the Secret and patched under the resourceVersion that was read:
// the CAs of an outdated Secret can never replace those of a newer one.
//
// # Damage
//
// What cannot be used in the Secret is replaced, and the log says what it was. A certificate without its key stays trusted, so the
// replicas that serve with it go on. If the certificate is lost as well, requests may fail for the moment that the API server
// takes to notice the new caBundle. A caBundle that somebody else overwrote is put back as soon as the watch reports it.
package certs
