package emulator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer is a cluster whose service account tokens are believed: the name in them and where its public keys are.
type Issuer struct {
	Name string // the tokens' iss, such as https://kubernetes.default.svc.cluster.local
	Keys KeySource
}

// KeySource gets an issuer's public keys.
type KeySource func(context.Context) (jose.JSONWebKeySet, error)

// issuer remembers the keys, and asks again for one that it doesn't know: clusters rotate them.
type issuer struct {
	Issuer
	mu   sync.Mutex
	keys jose.JSONWebKeySet
}

func (e *Emulator) issuer(name string) *issuer {
	for _, i := range e.trust {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// verify checks the token's signature and decodes its claims.
func (i *issuer) verify(ctx context.Context, token *jwt.JSONWebToken, claims *jwt.Claims) error {
	if len(token.Headers) != 1 {
		return errors.New("want one signature")
	}
	key, err := i.key(ctx, token.Headers[0].KeyID)
	if err != nil {
		return err
	}
	return token.Claims(key, claims)
}

func (i *issuer) key(ctx context.Context, id string) (*jose.JSONWebKey, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if keys := i.keys.Key(id); len(keys) > 0 {
		return &keys[0], nil
	}
	set, err := i.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", i.Name, err)
	}
	i.keys = set
	if keys := set.Key(id); len(keys) > 0 {
		return &keys[0], nil
	}
	return nil, fmt.Errorf("%s has no key %q", i.Name, id)
}

// KeysFromFile reads a JWKS document from a file.
func KeysFromFile(path string) KeySource {
	return func(context.Context) (jose.JSONWebKeySet, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return jose.JSONWebKeySet{}, err
		}
		return parseKeys(text)
	}
}

// KeysFromURL fetches a JWKS document, trusting the authorities in caFile (empty: the system's) and showing the token in tokenFile
// (empty: none): Kubernetes' API server wants one, any service account's will do.
func KeysFromURL(url, caFile, tokenFile string) KeySource {
	return func(ctx context.Context) (jose.JSONWebKeySet, error) {
		text, err := get(ctx, url, caFile, tokenFile)
		if err != nil {
			return jose.JSONWebKeySet{}, err
		}
		return parseKeys(text)
	}
}

func get(ctx context.Context, url, caFile, tokenFile string) ([]byte, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{}}
	defer transport.CloseIdleConnections()
	if caFile != "" {
		ca, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(ca)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if tokenFile != "" {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, 1<<20))
}

func parseKeys(text []byte) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	err := json.Unmarshal(text, &set)
	return set, err
}
