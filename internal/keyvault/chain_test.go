package keyvault_test

import (
	"encoding/pem"
	"strings"
	"testing"

	"crypto/x509"

	"twelvefold.dev/internal/keyvault"
)

func TestChainOrder(t *testing.T) {
	rootKey, middleKey, serverKey := newKey(t), newKey(t), newKey(t)
	root := sign(t, "root", rootKey, true, nil)
	oldRoot := sign(t, "old root", newKey(t), true, nil)
	crossed := sign(t, "root", rootKey, true, oldRoot) // the same key and name as root, vouched for by the older one
	middle := sign(t, "middle", middleKey, true, root)
	lower := sign(t, "lower", newKey(t), true, middle)
	server := sign(t, "server", serverKey, false, middle)
	deep := sign(t, "deep", newKey(t), false, lower)
	self := sign(t, "self", newKey(t), false, nil)
	stranger := sign(t, "stranger", newKey(t), false, nil)
	rekeyed := sign(t, "root", newKey(t), true, nil) // a new key under the old name
	rsa := sign(t, "rsa", newRSA(t), false, root)

	for name, tc := range map[string]struct {
		keys     []any
		in, want []*entity
	}{
		"in order":                 {[]any{server.key}, []*entity{server, middle, root}, []*entity{server, middle, root}},
		"backwards":                {[]any{server.key}, []*entity{root, middle, server}, []*entity{server, middle, root}},
		"two intermediates":        {[]any{deep.key}, []*entity{middle, root, deep, lower}, []*entity{deep, lower, middle, root}},
		"self-signed":              {[]any{self.key}, []*entity{self}, []*entity{self}},
		"self-signed with another": {[]any{self.key}, []*entity{stranger, self}, []*entity{self, stranger}},
		"intermediate missing":     {[]any{deep.key}, []*entity{root, deep, middle}, []*entity{deep, middle, root}},
		"root missing":             {[]any{server.key}, []*entity{middle, server}, []*entity{server, middle}},
		"cross-signed":             {[]any{server.key}, []*entity{root, oldRoot, crossed, middle, server}, []*entity{server, middle, crossed, oldRoot, root}},
		"twice the same":           {[]any{server.key}, []*entity{middle, server, middle, server}, []*entity{server, middle}},
		"another key of a name":    {[]any{server.key}, []*entity{rekeyed, root, middle, server}, []*entity{server, middle, root, rekeyed}},
		"no key":                   {nil, []*entity{root, middle, server}, []*entity{server, middle, root}},
		"key of an authority":      {[]any{middle.key}, []*entity{root, middle, server}, []*entity{middle, root, server}},
		"several keys":             {[]any{stranger.key, root.key, server.key}, []*entity{middle, root, server}, []*entity{server, middle, root}},
		"foreign key":              {[]any{self.key}, []*entity{root, server, middle}, []*entity{server, middle, root}},
		"RSA by EC":                {[]any{rsa.key}, []*entity{root, rsa}, []*entity{rsa, root}},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			text.WriteString(join(tc.in...)) // before the keys
			for _, key := range tc.keys {
				text.WriteString(pemOfKey(t, key))
			}
			got, err := keyvault.Content{Text: text.String(), ContentType: "application/x-pem-file", Certificate: true}.Render(keyvault.Reference{})
			if err != nil {
				t.Fatal(err)
			}
			keys, names := taken(t, string(got))
			var want []string
			for _, c := range tc.want {
				want = append(want, c.SerialNumber.String()+" "+c.Subject.CommonName)
			}
			if strings.Join(names, ", ") != strings.Join(want, ", ") {
				t.Errorf("got %q, want %q", names, want)
			}
			if len(keys) != len(tc.keys) || name == "several keys" && keys[0] != pemOfKey(t, server.key) {
				t.Errorf("%d keys of %d, or another first", len(keys), len(tc.keys))
			}
		})
	}
}

// Keys in the older encodings are matched too, and stay in them.
func TestKeysInOtherEncodings(t *testing.T) {
	root := sign(t, "root", newKey(t), true, nil)
	key, rsaKey := newKey(t), newRSA(t)
	ec, rsa := sign(t, "ec", key, false, root), sign(t, "rsa", rsaKey, false, root)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for want, tc := range map[string]struct {
		leaf  *entity
		block *pem.Block
	}{
		"EC PRIVATE KEY":  {ec, &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}},
		"RSA PRIVATE KEY": {rsa, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}},
	} {
		written := string(pem.EncodeToMemory(tc.block))
		content := keyvault.Content{Text: join(root, tc.leaf) + written, ContentType: "application/x-pem-file", Certificate: true}
		t.Run(want, func(t *testing.T) { check(t, content, keyvault.Reference{}, written+join(tc.leaf, root)) })
	}
}

// What is no certificate that we can read is left to who can.
func TestUnreadablePEMStaysAsItIs(t *testing.T) {
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("?")})) + pemOfKey(t, newKey(t))
	check(t, keyvault.Content{Text: text, ContentType: "application/x-pem-file", Certificate: true}, keyvault.Reference{}, text)
}

// taken takes PEM apart: keys first, then the certificates' serials and names.
func taken(t *testing.T, text string) (keys, names []string) {
	t.Helper()
	for rest := []byte(text); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return keys, names
		}
		if b.Type != "CERTIFICATE" {
			if len(names) > 0 {
				t.Error("a key after a certificate")
			}
			keys = append(keys, string(pem.EncodeToMemory(b)))
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.SerialNumber.String()+" "+c.Subject.CommonName)
	}
}
