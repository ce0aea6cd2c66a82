package charts

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	podsecurityapi "k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"

	"twelvefold.dev/internal/server"
)

const (
	clientID = "azure.clientID=22222222-2222-4222-8222-222222222222"
	tenantID = "azure.tenantID=contoso.onmicrosoft.com"
)

// With an identity the webhook gets a token for it, whatever else is mounted; without one it gets none.
func TestAzureIdentity(t *testing.T) {
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range modes {
		without := get[*appsv1.Deployment](t, render(t, mode...), "Deployment/twelvefold-webhook").Spec.Template.Spec
		if text := strings.Join(without.Containers[0].Args, " "); strings.Contains(text, "--azure-") {
			t.Errorf("%s: without an identity: %s", name, text)
		}
		template := get[*appsv1.Deployment](t, render(t, append(mode[:len(mode):len(mode)], clientID, tenantID)...), "Deployment/twelvefold-webhook").Spec.Template
		pod := template.Spec
		if len(pod.Volumes) != len(without.Volumes)+1 {
			t.Errorf("%s: %d volumes, and %d without an identity", name, len(pod.Volumes), len(without.Volumes))
		}
		command := server.Command()
		if err := command.ParseFlags(pod.Containers[0].Args); err != nil {
			t.Fatal(err)
		}
		file := command.Flag("azure-token-file").Value.String()
		if command.Flag("azure-client-id").Value.String() != strings.TrimPrefix(clientID, "azure.clientID=") ||
			command.Flag("azure-tenant-id").Value.String() != "contoso.onmicrosoft.com" {
			t.Errorf("%s: %s", name, pod.Containers[0].Args)
		}
		found := false
		for _, v := range pod.Volumes {
			if v.Projected == nil || v.Projected.Sources[0].ServiceAccountToken == nil {
				continue
			}
			token := v.Projected.Sources[0].ServiceAccountToken
			for _, m := range pod.Containers[0].VolumeMounts {
				found = found || m.Name == v.Name && m.MountPath+"/"+token.Path == file && token.Audience == "api://AzureADTokenExchange" && m.ReadOnly
			}
		}
		if !found {
			t.Errorf("%s: %s is not the token: %+v", name, file, pod.Volumes)
		}
		restricted := podsecurityapi.LevelVersion{Level: podsecurityapi.LevelRestricted, Version: podsecurityapi.LatestVersion()}
		for _, result := range evaluator.EvaluatePod(restricted, &template.ObjectMeta, &pod) {
			if !result.Allowed {
				t.Errorf("%s: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
	}
	for _, values := range [][]string{{clientID}, {"azure.clientID=mine", tenantID}, {clientID, "azure.tenantID=a b"}, {"azure.clientId=x"}} {
		if _, err := template(t, values...); err == nil || !strings.Contains(err.Error(), "azure") {
			t.Errorf("%v: error %v", values, err)
		}
	}
}

// Azure is reached by the port of HTTPS, and by what is opened beside that.
func TestEgress(t *testing.T) {
	ports := func(values ...string) (all []string) {
		for _, rule := range get[*networkingv1.NetworkPolicy](t, render(t, values...), "NetworkPolicy/twelvefold-webhook").Spec.Egress {
			for _, p := range rule.Ports {
				all = append(all, p.Port.String())
			}
		}
		return all
	}
	if got := ports(); !slices.Equal(got, []string{"53", "53", "443", "6443"}) {
		t.Errorf("ports %v", got)
	}
	if got := ports("networkPolicy.egress[0].ports[0].port=3128"); !slices.Contains(got, "443") || !slices.Contains(got, "3128") {
		t.Errorf("ports %v", got)
	}
}
