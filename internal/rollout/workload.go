package rollout

import (
	"encoding/json"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/manifest"
)

// ChangedAnnotation stands on a pod template that was annotated for a rollout, and says when the newest secret had changed.
const ChangedAnnotation = "twelvefold.dev/secrets-changed"

// workload is a Deployment, StatefulSet or DaemonSet that asks to be rolled out.
type workload struct {
	meta       *metav1.PartialObjectMetadata // its kind, name, UID and resource version
	selector   labels.Selector               // of its pods
	seen       time.Time                     // the change that its template tells of, or zero
	held       string                        // why it must be left alone now; empty if nothing is in the way
	references []keyvault.Reference
}

// lists are empty lists of the kinds that are rolled out.
func lists() []client.ObjectList {
	return []client.ObjectList{&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSetList{}}
}

// read turns a listed object into a workload without references, and the manifest to review for them.
func read(object client.Object) (*workload, manifest.Object, error) {
	var template corev1.PodTemplateSpec
	var selector *metav1.LabelSelector
	w := &workload{}
	kind := ""
	switch o := object.(type) {
	case *appsv1.Deployment:
		kind, template, selector, w.held = "Deployment", o.Spec.Template, o.Spec.Selector, heldDeployment(o)
	case *appsv1.StatefulSet:
		kind, template, selector, w.held = "StatefulSet", o.Spec.Template, o.Spec.Selector, heldStatefulSet(o)
	case *appsv1.DaemonSet:
		kind, template, selector, w.held = "DaemonSet", o.Spec.Template, o.Spec.Selector, heldDaemonSet(o)
	}
	if object.GetDeletionTimestamp() != nil {
		w.held = "it is being deleted"
	}
	w.meta = &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(), ResourceVersion: object.GetResourceVersion()}}
	var err error
	if w.selector, err = metav1.LabelSelectorAsSelector(selector); err != nil {
		return nil, manifest.Object{}, err
	}
	if seen, err := time.Parse(time.RFC3339, template.Annotations[ChangedAnnotation]); err == nil { // else nobody has told it
		w.seen = seen
	}
	data, err := json.Marshal(object)
	return w, manifest.Object{APIVersion: "apps/v1", Kind: kind, Namespace: w.meta.Namespace, Name: w.meta.Name, JSON: data}, err
}

const rolling = "a rollout is under way"

func heldDeployment(d *appsv1.Deployment) string {
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	switch s := d.Status; {
	case d.Spec.Paused:
		return "it is paused"
	case s.ObservedGeneration < d.Generation, s.UpdatedReplicas != replicas, s.Replicas != replicas:
		return rolling // pods that fail are no reason to wait: the new secret may be what they need
	}
	return ""
}

func heldStatefulSet(s *appsv1.StatefulSet) string {
	strategy := s.Spec.UpdateStrategy
	switch {
	case strategy.Type == appsv1.OnDeleteStatefulSetStrategyType:
		return "its pods are replaced when somebody deletes them"
	case strategy.RollingUpdate != nil && strategy.RollingUpdate.Partition != nil && *strategy.RollingUpdate.Partition > 0:
		return "a partition holds back some of its pods"
	case s.Status.ObservedGeneration < s.Generation, s.Status.CurrentRevision != s.Status.UpdateRevision:
		return rolling
	}
	return ""
}

func heldDaemonSet(d *appsv1.DaemonSet) string {
	switch {
	case d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType:
		return "its pods are replaced when somebody deletes them"
	case d.Status.ObservedGeneration < d.Generation, d.Status.UpdatedNumberScheduled != d.Status.DesiredNumberScheduled:
		return rolling
	}
	return ""
}

// newest is the last change of all that the workload gets; zero if it's not certain, since new pods might then not start. What
// may be missing counts if it is known.
func (w *workload) newest(changes map[keyvault.Object]change) (newest time.Time) {
	for _, r := range w.references {
		if r.Version != "" {
			continue
		}
		c := changes[r.Object()]
		if c.err != nil && !r.Optional {
			return time.Time{}
		}
		if c.err == nil && c.at.After(newest) {
			newest = c.at
		}
	}
	return newest
}

// changed names the objects that have changed since, for people.
func (w *workload) changed(changes map[keyvault.Object]change, since time.Time) (names []string) {
	told := map[keyvault.Object]bool{}
	for _, r := range w.references {
		o := r.Object()
		if c := changes[o]; !told[o] && r.Version == "" && c.err == nil && c.at.After(since) {
			names = append(names, o.String())
		}
		told[o] = true
	}
	return names
}
