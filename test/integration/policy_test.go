package integration

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var policyKey = client.ObjectKey{Namespace: release, Name: "twelvefold-policy"}

// setPolicy writes the policy's spec, with the label or without it.
func setPolicy(t *testing.T, spec string, labelled bool) error {
	t.Helper()
	var configMap corev1.ConfigMap
	if err := admin.Get(t.Context(), policyKey, &configMap); err != nil {
		t.Fatal(err)
	}
	configMap.Data["policy.yaml"] = "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: " + spec + "\n"
	delete(configMap.Labels, "twelvefold.dev/policy")
	if labelled {
		configMap.Labels["twelvefold.dev/policy"] = "true"
	}
	return admin.Update(t.Context(), &configMap)
}

func reloaded(t *testing.T) {
	ns := optedIn(t)
	if err := setPolicy(t, "{rules: {mutable-tag: {level: off}}}", true); err != nil {
		t.Fatal(err)
	}
	until(t, "latest is allowed", func() bool { return admin.Create(t.Context(), pod(ns, "app:latest")) == nil })
	if err := setPolicy(t, "{rules: {mutable-tag: {level: deny}}}", true); err != nil {
		t.Fatal(err)
	}
	until(t, "latest is denied", func() bool { return apierrors.IsInvalid(admin.Create(t.Context(), pod(ns, "app:latest"))) })
}

// badPolicy reaches the cluster behind the webhook's back: without the label, nobody asks the webhook.
func badPolicy(t *testing.T, webhook *process, restart func() *process) {
	if err := setPolicy(t, "{rules: {mutable-tga: {level: deny}}}", true); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `line 3: unknown rule "mutable-tga"`) {
		t.Errorf("kubectl apply of a bad policy: %v", err)
	}
	if err := setPolicy(t, "{factors: {V: off}, rules: {mutable-tag: {level: warn}, host-network: {level: warn}}}", false); err != nil {
		t.Fatal(err)
	}
	ns := optedIn(t)
	until(t, "the good policy is in force", func() bool { return admin.Create(t.Context(), pod(ns, "app:latest")) == nil })
	until(t, "the good policy is kept", func() bool {
		var kept corev1.ConfigMap
		err := admin.Get(t.Context(), client.ObjectKey{Namespace: release, Name: policyKey.Name + "-last-good"}, &kept)
		return err == nil && strings.Contains(kept.Data["policy.yaml"], "factors: {V: off}")
	})
	if err := setPolicy(t, "{rules: {mutable-tga: {level: deny}}}", false); err != nil {
		t.Fatal(err)
	}
	check := func(p *process) {
		t.Helper()
		until(t, "readiness tells of the bad policy", func() bool { return strings.Contains(p.readiness(t), `unknown rule "mutable-tga"`) })
		if p.ready() != http.StatusOK {
			t.Error("a bad policy makes the webhook unready")
		}
		if err := admin.Create(t.Context(), pod(ns, "app:latest")); err != nil {
			t.Errorf("the last good policy is not in force: %v", err)
		}
	}
	check(webhook)
	until(t, "an Event tells of it", func() bool {
		var events corev1.EventList
		if err := admin.List(t.Context(), &events, client.InNamespace(release)); err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Items {
			if e.Reason == "PolicyInvalid" && e.InvolvedObject.Name == policyKey.Name && strings.Contains(e.Message, "mutable-tga") {
				return true
			}
		}
		return false
	})
	check(restart())
}
