package mutate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault/envfile"
	"twelvefold.dev/internal/policy"
)

var requirepass = regexp.MustCompile(`--requirepass(?:[ =]+["']?(?:\$\(([A-Za-z_]\w*)\)|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)))?`)

// credentials are the app's, by reference: a secret that stands in the pod as text is not copied. With them come what is
// no secret: the names of the user and the database.
func (c *Context) credentials(get *corev1.Container, e *policy.Exporter) (env []corev1.EnvVar, err error) {
	for _, name := range slices.Sorted(maps.Keys(e.Credentials)) {
		sources, required := e.Credentials[name], false
		if found := requirepass.FindStringSubmatch(strings.Join(append(slices.Clone(get.Command), get.Args...), " ")); e.Name == "redis" && found != nil {
			required = true
			if source := found[1] + found[2] + found[3]; source != "" {
				sources = policy.Names{source}
			} else {
				return nil, errors.New("--requirepass is given as text; take the password from a secret's variable")
			}
		}
		value, err := c.credential(get, sources)
		if err != nil {
			return nil, err
		}
		if value != nil {
			env = append(env, corev1.EnvVar{Name: name, ValueFrom: value})
		} else if required {
			return nil, fmt.Errorf("--requirepass takes %s, which the container's env doesn't have", sources[0])
		}
	}
	if len(e.Credentials) > 0 && len(env) == 0 {
		if e.Passwordless == nil {
			return nil, nil // then there is no user either
		}
		if !slices.ContainsFunc(e.Passwordless, func(name string) bool { return says(get, name) }) {
			var names []string
			for _, name := range slices.Sorted(maps.Keys(e.Credentials)) {
				names = append(names, e.Credentials[name]...)
			}
			return nil, fmt.Errorf("its env has no password: none of %s", strings.Join(names, ", "))
		}
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(e.Values))) {
		value, err := c.openValue(get, name, e.Values[name])
		if err != nil {
			return nil, err
		}
		if value != nil {
			env = slices.Insert(env, 0, *value)
		}
	}
	return env, nil
}

// says tells whether a variable that allows to have no password does so.
func says(get *corev1.Container, name string) bool {
	value, _ := plainEnv(get, name)
	return slices.Contains([]string{"trust", "yes", "true", "1"}, strings.ToLower(value))
}

// credential is the source of the app's first variable of those named, or nil if it has none.
func (c *Context) credential(get *corev1.Container, names policy.Names) (*corev1.EnvVarSource, error) {
	for _, name := range names {
		if i := lastEnv(get, name); i >= 0 && (get.Env[i].ValueFrom != nil || get.Env[i].Value != "") {
			if envfile.HasPlaceholder(get.Env[i].Value) {
				return nil, fmt.Errorf("%s comes from Key Vault by exec, which the exporter doesn't see", name)
			}
			if get.Env[i].ValueFrom == nil {
				return nil, fmt.Errorf("%s stands in the pod as text; take it from a secret with valueFrom", name)
			}
			return copyable(get.Env[i])
		}
	}
	for _, name := range names {
		if i := lastEnv(get, name+"_FILE"); i >= 0 {
			return c.fromFile(get, get.Env[i])
		}
	}
	if len(get.EnvFrom) > 0 && len(names) > 0 {
		return nil, fmt.Errorf("envFrom may bring %s; write it in env with its valueFrom", names[0])
	}
	return nil, nil
}

// openValue is a variable of the exporter with what is no secret, or nil.
func (c *Context) openValue(get *corev1.Container, name string, v policy.Value) (*corev1.EnvVar, error) {
	for _, from := range v.From {
		i := lastEnv(get, from)
		switch {
		case i < 0 && lastEnv(get, from+"_FILE") >= 0:
			source, err := c.fromFile(get, get.Env[lastEnv(get, from+"_FILE")])
			return &corev1.EnvVar{Name: name, ValueFrom: source}, err
		case i < 0:
			continue
		case envfile.HasPlaceholder(get.Env[i].Value):
			return nil, fmt.Errorf("%s comes from Key Vault by exec, which the exporter doesn't see", from)
		case get.Env[i].ValueFrom != nil:
			source, err := copyable(get.Env[i])
			return &corev1.EnvVar{Name: name, ValueFrom: source}, err
		case strings.Contains(get.Env[i].Value, "$("):
			return nil, fmt.Errorf("%s is made of other variables, which the exporter doesn't have", from)
		case get.Env[i].Value != "":
			return &corev1.EnvVar{Name: name, Value: get.Env[i].Value}, nil
		}
	}
	if len(get.EnvFrom) > 0 && len(v.From) > 0 {
		return nil, fmt.Errorf("envFrom may bring %s; write it in env", v.From[0])
	}
	if v.Default == "" {
		return nil, nil
	}
	return &corev1.EnvVar{Name: name, Value: v.Default}, nil
}

func copyable(e corev1.EnvVar) (*corev1.EnvVarSource, error) {
	if from := e.ValueFrom; from.SecretKeyRef == nil && from.ConfigMapKeyRef == nil && from.FileKeyRef == nil {
		return nil, fmt.Errorf("%s has a source that can't be copied", e.Name)
	}
	return e.ValueFrom.DeepCopy(), nil
}

// fromFile is the Secret's key that a file is, which a variable such as POSTGRES_PASSWORD_FILE names.
func (c *Context) fromFile(get *corev1.Container, e corev1.EnvVar) (*corev1.EnvVarSource, error) {
	for _, m := range get.VolumeMounts {
		name, below := strings.CutPrefix(e.Value, strings.TrimSuffix(m.MountPath, "/")+"/")
		if m.SubPath != "" && m.SubPathExpr == "" && e.Value == m.MountPath {
			name, below = m.SubPath, true
		} else if m.SubPath != "" || m.SubPathExpr != "" {
			below = false
		}
		for _, v := range c.Edit.Pod().Spec.Volumes {
			if !below || v.Name != m.Name || v.Secret == nil {
				continue
			}
			if key := keyOf(v.Secret, name); key != "" {
				return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: v.Secret.SecretName}, Key: key, Optional: v.Secret.Optional}}, nil
			}
		}
	}
	return nil, fmt.Errorf("%s names a file that is no key of a mounted Secret, so the exporter doesn't see it", e.Name)
}

// keyOf is the key that a file of a volume shows; empty if it shows none.
func keyOf(s *corev1.SecretVolumeSource, file string) string {
	for _, item := range s.Items {
		if item.Path == file {
			return item.Key
		}
	}
	if len(s.Items) > 0 || strings.Contains(file, "/") {
		return ""
	}
	return file
}
