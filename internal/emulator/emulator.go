// Package emulator plays the parts of Azure that Twelvefold talks to, for the demo and the tests: the data plane of Key Vault
// (secrets, certificates, keys), the token endpoint of Entra ID, and the nodes' metadata service that gives managed identities tokens.
//
// It is one listener, a forward proxy for HTTP CONNECT that ends TLS itself, with certificates of its own authority for whatever
// host is asked for. So Azure's SDK runs unmodified, with real host names and with the verification of challenges on. A client needs
// two settings: HTTPS_PROXY ([Emulator.ProxyURL]) and a trusted authority ([Emulator.CAPEM]).
//
// Requests that are not CONNECT reach the test interface of admin.go, which anyone can use. Never run it beside real secrets.
package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultTenant is the tenant of vaults and identities that name none.
const DefaultTenant = "11111111-1111-4111-8111-111111111111"

// Config says what the emulator starts with. The zero value listens on a free port of loopback and holds nothing.
type Config struct {
	Listen  string           // address, default 127.0.0.1:0
	Issuers []Issuer         // whose service account tokens are believed
	Now     func() time.Time // default time.Now
	// TokenLife is how long access tokens are good for. The default is an hour, about as Entra's.
	TokenLife time.Duration
	Seed
}

// Emulator is a running emulator. Its methods may be called from several goroutines.
type Emulator struct {
	url    string
	ca     atomic.Pointer[authority]
	now    func() time.Time
	store  *store
	faults *faults
	rates  rates
	log    *requestLog
	tokens *tokenSigner
	trust  []*issuer

	outer, inner *http.Server
	tunnels      *tunnels
	done         chan struct{} // closed by Close: ends delays
	closing      sync.Once
}

// Start listens and serves until ctx ends or [Emulator.Close] is called.
func Start(ctx context.Context, c Config) (*Emulator, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	store, err := newStore(c.Seed, c.Now)
	if err != nil {
		return nil, err
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	e := &Emulator{
		url: "http://" + listener.Addr().String(), now: c.Now, store: store,
		faults: &faults{}, log: &requestLog{}, tokens: newTokenSigner(c.Now, cmp.Or(c.TokenLife, time.Hour)),
		tunnels: newTunnels(listener.Addr()), done: make(chan struct{}),
	}
	e.ca.Store(ca)
	for _, i := range c.Issuers {
		e.trust = append(e.trust, &issuer{Issuer: i})
	}
	e.serve(listener)
	context.AfterFunc(ctx, func() { e.Close() })
	return e, nil
}

// serve starts the proxy's server and the one for what comes out of its tunnels.
func (e *Emulator) serve(l net.Listener) {
	quiet := log.New(io.Discard, "", 0) // failed handshakes are the client's to report
	e.outer = &http.Server{Handler: e.proxy(), ErrorLog: quiet, ReadHeaderTimeout: 10 * time.Second}
	e.inner = &http.Server{
		Handler: e.services(), ErrorLog: quiet, ReadHeaderTimeout: 10 * time.Second, TLSConfig: e.serverConfig(), ConnContext: rememberConn,
	}
	go e.outer.Serve(l)
	go e.inner.ServeTLS(e.tunnels, "", "")
}

// Close stops at once: it breaks the connections that are open.
func (e *Emulator) Close() error {
	var err error
	e.closing.Do(func() {
		close(e.done)
		err = errors.Join(e.outer.Close(), e.inner.Close())
	})
	return err
}

// Done is closed when the emulator has been told to stop.
func (e *Emulator) Done() <-chan struct{} { return e.done }

// ProxyURL is the value for HTTPS_PROXY.
func (e *Emulator) ProxyURL() string { return e.url }

// CAPEM is the certificate of the emulator's authority. It is new with every start.
func (e *Emulator) CAPEM() []byte { return e.ca.Load().pem }
