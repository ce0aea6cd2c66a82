package emulator_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"software.sslmate.com/src/go-pkcs12"

	"twelvefold.dev/internal/emulator"
)

// clients are the real SDK's for the other two types.
func (w world) clients(t *testing.T, clientID string) (*azcertificates.Client, *azkeys.Client) {
	t.Helper()
	options := azcore.ClientOptions{Transport: w.http(t), Retry: policy.RetryOptions{MaxRetries: -1}}
	cred := w.credential(t, clientID, options)
	certificates, err := azcertificates.NewClient("https://"+shop, cred, &azcertificates.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := azkeys.NewClient("https://"+shop, cred, &azkeys.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	return certificates, keys
}

func (w world) role(r emulator.Role) {
	w.SetIdentity(emulator.Identity{ClientID: api, Federated: []emulator.Federated{{Subject: "*"}}, Roles: map[string]emulator.Role{shop: r}})
}

func TestCertificate(t *testing.T) {
	w := start(t)
	w.role(emulator.CertificateUser)
	version, err := w.SetCertificate(shop, emulator.Certificate{Name: "tls", Intermediate: true})
	if err != nil {
		t.Fatal(err)
	}
	certificates, keys := w.clients(t, api)
	c, err := certificates.GetCertificate(t.Context(), "TLS", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.secrets(t, shop, api).GetSecret(t.Context(), "tls", version, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := keys.GetKey(t.Context(), "tls", version, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.ID.Version() != version || c.SID.Version() != version || c.KID.Name() != "tls" || s.KID == nil || !*s.Managed || !*k.Managed {
		t.Errorf("certificate, secret and key do not belong together: %v %v %v", *c.ID, s.KID, k.Managed)
	}
	raw, _ := base64.StdEncoding.DecodeString(*s.Value)
	_, leaf, chain, err := pkcs12.DecodeChain(raw, "")
	if err != nil {
		t.Fatal(err)
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	middle.AddCert(chain[0])
	roots.AddCert(chain[1])
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, DNSName: "tls.example"}); err != nil || string(leaf.Raw) != string(c.CER) {
		t.Errorf("the chain does not hold: %v", err)
	}
}

func TestCertificateInPEM(t *testing.T) {
	w := start(t)
	if _, err := w.SetCertificate(shop, emulator.Certificate{Name: "tls", ContentType: "application/x-pem-file", KeyType: "EC"}); err != nil {
		t.Fatal(err)
	}
	s, err := w.secrets(t, shop, api).GetSecret(t.Context(), "tls", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair([]byte(*s.Value), []byte(*s.Value)); err != nil || *s.ContentType != "application/x-pem-file" {
		t.Errorf("%s: %v", *s.ContentType, err)
	}
	if _, err := w.SetCertificate(shop, emulator.Certificate{Name: "tls", ContentType: "text/plain"}); err == nil {
		t.Error("a certificate of another content type was made")
	}
}

func TestKeys(t *testing.T) {
	w := start(t)
	w.role(emulator.CryptoUser)
	for _, k := range []emulator.Key{{Name: "rsa"}, {Name: "ec", KeyType: "EC"}, {Name: "off", KeyType: "EC", Disabled: true}} {
		if _, err := w.SetKey(shop, k); err != nil {
			t.Fatal(err)
		}
	}
	_, keys := w.clients(t, api)
	if k, err := keys.GetKey(t.Context(), "rsa", "", nil); err != nil || *k.Key.Kty != azkeys.KeyTypeRSA || len(k.Key.N) != 256 || k.Key.KID.Name() != "rsa" {
		t.Errorf("got %+v, %v", k, err)
	}
	if k, err := keys.GetKey(t.Context(), "ec", "", nil); err != nil || *k.Key.Crv != azkeys.CurveNameP256 || len(k.Key.X) != 32 {
		t.Errorf("got %+v, %v", k, err)
	}
	var refusal *azcore.ResponseError
	if _, err := keys.GetKey(t.Context(), "off", "", nil); !errors.As(err, &refusal) || refusal.StatusCode != http.StatusForbidden {
		t.Errorf("disabled: %v", err)
	}
	names := 0
	for p := keys.NewListKeyPropertiesPager(nil); p.More(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names += len(page.Value)
	}
	if names != 3 {
		t.Errorf("%d keys, want 3", names)
	}
}

func TestRoles(t *testing.T) {
	w := start(t)
	if _, err := w.SetCertificate(shop, emulator.Certificate{Name: "tls", KeyType: "EC"}); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[emulator.Role][4]bool{ // secret's metadata, secret, certificate, key
		emulator.SecretsUser:     {true, true, false, false},
		emulator.CertificateUser: {true, true, true, true},
		emulator.CryptoUser:      {false, false, false, true},
		emulator.Reader:          {true, false, true, true},
		"":                       {},
	} {
		t.Run(string(role), func(t *testing.T) {
			w.role(role)
			secrets := w.secrets(t, shop, api)
			certificates, keys := w.clients(t, api)
			_, listed := secrets.NewListSecretPropertiesPager(nil).NextPage(t.Context())
			_, secret := secrets.GetSecret(t.Context(), "tls", "", nil)
			_, certificate := certificates.GetCertificate(t.Context(), "tls", "", nil)
			_, key := keys.GetKey(t.Context(), "tls", "", nil)
			if got := [4]bool{listed == nil, secret == nil, certificate == nil, key == nil}; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestDeletedSecretIsGone(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "a", Value: "v"})
	req, _ := http.NewRequestWithContext(t.Context(), "DELETE", w.ProxyURL()+"/vaults/"+shop+"/secrets/A", nil)
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusNoContent {
		t.Fatalf("got %v, %v", res, err)
	}
	var refusal *azcore.ResponseError
	if _, err := w.secrets(t, shop, api).GetSecret(t.Context(), "a", "", nil); !errors.As(err, &refusal) || refusal.StatusCode != http.StatusNotFound {
		t.Errorf("got %v, want 404", err)
	}
}

func TestRate(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "a", Value: "v"})
	w.AddVault(emulator.Vault{Host: shop, Rate: &emulator.Rate{Requests: 2, Window: time.Hour}})
	c := w.secrets(t, shop, api)
	for range 2 {
		if _, err := c.GetSecret(t.Context(), "a", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	var refusal *azcore.ResponseError
	_, err := c.GetSecret(t.Context(), "a", "", nil)
	if !errors.As(err, &refusal) || refusal.StatusCode != http.StatusTooManyRequests || refusal.RawResponse.Header.Get("Retry-After") != "3600" {
		t.Errorf("the third of two: %v", err)
	}
}

func TestRotateCA(t *testing.T) {
	w := start(t)
	before := w.http(t)
	if err := w.RotateCA(); err != nil {
		t.Fatal(err)
	}
	var untrusted *tls.CertificateVerificationError
	if _, err := before.Get("https://" + shop + "/secrets"); !errors.As(err, &untrusted) {
		t.Errorf("got %v, want a certificate that the old authority did not sign", err)
	}
	if res, err := w.http(t).Get("https://" + shop + "/secrets"); err != nil {
		t.Error(err)
	} else {
		res.Body.Close()
	}
}

func TestSeedHoldsCertificatesAndKeys(t *testing.T) {
	_, err := emulator.Start(t.Context(), emulator.Config{Seed: emulator.Seed{Vaults: []emulator.Vault{{
		Host: shop, Certificates: []emulator.Certificate{{Name: "c", KeyType: "EC"}}, Keys: []emulator.Key{{Name: "k", KeyType: "EC"}},
	}}}})
	if err != nil {
		t.Error(err)
	}
	_, err = emulator.Start(t.Context(), emulator.Config{Seed: emulator.Seed{Vaults: []emulator.Vault{{Host: shop, Keys: []emulator.Key{{Name: "k", KeyType: "oct"}}}}}})
	if err == nil {
		t.Error("a key of another type was made")
	}
}
