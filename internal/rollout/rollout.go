// Package rollout restarts the pods of workloads whose secrets have changed in Key Vault, for rotation: rollout. It annotates
// the workload's pod template, and Kubernetes rolls it out as any other change.
//
// It changes a workload at most once for each change of a secret, never one that is paused or being rolled out, and never when it is
// in doubt: new pods might not start where a vault doesn't answer.
package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
)

// LeaseName is the Lease that says which replica looks for rollouts. It is there from the installation.
const LeaseName = "twelvefold-rollout"

const (
	defaultInterval  = 2 * time.Minute
	defaultPerMinute = 10
	parallel         = 4 // questions to vaults at a time
	pageSize         = 200
)

// Versions tells when objects of vaults changed.
type Versions interface {
	// NewestChange is when the newest version of an object was made. An error says that it is not known, or that nobody may
	// read that version.
	NewestChange(ctx context.Context, object keyvault.Object) (time.Time, error)
}

// Recorder writes Events; it is the part of client-go's events.EventRecorder that is used here.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Options say how often and how much.
type Options struct {
	Interval  time.Duration // between two looks; default the policy's keyVault.rotationInterval
	PerMinute int           // workloads that are rolled out in a minute at most; default 10
}

// Controller looks for changes and rolls out. It is for one replica at a time, though two for a moment do no harm: a patch is
// for one version of a workload.
type Controller struct {
	Options
	Client     client.Client
	Namespaces func(context.Context) ([]string, error) // that are opted in
	Policy     func() *policy.Policy                   // the one in force
	Input      func(context.Context, manifest.Object) review.Input
	Versions   Versions
	Recorder   Recorder
	Metrics    *Metrics
	Log        *slog.Logger

	last   time.Time               // when a workload was rolled out
	rolled map[types.UID]time.Time // workloads that were, and for which change: somebody may take back the annotation
}

// change is what is known of the newest version of an object.
type change struct {
	at  time.Time
	err error
}

// Run looks until the context ends.
func (c *Controller) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.Log.Warn("looking for rollouts failed", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait.Jitter(c.interval(), 0.2)):
		}
	}
}

func (c *Controller) interval() time.Duration {
	if c.Interval > 0 {
		return c.Interval
	}
	if d, err := time.ParseDuration(c.Policy().Spec().KeyVault.RotationInterval); err == nil && d > 0 {
		return d
	}
	return defaultInterval
}

// look makes one round: workloads, then what their secrets have become, then rollouts.
func (c *Controller) look(ctx context.Context) error {
	workloads, err := c.workloads(ctx)
	if err != nil {
		return err
	}
	c.forget(workloads)
	changes := c.ask(ctx, workloads)
	for _, w := range workloads {
		if err := c.consider(ctx, w, changes); err != nil && ctx.Err() == nil {
			c.Metrics.rollouts.WithLabelValues("failed").Inc()
			c.Log.Warn("a rollout failed", "kind", w.meta.Kind, "namespace", w.meta.Namespace, "name", w.meta.Name, "error", err)
		}
	}
	return nil
}

