package mutate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
)

// mappedValue is a variable that a container takes from a ConfigMap by envFrom.
type mappedValue struct{ text, path string }

// readEnvFrom gives variables that hold references an entry of their own, and says how many. They stand first: $(VAR) in
// the container's own entries sees what envFrom brings. An entry wins over envFrom, also at the next pass.
func (k *keyVault) readEnvFrom(c *podpatch.Container) (added int) {
	variables := k.mappedBy(c)
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		text, path := keyvault.Literal(variables[name].text), variables[name].path
		if findEnv(c, name) >= 0 {
			continue
		}
		value, found := k.read(c, path, text)
		switch whole := value.Whole(); {
		case !found:
		case whole != nil && whole.Optional:
			k.refuse(path, c.Name(), "a reference in a ConfigMap is optional; without the secret the kubelet would take the text of the reference",
				"leave out that it is optional, or give the container an entry of its own for it")
		case !envName.MatchString(name):
			k.Warn(path, c.Name(), fmt.Sprintf("the reference is not resolved: %q is not everywhere the name of a variable", name), "begin the key with a letter")
		default:
			c.InsertEnv(added, corev1.EnvVar{Name: name, Value: text})
			k.values = append(k.values, envValue{c, added, value})
			added++
		}
	}
	return added
}

// mapped are the variables that containers take from ConfigMaps that are known.
type mapped struct {
	byContainer map[*podpatch.Container]map[string]mappedValue // by name; filled when they are asked for
	data        map[string]map[string]string                   // of ConfigMaps that were read, by name; nil: nobody knows it
	read        int
}

// maxMapped bounds the work for one pod: there is no end to how often it may name a ConfigMap. No process could take so
// many variables.
const maxMapped = 10_000

// mappedBy are the variables of a container. Of several sources the last wins, as with the kubelet.
func (k *keyVault) mappedBy(c *podpatch.Container) map[string]mappedValue {
	if all, known := k.mapped.byContainer[c]; known {
		return all
	}
	all := map[string]mappedValue{}
	if k.mapped.byContainer == nil {
		k.mapped.byContainer, k.mapped.data = map[*podpatch.Container]map[string]mappedValue{}, map[string]map[string]string{}
	}
	k.mapped.byContainer[c] = all
	for i, source := range c.Get().EnvFrom {
		if source.ConfigMapRef == nil {
			continue
		}
		data := k.data(source.ConfigMapRef.Name)
		path := fmt.Sprintf("%s.envFrom[%d].configMapRef", c.Path(), i)
		if k.mapped.read += 1 + len(data); k.mapped.read > maxMapped {
			k.refuse(path, c.Name(), fmt.Sprintf("the pod takes more than %d variables from ConfigMaps", maxMapped), "take fewer, or remove the label "+policy.KeyVaultLabel)
			return all
		}
		for key, text := range data {
			all[source.Prefix+key] = mappedValue{text, fmt.Sprintf("%s.data[%q]", path, key)}
		}
	}
	return all
}

// data is what a ConfigMap holds, if it is known.
func (k *keyVault) data(name string) map[string]string {
	data, read := k.mapped.data[name]
	if !read {
		var m struct{ Data map[string]string }
		if json.Unmarshal(k.object("ConfigMap", name), &m) == nil {
			data = m.Data
		}
		k.mapped.data[name] = data
	}
	return data
}
