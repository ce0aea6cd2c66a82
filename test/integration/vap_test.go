package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
	"twelvefold.dev/internal/vap"
)

// What is exported judges all that there is in fixtures as the webhook does, in every part of a policy.
func TestExportedPoliciesJudgeAlike(t *testing.T) {
	named := "  profile: off\n  namespaces: [{match: {names: [\"test-*\"]}, environment: production}]\n  rules:\n"
	for _, rule := range rules.All() {
		named += "    " + rule.ID + ": {level: deny}\n"
	}
	for name, spec := range map[string]string{
		"named":    named,
		"baseline": "  profile: baseline\n",
		"strict":   "  profile: strict\n  ignoreContainers: [\"a*\"]\n",
		"namespaces": "  profile: off\n  namespaces:\n  - {match: {names: [\"nothing-*\"]}, profile: strict}\n" +
			"  - {match: {names: [\"test-*\"], labels: {tier: prod}}, profile: baseline, rules: {mutable-tag: {params: {floating: [latest, \"1.4.2\"]}}}}\n",
		"raised": "  profile: audit\n",
		"exempted": "  allowedRequesters: [\"adm*\"]\n  rules: {bare-pod: {level: deny}}\n  exemptions:\n  - {rules: [mutable-tag], container: \"[a-c]*\", reason: r, owner: o, expires: 2027-01-01}\n" +
			"  - {rules: [host-network, host-port, host-dependency], workload: \"Deployment/*\", reason: r, owner: o, expires: 2027-01-01}\n" +
			"  - {rules: [host-state], namespace: \"test-*\", reason: r, owner: o, expires: 2020-01-01}\n",
		"other params": "  profile: strict\n  factors: {IV: deny, VII: deny, VIII: deny, IX: deny}\n  rules:\n    slow-start: {level: deny, params: {budget: 60, delay: 5}}\n" +
			"    dev-image: {params: {words: [alpine, A, a.b], registries: [localhost, docker.io, quay.io], allowed: [index.docker.io]}}\n" +
			"    ssh-daemon: {params: {allowedImages: [\"*ssh*\"]}}\n    host-dependency: {params: {paths: [/etc/, /var/lib/shop, \"/a b\", /var/run/x, relative]}}\n" +
			"    app-identity: {level: deny, params: {labels: [app]}}\n    environment-group: {level: deny, params: {names: [LOG_LEVEL, NODE_ENV], allowed: [debug]}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := exportTo(t, spec, map[string]string{"tier": "prod", policy.ProfileLabel: map[bool]string{true: "strict"}[name == "raised"]}, true)
			denied := map[string]int{}
			globs := []string{"../../internal/policy/rules/testdata/*/*/*.yaml"}
			if name == "named" || name == "strict" {
				globs = append(globs, "../../internal/review/testdata/corpus/*/*.yaml")
			}
			for _, glob := range globs {
				for _, file := range reviewtest.Files(t, glob) {
					for i, in := range reviewtest.Load(t, file) {
						for _, rule := range s.alike(t, fmt.Sprintf("%s[%d]", file, i), in) {
							denied[rule]++
						}
					}
				}
			}
			if name == "named" {
				s.alike(t, "a large pod", large())
			}
			for _, rule := range s.exported {
				if name == "named" && denied[rule] == 0 && rule != "ephemeral-debug" { // no pod is made with such containers
					t.Errorf("%s denies nothing", rule)
				}
			}
		})
	}
}

