package azure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

var curves = map[azkeys.CurveName]elliptic.Curve{azkeys.CurveNameP256: elliptic.P256(), azkeys.CurveNameP384: elliptic.P384(), azkeys.CurveNameP521: elliptic.P521()}

// publicKey makes the SubjectPublicKeyInfo of a key, or says what is wrong with it.
func publicKey(k *azkeys.JSONWebKey) (der []byte, problem string) {
	kind := ""
	if k.Kty != nil {
		kind = strings.TrimSuffix(string(*k.Kty), "-HSM")
	}
	var public any
	switch kind {
	case "RSA":
		e := new(big.Int).SetBytes(k.E)
		if len(k.N) == 0 || e.BitLen() < 2 || e.BitLen() > 31 {
			return nil, "its modulus or exponent is missing"
		}
		public = &rsa.PublicKey{N: new(big.Int).SetBytes(k.N), E: int(e.Int64())}
	case "EC":
		if k.Crv == nil || curves[*k.Crv] == nil {
			return nil, "its curve is not supported"
		}
		curve := curves[*k.Crv]
		size := (curve.Params().BitSize + 7) / 8
		if len(k.X) > size || len(k.Y) > size {
			return nil, "it is no point of its curve"
		}
		point := make([]byte, 1+2*size)
		point[0] = 4 // uncompressed
		copy(point[1+size-len(k.X):], k.X)
		copy(point[1+2*size-len(k.Y):], k.Y)
		key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return nil, "it is no point of its curve"
		}
		public = key
	default:
		return nil, "it has no public part"
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, "it cannot be written as a public key"
	}
	return der, ""
}
