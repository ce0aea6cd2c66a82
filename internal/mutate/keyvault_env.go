package mutate

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/envfile"
	"twelvefold.dev/internal/podpatch"
)

// resolve lets a container read its secrets: references are replaced in place, and what is new stands first, so that
// $(VAR) in the container's own entries can use it.
func (k *keyVault) resolve(c *podpatch.Container) {
	target := slices.Contains(k.targets, c)
	var fresh []corev1.EnvVar
	add := func(e corev1.EnvVar) {
		if findEnv(c, e.Name) < 0 && !slices.ContainsFunc(fresh, func(f corev1.EnvVar) bool { return f.Name == e.Name }) {
			fresh = append(fresh, e)
		}
	}
	for _, in := range k.env {
		if target {
			add(k.variable(in.name, in.secret))
		}
	}
	for _, v := range k.values {
		if v.container != c {
			continue
		}
		if whole := v.value.Whole(); whole != nil && !k.exec {
			c.SetEnvValueFrom(v.index, k.source(*whole))
			continue
		}
		var text strings.Builder
		for _, p := range v.value.Parts {
			if p.Secret == nil {
				text.WriteString(p.Text)
				continue
			}
			key, _ := k.keyOf(*p.Secret)
			if k.exec {
				text.WriteString(envfile.Placeholder(key))
				continue
			}
			add(k.variable(helperPrefix+key, *p.Secret))
			text.WriteString("$(" + helperPrefix + key + ")")
		}
		c.SetEnvValue(v.index, text.String())
	}
	for i, e := range fresh {
		c.InsertEnv(i, e)
	}
	if target && len(k.ownFiles()) > 0 && !slices.ContainsFunc(c.Get().VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == filesVolume }) {
		c.AddVolumeMount(corev1.VolumeMount{Name: filesVolume, MountPath: k.secretsPath(), ReadOnly: true})
	}
}

// helperPrefix begins the names of variables that hold a secret for use inside of a longer value.
const helperPrefix = "TWELVEFOLD_"

// variable is an entry that holds a secret and nothing else.
func (k *keyVault) variable(name string, secret keyvault.Reference) corev1.EnvVar {
	if k.exec {
		key, _ := k.keyOf(secret)
		return corev1.EnvVar{Name: name, Value: envfile.Placeholder(key)}
	}
	return corev1.EnvVar{Name: name, ValueFrom: k.source(secret)}
}

func (k *keyVault) source(secret keyvault.Reference) *corev1.EnvVarSource {
	key, _ := k.keyOf(secret)
	ref := &corev1.FileKeySelector{VolumeName: envVolume, Path: "env", Key: key}
	if secret.Optional {
		ref.Optional = &secret.Optional
	}
	return &corev1.EnvVarSource{FileKeyRef: ref}
}

// readDelivery decides who gives variables to the containers: the kubelet, from an env file, or the agent's exec. What an
// earlier pass chose stays, since containers rely on it.
func (k *keyVault) readDelivery() {
	word, asked := k.Annotation(deliveryAnnotation)
	if asked && word != "env" && word != "exec" {
		k.refuse(annotationPath(deliveryAnnotation), "", "unknown word; one of env, exec", "leave it out, and the cluster's version decides")
		return
	}
	old := !k.Facts.Kubernetes.AtLeast(fileKeyRefMinor)
	k.exec = word == "exec" || !asked && old
	if len(k.plan.Env) > 0 {
		k.exec = k.plan.Exec
	}
	switch {
	case asked && k.exec == (word == "exec"):
		k.deliveryReason = "asked for by annotation"
	case k.exec && old:
		k.deliveryReason = "the cluster is older than 1.35"
	}
}

// fileKeyRefMinor is the version that has fileKeyRef (KEP-3721).
const fileKeyRefMinor = 35

// checkVersion refuses variables from the kubelet where the cluster is too old for them.
func (k *keyVault) checkVersion() {
	if k.exec || k.Facts.Kubernetes.AtLeast(fileKeyRefMinor) {
		return
	}
	const message = "variables from Key Vault by the kubelet need Kubernetes 1.35 on the API server and on every node"
	const fix = "leave out annotation " + deliveryAnnotation + ", or take it as a file: annotation " + filePrefix + "<file name>: <secret>"
	for _, v := range k.values {
		k.refuse(envPath(v.container, v.index)+".value", v.container.Name(), message, fix)
	}
	for _, in := range k.env {
		k.refuseInjection(in.from, message, fix)
	}
}

// checkHelpers refuses variables of the user's that have the names of our helpers.
func (k *keyVault) checkHelpers(plan keyvault.Plan) {
	if k.exec {
		return
	}
	keys := map[keyvault.Reference]string{}
	for _, e := range plan.Env {
		keys[e.Reference] = e.Key
	}
	for _, v := range k.values {
		for _, p := range v.value.Parts {
			if p.Secret == nil || v.value.Whole() != nil {
				continue
			}
			if i := findEnv(v.container, helperPrefix+keys[*p.Secret]); i >= 0 && !k.resolvesTo(v.container, i, *p.Secret) {
				k.refuse(envPath(v.container, i), v.container.Name(), "the name belongs to a variable that Twelvefold injects", "rename the variable")
			}
		}
	}
}
