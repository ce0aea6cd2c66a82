package keyvault

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The content types of a certificate's secret.
const (
	contentPFX = "application/x-pkcs12"
	contentPEM = "application/x-pem-file"
)

// Render makes of the content what a reference asks for, as the CSI driver's provider and the FlexVolume did. Errors hold nothing of it.
func (c Content) Render(r Reference) ([]byte, error) {
	switch {
	case r.Format == Username || r.Format == Password:
		return basicAuthPart(c.Text, r.Format)
	case r.Format == PrivateKey:
		return c.privateKey(r)
	case r.Type == CertificateType && r.Format == DER:
		return c.DER, nil
	case r.Type == CertificateType:
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER}), nil
	case r.Type == KeyType && r.Format == Modulus:
		return modulus(c.DER)
	case r.Type == KeyType:
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: c.DER}), nil
	case c.Certificate && r.Field != "":
		return nil, errors.New("it is the secret of a certificate, which has no fields; leave out the field")
	case c.Certificate:
		return c.renderCertificate(r)
	}
	text := c.Text
	if r.Field != "" {
		var err error
		if text, err = field(text, r.Field); err != nil {
			return nil, err
		}
	}
	return decode(text, r.Encoding)
}

// renderCertificate writes the secret of a certificate.
func (c Content) renderCertificate(r Reference) ([]byte, error) {
	kind, _, _ := strings.Cut(strings.ToLower(c.ContentType), ";")
	switch kind = strings.TrimSpace(kind); {
	case kind != contentPFX && kind != contentPEM:
		return nil, fmt.Errorf("it is the secret of a certificate, but its content type is neither %s nor %s; correct that in the certificate's policy", contentPFX, contentPEM)
	case kind == contentPFX && r.Format == PFX:
		return decode(c.Text, r.Encoding)
	case r.Encoding != UTF8:
		return nil, errors.New("a certificate in PEM has no encoding; leave it out, or ask for the format pfx")
	case kind == contentPEM && r.Format == PFX: // as it is
		return []byte(c.Text), nil
	case kind == contentPEM:
		return orderPEM(c.Text), nil
	}
	raw, err := decode(c.Text, Base64)
	if err != nil {
		return nil, err
	}
	return pfxToPEM(raw)
}

// decode makes bytes of a secret's text.
func decode(text string, e Encoding) ([]byte, error) {
	var out []byte
	var err error
	switch e {
	case Hex:
		out, err = hex.DecodeString(strings.TrimSpace(text))
	case Base64:
		out, err = base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	default:
		return []byte(text), nil
	}
	if err != nil { // it tells of the place, but a byte might be in it
		return nil, fmt.Errorf("its text is not %s; correct the secret, or leave out the encoding", e)
	}
	return out, nil
}

// modulus writes an RSA key as the FlexVolume did: the member n of its JSON Web Key, base64url without padding.
func modulus(der []byte) ([]byte, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	key, ok := public.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("only an RSA key has a modulus; leave out the format to get PEM")
	}
	return []byte(base64.RawURLEncoding.EncodeToString(key.N.Bytes())), nil
}
