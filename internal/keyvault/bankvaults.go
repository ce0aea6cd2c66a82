package keyvault

import (
	"errors"
	"regexp"
)

// bankVaults is a reference as bank-vaults' secret-init takes it, the whole value of a variable. The chart's backstop has
// the same expression.
var bankVaults = regexp.MustCompile(`^[[:space:]]*azure:keyvault:([^[:space:]]+)[[:space:]]*$`)

// IsBankVaults says whether a value is azure:keyvault:NAME[/VERSION], right or wrong.
func IsBankVaults(value string) bool {
	return len(value) <= maxReference && bankVaults.MatchString(value)
}

// ParseBankVaults reads azure:keyvault:NAME[/VERSION] of a vault's host, which [IsBankVaults] has found.
func (h Hosts) ParseBankVaults(value, vault string) (Reference, error) {
	m := bankVaults.FindStringSubmatch(value)
	if m == nil {
		return Reference{}, errors.New("it must be azure:keyvault:NAME[/VERSION]")
	}
	return h.parseName(m[1], vault)
}
