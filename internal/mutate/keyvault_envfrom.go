package mutate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/podpatch"
)

// mappedValue is a variable that a container takes from a ConfigMap by envFrom.
type mappedValue struct{ text, path string }

// readEnvFrom gives variables that hold references an entry of their own, and says how many. They stand first: $(VAR) in
// the container's own entries sees what envFrom brings. An entry wins over envFrom, also at the next pass.
func (k *keyVault) readEnvFrom(c *podpatch.Container) (added int) {
	mapped := k.mapped(c)
	for _, name := range slices.Sorted(maps.Keys(mapped)) {
		if findEnv(c, name) >= 0 {
			continue
		}
		text := keyvault.Literal(mapped[name].text)
		value, found := k.read(c, mapped[name].path, text)
		switch {
		case !found:
		case !envName.MatchString(name):
			k.Warn(mapped[name].path, c.Name(), fmt.Sprintf("the reference is not resolved: %q is not everywhere the name of a variable", name), "begin the key with a letter")
		default:
			c.InsertEnv(added, corev1.EnvVar{Name: name, Value: text})
			k.values = append(k.values, envValue{c, added, value})
			added++
		}
	}
	return added
}

// mapped are the variables that the container takes from ConfigMaps that are known, by name. Of several sources the last
// wins, as with the kubelet.
func (k *keyVault) mapped(c *podpatch.Container) map[string]mappedValue {
	all := map[string]mappedValue{}
	for i, source := range c.Get().EnvFrom {
		if source.ConfigMapRef == nil {
			continue
		}
		var m struct{ Data map[string]string }
		if json.Unmarshal(k.object("ConfigMap", source.ConfigMapRef.Name), &m) != nil {
			continue // nobody knows it
		}
		for key, text := range m.Data {
			all[source.Prefix+key] = mappedValue{text, fmt.Sprintf("%s.envFrom[%d].configMapRef.data[%q]", c.Path(), i, key)}
		}
	}
	return all
}