// large is a pod with much of everything, which must not be denied because it costs too much.
func large() review.Input {
	var containers, volumes []any
	for i := range 40 {
		volumes = append(volumes, map[string]any{"name": fmt.Sprintf("v%d", i), "hostPath": map[string]any{"path": fmt.Sprintf("/usr/share/zoneinfo/%d", i)}})
	}
	for i := range 60 {
		var env, mounts, ports []any
		for j := range 60 {
			env = append(env, map[string]any{"name": fmt.Sprintf("URL_%d", j), "value": strings.Repeat("http://shop.example/", 5)})
		}
		for j := range volumes {
			mounts = append(mounts, map[string]any{"name": fmt.Sprintf("v%d", j), "mountPath": fmt.Sprintf("/v%d", j)})
		}
		for j := range 20 {
			ports = append(ports, map[string]any{"name": fmt.Sprintf("web-%d", 20*i+j), "containerPort": 10000 + 20*i + j})
		}
		containers = append(containers, map[string]any{"name": fmt.Sprintf("c%d", i), "image": fmt.Sprintf("registry.example/shop/%d:1", i), "env": env, "volumeMounts": mounts, "ports": ports})
	}
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"containers": containers, "volumes": volumes}})
	if err != nil {
		panic(err) // plain values
	}
	return review.Input{Object: manifest.Object{APIVersion: "v1", Kind: "Pod", JSON: data}, Facts: reviewtest.Facts}
}

// A policy denies pods and debug containers, and warns of templates, or denies those, too.
func TestExportedPoliciesDeny(t *testing.T) {
	t.Run("pods", podsDenied)
	t.Run("templates", templatesDenied)
}

const (
	wrongDeployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}},
		template: {metadata: {labels: {a: b}}, spec: {containers: [{name: web, image: "web:latest"}, {name: proxy, image: proxy}, {name: logs, image: "logs:1"}]}}}}`
	saidOfIt = "V/mutable-tag in web, proxy: An image is named by a tag that moves, or by none. "
)

func podsDenied(t *testing.T) {
	s := exportTo(t, "  profile: baseline\n", nil, false)
	page, err := os.ReadFile("../../docs/vap.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, manifest := range map[string]string{"template": wrongDeployment, "pod": podOf(t, []byte(wrongDeployment))} {
		stdout, stderr, _ := kubectl(t, manifest, "apply", "-n", s.namespace, "-f", "-")
		_, rest, _ := strings.Cut(string(page), "<!-- "+what+" -->\n```\n")
		shown, _, _ := strings.Cut(rest, "```")
		if diff := cmp.Diff(shown, stderr+stdout); diff != "" {
			t.Errorf("the %s of docs/vap.md (-page +kubectl):\n%s", what, diff)
		}
	}
	if warnings, err := s.apply(t, strings.Replace(wrongDeployment, "name: web}", "name: web, annotations: {a: b}}", 1)); err != nil || len(warnings) > 0 {
		t.Errorf("the same template: %q, %v", warnings, err)
	}

	p := pod(s.namespace, "web:1")
	p.Spec.ServiceAccountName = "default"
	create(t, p)
	debug := func(image string) error {
		changed := p.DeepCopy()
		changed.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debug", Image: image, TerminationMessagePolicy: "File", ImagePullPolicy: "Always"}}}
		return admin.SubResource("ephemeralcontainers").Update(t.Context(), changed, &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{"All"}}})
	}
	if err := debug("busybox"); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "denied request: V/mutable-tag in debug: ") {
		t.Errorf("a debug container: %v", err)
	}
	if err := debug("busybox:1.37"); err != nil {
		t.Error(err)
	}
}

func templatesDenied(t *testing.T) {
	s := exportTo(t, "  templates: deny\n", nil, false)
	if _, err := s.apply(t, wrongDeployment); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), saidOfIt) {
		t.Errorf("a template that is to be denied: %v", err)
	}
	if _, err := s.apply(t, strings.Replace(strings.Replace(wrongDeployment, "web:latest", "web:1", 1), "image: proxy", `image: "proxy:1"`, 1)); err != nil {
		t.Error(err)
	}
	if warnings, err := s.apply(t, wrongDeployment); err != nil || len(warnings) != 1 {
		t.Errorf("an update may not be what made it wrong, so it warns: %q, %v", warnings, err)
	}
	owned := strings.NewReplacer("Deployment", "ReplicaSet", "name: web}", "name: web, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]}").Replace(wrongDeployment)
	if warnings, err := s.apply(t, owned); err != nil || len(warnings) > 0 {
		t.Errorf("what another workload makes is judged: %q, %v", warnings, err)
	}
}

