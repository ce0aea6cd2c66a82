//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/vap"
)

// Kubernetes' own check of types has nothing to say of any exported policy. Without bindings they judge nothing.
func TestExportedPoliciesHaveTheRightTypes(t *testing.T) {
	ctx := t.Context()
	spec := "  profile: off\n  rules:\n"
	for _, r := range rules.All() {
		spec += "    " + r.ID + ": {level: deny}\n"
	}
	p, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+"\nspec:\n"+spec), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := vap.Export(p, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	policies := cluster.kube.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	var names []string
	for _, document := range strings.Split(string(text), "\n---\n")[1:] {
		var object admissionregistrationv1.ValidatingAdmissionPolicy
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		if object.Kind != "ValidatingAdmissionPolicy" {
			continue
		}
		if _, err := policies.Create(ctx, &object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := policies.Delete(context.WithoutCancel(ctx), object.Name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
		names = append(names, object.Name)
	}
	for _, name := range names {
		err := eventually(ctx, func(ctx context.Context) error {
			checked, err := policies.Get(ctx, name, metav1.GetOptions{})
			if err == nil && checked.Status.TypeChecking == nil {
				err = fmt.Errorf("%s is not checked", name)
			}
			if err != nil {
				return err
			}
			for _, w := range checked.Status.TypeChecking.ExpressionWarnings {
				t.Errorf("%s: %s: %s", name, w.FieldRef, w.Warning)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if len(names) < 20 {
		t.Errorf("%d policies", len(names))
	}
}
