package mutate

import (
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/podpatch"
)

// vaultVariable names the vault of bank-vaults' references in the container's own environment.
const vaultVariable = "AZURE_KEY_VAULT_URL"

// parseBankVaults reads azure:keyvault:NAME[/VERSION].
func (k *keyVault) parseBankVaults(c *podpatch.Container, text string) (value keyvault.Value, fix string) {
	fix = "write azure:keyvault:NAME[/VERSION], with the vault in the container's variable " + vaultVariable + " or annotation " + vaultAnnotation + ": <vault>"
	vault := k.vault
	if url, from := k.vaultURL(c); url != "" {
		host, err := k.hosts.Host(url)
		if err != nil {
			return keyvault.WholeValue(keyvault.Reference{}, err), "write the vault's URL as value of " + from
		}
		vault = host
	}
	return keyvault.WholeValue(k.hosts.ParseBankVaults(text, vault)), fix
}

// vaultURL is the value of the variable, if that stands in the pod or in a ConfigMap that is known, and which field it is.
func (k *keyVault) vaultURL(c *podpatch.Container) (url, from string) {
	if i := findEnv(c, vaultVariable); i >= 0 {
		return c.Get().Env[i].Value, envPath(c, i)
	}
	if v, set := k.mappedBy(c)[vaultVariable]; set {
		return v.text, v.path
	}
	return "", ""
}
