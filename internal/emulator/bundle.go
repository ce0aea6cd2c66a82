package emulator

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// bundle is an object or its metadata in the service's JSON.
type bundle struct {
	ID          string            `json:"id,omitempty"`
	Value       *string           `json:"value,omitempty"` // of secrets
	ContentType string            `json:"contentType,omitempty"`
	KID         string            `json:"kid,omitempty"` // of keys, and of what belongs to a certificate
	SID         string            `json:"sid,omitempty"`
	Managed     bool              `json:"managed,omitempty"`
	CER         []byte            `json:"cer,omitempty"`
	Thumbprint  string            `json:"x5t,omitempty"`
	Key         *jose.JSONWebKey  `json:"key,omitempty"`
	Attributes  attributes        `json:"attributes"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// attributes holds times in seconds since 1970.
type attributes struct {
	Enabled         bool   `json:"enabled"`
	NotBefore       int64  `json:"nbf,omitempty"`
	Expires         int64  `json:"exp,omitempty"`
	Created         int64  `json:"created"`
	Updated         int64  `json:"updated"`
	RecoveryLevel   string `json:"recoveryLevel"`
	RecoverableDays int    `json:"recoverableDays"`
}

// bundle is the object itself.
func (v version) bundle(k kind, host string) bundle {
	b := v.metadata(k, host, true)
	switch k {
	case secrets:
		b.Value = &v.Value
		if v.certificate {
			b.KID = v.id(keys, host, true)
		}
	case certificates:
		b.CER, b.KID, b.SID = v.cer, v.id(keys, host, true), v.id(secrets, host, true)
	case keys:
		key := *v.key
		key.KeyID, b.KID = b.KID, ""
		b.Key = &key
	}
	return b
}

// metadata is what lists tell of it.
func (v version) metadata(k kind, host string, withVersion bool) bundle {
	b := bundle{
		Tags: v.Tags, Managed: v.certificate && k != certificates,
		Attributes: attributes{
			Enabled: !v.Disabled, Created: v.created.Unix(), Updated: v.created.Unix(), RecoveryLevel: "Recoverable+Purgeable", RecoverableDays: 90,
		},
	}
	switch k {
	case secrets:
		b.ID, b.ContentType = v.id(k, host, withVersion), v.ContentType
	case certificates:
		sum := sha1.Sum(v.cer)
		b.ID, b.Thumbprint = v.id(k, host, withVersion), base64.RawURLEncoding.EncodeToString(sum[:])
	case keys:
		b.KID = v.id(k, host, withVersion)
	}
	if v.NotBefore != nil {
		b.Attributes.NotBefore = v.NotBefore.Unix()
	}
	if v.Expires != nil {
		b.Attributes.Expires = v.Expires.Unix()
	}
	return b
}

func (v version) id(k kind, host string, withVersion bool) string {
	id := fmt.Sprintf("https://%s/%s/%s", host, k, v.Name)
	if withVersion {
		id += "/" + v.Version
	}
	return id
}
