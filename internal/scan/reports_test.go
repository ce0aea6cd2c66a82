package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"twelvefold.dev/internal/policy"
)

func TestReportIsCapped(t *testing.T) {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("apps/v1")
	object.SetKind("Deployment")
	object.SetNamespace("shop")
	object.SetName("api")
	w := workload{object: object}
	for i := range 300 {
		level := policy.Audit
		if i >= 290 {
			level = policy.Deny
		}
		w.findings = append(w.findings, policy.Finding{Rule: fmt.Sprint("r", i), Factor: "V", Level: level,
			Path: strings.Repeat("p", 5000), Message: strings.Repeat("ü", 5000), Fix: strings.Repeat("\x01", 5000)})
	}
	report := (&Reports{Now: time.Now}).report(w)
	results, _, err := unstructured.NestedSlice(report.Object, "results")
	if err != nil || len(results) != maxResults {
		t.Fatalf("%d results; want %d: %v", len(results), maxResults, err)
	}
	if first := results[0].(map[string]any); first["result"] != "fail" || first["policy"] != "r290" || !utf8.ValidString(first["message"].(string)) {
		t.Errorf("what denies is not first: %v", first)
	}
	summary, _, _ := unstructured.NestedMap(report.Object, "summary")
	if summary["fail"] != int64(10) || summary["warn"] != int64(290) {
		t.Errorf("the summary is %v", summary)
	}
	text, err := json.Marshal(report)
	if err != nil || len(text) > 256<<10 {
		t.Errorf("%d bytes: %v", len(text), err)
	}
}

// A Report is written anew when what it says is no longer true, and only then. An Event is not: it names rules.
func TestReportSaysTheSame(t *testing.T) {
	object := &unstructured.Unstructured{}
	object.SetName("reindex")
	of := func(message string) (string, string) {
		found := []policy.Finding{{Rule: "admin-image-mismatch", Level: policy.Warn, Path: "spec", Message: message}}
		return (&Reports{Now: time.Now}).report(workload{object, found}).GetAnnotations()[digestAnnotation], digest(found)
	}
	before, event := of("runs 1.3.0 of shop, while Deployment/api runs 1.4.2")
	same, _ := of("runs 1.3.0 of shop, while Deployment/api runs 1.4.2")
	after, laterEvent := of("runs 1.3.0 of shop, while Deployment/api runs 1.5.0")
	if before != same || before == after || event != laterEvent {
		t.Errorf("%s, %s, %s; %s, %s", before, same, after, event, laterEvent)
	}
}

func TestReportName(t *testing.T) {
	object := &unstructured.Unstructured{}
	object.SetKind("CronJob")
	object.SetName("nightly")
	object.SetUID("8f1c")
	if got := reportName(object); got != "twelvefold-cronjob-nightly" {
		t.Error(got)
	}
	object.SetName(strings.Repeat("n", 253))
	if got := reportName(object); got != "twelvefold-8f1c" {
		t.Error(got)
	}
}

// A cluster without the CRD is scanned all the same.
func TestScanWithoutReports(t *testing.T) {
	w := newWorld(t, deployment("api", "app:latest"))
	w.Reports = &Reports{Now: time.Now, Client: interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("no matches for kind Report")
		}})}
	w.scan(t)
	w.metrics(t, `{level="deny",namespace="shop",rule="mutable-tag"} 1`)
	if len(w.events) != 1 {
		t.Errorf("Events %q", w.events)
	}
}

// A replica that stops, or no longer leads, has nothing to complain about: whichever request it was at.
func TestStoppingIsQuiet(t *testing.T) {
	for at := 1; ; at++ {
		var said strings.Builder
		ctx, stop := context.WithCancel(t.Context())
		t.Cleanup(stop)
		w := newWorld(t, deployment("api", "app:latest"))
		w.Log = slog.New(slog.NewTextHandler(&said, nil))
		requests := 0
		request := func() error {
			if requests++; requests == at {
				stop()
			}
			return ctx.Err()
		}
		stopping := interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if reports, is := list.(*metav1.PartialObjectMetadataList); is && reports.Kind == "ReportList" {
					reports.Items = []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "old"}}}
					return request()
				}
				return errors.Join(request(), c.List(ctx, list, opts...))
			},
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return request() },
			Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return request() },
		})
		w.Client, w.Reports = stopping, &Reports{Now: time.Now, Client: stopping}
		w.pass(ctx)
		if said.Len() > 0 {
			t.Errorf("stopped at request %d of the pass:\n%s", at, said.String())
		}
		if ctx.Err() == nil {
			if at < 4 {
				t.Errorf("a pass of %d requests: it lists no workloads, or writes or deletes no report", at-1)
			}
			return
		}
	}
}
