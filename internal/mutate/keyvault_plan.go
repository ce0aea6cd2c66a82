package mutate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
)

func (k *keyVault) fetchPath() string {
	return fmt.Sprintf("spec.initContainers[name=%q].env[name=%q]", fetchName, keyvault.PlanEnv)
}

// readExisting finds what an earlier pass left. Names of ours that stand for anything else are refused: what the agent
// wrote would go astray.
func (k *keyVault) readExisting() {
	for _, c := range k.Edit.AllContainers() {
		if c.Name() == syncName {
			k.readSync(c)
		}
		if c.Name() != fetchName {
			continue
		}
		if !c.Init() || k.fetch != nil {
			k.refuse(c.Path(), c.Name(), "the name belongs to the container that Twelvefold injects", "rename the container")
			continue
		}
		k.fetch = c
		k.readPlan()
	}
	for i, v := range k.Edit.Pod().Spec.Volumes {
		if want, ours := volumes[v.Name]; ours && (k.fetch == nil || !want(v)) {
			k.refuse(fmt.Sprintf("spec.volumes[%d]", i), "", fmt.Sprintf("the name %s belongs to a volume that Twelvefold injects", v.Name), "rename the volume")
		}
	}
}

func (k *keyVault) readPlan() {
	c := k.fetch.Get()
	i := findEnv(k.fetch, keyvault.PlanEnv)
	if i < 0 || !slices.Equal(c.Args, []string{"fetch"}) || len(c.Command) > 0 || c.RestartPolicy != nil {
		k.refuse(k.fetch.Path(), c.Name, "the name belongs to the container that Twelvefold injects, and this is another one",
			"remove the container; it is injected anew")
		return
	}
	plan, err := keyvault.ParsePlan(c.Env[i].Value)
	if err == nil {
		err = plan.Validate()
	}
	if err != nil {
		k.refuse(k.fetchPath(), c.Name, "the plan is not as Twelvefold wrote it: "+err.Error(), "remove the container; it is injected anew")
		return
	}
	k.plan = plan
	k.checkPlannedVolumes()
	for i, v := range vaultsOf(plan) {
		if host, err := k.hosts.Host(v); err != nil || host != v {
			k.refuse(k.fetchPath(), c.Name, fmt.Sprintf("the plan's vault %d is not allowed", i), "remove the container; it is injected anew")
		}
	}
}

// keyOf is the key of a secret in the env file.
func (k *keyVault) keyOf(secret keyvault.Reference) (string, bool) {
	for _, e := range k.plan.Env {
		if e.Reference == secret {
			return e.Key, true
		}
	}
	return "", false
}

// wantedEnv are all variables that are wanted, in the order in which they get keys.
func (k *keyVault) wantedEnv() []injected {
	var all []injected
	for _, v := range k.values {
		for _, p := range v.value.Parts {
			if p.Secret != nil {
				all = append(all, injected{name: v.container.Get().Env[v.index].Name, secret: *p.Secret})
			}
		}
	}
	return append(all, k.env...)
}

// extended is the plan with all that is wanted. Keys that are there stay: containers refer to them.
func (k *keyVault) extended() keyvault.Plan {
	plan := keyvault.Plan{Env: slices.Clone(k.plan.Env), Files: slices.Clone(k.plan.Files)}
	known := map[keyvault.Reference]int{}
	next := 0
	for i, e := range plan.Env {
		known[e.Reference] = i
		if n, err := strconv.Atoi(strings.TrimPrefix(e.Key, "K")); err == nil {
			next = max(next, n+1)
		}
	}
	for _, in := range k.wantedEnv() {
		i, found := known[in.secret]
		if !found {
			known[in.secret] = len(plan.Env)
			plan.Env = append(plan.Env, keyvault.EnvItem{Key: fmt.Sprintf("K%d", next), Reference: in.secret, EnvName: in.name})
			next++
		} else if len(in.name) > len(plan.Env[i].EnvName) {
			plan.Env[i].EnvName = in.name
		}
	}
	for _, in := range k.missingFiles() {
		plan.Files = append(plan.Files, keyvault.FileItem{Volume: in.volume, Path: in.name, Reference: in.secret})
	}
	plan.Exec = k.exec && len(plan.Env) > 0
	return plan
}

// missingFiles are the files that are wanted and not in the plan.
func (k *keyVault) missingFiles() []injected {
	return slices.DeleteFunc(slices.Clone(k.files), func(in injected) bool {
		return slices.ContainsFunc(k.plan.Files, func(f keyvault.FileItem) bool { return f.Volume == in.volume && f.Path == in.name })
	})
}

// planText is the plan as JSON, without what the kubelet would expand.
func planText(p keyvault.Plan) string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return strings.ReplaceAll(string(text), "$", `\u0024`) // only strings can have one
}

// volumes are the names of our volumes, and what each must be.
var volumes = map[string]func(corev1.Volume) bool{
	envVolume:      isMemory,
	filesVolume:    isMemory,
	stateVolume:    isMemory,
	binVolume:      func(v corev1.Volume) bool { return v.EmptyDir != nil && v.EmptyDir.Medium == "" },
	identityVolume: func(v corev1.Volume) bool { return v.Secret != nil },
	tokenVolume: func(v corev1.Volume) bool {
		return v.Projected != nil && len(v.Projected.Sources) == 1 && v.Projected.Sources[0].ServiceAccountToken != nil &&
			v.Projected.Sources[0].ServiceAccountToken.Audience == tokenAudience
	},
}

func isMemory(v corev1.Volume) bool {
	return v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumMemory
}
