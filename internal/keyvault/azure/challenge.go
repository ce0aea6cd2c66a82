package azure

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// challenges answers for the vault when one of the SDK's clients asks, by a request without a token, where to get one and for what.
// Each client would ask the vault once more. They check the answer as if it had come from there.
type challenges struct {
	policy.Transporter
	known atomic.Pointer[http.Header]
}

// Do implements [policy.Transporter].
func (c *challenges) Do(r *http.Request) (*http.Response, error) {
	if known := c.known.Load(); known != nil && r.Header.Get("Authorization") == "" {
		return &http.Response{
			Status: "401 Unauthorized", StatusCode: http.StatusUnauthorized, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: known.Clone(), Body: io.NopCloser(strings.NewReader("")), Request: r,
		}, nil
	}
	res, err := c.Transporter.Do(r)
	if err == nil && res.StatusCode == http.StatusUnauthorized && res.Header.Get("WWW-Authenticate") != "" {
		c.known.Store(&http.Header{"Www-Authenticate": res.Header.Values("WWW-Authenticate")})
	}
	return res, err
}
