package keyvault

import (
	"encoding/pem"
	"errors"
	"strings"
)

// partProblem tells what is wrong with asking for a part of a secret, or returns "".
func (r Reference) partProblem() string {
	switch {
	case r.Type != SecretType:
		return "only a secret can be written as its " + string(r.Format)
	case r.Encoding != UTF8 || r.Field != "":
		return "the " + string(r.Format) + " of a secret goes without encoding and field"
	}
	return ""
}

// basicAuthPart is one side of USERNAME:PASSWORD.
func basicAuthPart(text string, format Format) ([]byte, error) {
	username, password, found := strings.Cut(text, ":")
	if !found || strings.Contains(password, ":") { // akv2k8s refuses a second colon too: nobody knows which one splits
		return nil, errors.New("its text is not USERNAME:PASSWORD with one colon; keep the two in secrets of their own")
	}
	if format == Username {
		return []byte(username), nil
	}
	return []byte(password), nil
}

// privateKey is the private key of a certificate's secret, or of another that is PEM.
func (c Content) privateKey(r Reference) ([]byte, error) {
	r.Format = PEM
	text, err := c.Render(r)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") { // PKCS #8, or the type of key before it
			return pem.EncodeToMemory(block), nil
		}
	}
	return nil, errors.New("it holds no private key; name the secret of a certificate whose key can be exported")
}
