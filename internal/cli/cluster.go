package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/live"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/terminal"
)

// clusterFlags have a command read a cluster instead of files.
type clusterFlags struct {
	cluster    bool
	kubeconfig string
	context    string
}

func (f *clusterFlags) addFlags(c *cobra.Command) {
	c.Flags().BoolVar(&f.cluster, "cluster", false, "read the cluster of the kubeconfig instead of files")
	c.Flags().StringVar(&f.context, "context", "", "context of the kubeconfig (default: the current one)")
	c.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config, or the cluster that this runs in)")
}

// readsCluster says whether the flags name a cluster; what does not go together is an error.
func (f *clusterFlags) readsCluster(c *cobra.Command, files []string) (bool, error) {
	switch {
	case !f.cluster && f.context != "":
		return false, errors.New("--context is for --cluster")
	case !f.cluster && f.kubeconfig != "":
		return false, errors.New("--kubeconfig is for --cluster")
	case f.cluster && len(files) > 0:
		return false, errors.New("--cluster or files, not both")
	case f.cluster && c.Flags().Changed("namespace-labels"):
		return false, errors.New("--namespace-labels is for files: a cluster's namespaces have theirs")
	}
	return f.cluster, nil
}

// batches are what the flags say to review: all files at once, or one namespace of a cluster after the other, without what
// has ended. An error is the last.
func (in *input) batches(c *cobra.Command, args []string) iter.Seq2[[]review.Input, error] {
	return func(yield func([]review.Input, error) bool) {
		fromCluster, err := in.readsCluster(c, slices.Concat(in.files, args))
		switch {
		case err != nil:
			yield(nil, err)
		case fromCluster:
			if err := in.readCluster(c, func(inputs []review.Input) bool { return yield(inputs, nil) }); err != nil {
				yield(nil, err)
			}
		default:
			inputs, err := in.read(c, args)
			yield(slices.DeleteFunc(inputs, func(i review.Input) bool { return ended(i.Object) }), err)
		}
	}
}

// interruptible has a command stop asking a cluster when somebody presses Ctrl-C.
func interruptible(c *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
}

func (in *input) readCluster(c *cobra.Command, use func([]review.Input) bool) error {
	if err := in.checkNamespaces(c); err != nil {
		return err
	}
	effective, err := in.policy() // before the cluster is asked: a mistake in a file needs none
	if err != nil {
		return err
	}
	ctx, stop := interruptible(c)
	defer stop()
	cluster, err := live.Connect(in.kubeconfig, in.context)
	if err != nil {
		return err
	}
	facts, err := in.clusterFacts(ctx, c, cluster)
	if err != nil {
		return err
	}
	inForce, release, err := in.clusterPolicy(ctx, c, cluster)
	if err != nil {
		return err
	}
	if inForce != nil {
		effective = inForce
	}
	namespaces, err := cluster.Namespaces(ctx, in.namespaces, release)
	if err != nil {
		return err
	}
	progress := terminal.Begin(c.ErrOrStderr(), "reading the cluster")
	defer progress.End()
	reading := &live.Reading{Cluster: cluster, Namespaces: namespaces, Named: len(in.namespaces) > 0, Progress: progress.Show}
	for contents, err := range reading.All(ctx) {
		if err != nil {
			return err
		}
		inputs := review.Offline(contents.Objects, effective, facts, contents.Unread...)
		if inputs, _, err = workloadsOf(inputs); err != nil {
			return err
		}
		for i := range inputs {
			inputs[i].Facts.Twins = contents.Twins.Of
		}
		if !use(inputs) {
			return nil
		}
	}
	progress.End()
	for _, note := range reading.Notes() {
		in.warn(c, note)
	}
	return nil
}

// warn tells of what could not be read, and remembers it for reports that are read by others.
func (in *input) warn(c *cobra.Command, gap string) {
	fmt.Fprintln(c.ErrOrStderr(), "warning:", gap)
	in.gaps = append(in.gaps, gap)
}

// clusterFacts are those of the flags, with the cluster's versions.
func (in *input) clusterFacts(ctx context.Context, c *cobra.Command, cluster *live.Cluster) (policy.Facts, error) {
	facts, err := in.facts()
	if err != nil || c.Flags().Changed("kubernetes") {
		return facts, err
	}
	versions, unread, err := cluster.Kubernetes(ctx)
	if unread != nil {
		in.warn(c, fmt.Sprintf("may not list nodes: kubelets are taken for as new as the API server (1.%d)", versions.APIServer))
	}
	facts.Kubernetes = versions
	return facts, err
}

// clusterPolicy is the cluster's policy, nil where it has none or the flags name another. Which holds is said on standard
// error. The namespace of the cluster's is Twelvefold's own.
func (in *input) clusterPolicy(ctx context.Context, c *cobra.Command, cluster *live.Cluster) (p *policy.Policy, release string, err error) {
	configMap, unread, err := cluster.Policy(ctx)
	if configMap != nil {
		release = configMap.Namespace
	}
	switch {
	case in.policyFile != "":
		return nil, release, nil
	case err != nil:
		return nil, "", err
	case unread != nil:
		in.warn(c, "may not list configmaps: the cluster's policy is unknown, the built-in one is taken; --policy names another")
		return nil, "", nil
	case configMap == nil:
		fmt.Fprintln(c.ErrOrStderr(), "policy: the built-in one, since the cluster has none")
		return nil, "", nil
	}
	in.policyName = configMap.Namespace + "/" + configMap.Name
	text, found := configMap.Data[policy.Key]
	if !found {
		return nil, "", fmt.Errorf("the cluster's policy, ConfigMap %s, has no key %s; name one with --policy", in.policyName, policy.Key)
	}
	if p, err = review.LoadPolicy([]byte(text), rules.Catalogue{}); err != nil {
		return nil, "", fmt.Errorf("the cluster's policy, ConfigMap %s, has no effect; mend it, or name one with --policy:\n%w", in.policyName, err)
	}
	fmt.Fprintf(c.ErrOrStderr(), "policy: ConfigMap %s (%s)\n", in.policyName, p.Hash())
	return p, release, nil
}

// clusterObjects are the workloads of some namespaces of a cluster.
func (f *clusterFlags) clusterObjects(c *cobra.Command, names []string) (objects []manifest.Object, err error) {
	ctx, stop := interruptible(c)
	defer stop()
	cluster, err := live.Connect(f.kubeconfig, f.context)
	if err != nil {
		return nil, err
	}
	namespaces, err := cluster.Namespaces(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, namespace := range namespaces {
		found, err := cluster.Workloads(ctx, namespace.Name)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	return objects, nil
}
