package mutate

import (
	"errors"
	"fmt"

	"twelvefold.dev/internal/keyvault"
)

// parseAkv2k8s reads NAME@azurekeyvault[?QUERY]: by the policy's table, else by the AzureKeyVaultSecret of that name.
func (k *keyVault) parseAkv2k8s(name, query string) (value keyvault.Value, fix string) {
	if text, listed := k.policy.Akv2k8s[name]; listed {
		ref, err := k.hosts.Parse(text, "")
		if err == nil {
			ref, err = ref.Query(query)
		}
		return keyvault.WholeValue(ref, err), fmt.Sprintf("correct the query, or what the policy has under keyVault.akv2k8s[%q]", name)
	}
	object := k.object("AzureKeyVaultSecret", name)
	if object == nil && k.Facts.Offline { // it may be in the cluster
		return keyvault.Value{Stray: []error{fmt.Errorf("nobody knows %q here, so the reference is left as it is; give the manifest of its AzureKeyVaultSecret together with the pod's", name)}}, ""
	}
	if object == nil {
		return keyvault.WholeValue(keyvault.Reference{}, fmt.Errorf("nobody knows %q: it is not in the policy's keyVault.akv2k8s, and namespace %s has no such AzureKeyVaultSecret", name, k.Facts.Namespace)),
			fmt.Sprintf("add %s: https://<vault>.vault.azure.net/secrets/<name> to keyVault.akv2k8s of the policy, create the AzureKeyVaultSecret, or %s", name, referenceFix)
	}
	ref, identity, err := k.hosts.ParseKeyVaultSecret(object, query)
	if err != nil {
		err = errors.New("AzureKeyVaultSecret " + name + ": " + err.Error())
	} else if identity != "" {
		k.Done("AzureKeyVaultSecret %s: read by the identity of the pod, not by its azureIdentity", name)
	}
	return keyvault.WholeValue(ref, err), "correct it, or " + referenceFix
}

// object is the JSON of an object of the pod's namespace, or nil.
func (k *keyVault) object(kind, name string) []byte {
	if k.Facts.Object == nil {
		return nil
	}
	return k.Facts.Object(kind, name)
}
