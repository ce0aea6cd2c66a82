package emulator

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// proxy is the handler of the listener: CONNECT opens a tunnel that ends here, all else is the test interface.
func (e *Emulator) proxy() http.Handler {
	admin := e.admin()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			e.tunnel(w, r)
		case r.URL.IsAbs():
			http.Error(w, "the emulator forwards CONNECT only", http.StatusNotImplemented)
		default:
			admin.ServeHTTP(w, r)
		}
	})
}

// tunnel accepts CONNECT to a host that exists here and hands the connection to the TLS server.
// An unknown host gets what a real proxy says when DNS knows no such name.
func (e *Emulator) tunnel(w http.ResponseWriter, r *http.Request) {
	host := hostname(r.Host)
	if !entraHosts[host] && !e.store.hasVault(host) {
		http.Error(w, "no such host: "+host, http.StatusBadGateway)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "CONNECT needs HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection Established\r\n\r\n"); err != nil {
		conn.Close()
		return
	}
	e.tunnels.push(tunnelConn{conn, buffered.Reader})
}

// services dispatches what comes out of the tunnels by host, after logging it and after the faults that a test asked for.
func (e *Emulator) services() http.Handler {
	entra, vault := e.entra(), e.vault()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostname(r.Host)
		entry := e.log.begin(r.Method, host, r.URL.Path)
		rec := &recorder{ResponseWriter: w, entry: entry, log: e.log}
		if e.injectFault(rec, r, host) {
			return
		}
		if entraHosts[host] {
			entra.ServeHTTP(rec, r)
			return
		}
		vault.ServeHTTP(rec, r)
	})
}

// hostname is a host without port, in lower case: DNS knows no other.
func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.ToLower(host)
}

// tunnels is a listener whose connections are the accepted CONNECTs.
type tunnels struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newTunnels(addr net.Addr) *tunnels {
	return &tunnels{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (t *tunnels) push(c net.Conn) {
	select {
	case t.conns <- c:
	case <-t.done:
		c.Close()
	}
}

func (t *tunnels) Accept() (net.Conn, error) {
	select {
	case c := <-t.conns:
		return c, nil
	case <-t.done:
		return nil, net.ErrClosed
	}
}

func (t *tunnels) Addr() net.Addr { return t.addr }

func (t *tunnels) Close() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

// tunnelConn reads first what the proxy's server had read ahead.
type tunnelConn struct {
	net.Conn
	ahead *bufio.Reader
}

func (c tunnelConn) Read(p []byte) (int, error) { return c.ahead.Read(p) }
