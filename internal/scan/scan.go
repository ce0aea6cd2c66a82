// Package scan looks at what runs already: workloads that were there before Twelvefold, or before a rule of the policy. It
// changes none of them. What it finds stands in metrics, in Events, and in Reports where the chart is told to.
package scan

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
)

// LeaseName is the Lease that says which replica scans. It is there from the installation.
const LeaseName = "twelvefold-scan"

const pageSize = 200

// kinds are the workloads that are looked at.
var kinds = []schema.GroupVersionKind{
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Group: "batch", Version: "v1", Kind: "CronJob"},
	{Group: "batch", Version: "v1", Kind: "Job"},
	{Version: "v1", Kind: "Pod"},
}

// Recorder writes Events; it is the part of client-go's events.EventRecorder that is used here.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Scanner scans. It is for one replica at a time.
//
// A pass asks the API server once for each kind and opted-in namespace, and once more for each further 200 objects; the
// client bounds how fast. Reports cost one request for each 200 of them, and one for each workload whose findings have changed.
type Scanner struct {
	Interval   time.Duration                           // between two passes
	Client     client.Client                           // reads past any cache
	Namespaces func(context.Context) ([]string, error) // that are opted in
	Input      func(context.Context, manifest.Object) review.Input
	Recorder   Recorder
	Reports    *Reports // nil: none are kept
	Metrics    *Metrics
	Log        *slog.Logger
	Now        func() time.Time

	told map[types.UID]told // by workload
}

// workload is one that was looked at, and what was found.
type workload struct {
	object   *unstructured.Unstructured
	findings []policy.Finding
}

// Run scans until the context ends.
func (s *Scanner) Run(ctx context.Context) {
	defer s.Metrics.clear() // the next leader's count, not ours
	for ctx.Err() == nil {
		if err := s.pass(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("the scan of workloads failed", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait.Jitter(s.Interval, 0.1)):
		}
	}
}

// pass looks at every workload once. A namespace that can't be read keeps what was known of it.
func (s *Scanner) pass(ctx context.Context) error {
	namespaces, err := s.Namespaces(ctx)
	if err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	if s.told == nil {
		s.told = map[types.UID]told{}
	}
	p := pass{counts: map[string]counts{}, told: map[types.UID]told{}, events: maxEvents}
	reports := s.beginReports(ctx)
	for _, namespace := range namespaces {
		workloads, err := s.workloads(ctx, namespace)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.Log.Warn("a namespace can't be scanned", "namespace", namespace, "error", err)
			p.failed = append(p.failed, namespace)
			continue
		}
		p.counts[namespace] = count(workloads)
		for _, w := range workloads {
			s.tell(&p, w)
			if reports != nil {
				if err := reports.keep(ctx, w); err != nil && ctx.Err() == nil {
					s.Log.Warn("a report can't be written", "kind", w.object.GetKind(), "namespace", namespace, "name", w.object.GetName(), "error", err)
				}
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if reports != nil {
		if err := reports.end(ctx, p.failed); err != nil {
			s.Log.Warn("a report can't be deleted", "error", err)
		}
	}
	if len(p.failed) > 0 { // it is not known which workloads are no more
		maps.Copy(s.told, p.told)
	} else {
		s.told = p.told
	}
	s.Metrics.publish(p, s.Now())
	return nil
}

// beginReports is nil where none are kept, or can't be in this pass.
func (s *Scanner) beginReports(ctx context.Context) *Reports {
	if s.Reports == nil {
		return nil
	}
	if err := s.Reports.begin(ctx); err != nil {
		if ctx.Err() == nil {
			s.Log.Warn("no report is written: the cluster needs the CRD reports.openreports.io", "error", err)
		}
		return nil
	}
	return s.Reports
}

// pass is what one pass has come to.
type pass struct {
	counts map[string]counts // by namespace
	failed []string          // namespaces that could not be read
	told   map[types.UID]told
	events int // that may still be written
}

// workloads are those of a namespace that stand for themselves.
func (s *Scanner) workloads(ctx context.Context, namespace string) (all []workload, err error) {
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		for first := true; first || list.GetContinue() != ""; first = false {
			err := s.Client.List(ctx, list, client.InNamespace(namespace), client.Limit(pageSize), client.Continue(list.GetContinue()))
			if err != nil {
				return nil, fmt.Errorf("%ss: %w", kind.Kind, err)
			}
			for i := range list.Items {
				object := &list.Items[i]
				if over(object) {
					continue
				}
				findings, err := s.judge(ctx, object)
				if err != nil {
					s.Log.Warn("a workload can't be judged", "kind", kind.Kind, "namespace", namespace, "name", object.GetName(), "error", err)
					continue
				}
				all = append(all, workload{identity(object), findings})
			}
		}
	}
	return all, nil
}

// over says whether there is nothing to mend: its owner is looked at, it is being deleted, or it has ended.
func over(object *unstructured.Unstructured) bool {
	if metav1.GetControllerOf(object) != nil || object.GetDeletionTimestamp() != nil {
		return true
	}
	switch object.GetKind() {
	case "Pod":
		phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
		return phase == "Succeeded" || phase == "Failed"
	case "Job":
		_, ended, _ := unstructured.NestedString(object.Object, "status", "completionTime")
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		for _, c := range conditions {
			if c, ok := c.(map[string]any); ok && c["type"] == "Failed" && c["status"] == "True" {
				ended = true
			}
		}
		return ended
	}
	return false
}

func (s *Scanner) judge(ctx context.Context, object *unstructured.Unstructured) ([]policy.Finding, error) {
	data, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	reviewed, err := manifest.FromJSON(data)
	if err != nil {
		return nil, err
	}
	verdict, err := review.Full(s.Input(ctx, reviewed))
	return verdict.Findings, err
}

// identity is the object without its spec: a pass keeps no more of it.
func identity(object *unstructured.Unstructured) *unstructured.Unstructured {
	short := &unstructured.Unstructured{}
	short.SetGroupVersionKind(object.GroupVersionKind())
	short.SetNamespace(object.GetNamespace())
	short.SetName(object.GetName())
	short.SetUID(object.GetUID())
	return short
}