// workloads are those that ask to be rolled out.
func (c *Controller) workloads(ctx context.Context) (all []*workload, err error) {
	namespaces, err := c.Namespaces(ctx)
	if err != nil || len(namespaces) == 0 {
		return nil, err
	}
	for _, list := range lists() {
		for first := true; first || list.GetContinue() != ""; first = false {
			if err := c.Client.List(ctx, list, client.Limit(pageSize), client.Continue(list.GetContinue())); err != nil {
				return nil, err
			}
			err := meta.EachListItem(list, func(item runtime.Object) error {
				object := item.(client.Object)
				if !slices.Contains(namespaces, object.GetNamespace()) {
					return nil
				}
				if w := c.asking(ctx, object); w != nil {
					all = append(all, w)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// asking is the workload, or nil if it does not ask to be rolled out.
func (c *Controller) asking(ctx context.Context, object client.Object) *workload {
	w, reviewed, err := read(object)
	if err == nil {
		w.references, err = review.Rollout(c.Input(ctx, reviewed))
	}
	if err != nil {
		c.Log.Warn("a workload can't be read", "namespace", object.GetNamespace(), "name", object.GetName(), "error", err)
		return nil
	}
	if len(w.references) == 0 {
		return nil
	}
	return w
}

// forget drops what is known of workloads that are no more.
func (c *Controller) forget(workloads []*workload) {
	kept := map[types.UID]time.Time{}
	for _, w := range workloads {
		if at, found := c.rolled[w.meta.UID]; found {
			kept[w.meta.UID] = at
		}
	}
	c.rolled = kept
}

// ask asks once for each object that is not pinned to a version, whoever gets it.
func (c *Controller) ask(ctx context.Context, workloads []*workload) map[keyvault.Object]change {
	changes := map[keyvault.Object]change{}
	var mu sync.Mutex
	var all sync.WaitGroup
	turn := make(chan struct{}, parallel)
	asked := map[keyvault.Object]bool{}
	for _, w := range workloads {
		for _, r := range w.references {
			o := r.Object()
			if o.Version != "" || asked[o] {
				continue
			}
			asked[o] = true
			turn <- struct{}{}
			all.Go(func() {
				defer func() { <-turn }()
				at, err := c.Versions.NewestChange(ctx, o)
				if ctx.Err() != nil {
					return
				}
				result := "known"
				if err != nil {
					result = "unknown"
					c.Log.Warn("a secret's newest version is not known", "error", err)
				}
				c.Metrics.checks.WithLabelValues(result).Inc()
				mu.Lock()
				defer mu.Unlock()
				changes[o] = change{at, err}
			})
		}
	}
	all.Wait()
	return changes
}

// consider rolls out a workload whose pods are older than a change.
func (c *Controller) consider(ctx context.Context, w *workload, changes map[keyvault.Object]change) error {
	newest := w.newest(changes)
	if !newest.After(w.seen) || !newest.After(c.rolled[w.meta.UID]) {
		return nil
	}
	log := c.Log.With("kind", w.meta.Kind, "namespace", w.meta.Namespace, "name", w.meta.Name)
	if w.held != "" {
		log.Debug("secrets have changed; the workload is left alone", "because", w.held)
		return nil
	}
	oldest, err := c.oldestPod(ctx, w)
	if err != nil || oldest.IsZero() || !newest.After(oldest) {
		return err
	}
	if !c.pace(ctx) {
		return nil
	}
	err = c.annotate(ctx, w, newest)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // it has changed since it was listed: the next round sees it anew
	} else if err != nil {
		return err
	}
	c.last = time.Now()
	c.rolled[w.meta.UID] = newest
	c.Metrics.rollouts.WithLabelValues("started").Inc()
	names := w.changed(changes, later(w.seen, oldest))
	log.Info("rolled out, since secrets have changed", "secrets", names)
	c.Recorder.Eventf(w.meta, nil, corev1.EventTypeNormal, "SecretsChanged", "Rollout", "rolled out, since this has changed: %s", brief(names))
	return nil
}

// brief fits into an Event, which takes 1024 characters.
func brief(names []string) string {
	const most = 4
	if len(names) > most {
		return fmt.Sprintf("%s, and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// oldestPod is when the workload's oldest pod of ours was made; zero if it has none. A pod without our status was never given
// a secret, and one that has ended reads none.
func (c *Controller) oldestPod(ctx context.Context, w *workload) (oldest time.Time, err error) {
	pods := &metav1.PartialObjectMetadataList{}
	pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	running := fields.AndSelectors(fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)), fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)))
	for first := true; first || pods.Continue != ""; first = false {
		err := c.Client.List(ctx, pods, client.InNamespace(w.meta.Namespace), client.MatchingLabelsSelector{Selector: w.selector},
			client.MatchingFieldsSelector{Selector: running}, client.Limit(pageSize), client.Continue(pods.Continue))
		if err != nil {
			return time.Time{}, err
		}
		for _, p := range pods.Items {
			_, ours := p.Annotations[mutate.StatusAnnotation]
			if made := p.CreationTimestamp.Time; ours && p.DeletionTimestamp == nil && (oldest.IsZero() || made.Before(oldest)) {
				oldest = made
			}
		}
	}
	return oldest, nil
}

// pace waits until one more workload may be rolled out; false if the context ends before.
func (c *Controller) pace(ctx context.Context) bool {
	perMinute := c.PerMinute
	if perMinute <= 0 {
		perMinute = defaultPerMinute
	}
	if c.last.IsZero() {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(c.last.Add(wait.Jitter(time.Minute/time.Duration(perMinute), 0.2)))):
		return true
	}
}

// annotate changes the template of the workload as it was listed, or fails with a conflict.
func (c *Controller) annotate(ctx context.Context, w *workload, newest time.Time) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": w.meta.ResourceVersion},
		"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
			"annotations": map[string]string{ChangedAnnotation: newest.UTC().Format(time.RFC3339)}}}},
	})
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(w.meta.GroupVersionKind())
	object.SetNamespace(w.meta.Namespace)
	object.SetName(w.meta.Name)
	return c.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("twelvefold"))
}
