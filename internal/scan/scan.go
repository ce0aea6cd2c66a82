// Package scan looks at what runs already: workloads that were there before Twelvefold, or before a rule of the policy. It
// changes none of them. What it finds stands in metrics, in Events, and in Reports where the chart is told to.
package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/inventory"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
)

// LeaseName is the Lease that says which replica scans. It is there from the installation.
const LeaseName = "twelvefold-scan"

// Recorder writes Events; it is the part of client-go's events.EventRecorder that is used here.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Scanner scans. It is for one replica at a time.
//
// A pass asks the API server once for each kind and opted-in namespace, and once more for each further 200 objects; the
// client bounds how fast. It holds one namespace at a time, and of all others what [review.Twins] keep; the first pass lists
// their workloads before. Reports cost one request for each 200 of them, and one for each workload whose findings have
// changed.
type Scanner struct {
	Interval   time.Duration                           // between two passes
	Client     client.Client                           // reads past any cache
	Namespaces func(context.Context) ([]string, error) // that are opted in
	Input      func(context.Context, manifest.Object) review.Input
	// Labels makes, for one pass, the lookup of the labels of images; nil: nobody asks registries.
	Labels   func(context.Context) func(image string) (map[string]string, error)
	Recorder Recorder
	Reports  *Reports // nil: none are kept
	Metrics  *Metrics
	Log      *slog.Logger
	Now      func() time.Time

	told  map[types.UID]told // by workload
	twins *review.Twins      // as of this pass, or the last one for namespaces whose turn is yet to come
}

// workload is one that was looked at, and what was found.
type workload struct {
	object   *unstructured.Unstructured
	findings []policy.Finding
}

// Run scans until the context ends.
func (s *Scanner) Run(ctx context.Context) {
	defer s.Metrics.clear() // the next leader's count, not ours
	s.twins = nil           // what was seen before another replica led is old
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
	p := pass{lister: inventory.Lister{Client: s.Client, Kinds: slices.Concat(inventory.Workloads, inventory.Companions)},
		counts: map[string]counts{}, told: map[types.UID]told{}, unread: map[string]bool{}, events: maxEvents}
	if s.Labels != nil {
		p.labels = s.Labels(ctx)
	}
	if s.twins == nil {
		s.twins = s.firstTwins(ctx, namespaces)
	}
	s.twins.Keep(namespaces)
	reports := s.beginReports(ctx)
	for _, namespace := range namespaces {
		workloads, err := s.workloads(ctx, &p, namespace)
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
		if err := reports.end(ctx, p.failed); err != nil && ctx.Err() == nil {
			s.Log.Warn("a report can't be deleted", "error", err)
		}
	}
	for uid, t := range s.told { // of these it is not known which workloads are no more
		if slices.Contains(p.failed, t.namespace) {
			p.told[uid] = t
		}
	}
	s.told = p.told
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
			s.Log.Warn("no report is written in this pass", "error", err)
		}
		return nil
	}
	return s.Reports
}

// pass is what one pass has come to.
type pass struct {
	lister inventory.Lister
	labels func(image string) (map[string]string, error)
	counts map[string]counts // by namespace
	failed []string          // namespaces that could not be read
	unread map[string]bool   // what was said of kinds that could not be read
	told   map[types.UID]told
	events int // that may still be written
}

// firstTwins looks through the workloads of all namespaces before the first of them is judged by those of the others. A
// namespace that can't be read is told of when its turn comes.
func (s *Scanner) firstTwins(ctx context.Context, namespaces []string) *review.Twins {
	twins := &review.Twins{}
	lister := &inventory.Lister{Client: s.Client}
	for _, kind := range inventory.Workloads {
		if review.HasTwins(kind.Kind) {
			lister.Kinds = append(lister.Kinds, kind)
		}
	}
	for _, namespace := range namespaces {
		if found, err := lister.List(ctx, namespace); err == nil {
			twins.Put(namespace, found.Objects)
		}
	}
	return twins
}

// workloads are those of a namespace that stand for themselves, judged with what is beside them.
func (s *Scanner) workloads(ctx context.Context, p *pass, namespace string) (all []workload, err error) {
	found, err := p.lister.List(ctx, namespace)
	if err != nil {
		return nil, err
	}
	for _, unread := range found.Unread {
		if said := unread.String(); !p.unread[said] {
			p.unread[said] = true
			s.Log.Warn("a kind can't be read: it is not judged, nor by rules that need it", "namespace", namespace, "reason", said)
		}
	}
	s.twins.Put(namespace, found.Objects)
	surroundings := review.NewSurroundings(found.Objects, namespace, found.UnreadKinds()...)
	for _, object := range found.Objects {
		if _, hasPod, err := object.Template(); err == nil && !hasPod {
			continue
		}
		input := s.Input(ctx, object)
		input.Facts.Running = true
		surroundings.Add(&input.Facts)
		input.Facts.Twins, input.Facts.Labels = s.twins.Of, p.labels
		verdict, err := review.Full(input)
		if err != nil {
			s.Log.Warn("a workload can't be judged", "kind", object.Kind, "namespace", namespace, "name", object.Name, "error", err)
			continue
		}
		all = append(all, workload{identity(object), verdict.Findings})
	}
	return all, nil
}

// identity is the object without its spec: a pass keeps no more of it.
func identity(object manifest.Object) *unstructured.Unstructured {
	var meta metav1.PartialObjectMetadata
	_ = json.Unmarshal(object.JSON, &meta) // it was read before
	short := &unstructured.Unstructured{}
	short.SetAPIVersion(object.APIVersion)
	short.SetKind(object.Kind)
	short.SetNamespace(object.Namespace)
	short.SetName(object.Name)
	short.SetUID(meta.UID)
	return short
}
