package azure

import (
	"context"
	"errors"
	"iter"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"twelvefold.dev/internal/keyvault"
)

// Newest tells an object's newest version that is enabled, from metadata: it reads no value. An identity that may read values but not list
// (an access policy with Get only) makes it read the object after all. It is one attempt, and its error is a [*Failure].
// Of an object with a version it is that one.
func (c *Client) Newest(ctx context.Context, o keyvault.Object) (version string, err error) {
	if o.Version != "" {
		return o.Version, nil
	}
	version, failure := once(ctx, c, o, func(ctx context.Context, v *vault) (string, error) {
		if _, denied := v.unlistable.Load(o.Type); !denied {
			version, err := newest(ctx, v, o)
			if !isForbidden(err) {
				return version, err
			}
		}
		content, err := c.get(ctx, v, o)
		if err != nil {
			return "", err
		}
		v.unlistable.Store(o.Type, nil)
		return content.Version, nil
	}, nil)
	if failure != nil {
		return "", failure
	}
	return version, nil
}

// newest lists the versions, which come in no order.
func newest(ctx context.Context, v *vault, o keyvault.Object) (string, error) {
	var found state
	some := false
	for s, err := range v.versions(ctx, o) {
		if err != nil {
			return "", err
		}
		some = true
		if s.version != "" && !s.disabled && (found.version == "" || s.created.After(found.created)) {
			found = s
		}
	}
	switch {
	case found.version != "":
		return found.version, nil
	case some:
		return "", &Failure{Kind: Disabled, Subject: o.String(), Problem: "all its versions are disabled", Fix: "enable one, or make a new one"}
	}
	return "", &Failure{Kind: Missing, Subject: o.String(), Problem: "it does not exist (there are no versions)", Fix: missingFix}
}

// versions lists the versions of an object, until the first error.
func (v *vault) versions(ctx context.Context, o keyvault.Object) iter.Seq2[state, error] {
	switch o.Type {
	case keyvault.CertificateType:
		return each(ctx, v.certificates.NewListCertificatePropertiesVersionsPager(o.Name, nil), func(r azcertificates.ListCertificatePropertiesVersionsResponse) (out []state) {
			for _, p := range r.Value {
				if p != nil {
					out = append(out, stateOfCertificate(p.ID, p.Attributes))
				}
			}
			return out
		})
	case keyvault.KeyType:
		return each(ctx, v.keys.NewListKeyPropertiesVersionsPager(o.Name, nil), func(r azkeys.ListKeyPropertiesVersionsResponse) (out []state) {
			for _, p := range r.Value {
				if p != nil {
					out = append(out, stateOfKey(p.KID, p.Attributes))
				}
			}
			return out
		})
	}
	return each(ctx, v.secrets.NewListSecretPropertiesVersionsPager(o.Name, nil), func(r azsecrets.ListSecretPropertiesVersionsResponse) (out []state) {
		for _, p := range r.Value {
			if p != nil {
				out = append(out, stateOfSecret(p.ID, p.Attributes))
			}
		}
		return out
	})
}

// each goes over what all pages hold.
func each[P any](ctx context.Context, pager *runtime.Pager[P], states func(P) []state) iter.Seq2[state, error] {
	return func(yield func(state, error) bool) {
		for pager.More() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				yield(state{}, err)
				return
			}
			for _, s := range states(page) {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

func isForbidden(err error) bool {
	var answer *azcore.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden
}
