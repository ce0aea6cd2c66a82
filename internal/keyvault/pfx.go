package keyvault

import (
	"crypto/x509"
	"encoding/pem"
	"errors"

	"software.sslmate.com/src/go-pkcs12"
)

// pfxToPEM writes PKCS #12 without a password, as Key Vault keeps it, as PEM: the private key as PKCS #8, then the certificates.
func pfxToPEM(raw []byte) ([]byte, error) {
	key, certificate, others, err := pkcs12.DecodeChain(raw, "")
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return nil, errors.New("its PKCS #12 has a password; import the certificate anew, or ask for the format pfx")
	case err != nil: // it might quote what it read
		return nil, errors.New("its PKCS #12 is not one private key with certificates; " +
			"if the key is not exportable, take the certificate alone (type cert), else import it anew or ask for the format pfx")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("its private key is of a kind that cannot be written as PEM; ask for the format pfx")
	}
	blocks := []*pem.Block{{Type: "PRIVATE KEY", Bytes: der}, {Type: "CERTIFICATE", Bytes: certificate.Raw}}
	for _, c := range others {
		blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	if ordered, ok := orderBlocks(blocks); ok {
		blocks = ordered
	}
	return encode(blocks), nil
}
