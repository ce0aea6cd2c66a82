package azure

import (
	"context"

	"twelvefold.dev/internal/keyvault"
)

// get reads an object.
func (c *Client) get(ctx context.Context, v *vault, o keyvault.Object) (*keyvault.Content, error) {
	s, content, err := v.read(ctx, o)
	if err != nil {
		return nil, err
	}
	if f := c.outOfDate(o, s); f != nil {
		return nil, f
	}
	if s.version == "" || content == nil {
		return nil, &Failure{Kind: Unreachable, Subject: o.String(), Problem: "the answer holds no value", Fix: "check what answers in Azure's place"}
	}
	content.Version = s.version
	return content, nil
}

// read sends the request. The content is nil if the answer has none.
func (v *vault) read(ctx context.Context, o keyvault.Object) (state, *keyvault.Content, error) {
	switch o.Type {
	case keyvault.CertificateType:
		res, err := v.certificates.GetCertificate(ctx, o.Name, o.Version, nil)
		if err != nil || len(res.CER) == 0 {
			return state{}, nil, err
		}
		return stateOfCertificate(res.ID, res.Attributes), &keyvault.Content{DER: res.CER}, nil
	case keyvault.KeyType:
		res, err := v.keys.GetKey(ctx, o.Name, o.Version, nil)
		if err != nil || res.Key == nil {
			return state{}, nil, err
		}
		der, problem := publicKey(res.Key)
		if problem != "" {
			return state{}, nil, &Failure{Kind: Configuration, Subject: o.String(), Problem: problem, Fix: "use an RSA key, or an EC key of P-256, P-384 or P-521"}
		}
		return stateOfKey(res.Key.KID, res.Attributes), &keyvault.Content{DER: der}, nil
	}
	res, err := v.secrets.GetSecret(ctx, o.Name, o.Version, nil)
	if err != nil || res.Value == nil {
		return state{}, nil, err
	}
	content := &keyvault.Content{Text: *res.Value, Certificate: res.KID != nil}
	if res.ContentType != nil {
		content.ContentType = *res.ContentType
	}
	return stateOfSecret(res.ID, res.Attributes), content, nil
}

// outOfDate judges the dates of an object, which Azure leaves to the reader: it serves values before and after them.
func (c *Client) outOfDate(o keyvault.Object, s state) *Failure {
	const day = "2006-01-02 15:04 MST"
	f := &Failure{Kind: Disabled, Subject: o.String()}
	switch now := c.Now(); {
	case s.disabled: // a certificate is served all the same
		f.Problem, f.Fix = "it is disabled", "enable it, or name another version"
	case s.expires != nil && !now.Before(*s.expires):
		f.Problem, f.Fix = "it expired at "+s.expires.UTC().Format(day), "set a new version, or move its expiry date"
		if o.Type == keyvault.CertificateType {
			f.Fix = "renew it"
		}
	case s.notBefore != nil && now.Before(*s.notBefore):
		f.Problem, f.Fix = "it is not valid before "+s.notBefore.UTC().Format(day), "move its activation date, or name an older version"
	default:
		return nil
	}
	return f
}
