package emulator

import (
	"crypto/rand"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// tokenSigner makes and checks access tokens: to clients they are opaque, here they are JWTs under a key of this run.
type tokenSigner struct {
	now  func() time.Time
	life time.Duration
	key  []byte
}

// accessClaims are the claims that Key Vault looks at.
type accessClaims struct {
	jwt.Claims
	AppID  string `json:"appid"`
	Tenant string `json:"tid"`
}

func newTokenSigner(now func() time.Time, life time.Duration) *tokenSigner {
	key := make([]byte, 32)
	rand.Read(key)
	return &tokenSigner{now, life, key}
}

func (t *tokenSigner) sign(resource, tenant, clientID string) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: t.key}, nil)
	if err != nil {
		panic(err) // the key is ours and of the right size
	}
	token, err := jwt.Signed(signer).Claims(accessClaims{
		Claims: jwt.Claims{Audience: jwt.Audience{resource}, Expiry: jwt.NewNumericDate(t.now().Add(t.life))},
		AppID:  clientID, Tenant: tenant,
	}).Serialize()
	if err != nil {
		panic(err)
	}
	return token
}

// verify returns whose token it is, if it is genuine, in time, and for the resource and tenant.
func (t *tokenSigner) verify(token, resource, tenant string) (clientID string, ok bool) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		return "", false
	}
	var c accessClaims
	if err := parsed.Claims(t.key, &c); err != nil {
		return "", false
	}
	err = c.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{resource}, Time: t.now()}, 0)
	return c.AppID, err == nil && c.Tenant == tenant
}
