package live

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"twelvefold.dev/internal/inventory"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/monitors"
	"twelvefold.dev/internal/review"
)

// Reading reads namespaces one after the other, so that only one of them is held at a time.
type Reading struct {
	Cluster    *Cluster
	Namespaces []Namespace
	// Named says that somebody has asked for just these namespaces: one that may not be read is an error.
	Named bool
	// Progress hears how much of the work is done, from 0 to 1; nil if nobody wants to know.
	Progress func(done float64)

	gaps []gap
	left []string // namespaces that could not be read
}

// gap is what could not be read, where, and what comes of it.
type gap struct {
	what, so   string
	namespaces []string
}

func (g gap) String() string { return fmt.Sprintf("%s in %s: %s", g.what, some(g.namespaces), g.so) }

// Contents are the objects of a namespace: itself, what makes pods, and what is beside it.
type Contents struct {
	Namespace string
	Objects   []manifest.Object
	Unread    []string      // kinds that may not be read
	Twins     *review.Twins // workloads of all namespaces that are read
}

// All are the namespaces that can be read. An error is the last.
func (r *Reading) All(ctx context.Context) iter.Seq2[Contents, error] {
	return func(yield func(Contents, error) bool) {
		p := r.begin(ctx)
		for i, namespace := range r.Namespaces {
			p.progress(1, i)
			contents, err := p.read(ctx, namespace)
			switch {
			case apierrors.IsForbidden(err):
				resource, _, _ := strings.Cut(err.Error(), ":")
				if r.Named {
					yield(Contents{}, forbidden(resource, namespace.Name, 1))
					return
				}
				r.note("may not list "+resource, "nothing is judged there", namespace.Name)
				if r.left = append(r.left, namespace.Name); len(r.left) == len(r.Namespaces) {
					yield(Contents{}, forbidden(resource, namespace.Name, len(r.left)))
				}
				continue
			case err != nil:
				yield(Contents{}, r.Cluster.explain(err))
				return
			}
			if !yield(contents, nil) {
				return
			}
		}
	}
}

// forbidden tells of workloads that may not be read, and what to ask for.
func forbidden(resource, namespace string, namespaces int) error {
	where := namespace
	if namespaces > 1 {
		where = fmt.Sprintf("any of %d namespaces", namespaces)
	}
	var resources []string
	for _, kind := range inventory.Workloads {
		resources = append(resources, kind.Name())
	}
	return fmt.Errorf("%s may not be listed in %s (kubectl auth can-i list %s -n %s); ask for the verbs get and list of %s, which the ClusterRole view gives, or name namespaces that you may read with -n",
		resource, where, resource, namespace, strings.Join(resources, ", "))
}

// Notes say what could not be read, when all has been.
func (r *Reading) Notes() (notes []string) {
	for _, gap := range r.gaps {
		notes = append(notes, gap.String())
	}
	return notes
}

// note adds a namespace to a gap.
func (r *Reading) note(what, so, namespace string) {
	i := slices.IndexFunc(r.gaps, func(g gap) bool { return g.what == what && g.so == so })
	if i < 0 {
		i = len(r.gaps)
		r.gaps = append(r.gaps, gap{what: what, so: so})
	}
	r.gaps[i].namespaces = append(r.gaps[i].namespaces, namespace)
}

// workloads are what is judged. ReplicaSets are those of other controllers than Deployments, such as Argo's Rollouts.
var workloads = append(inventory.Workloads[:len(inventory.Workloads):len(inventory.Workloads)],
	inventory.Kind{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), Resource: "replicasets"})

// pass is one way through the namespaces.
type pass struct {
	reading            *Reading
	workloads, besides inventory.Lister
	scrapers           []manifest.Object // of all namespaces: those that scrape a pod may be in another
	twins              *review.Twins
}

// begin reads what must be known of all namespaces before the first is judged.
func (r *Reading) begin(ctx context.Context) *pass {
	isScraper := func(kind inventory.Kind) bool { return slices.Contains(monitors.Kinds(), kind.GroupVersionKind) }
	p := &pass{reading: r, twins: &review.Twins{},
		workloads: inventory.Lister{Client: r.Cluster.reader, Kinds: workloads},
		besides:   inventory.Lister{Client: r.Cluster.reader, Kinds: slices.Concat(inventory.Companions, inventory.Sources)}}
	everywhere := inventory.Lister{Client: r.Cluster.reader, Kinds: slices.DeleteFunc(inventory.All(), func(kind inventory.Kind) bool { return !isScraper(kind) })}
	if found, err := everywhere.List(ctx, ""); err == nil && len(found.Unread) == 0 {
		p.scrapers = found.Objects
		p.besides.Kinds = slices.DeleteFunc(p.besides.Kinds, isScraper)
	} // else those of each namespace
	if len(r.Namespaces) > 1 {
		p.readTwins(ctx)
	}
	return p
}

// readTwins looks through the workloads of all namespaces. One that can't be read is told of when its turn comes.
func (p *pass) readTwins(ctx context.Context) {
	twinned := slices.DeleteFunc(slices.Clone(inventory.Workloads), func(kind inventory.Kind) bool { return !review.HasTwins(kind.Kind) })
	lister := inventory.Lister{Client: p.workloads.Client, Kinds: twinned}
	for i, namespace := range p.reading.Namespaces {
		p.progress(0, i)
		if found, err := lister.List(ctx, namespace.Name); err == nil {
			p.twins.Put(namespace.Name, found.Objects)
		}
	}
}

// progress tells of the half that begins with a namespace: 0, all are looked through, or 1, they are read.
func (p *pass) progress(half, namespace int) {
	if n := len(p.reading.Namespaces); p.reading.Progress != nil {
		p.reading.Progress(float64(half*n+namespace) / float64(2*n))
	}
}

func (p *pass) read(ctx context.Context, namespace Namespace) (Contents, error) {
	contents := Contents{Namespace: namespace.Name, Twins: p.twins}
	found, err := p.workloads.List(ctx, namespace.Name)
	for _, unread := range found.Unread {
		p.reading.note(unread.String(), "those without a Deployment are not judged", namespace.Name)
	}
	if err != nil || len(found.Objects) == 0 { // nobody asks what is beside nothing
		return contents, err
	}
	if namespace.Object == nil {
		p.reading.note("may not get namespaces", "their labels are unknown, by which the policy may tell them apart", namespace.Name)
	} else {
		contents.Objects = append(contents.Objects, *namespace.Object)
	}
	contents.Objects = append(append(contents.Objects, found.Objects...), p.scrapers...)
	if found, err = p.besides.List(ctx, namespace.Name); err != nil {
		return contents, err
	}
	for _, unread := range found.Unread {
		p.reading.note(unread.String(), "what needs them is not judged", namespace.Name)
	}
	contents.Objects = append(contents.Objects, found.Objects...)
	contents.Unread = found.UnreadKinds()
	return contents, nil
}

// some are the first of the names, and how many more.
func some(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// Workloads are those of a namespace.
func (c *Cluster) Workloads(ctx context.Context, namespace string) ([]manifest.Object, error) {
	lister := inventory.Lister{Client: c.reader, Kinds: workloads}
	found, err := lister.List(ctx, namespace)
	if apierrors.IsForbidden(err) {
		resource, _, _ := strings.Cut(err.Error(), ":")
		return nil, forbidden(resource, namespace, 1)
	}
	return found.Objects, c.explain(err)
}
