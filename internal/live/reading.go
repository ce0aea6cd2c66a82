package live

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"twelvefold.dev/internal/inventory"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/monitors"
	"twelvefold.dev/internal/review"
)

// Reading reads namespaces in their order, a few at a time, and holds no more of them.
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
		for i, found := range ahead(ctx, len(r.Namespaces), p.read) {
			r.progress(1, i)
			name := r.Namespaces[i].Name
			switch err := found.err; {
			case apierrors.IsForbidden(err):
				resource, _, _ := strings.Cut(err.Error(), ":")
				if r.Named {
					yield(Contents{}, forbidden(resource, name, 1))
					return
				}
				r.note(gap{what: "may not list " + resource, so: "nothing is judged there"}, name)
				if r.left = append(r.left, name); len(r.left) == len(r.Namespaces) {
					yield(Contents{}, forbidden(resource, name, len(r.left)))
				}
				continue
			case err != nil:
				yield(Contents{}, r.Cluster.explain(err))
				return
			}
			for _, gap := range found.gaps {
				r.note(gap, name)
			}
			found.contents.Twins = p.twins
			if !yield(found.contents, nil) {
				return
			}
		}
	}
}

// parallel is how many namespaces are read at a time: most of the time is spent waiting for answers.
const parallel = 4

// ahead does something for 0 to n-1, a few at a time, and yields the results in order.
func ahead[T any](ctx context.Context, n int, do func(ctx context.Context, i int) T) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		results := make([]chan T, n)
		for i := range results {
			results[i] = make(chan T, 1)
		}
		free, done := make(chan struct{}, parallel), make(chan struct{})
		defer close(done)
		go func() {
			for i := range n {
				select {
				case free <- struct{}{}:
					go func() { results[i] <- do(ctx, i) }()
				case <-done:
					return
				}
			}
		}()
		for i := range n {
			if !yield(i, <-results[i]) {
				return
			}
			<-free
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

// Notes say what could not be read, when all has been: one for all kinds that may not be listed in the same namespaces.
func (r *Reading) Notes() (notes []string) {
	const may = "may not list "
	var told []gap
	for _, g := range r.gaps {
		same := func(t gap) bool {
			return t.so == g.so && slices.Equal(t.namespaces, g.namespaces) && strings.HasPrefix(t.what, may)
		}
		if kind, ok := strings.CutPrefix(g.what, may); ok && slices.ContainsFunc(told, same) {
			told[slices.IndexFunc(told, same)].what += ", " + kind
			continue
		}
		told = append(told, g)
	}
	for _, gap := range told {
		notes = append(notes, gap.String())
	}
	return notes
}

// note adds a namespace to a gap.
func (r *Reading) note(found gap, namespace string) {
	i := slices.IndexFunc(r.gaps, func(g gap) bool { return g.what == found.what && g.so == found.so })
	if i < 0 {
		i = len(r.gaps)
		r.gaps = append(r.gaps, found)
	}
	r.gaps[i].namespaces = append(r.gaps[i].namespaces, namespace)
}

// pass is one way through the namespaces.
type pass struct {
	cluster    *Cluster
	namespaces []Namespace
	besides    []inventory.Kind
	scrapers   []manifest.Object // of all namespaces: those that scrape a pod may be in another
	twins      *review.Twins
}

// found is what there is in a namespace.
type found struct {
	contents Contents
	gaps     []gap
	err      error
}

// begin reads what must be known of all namespaces before the first is judged.
func (r *Reading) begin(ctx context.Context) *pass {
	isScraper := func(kind inventory.Kind) bool { return slices.Contains(monitors.Kinds(), kind.GroupVersionKind) }
	besides := slices.DeleteFunc(slices.Concat(inventory.Companions, inventory.Sources), r.Cluster.lacks)
	p := &pass{cluster: r.Cluster, namespaces: r.Namespaces, besides: besides, twins: &review.Twins{}}
	everywhere := r.Cluster.lister(slices.DeleteFunc(slices.Clone(besides), func(kind inventory.Kind) bool { return !isScraper(kind) }))
	if found, err := everywhere.List(ctx, ""); err == nil && len(found.Unread) == 0 {
		p.scrapers = found.Objects
		p.besides = slices.DeleteFunc(p.besides, isScraper)
	} // else those of each namespace
	if len(r.Namespaces) > 1 {
		r.readTwins(ctx, p.twins)
	}
	return p
}

// readTwins looks through the workloads of all namespaces. One that can't be read is told of when its turn comes.
func (r *Reading) readTwins(ctx context.Context, twins *review.Twins) {
	twinned := slices.DeleteFunc(slices.Clone(inventory.Workloads), func(kind inventory.Kind) bool { return !review.HasTwins(kind.Kind) })
	list := func(ctx context.Context, i int) []manifest.Object {
		found, err := r.Cluster.lister(twinned).List(ctx, r.Namespaces[i].Name)
		if err != nil {
			return nil
		}
		return found.Objects
	}
	for i, objects := range ahead(ctx, len(r.Namespaces), list) {
		r.progress(0, i)
		twins.Put(r.Namespaces[i].Name, objects)
	}
}

// progress tells of the half that has come to a namespace: 0, all are looked through, or 1, they are read.
func (r *Reading) progress(half, namespace int) {
	if n := len(r.Namespaces); r.Progress != nil {
		r.Progress(float64(half*n+namespace) / float64(2*n))
	}
}

func (p *pass) read(ctx context.Context, i int) (f found) {
	namespace := p.namespaces[i]
	f.contents.Namespace = namespace.Name
	workloads, err := p.cluster.lister(inventory.Workloads).List(ctx, namespace.Name)
	for _, unread := range workloads.Unread {
		f.gaps = append(f.gaps, gap{what: unread.String(), so: "those without a Deployment are not judged"})
	}
	if err != nil || len(workloads.Objects) == 0 { // nobody asks what is beside nothing
		f.err = err
		return f
	}
	if namespace.Object == nil {
		f.gaps = append(f.gaps, gap{what: "may not get namespaces", so: "their labels are unknown, by which the policy may tell them apart"})
	} else {
		f.contents.Objects = append(f.contents.Objects, *namespace.Object)
	}
	besides, err := p.cluster.lister(p.besides).List(ctx, namespace.Name)
	for _, unread := range besides.Unread {
		f.gaps = append(f.gaps, gap{what: unread.String(), so: "what needs them is not judged"})
	}
	f.contents.Objects = slices.Concat(f.contents.Objects, workloads.Objects, p.scrapers, besides.Objects)
	f.contents.Unread = besides.UnreadKinds()
	f.err = err
	return f
}

func (c *Cluster) lister(kinds []inventory.Kind) *inventory.Lister {
	return &inventory.Lister{Client: c.client, Kinds: kinds}
}

// lacks says whether the API server has no such kind. Trouble shows when it is listed.
func (c *Cluster) lacks(kind inventory.Kind) bool {
	_, err := c.client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	return meta.IsNoMatchError(err)
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
	found, err := c.lister(inventory.Workloads).List(ctx, namespace)
	if apierrors.IsForbidden(err) {
		resource, _, _ := strings.Cut(err.Error(), ":")
		return nil, forbidden(resource, namespace, 1)
	}
	return found.Objects, c.explain(err)
}