// apply makes or updates an object.
func (s exported) apply(t *testing.T, text string) ([]string, error) {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatal(err)
	}
	object.SetNamespace(s.namespace)
	u := userNamed(t, rest.ImpersonationConfig{UserName: "admin", Groups: []string{"system:masters"}})
	err := u.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("test"), client.ForceOwnership)
	return u.warnings, err
}

// What a later policy no longer denies is taken away by the command of docs/vap.md.
func TestExportedPoliciesArePruned(t *testing.T) {
	const label = "twelvefold.dev/exported=vap"
	const kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
	defer kubectl(t, "", "delete", kinds, "-l", label)
	apply := func(spec string) string {
		t.Helper()
		text, err := vap.Export(parsePolicy(t, spec), reviewtest.Facts.Now)
		if err != nil {
			t.Fatal(err)
		}
		const kind = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"
		if _, stderr, code := kubectl(t, string(text), "apply", "-f", "-", "--prune", "-l", label, "--prune-allowlist", kind, "--prune-allowlist", kind+"Binding"); code != 0 {
			t.Fatal(stderr)
		}
		names, _, _ := kubectl(t, "", "get", kinds, "-l", label, "-o", "name")
		return names
	}
	before := apply("  customRules:\n  - {id: team, factor: I, level: deny, expression: has(object.metadata.labels.team), message: no team}\n")
	after := apply("  profile: baseline\n")
	for name, want := range map[string][2]bool{"team": {true, false}, "mutable-tag": {true, true}} {
		if got := [2]bool{strings.Contains(before, "/twelvefold-"+name+"\n"), strings.Contains(after, "/twelvefold-"+name+"\n")}; got != want {
			t.Errorf("%s is there before and after: %t, want %t", name, got, want)
		}
	}
}

func parsePolicy(t *testing.T, spec string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+"\nspec:\n"+spec), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Custom rules too, with their parameters, their view of the namespace, and their messages.
func TestExportedCustomRules(t *testing.T) {
	s := exportTo(t, `  profile: off
  rules: {team: {level: deny, params: {allowed: [shop, "b\"ack"]}}, tier: {level: deny}, small: {level: deny}}
  customRules:
  - {id: team, factor: I, level: deny, expression: "pod.metadata.labels[?'team'].orValue('') in params.allowed", message: no team, messageExpression: "namespace.name + ' wants a team: ' + params.allowed.join('; ')", fix: add it, params: {allowed: [], most: 1.5}}
  - {id: tier, factor: III, level: deny, expression: "namespace.labels[?'tier'].orValue('') == 'prod' || !has(object.metadata.labels.tier)", message: "tier is for prod"}
  - {id: small, factor: VIII, level: deny, expression: "object.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('1Gi')))", message: too large}
`, nil, true)
	const small = `resources: {limits: {memory: 1Mi}}`
	for name, test := range map[string]struct {
		labels, resources string
		denied            bool
	}{
		"right":      {`labels: {team: shop}`, small, false},
		"quoted":     {`labels: {team: "b\"ack"}`, small, false},
		"no labels":  {``, small, true},
		"other team": {`labels: {team: c}`, small, true},
		"tier":       {`labels: {team: shop, tier: a}`, small, true},
		"large":      {`labels: {team: shop}`, `resources: {limits: {memory: 2Gi}}`, true},
		"an error":   {`labels: {team: shop}`, ``, false},
	} {
		data, err := yaml.YAMLToJSON(fmt.Appendf(nil, "metadata: {%s}\nspec: {containers: [{name: a, image: a, %s}]}", test.labels, test.resources))
		if err != nil {
			t.Fatal(err)
		}
		denied := s.alike(t, name, review.Input{Object: manifest.Object{APIVersion: "v1", Kind: "Pod", JSON: data}, Facts: reviewtest.Facts})
		if len(denied) > 0 != test.denied {
			t.Errorf("%s: denied by %q", name, denied)
		}
	}
}

