package keyvault

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
)

// orderPEM puts the private key first and the certificates into order. Text that is in order already, or that can't be read, stays as it is.
func orderPEM(text string) []byte {
	var blocks []*pem.Block
	for rest := []byte(text); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	ordered, ok := orderBlocks(blocks)
	if !ok || slices.Equal(blocks, ordered) {
		return []byte(text)
	}
	return encode(ordered)
}

func encode(blocks []*pem.Block) []byte {
	var out bytes.Buffer
	for _, b := range blocks {
		out.Write(pem.EncodeToMemory(b))
	}
	return out.Bytes()
}

// orderBlocks puts first the private key, of several the one of the server's certificate, and what else is no certificate; then the
// certificates in the order server, intermediate, root. It reports false where a certificate can't be read.
func orderBlocks(blocks []*pem.Block) ([]*pem.Block, bool) {
	var keys, others []*pem.Block
	var all []*x509.Certificate
	blockOf := map[*x509.Certificate]*pem.Block{}
	for _, b := range blocks {
		switch {
		case strings.HasSuffix(b.Type, "PRIVATE KEY"):
			keys = append(keys, b)
		case b.Type != "CERTIFICATE":
			others = append(others, b)
		default:
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, false
			}
			if !slices.ContainsFunc(all, c.Equal) {
				all, blockOf[c] = append(all, c), b
			}
		}
	}
	server, keys := match(keys, all)
	ordered := slices.Concat(others, keys) // EC PARAMETERS stand before their key
	for _, c := range orderCertificates(server, all) {
		ordered = append(ordered, blockOf[c])
	}
	return ordered, true
}

// match finds the certificate that a private key belongs to, and puts that key first. A server's own counts before an authority's.
func match(keys []*pem.Block, all []*x509.Certificate) (server *x509.Certificate, _ []*pem.Block) {
	var itsKey *pem.Block
	for _, b := range keys {
		public := publicOf(b.Bytes)
		for _, c := range all {
			if public != nil && public.Equal(c.PublicKey) && (server == nil || server.IsCA && !c.IsCA) {
				server, itsKey = c, b
			}
		}
	}
	if i := slices.Index(keys, itsKey); i > 0 {
		keys = slices.Concat([]*pem.Block{itsKey}, keys[:i], keys[i+1:])
	}
	return server, keys
}

type publicKey interface{ Equal(crypto.PublicKey) bool }

// publicOf is the public part of a private key in any of its encodings, or nil.
func publicOf(der []byte) publicKey {
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
		func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
	} {
		if key, err := parse(der); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				public, _ := signer.Public().(publicKey)
				return public
			}
		}
	}
	return nil
}

// orderCertificates follows the chain from the server's certificate; nil is the first one that issued no other. What is not of
// the chain, since an intermediate is missing or another root signed one too, follows in chains of its own.
func orderCertificates(server *x509.Certificate, all []*x509.Certificate) []*x509.Certificate {
	rest := slices.Clone(all)
	var ordered []*x509.Certificate
	for next := server; len(rest) > 0; {
		if next == nil {
			next = first(rest)
		}
		ordered = append(ordered, next)
		rest = slices.DeleteFunc(rest, func(c *x509.Certificate) bool { return c == next })
		next = issuer(next, rest)
	}
	return ordered
}

// first is a certificate that issued none of the others, if there is one.
func first(all []*x509.Certificate) *x509.Certificate {
	for _, c := range all {
		if !slices.ContainsFunc(all, func(o *x509.Certificate) bool { return o != c && issued(c, o) }) {
			return c
		}
	}
	return all[0]
}

// issuer is who issued a certificate, or nil. Of several, which differ in who signed them, one that leads further comes before a root.
func issuer(c *x509.Certificate, all []*x509.Certificate) (found *x509.Certificate) {
	if selfIssued(c) {
		return nil
	}
	for _, o := range all {
		if issued(o, c) && (found == nil || selfIssued(found) && !selfIssued(o)) {
			found = o
		}
	}
	return found
}

// issued judges by the names, and by the key's id where both have it: a CA's name may outlive its key.
func issued(ca, c *x509.Certificate) bool {
	return bytes.Equal(ca.RawSubject, c.RawIssuer) &&
		(len(ca.SubjectKeyId) == 0 || len(c.AuthorityKeyId) == 0 || bytes.Equal(ca.SubjectKeyId, c.AuthorityKeyId))
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }
