package emulator

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Cluster stands in for a Kubernetes cluster where there is none: it signs service account tokens as the API server would.
type Cluster struct {
	issuer string
	key    *rsa.PrivateKey
}

// NewCluster makes a cluster with a key of its own. The issuer is its name in tokens.
func NewCluster(issuer string) (*Cluster, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return &Cluster{issuer, key}, nil
}

const keyID = "cluster"

// Issuer is the cluster for [Config].
func (c *Cluster) Issuer() Issuer {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: c.key.Public(), KeyID: keyID, Algorithm: string(jose.RS256), Use: "sig"}}}
	return Issuer{c.issuer, func(context.Context) (jose.JSONWebKeySet, error) { return set, nil }}
}

// Token is the token that the kubelet would project for a service account, good for an hour.
func (c *Cluster) Token(namespace, serviceAccount string) (string, error) {
	now := time.Now()
	return c.Sign(jwt.Claims{
		Subject:  fmt.Sprintf("system:serviceaccount:%s:%s", namespace, serviceAccount),
		Audience: jwt.Audience{TokenAudience},
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	})
}

// Sign signs any claims, for tests of tokens that must be refused. An empty issuer becomes the cluster's.
func (c *Cluster) Sign(claims jwt.Claims) (string, error) {
	if claims.Issuer == "" {
		claims.Issuer = c.issuer
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: c.key, KeyID: keyID}}, nil)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}
