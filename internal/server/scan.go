package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"twelvefold.dev/internal/admission"
	"twelvefold.dev/internal/cluster"
	"twelvefold.dev/internal/election"
	"twelvefold.dev/internal/registry"
	"twelvefold.dev/internal/scan"
)

// The scan's requests to the API server in a second, and how many may come at once: it is never in a hurry.
const scanRate, scanBurst = 5, 10

// addScan adds the scan of workloads that run, if it is wanted.
func addScan(mgr ctrl.Manager, o Options, knowledge *cluster.Cluster, webhooks *admission.Webhooks, images *registry.Images, policyReady func(*http.Request) error) error {
	if !o.Scan {
		return nil
	}
	slow := rest.CopyConfig(mgr.GetConfig())
	slow.QPS, slow.Burst = scanRate, scanBurst
	direct, err := client.New(slow, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	lock, err := election.NewLock(mgr.GetConfig(), o.Namespace, scan.LeaseName)
	if err != nil {
		return err
	}
	scanner := &scan.Scanner{Interval: o.ScanInterval, Client: direct, Namespaces: knowledge.OptedIn, Input: webhooks.Input,
		Recorder: mgr.GetEventRecorder("twelvefold"), Metrics: scan.NewMetrics(ctrlmetrics.Registry), Log: webhooks.Log, Now: time.Now}
	if o.ScanRegistry {
		scanner.Labels = images.Labels
	}
	if o.ScanReports {
		scanner.Reports = &scan.Reports{Client: direct, Now: time.Now}
	}
	run := func(ctx context.Context) {
		// What is not known yet would be found wanting.
		known := func(context.Context) (bool, error) {
			return policyReady(nil) == nil && knowledge.Ready(nil) == nil && knowledge.Objects.Ready(nil) == nil, nil
		}
		if wait.PollUntilContextCancel(ctx, time.Second, true, known) == nil {
			scanner.Run(ctx)
		}
	}
	return mgr.Add(&election.Elected{Lock: lock, Run: run, Log: webhooks.Log})
}
