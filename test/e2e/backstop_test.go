//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// With failurePolicy Ignore and no webhook at all, pods start, but none with a reference in place of a secret. The two
// upgrades that this takes leave the CA and the last good policy as they are.
func TestBackstop(t *testing.T) {
	p := optedIn(t, "backstop")
	before := p.ownState()
	if err := p.helmUpgrade(t.Context(), "--set", "failurePolicy=Ignore"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(p.scaleWebhook(ctx, 3), p.helmUpgrade(ctx)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, p.ownState()); diff != "" {
			t.Errorf("the upgrades changed what the webhook had written:\n%s", diff)
		}
	})
	if err := p.scaleWebhook(t.Context(), 0); err != nil {
		t.Fatal(err)
	}

	const reference = "@microsoft.KeyVault(VaultName=shop;SecretName=db-password)"
	with := func(value string) string {
		return strings.Replace(passwordPod, `"postgres://shop:hunter2secret@db/shop"`, fmt.Sprintf("%q", value), 1)
	}
	p.eventually(func(ctx context.Context) error { // until the API server has heard of the policy
		_, err := p.environment.apply(ctx, p.name, with(reference), client.DryRunAll)
		if err == nil {
			return errors.New("a pod with a reference is accepted")
		}
		if !strings.Contains(err.Error(), "web/DB_URL") || !strings.Contains(err.Error(), "deployment/twelvefold-webhook") {
			return fmt.Errorf("the refusal lacks container, variable or what to look at: %w", err)
		}
		return nil
	})
	if _, err := p.environment.apply(t.Context(), p.name, with("azure:keyvault:db-password"), client.DryRunAll); err == nil {
		t.Error("a pod with azure:keyvault: is accepted")
	}
	p.apply(with("plain"), client.DryRunAll)
}

// ownState is what the webhook keeps in the cluster, as checksums.
func (p place) ownState() map[string]string {
	p.t.Helper()
	ctx := context.WithoutCancel(p.t.Context())
	secret, err := p.kube.CoreV1().Secrets(webhookPlace).Get(ctx, "twelvefold-ca", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	lastGood, err := p.kube.CoreV1().ConfigMaps(webhookPlace).Get(ctx, "twelvefold-policy-last-good", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	configuration, err := p.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "aa-twelvefold", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(secret.Data) == 0 || len(lastGood.Data) == 0 || len(configuration.Webhooks[0].ClientConfig.CABundle) == 0 {
		p.t.Fatalf("the webhook has written no CA, no last good policy or no caBundle: %d, %d and %d entries or bytes",
			len(secret.Data), len(lastGood.Data), len(configuration.Webhooks[0].ClientConfig.CABundle))
	}
	sum := func(value []byte) string { return fmt.Sprintf("%x", sha256.Sum256(value)) } // a key must not get into a test's log
	state := map[string]string{"caBundle": sum(configuration.Webhooks[0].ClientConfig.CABundle)}
	for key, value := range secret.Data {
		state["Secret "+key] = sum(value)
	}
	for key, value := range lastGood.Data {
		state["ConfigMap "+key] = sum([]byte(value))
	}
	return state
}

// scaleWebhook waits until there are as many pods as asked for, and no more.
func (p place) scaleWebhook(ctx context.Context, replicas int32) error {
	deployments := p.kube.AppsV1().Deployments(webhookPlace)
	scale, err := deployments.GetScale(ctx, webhookName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas = replicas
	if _, err := deployments.UpdateScale(ctx, webhookName, scale, metav1.UpdateOptions{}); err != nil {
		return err
	}
	return eventually(ctx, func(ctx context.Context) error {
		pods, err := p.pods(ctx, webhookPlace, "app.kubernetes.io/name="+webhookName)
		if err == nil && len(pods) != int(replicas) {
			err = fmt.Errorf("%d webhook pods, want %d", len(pods), replicas)
		}
		return err
	})
}
