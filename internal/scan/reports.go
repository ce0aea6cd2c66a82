package scan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/inventory"
	"twelvefold.dev/internal/policy"
)

const (
	maxResults = 50  // in a Report; its summary counts all findings
	maxText    = 400 // bytes of each text in it: a Report stays far below the 1.5 MiB that etcd takes

	source           = "twelvefold"
	managedLabel     = "app.kubernetes.io/managed-by"
	digestAnnotation = "twelvefold.dev/findings" // what a Report is about, by which it is known to be current
)

// reportKind is the kind of Reports: https://github.com/openreports/reports-api.
var reportKind = schema.GroupVersionKind{Group: "openreports.io", Version: "v1alpha1", Kind: "Report"}

// Reports keeps one Report for each workload with findings: https://openreports.io. It belongs to the workload, and goes with
// it or when nothing is found any more. Only Reports that carry our label are changed.
type Reports struct {
	Client client.Client
	Now    func() time.Time

	there map[client.ObjectKey]metav1.PartialObjectMetadata // ours that no workload has claimed in this pass
}

// begin lists what is there. A pass that could not list them writes none.
func (r *Reports) begin(ctx context.Context) error {
	r.there = map[client.ObjectKey]metav1.PartialObjectMetadata{}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(reportKind.GroupVersion().WithKind(reportKind.Kind + "List"))
	for first := true; first || list.GetContinue() != ""; first = false {
		err := r.Client.List(ctx, list, client.MatchingLabels{managedLabel: source}, client.Limit(inventory.PageSize), client.Continue(list.GetContinue()))
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return fmt.Errorf("the cluster needs the CRD reports.openreports.io: %w", err)
		} else if err != nil {
			return fmt.Errorf("reports: %w", err)
		}
		for _, item := range list.Items {
			r.there[client.ObjectKeyFromObject(&item)] = item
		}
	}
	return nil
}

// keep writes the Report of a workload, unless the one that is there says the same.
func (r *Reports) keep(ctx context.Context, w workload) error {
	if len(w.findings) == 0 {
		return nil
	}
	report := r.report(w)
	key := client.ObjectKeyFromObject(report)
	there, found := r.there[key]
	delete(r.there, key)
	switch {
	case !found:
		return r.Client.Create(ctx, report)
	case there.Annotations[digestAnnotation] == report.GetAnnotations()[digestAnnotation] && slices.Equal(owners(there.OwnerReferences), owners(report.GetOwnerReferences())):
		return nil
	}
	report.SetResourceVersion(there.ResourceVersion)
	return r.Client.Update(ctx, report)
}

func owners(references []metav1.OwnerReference) (uids []string) {
	for _, o := range references {
		uids = append(uids, string(o.UID))
	}
	return uids
}

// end deletes the Reports of workloads with which all is well, or that are not looked at any more; those of namespaces that
// could not be read stay.
func (r *Reports) end(ctx context.Context, failed []string) error {
	for key, report := range r.there {
		if slices.Contains(failed, key.Namespace) {
			continue
		}
		err := r.Client.Delete(ctx, &report, client.Preconditions{UID: &report.UID})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("report %s: %w", key, err)
		}
	}
	r.there = nil
	return nil
}

// report is what is said of a workload: the strictest findings first.
func (r *Reports) report(w workload) *unstructured.Unstructured {
	findings := slices.Clone(w.findings)
	slices.SortStableFunc(findings, func(a, b policy.Finding) int { return cmp.Compare(b.Level, a.Level) })
	now := r.Now()
	var results []any
	fail, warn := int64(0), int64(0)
	for _, f := range findings {
		result, severity := "warn", "medium"
		switch f.Level {
		case policy.Deny:
			result, severity = "fail", "high"
			fail++
		case policy.Audit:
			severity = "low"
			warn++
		default:
			warn++
		}
		if len(results) == maxResults {
			continue
		}
		results = append(results, map[string]any{
			"source": source, "policy": f.Rule, "category": fmt.Sprintf("%s %s", f.Factor, f.Factor.Title()),
			"result": result, "severity": severity, "scored": f.Level == policy.Deny, "message": short(f.Message),
			"timestamp":  map[string]any{"seconds": now.Unix(), "nanos": int64(0)},
			"properties": map[string]any{"level": f.Level.String(), "path": short(f.Path), "fix": short(f.Fix)},
		})
	}
	o := w.object
	report := &unstructured.Unstructured{Object: map[string]any{
		"source": source,
		"scope": map[string]any{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "namespace": o.GetNamespace(), "name": o.GetName(),
			"uid": string(o.GetUID())},
		"configuration": map[string]any{"limits": map[string]any{"maxResults": int64(maxResults), "statusFilter": []any{"fail", "warn"}}},
		"summary":       map[string]any{"pass": int64(0), "fail": fail, "warn": warn, "error": int64(0), "skip": int64(0)},
		"results":       results,
	}}
	report.SetGroupVersionKind(reportKind)
	report.SetNamespace(o.GetNamespace())
	report.SetName(reportName(o))
	report.SetLabels(map[string]string{managedLabel: source})
	report.SetAnnotations(map[string]string{digestAnnotation: hash(findings, all)})
	report.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Name: o.GetName(), UID: o.GetUID()}})
	return report
}

// all is what a Report says of a finding. Its messages are to be true: which build an app runs changes, and no finding with it.
func all(f policy.Finding) []string {
	return []string{f.Rule, f.Level.String(), f.Path, f.Message, f.Fix}
}

// reportName is one that people find: twelvefold-deployment-api. Names that get too long for it give way to the UID.
func reportName(o *unstructured.Unstructured) string {
	name := fmt.Sprintf("twelvefold-%s-%s", strings.ToLower(o.GetKind()), o.GetName())
	if len(name) > 253 {
		return "twelvefold-" + string(o.GetUID())
	}
	return name
}

func short(text string) string {
	const more = "…"
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText-len(more)], "") + more
	}
	return text
}
