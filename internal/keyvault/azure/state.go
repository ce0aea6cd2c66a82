package azure

import (
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// state is what the three types of objects have in common. Its zero value is that of an answer without an id.
type state struct {
	version            string
	disabled           bool
	created            time.Time
	notBefore, expires *time.Time
}

func stateOfSecret(id *azsecrets.ID, a *azsecrets.SecretAttributes) state {
	if id == nil {
		return state{}
	}
	if a == nil {
		return state{version: id.Version()}
	}
	return stateOf(id.Version(), a.Enabled, a.Created, a.NotBefore, a.Expires)
}

func stateOfCertificate(id *azcertificates.ID, a *azcertificates.CertificateAttributes) state {
	if id == nil {
		return state{}
	}
	if a == nil {
		return state{version: id.Version()}
	}
	return stateOf(id.Version(), a.Enabled, a.Created, a.NotBefore, a.Expires)
}

func stateOfKey(id *azkeys.ID, a *azkeys.KeyAttributes) state {
	if id == nil {
		return state{}
	}
	if a == nil {
		return state{version: id.Version()}
	}
	return stateOf(id.Version(), a.Enabled, a.Created, a.NotBefore, a.Expires)
}

func stateOf(version string, enabled *bool, created, notBefore, expires *time.Time) state {
	s := state{version: version, disabled: enabled != nil && !*enabled, notBefore: notBefore, expires: expires}
	if created != nil {
		s.created = *created
	}
	return s
}