// exported is a policy in force in the API server, in a namespace of its own.
type exported struct {
	policy    *policy.Policy
	namespace string
	labels    map[string]string
	exported  []string // rules
}

var exportedName = regexp.MustCompile(`(?m)^kind: ValidatingAdmissionPolicy\n(?:.*\n)*?  name: twelvefold-([-a-z]+?)(?:-\d+)?$`)

// exportTo has the policies warn, if onlyWarn is set: then the API server tells of every one, and not of the first alone.
func exportTo(t *testing.T, spec string, labels map[string]string, onlyWarn bool) exported {
	t.Helper()
	p := parsePolicy(t, spec)
	written, err := vap.Export(p, reviewtest.Facts.Now)
	if err != nil {
		t.Fatal(err)
	}
	text := string(written)
	s := exported{policy: p, labels: map[string]string{"twelvefold.dev/admission": "enabled"}}
	for key, value := range labels {
		if value != "" {
			s.labels[key] = value
		}
	}
	for _, found := range exportedName.FindAllStringSubmatch(text, -1) {
		s.exported = append(s.exported, found[1])
	}
	slices.Sort(s.exported)
	s.exported = slices.Compact(s.exported) // a rule has a policy for each part
	if onlyWarn {
		text = strings.ReplaceAll(text, "\n  - Deny\n", "\n  - Warn\n")
	}
	s.namespace = namespace(t, s.labels)
	bird := unique("twelvefold-canary") // policies of tests before this one may still be in force
	for _, document := range append(strings.Split(text, "\n---\n")[1:], strings.Split(fmt.Sprintf(canary, bird), "\n---\n")...) {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		create(t, o)
		deleteAfter(t, o)
	}
	pod := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "canary", "image": "a:1"}}}}}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetName(bird)
	pod.SetNamespace(s.namespace)
	pod.SetLabels(map[string]string{"team": "shop"}) // so that no other policy denies it
	controller := rest.ImpersonationConfig{UserName: aController, Groups: []string{"system:masters"}}
	// The canary was created last, so once it is heard, all are.
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		_, err := createAs(t, controller, pod.DeepCopy())
		if err != nil && strings.Contains(err.Error(), bird+" sings") {
			return s
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("the policies don't come into force: %v", err)
		}
	}
}

// aController is one of Kubernetes' own.
const aController = "system:serviceaccount:kube-system:some-controller"

