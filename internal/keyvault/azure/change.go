package azure

import (
	"context"
	"time"

	"twelvefold.dev/internal/keyvault"
)

// NewestChange tells when an object's newest version was made, from metadata: it never reads a value. A newest version that
// nobody may read now, since it is disabled or out of date, is an error, as is an object that does not exist. It is one attempt,
// and its error is a [*Failure].
func (c *Client) NewestChange(ctx context.Context, o keyvault.Object) (time.Time, error) {
	change, failure := once(ctx, c, o, func(ctx context.Context, v *vault) (time.Time, error) {
		var newest state
		for s, err := range v.versions(ctx, o) {
			if err != nil {
				return time.Time{}, err
			}
			if s.version != "" && (newest.version == "" || s.created.After(newest.created)) {
				newest = s
			}
		}
		if newest.version == "" {
			return time.Time{}, &Failure{Kind: Missing, Subject: o.String(), Problem: "it does not exist (there are no versions)", Fix: missingFix}
		}
		if f := c.outOfDate(o, newest); f != nil {
			return time.Time{}, f
		}
		return newest.created, nil
	}, nil)
	if failure != nil {
		return time.Time{}, failure
	}
	return change, nil
}
