package certs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// bundles are the webhook configurations that say which CA the API server trusts, as they were read.
type bundles []client.Object

func readBundles(ctx context.Context, c client.Client, name string) (bundles, error) {
	found := bundles{&admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}}
	for _, configuration := range found {
		if err := c.Get(ctx, client.ObjectKey{Name: name}, configuration); apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%s, which the chart installs, is missing: run `helm upgrade` for the release",
				describe(configuration, name))
		} else if err != nil {
			return nil, fmt.Errorf("read %s: %w", describe(configuration, name), err)
		}
	}
	return found, nil
}

// hold tells whether the CA is in every bundle.
func (b bundles) hold(a *authority) bool {
	if a == nil || len(b) == 0 {
		return false
	}
	want := encodeCerts(a.cert)
	for _, configuration := range b {
		for _, webhook := range clientConfigs(configuration) {
			if !bytes.Contains(webhook.CABundle, want) {
				return false
			}
		}
	}
	return true
}

// publish writes the certificates into every bundle that differs. It fails with a conflict where a configuration has changed since
// it was read. The patch holds the caBundles and nothing else, so other fields stay as they are, known to us or not.
func (b bundles) publish(ctx context.Context, c client.Client, certs []byte, log *slog.Logger) error {
	for _, configuration := range b {
		read := configuration.DeepCopyObject().(client.Object)
		var differs bool
		for _, webhook := range clientConfigs(configuration) {
			differs = differs || !bytes.Equal(webhook.CABundle, certs)
			webhook.CABundle = certs
		}
		if !differs {
			continue
		}
		name := describe(configuration, configuration.GetName())
		patch := client.StrategicMergeFrom(read, client.MergeFromWithOptimisticLock{})
		if err := c.Patch(ctx, configuration, patch); err != nil {
			return fmt.Errorf("publish the CA in %s: %w", name, err)
		}
		log.Info("published the CA", "configuration", name)
	}
	return nil
}

func clientConfigs(configuration client.Object) []*admissionv1.WebhookClientConfig {
	var all []*admissionv1.WebhookClientConfig
	switch c := configuration.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		for i := range c.Webhooks {
			all = append(all, &c.Webhooks[i].ClientConfig)
		}
	case *admissionv1.ValidatingWebhookConfiguration:
		for i := range c.Webhooks {
			all = append(all, &c.Webhooks[i].ClientConfig)
		}
	}
	return all
}

func describe(configuration client.Object, name string) string {
	if _, ok := configuration.(*admissionv1.MutatingWebhookConfiguration); ok {
		return "MutatingWebhookConfiguration " + name
	}
	return "ValidatingWebhookConfiguration " + name
}