const canary = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]}
  validations: [{expression: "object.metadata.name != '%[1]s'", message: "%[1]s sings"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {twelvefold.dev/admission: enabled}}}}`

var deniedBy = regexp.MustCompile(`ValidatingAdmissionPolicy 'twelvefold-([-a-z]+?)(?:-\d+)?' with binding '\S+'(?: denied request)?: (.*)`)

// alike compares what the API server and the webhook's engine say of an object, and returns the rules by which the API server
// denies its pod. A template's pod is asked for by a controller; the template itself is judged as well.
func (s exported) alike(t *testing.T, name string, in review.Input) []string {
	t.Helper()
	template, hasPod, err := in.Object.Template()
	if err != nil || !hasPod {
		return nil
	}
	pod := fixturePod(t, s.namespace, in.Object)
	if pod.GetDeletionTimestamp() != nil { // nobody can create such a pod
		return nil
	}
	as := rest.ImpersonationConfig{UserName: "admin", Groups: []string{"system:masters"}}
	if template.Path != "" {
		workload := &unstructured.Unstructured{}
		if err := json.Unmarshal(in.Object.JSON, &workload.Object); err != nil {
			t.Fatal(err)
		}
		workload.SetName(unique("pod"))
		workload.SetNamespace(s.namespace)
		workload.SetOwnerReferences(nil)
		if in.Object.Kind != "ReplicationController" { // which the webhook isn't asked about
			s.compare(t, name+" as a template", as, workload)
		}
	}
	if template.Path != "" || len(pod.GetOwnerReferences()) > 0 {
		as.UserName = aController
	}
	if template.Path != "" {
		if err := unstructured.SetNestedSlice(pod.Object, []any{map[string]any{"apiVersion": in.Object.APIVersion, "kind": in.Object.Kind,
			"name": "owner", "uid": "u", "controller": true}}, "metadata", "ownerReferences"); err != nil {
			t.Fatal(err)
		}
	}
	return s.compare(t, name, as, pod)
}

func (s exported) compare(t *testing.T, name string, as rest.ImpersonationConfig, object *unstructured.Unstructured) (denied []string) {
	t.Helper()
	warnings, err := createAs(t, as, object) // which it then has as it will be stored
	if err != nil {                          // it is none: admission policies come after the API server's own checks
		if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
			t.Errorf("%s: %v", name, err)
		}
		return nil
	}
	for _, warning := range warnings {
		found := deniedBy.FindStringSubmatch(warning)
		if found == nil {
			continue
		}
		denied = append(denied, found[1])
		if !strings.Contains(found[2], "/"+found[1]) {
			t.Errorf("%s: the message is %s", name, warning)
		}
	}
	data, err := json.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	facts := reviewtest.Facts
	facts.Namespace, facts.NamespaceLabels, facts.Requester, facts.RequesterGroups = s.namespace, s.labels, as.UserName, as.Groups
	verdict, err := review.Judge(review.Input{Object: manifest.Object{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Name: object.GetName(), JSON: data}, Policy: s.policy, Facts: facts})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var denies []string
	for _, f := range verdict.Findings {
		if f.Level == policy.Deny && !slices.Contains(denies, f.Rule) {
			denies = append(denies, f.Rule)
		}
	}
	for _, rule := range denied {
		if !slices.Contains(denies, rule) {
			t.Errorf("%s: the API server denies it by %s, the webhook by %q\n%s", name, rule, denies, data)
		}
	}
	for _, rule := range denies {
		r, builtIn := rules.Find(rule)
		left := builtIn && (strings.HasPrefix(vap.Says(r.RuleInfo), "In part: ") || object.GetKind() != "Pod" && !strings.Contains(vap.Says(r.RuleInfo), "and for templates"))
		if slices.Contains(s.exported, rule) && !left && !slices.Contains(denied, rule) {
			t.Errorf("%s: the webhook denies it by %s, the API server by %q\n%s", name, rule, denied, data)
		}
	}
	return denied
}

// createAs makes an object, for a moment, and returns the warnings.
func createAs(t *testing.T, as rest.ImpersonationConfig, object *unstructured.Unstructured) ([]string, error) {
	t.Helper()
	u := userNamed(t, as)
	err := u.client.Create(t.Context(), object, client.DryRunAll)
	return u.warnings, err
}

// user is somebody who asks for objects, one at a time.
type user struct {
	client   client.Client
	warnings []string
}

var users = map[string]*user{}

// userNamed has heard no warning yet.
func userNamed(t *testing.T, as rest.ImpersonationConfig) *user {
	t.Helper()
	u := users[as.UserName]
	if u == nil {
		u = &user{}
		impersonating := rest.CopyConfig(config)
		impersonating.Impersonate, impersonating.WarningHandlerWithContext = as, u
		var err error
		if u.client, err = client.New(impersonating, client.Options{Scheme: scheme.Scheme}); err != nil {
			t.Fatal(err)
		}
		users[as.UserName] = u
	}
	u.warnings = nil
	return u
}

func (u *user) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	u.warnings = append(u.warnings, text)
}
