package azure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// HTTPClient makes the client that reaches Azure: through a proxy where proxy gives one for a URL (nil: never), trusting the system's
// authorities and those in trustedCA (PEM, may be empty).
func HTTPClient(proxy func(*url.URL) (*url.URL, error), trustedCA []byte) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(trustedCA) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(trustedCA) {
			return nil, errors.New("no certificate in PEM")
		}
		config.RootCAs = roots
	}
	t := &http.Transport{
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true, // else off, because of the TLS configuration
	}
	if proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // neither service redirects
	}, nil
}

// attempt notes how the last exchange below the SDK went: the SDK's credentials report that as text only.
type attempt struct {
	err    error // there was no answer
	status int   // of the answer
}

type attemptKey struct{}

func withAttempt(ctx context.Context) (context.Context, *attempt) {
	a := &attempt{}
	return context.WithValue(ctx, attemptKey{}, a), a
}

// transport is the SDK's way to HTTP.
type transport struct{ *http.Client }

// Do implements [policy.Transporter].
func (t transport) Do(r *http.Request) (*http.Response, error) {
	res, err := t.Client.Do(r)
	if a, ok := r.Context().Value(attemptKey{}).(*attempt); ok {
		a.err, a.status = err, 0
		if err == nil {
			a.status = res.StatusCode
		}
	}
	return res, err
}

// suffix is the DNS suffix of a vault's cloud.
func suffix(host string) string {
	_, s, _ := strings.Cut(host, ".")
	return s
}
