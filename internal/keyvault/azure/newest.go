package azure

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

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
		version, err := newest(ctx, v, o)
		if !isForbidden(err) {
			return version, err
		}
		content, err := c.get(ctx, v, o)
		if err != nil {
			return "", err
		}
		return content.Version, nil
	})
	if failure != nil {
		return "", failure
	}
	return version, nil
}

// newest lists the versions, which come in no order.
func newest(ctx context.Context, v *vault, o keyvault.Object) (string, error) {
	var found string
	var created time.Time
	some := false
	for p := v.NewListSecretPropertiesVersionsPager(o.Name, nil); p.More(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return "", err
		}
		for _, s := range page.Value {
			some = true
			if s == nil || s.ID == nil || s.Attributes == nil || s.Attributes.Created == nil || s.Attributes.Enabled != nil && !*s.Attributes.Enabled {
				continue
			}
			if found == "" || s.Attributes.Created.After(created) {
				found, created = s.ID.Version(), *s.Attributes.Created
			}
		}
	}
	switch {
	case found != "":
		return found, nil
	case some:
		return "", &Failure{Kind: Disabled, Subject: o.String(), Problem: "all its versions are disabled", Fix: "enable one, or set a new one"}
	}
	return "", &Failure{Kind: Missing, Subject: o.String(), Problem: "it does not exist (there are no versions)", Fix: missingFix}
}

func isForbidden(err error) bool {
	var answer *azcore.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden
}
