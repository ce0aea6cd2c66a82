package azure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"twelvefold.dev/internal/keyvault"
)

// Properties are what a vault tells of an object to those who may not read its value. They are those of its newest version.
type Properties struct {
	Name    string
	Enabled bool
	// NotBefore and Expires bound the time in which it is valid; zero is no bound.
	NotBefore, Expires time.Time
}

// List tells of all objects of a type in a vault, and reads no value. More than a number of them are an error. It tries nothing
// again; its error is a [*Failure].
func (c *Client) List(ctx context.Context, host string, kind keyvault.Type, most int) ([]Properties, error) {
	l := listing{c, keyvault.Object{Vault: host, Type: kind}, most}
	switch kind {
	case keyvault.CertificateType:
		return list(ctx, l, func(v *vault) *runtime.Pager[azcertificates.ListCertificatePropertiesResponse] {
			return v.certificates.NewListCertificatePropertiesPager(nil)
		}, func(page azcertificates.ListCertificatePropertiesResponse) (found []Properties) {
			for _, p := range page.Value {
				if p != nil && p.ID != nil {
					found = append(found, propertiesOf(p.ID.Name(), stateOfCertificate(p.ID, p.Attributes)))
				}
			}
			return found
		})
	case keyvault.KeyType:
		return list(ctx, l, func(v *vault) *runtime.Pager[azkeys.ListKeyPropertiesResponse] {
			return v.keys.NewListKeyPropertiesPager(nil)
		}, func(page azkeys.ListKeyPropertiesResponse) (found []Properties) {
			for _, p := range page.Value {
				if p != nil && p.KID != nil {
					found = append(found, propertiesOf(p.KID.Name(), stateOfKey(p.KID, p.Attributes)))
				}
			}
			return found
		})
	}
	return list(ctx, l, func(v *vault) *runtime.Pager[azsecrets.ListSecretPropertiesResponse] {
		return v.secrets.NewListSecretPropertiesPager(nil)
	}, func(page azsecrets.ListSecretPropertiesResponse) (found []Properties) {
		for _, p := range page.Value {
			if p != nil && p.ID != nil {
				found = append(found, propertiesOf(p.ID.Name(), stateOfSecret(p.ID, p.Attributes)))
			}
		}
		return found
	})
}

// propertiesOf copies the name, which would hold the whole URL that it is a part of.
func propertiesOf(name string, s state) Properties {
	p := Properties{Name: strings.Clone(name), Enabled: !s.disabled}
	if s.notBefore != nil {
		p.NotBefore = *s.notBefore
	}
	if s.expires != nil {
		p.Expires = *s.expires
	}
	return p
}

// listing is one call of List.
type listing struct {
	*Client
	of   keyvault.Object // without a name
	most int
}

// list turns the pages, with the time of one attempt for each.
func list[Page any](ctx context.Context, l listing, begin func(*vault) *runtime.Pager[Page], read func(Page) []Properties) ([]Properties, error) {
	var all []Properties
	var pager *runtime.Pager[Page]
	for pager == nil || pager.More() {
		found, failure := once(ctx, l.Client, l.of, func(ctx context.Context, v *vault) ([]Properties, error) {
			if pager == nil {
				pager = begin(v)
			}
			page, err := pager.NextPage(ctx)
			if err != nil {
				return nil, l.refusal(err)
			}
			return read(page), nil
		}, nil)
		if all = append(all, found...); failure == nil && len(all) > l.most {
			failure = &Failure{Kind: Configuration, Problem: fmt.Sprintf("it holds more than %d objects", l.most), Fix: "spread them over several vaults"}
		}
		if failure != nil {
			if failure.Subject != l.Identity.String() {
				failure.Subject = "vault " + l.of.Vault
			}
			return nil, failure
		}
	}
	return all, nil
}

// refusal says of a refusal what listing needs; other errors stay as they are.
func (l listing) refusal(err error) error {
	var answer *azcore.ResponseError
	if !isForbidden(err) || !errors.As(err, &answer) {
		return err
	}
	inner := innerCode(answer.RawResponse)
	if inner == "ForbiddenByFirewall" || inner == "ForbiddenByConnection" {
		return err
	}
	return &Failure{Kind: Denied, Problem: fmt.Sprintf("%s may not list it (Azure answers 403 %s)", l.Identity.grantee(), inner),
		Fix: `give it the role "Key Vault Reader" on the vault, or the permission List in its access policies; a new role takes some minutes`}
}
