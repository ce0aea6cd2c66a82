package integration

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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

// exportedRules have a form in CEL.
var exportedRules = []string{"mutable-tag", "host-network", "host-port", "host-state", "bare-pod", "grace-period"}

// scripted rules read shell scripts too, which CEL can't.
var scripted = []string{"grace-period"}

// What is exported judges the rules' fixtures as the webhook does.
func TestExportedPoliciesJudgeAlike(t *testing.T) {
	named := "  profile: off\n  rules:\n"
	for _, rule := range exportedRules {
		named += "    " + rule + ": {level: deny}\n"
	}
	for name, spec := range map[string]string{
		"named":    named,
		"baseline": "  profile: baseline\n",
		"strict":   "  profile: strict\n  ignoreContainers: [\"a*\"]\n",
		"namespaces": "  profile: off\n  namespaces:\n  - {match: {names: [\"nothing-*\"]}, profile: strict}\n" +
			"  - {match: {names: [\"test-*\"], labels: {tier: prod}}, profile: baseline, rules: {mutable-tag: {params: {floating: [latest, \"1.4.2\"]}}}}\n",
		"raised": "  profile: audit\n",
		"exempted": "  allowedRequesters: [\"adm*\"]\n  rules: {bare-pod: {level: deny}}\n  exemptions:\n  - {rules: [mutable-tag], container: \"[a-c]*\", reason: r, owner: o, expires: 2027-01-01}\n" +
			"  - {rules: [host-network, host-port], workload: \"Deployment/*\", reason: r, owner: o, expires: 2027-01-01}\n" +
			"  - {rules: [host-state], namespace: \"test-*\", reason: r, owner: o, expires: 2020-01-01}\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := exportTo(t, spec, map[string]string{"tier": "prod", policy.ProfileLabel: map[bool]string{true: "strict"}[name == "raised"]})
			denied := 0
			for _, rule := range exportedRules {
				for _, file := range reviewtest.Files(t, filepath.Join("../../internal/policy/rules/testdata", rule, "*", "*.yaml")) {
					for _, in := range reviewtest.Load(t, file) {
						if s.alike(t, file, in) {
							denied++
						}
					}
				}
			}
			if denied == 0 {
				t.Error("nothing was denied")
			}
		})
	}
}

// Custom rules too, with their parameters, their view of the namespace, and their messages.
func TestExportedCustomRules(t *testing.T) {
	s := exportTo(t, `  profile: off
  rules: {team: {level: deny, params: {allowed: [shop, "b\"ack"]}}, tier: {level: deny}, small: {level: deny}}
  customRules:
  - {id: team, factor: I, level: deny, expression: "pod.metadata.labels[?'team'].orValue('') in params.allowed", message: no team, messageExpression: "namespace.name + ' wants a team: ' + params.allowed.join('; ')", fix: add it, params: {allowed: [], most: 1.5}}
  - {id: tier, factor: III, level: deny, expression: "namespace.labels[?'tier'].orValue('') == 'prod' || !has(object.metadata.labels.tier)", message: "tier is for prod"}
  - {id: small, factor: VIII, level: deny, expression: "object.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('1Gi')))", message: too large}
`, nil)
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
		if denied != test.denied {
			t.Errorf("%s: denied is %t", name, denied)
		}
	}
}

// exported is a policy in force in the API server, in a namespace of its own.
type exported struct {
	policy    *policy.Policy
	namespace string
	labels    map[string]string
	text      string
}

func exportTo(t *testing.T, spec string, labels map[string]string) exported {
	t.Helper()
	p, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+"\nspec:\n"+spec), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := vap.Export(p, reviewtest.Facts.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := exported{policy: p, labels: map[string]string{"twelvefold.dev/admission": "enabled"}, text: string(text)}
	for key, value := range labels {
		if value != "" {
			s.labels[key] = value
		}
	}
	s.namespace = namespace(t, s.labels)
	bird := unique("twelvefold-canary") // policies of tests before this one may still be in force
	for _, document := range append(strings.Split(string(text), "\n---\n")[1:], strings.Split(fmt.Sprintf(canary, bird), "\n---\n")...) {
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
		err := createAs(t, controller, pod.DeepCopy())
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

var deniedBy = regexp.MustCompile(`ValidatingAdmissionPolicy 'twelvefold-([-a-z]+?)(-\d+)?' with binding '\S+' denied request: (.*)`)

// alike compares what the API server and the webhook's engine say of a pod, and says whether both deny it. A template's pod is
// asked for by a controller.
func (s exported) alike(t *testing.T, name string, in review.Input) bool {
	t.Helper()
	template, hasPod, err := in.Object.Template()
	if err != nil || !hasPod {
		return false
	}
	pod := fixturePod(t, s.namespace, in.Object)
	if pod.GetDeletionTimestamp() != nil { // nobody can create such a pod
		return false
	}
	as := rest.ImpersonationConfig{UserName: "admin", Groups: []string{"system:masters"}}
	if template.Path != "" || len(pod.GetOwnerReferences()) > 0 {
		as.UserName = aController
	}
	if template.Path != "" {
		if err := unstructured.SetNestedSlice(pod.Object, []any{map[string]any{"apiVersion": in.Object.APIVersion, "kind": in.Object.Kind,
			"name": "owner", "uid": "u", "controller": true}}, "metadata", "ownerReferences"); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(pod.Object)
	if err != nil {
		t.Fatal(err)
	}
	facts := reviewtest.Facts
	facts.Namespace, facts.NamespaceLabels, facts.Requester, facts.RequesterGroups = s.namespace, s.labels, as.UserName, as.Groups
	verdict, err := review.Judge(review.Input{Object: manifest.Object{APIVersion: "v1", Kind: "Pod", Name: pod.GetName(), JSON: data}, Policy: s.policy, Facts: facts})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var denies []string
	for _, f := range verdict.Findings {
		if f.Level == policy.Deny && (f.Custom || slices.Contains(exportedRules, f.Rule)) {
			denies = append(denies, f.Rule)
		}
	}
	refusal := createAs(t, as, pod)
	found := deniedBy.FindStringSubmatch(fmt.Sprint(refusal))
	switch {
	case found == nil && refusal != nil: // the pod is none: admission policies come after the API server's own checks
		if !apierrors.IsInvalid(refusal) && !apierrors.IsBadRequest(refusal) {
			t.Errorf("%s: %v", name, refusal)
		}
	case found == nil && len(denies) > 0:
		if slices.ContainsFunc(denies, func(rule string) bool { return !slices.Contains(scripted, rule) }) {
			t.Errorf("%s: %s: the webhook denies it by %s, the API server doesn't", name, in.Object.Name, denies)
		}
	case found != nil && !slices.Contains(denies, found[1]):
		t.Errorf("%s: %s: the API server denies it, the webhook by %q: %v", name, in.Object.Name, denies, refusal)
	case found != nil && !strings.Contains(found[3], "/"+found[1]+": "):
		t.Errorf("%s: the message is %s", name, found[3])
	}
	return found != nil
}

func createAs(t *testing.T, as rest.ImpersonationConfig, pod *unstructured.Unstructured) error {
	t.Helper()
	impersonating := rest.CopyConfig(config)
	impersonating.Impersonate = as
	c, err := client.New(impersonating, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c.Create(t.Context(), pod, client.DryRunAll)
}
