package rules_test

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// The example of a rule's page is to be copied: it is read by the API server, or as a policy, and nothing in it is
// denied, least of all by the rule that it explains.
func TestExamplesPass(t *testing.T) {
	production, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+
		"\nspec: {namespaces: [{match: {}, environment: production}]}\n"), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules.All() {
		object, ok := example(t, rule)
		if !ok {
			continue
		}
		verdict, err := review.Full(review.Offline([]manifest.Object{object}, production, reviewtest.Facts)[0])
		if err != nil {
			t.Errorf("%s: %v", rule.ID, err)
		}
		for _, f := range verdict.Findings {
			if f.Rule == rule.ID || f.Level == policy.Deny {
				t.Errorf("the example of %s: %s %s", rule.ID, f.Level, f)
			}
		}
	}
}

// example is the object in a page, or a Deployment around the part of a pod in it; ok is false for pages whose example
// is a command or part of a policy.
func example(t *testing.T, rule *rules.Rule) (o manifest.Object, ok bool) {
	t.Helper()
	text := []byte(rule.Example)
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		t.Errorf("the example of %s: %v", rule.ID, err)
	}
	if fields == nil { // comments
		return manifest.Object{}, false
	}
	if _, whole := fields["apiVersion"]; whole {
		return object(t, fields), true
	}
	if _, err := policy.Parse(append([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+"\n"), text...), rules.Catalogue{}); err == nil {
		return manifest.Object{}, false
	}
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{}}}}
	if err := yaml.UnmarshalStrict(text, &template.Spec.Containers[0]); err != nil {
		if err := yaml.UnmarshalStrict(text, &template.Spec); err != nil {
			if err := yaml.UnmarshalStrict(text, &template); err != nil {
				t.Errorf("the example of %s is no part of a pod: %v", rule.ID, err)
			}
		}
	}
	for i := range template.Spec.Containers {
		if c := &template.Spec.Containers[i]; c.Image == "" {
			c.Name, c.Image = "api", "contoso.azurecr.io/shop:1.4.2"
		}
	}
	return object(t, appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: appsv1.DeploymentSpec{Template: template}}), true
}

func object(t *testing.T, v any) manifest.Object {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	o, err := manifest.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
