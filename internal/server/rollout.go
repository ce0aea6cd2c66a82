package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"twelvefold.dev/internal/admission"
	"twelvefold.dev/internal/cluster"
	"twelvefold.dev/internal/election"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/rollout"
)

// addRollout adds the controller for rotation: rollout, if it is wanted and the webhook has an identity to ask vaults with.
func addRollout(mgr ctrl.Manager, o Options, knowledge *cluster.Cluster, webhooks *admission.Webhooks, access *azureAccess, policyReady func(*http.Request) error) error {
	if !o.Rollout {
		return nil
	}
	if access == nil {
		webhooks.Log.Warn("nothing is rolled out when secrets change: the webhook has no identity in Azure, see --azure-client-id")
		return nil
	}
	direct, err := client.New(mgr.GetConfig(), client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return fmt.Errorf("rollout: %w", err)
	}
	lock, err := election.NewLock(mgr.GetConfig(), o.Namespace, rollout.LeaseName)
	if err != nil {
		return err
	}
	controller := &rollout.Controller{Client: direct, Namespaces: knowledge.OptedIn, Policy: webhooks.Policy, Input: webhooks.Input,
		Versions: vaults{access}, Recorder: mgr.GetEventRecorder("twelvefold"), Log: webhooks.Log,
		Metrics: rollout.NewMetrics(ctrlmetrics.Registry), Options: rollout.Options{PerMinute: o.RolloutRate}}
	run := func(ctx context.Context) {
		// Until the policy is read the built-in one is in force, which knows neither the vaults nor the way to them.
		read := func(context.Context) (bool, error) { return policyReady(nil) == nil, nil }
		if wait.PollUntilContextCancel(ctx, time.Second, true, read) == nil {
			controller.Run(ctx)
		}
	}
	return mgr.Add(&election.Elected{Lock: lock, Run: run, Log: webhooks.Log})
}

// vaults asks by the way to Azure that the policy in force names.
type vaults struct{ *azureAccess }

// NewestChange implements [rollout.Versions].
func (v vaults) NewestChange(ctx context.Context, o keyvault.Object) (time.Time, error) {
	client, err := v.Client()
	if err != nil {
		return time.Time{}, err
	}
	return client.NewestChange(ctx, o)
}
