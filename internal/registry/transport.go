package registry

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// maxBody is far more than a manifest or an image's configuration has: those of real images are below 100 KB.
const maxBody = 1 << 20

var errHuge = errors.New("the registry's answer is too long")

// bounded keeps a registry from filling the webhook's memory.
type bounded struct{ http.RoundTripper }

// RoundTrip limits the body of the response.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = &limited{ReadCloser: response.Body, left: maxBody}
	return response, nil
}

type limited struct {
	io.ReadCloser
	left int
}

// Read fails where the body goes on behind its limit.
func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if l.left -= n; l.left < 0 {
		return 0, errHuge
	}
	return n, err
}

// guarded is a transport for hosts that a pod's author names: it does not reach the webhook's own ports, nor what the
// node and Azure serve to pods (instance metadata, the wire server).
func guarded() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	dialer := &net.Dialer{Timeout: flightTime, KeepAlive: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if ip := to.Addr().Unmap(); ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() || ip == wireServer {
			return errors.New("no registry is at this address")
		}
		return nil
	}}
	t.DialContext = dialer.DialContext
	return t
}

// wireServer is where Azure's platform talks to virtual machines.
var wireServer = netip.MustParseAddr("168.63.129.16")
