// Package live reads a cluster as the command line does: with the rights of a kubeconfig, by get and list and nothing else,
// and no Secret.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/cluster"
	"twelvefold.dev/internal/policy"
)

const (
	connectTimeout = 10 * time.Second
	// answerTimeout bounds one request, and with the first the time that somebody takes to log in when a credential plugin
	// asks. Dead connections are found much sooner.
	answerTimeout = 5 * time.Minute
	// What the API server is asked a second. Its own priority and fairness does the rest.
	qps, burst = 50, 100
)

// Cluster is one that can be read.
type Cluster struct {
	client    client.Client // past any cache; only its reads are used
	discovery discovery.DiscoveryInterface
	host      string
}

// Connect prepares to read the cluster of a kubeconfig's context. Nothing is asked yet. Empty arguments mean what they mean
// to kubectl: $KUBECONFIG or ~/.kube/config, and the current context. In a pod without a kubeconfig it is the pod's cluster.
func Connect(kubeconfig, contextName string) (*Cluster, error) {
	config, err := load(kubeconfig, contextName)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "twelvefold"
	config.QPS, config.Burst = qps, burst
	config.Timeout = answerTimeout
	config.Dial = (&net.Dialer{Timeout: connectTimeout}).DialContext
	config.WarningHandler = rest.NoWarnings{} // of old API versions, which nobody here can mend
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	reads, err := client.New(config, client.Options{Scheme: scheme.Scheme, HTTPClient: http})
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	served, err := discovery.NewDiscoveryClientForConfigAndClient(config, http)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return &Cluster{reads, served, config.Host}, nil
}

func load(kubeconfig, contextName string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	rules.Warner = func(error) {} // that a file of $KUBECONFIG is missing
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName})
	raw, err := loader.RawConfig()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--kubeconfig %s: no such file", kubeconfig)
	} else if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	contexts := strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", ")
	switch name := cmp.Or(contextName, raw.CurrentContext); {
	case contexts == "" && contextName != "":
		return nil, fmt.Errorf("--context %s: there is no kubeconfig with a context; %s", contextName, getKubeconfig)
	case name == "" && contexts != "":
		return nil, fmt.Errorf("the kubeconfig has no current context; name one with --context: %s", contexts)
	case name != "" && raw.Contexts[name] == nil:
		return nil, fmt.Errorf("the kubeconfig has no context %q; it has %s", name, contexts)
	case name != "" && raw.Clusters[raw.Contexts[name].Cluster] == nil:
		return nil, fmt.Errorf("the kubeconfig's context %q is of a cluster %q, which is not there; take another with --context: %s", name, raw.Contexts[name].Cluster, contexts)
	}
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no kubeconfig; " + getKubeconfig)
	} else if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return config, nil
}

const getKubeconfig = "name one with --kubeconfig or $KUBECONFIG, or get one: az aks get-credentials --resource-group <group> --name <cluster>"

// Kubernetes are the versions of the API server and of the oldest kubelet. Where nodes may not be listed, the kubelets'
// stays 0, and why is told.
func (c *Cluster) Kubernetes(ctx context.Context) (found policy.Kubernetes, unread, err error) {
	found, err = cluster.ReadVersions(ctx, discovery.ToServerVersionInterfaceWithContext(c.discovery), c.client)
	if err != nil && found.APIServer > 0 && apierrors.IsForbidden(err) {
		return found, err, nil
	}
	return found, nil, c.explain(err)
}

// explain says what to do about an error.
func (c *Cluster) explain(err error) error {
	if err == nil {
		return nil
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	var network *net.OpError
	var name *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s does not accept the kubeconfig's credentials: they have expired, or are another cluster's; log in anew (az login, kubelogin) or get others: az aks get-credentials", c.host)
	case strings.Contains(text, "exec: executable "):
		return fmt.Errorf("the kubeconfig gets credentials from a program: %s", plugin(text))
	case errors.As(err, &network), errors.As(err, &name), errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s does not answer: %s; is the cluster started (az aks start), and does it let this machine in? A private cluster answers in its own network only", c.host, text)
	case strings.Contains(text, "x509: "):
		return fmt.Errorf("%s is not trusted: %s; the kubeconfig may be older than the cluster's certificates: get it anew", c.host, text)
	}
	return errors.New(text)
}

// plugin tells of a credential plugin: client-go has no types for what goes wrong with one.
func plugin(text string) string {
	_, text, _ = strings.Cut(text, "exec: executable ")
	name, _, _ := strings.Cut(text, " ")
	if strings.HasPrefix(text, name+" not found") {
		hint := "install it, or put it into $PATH"
		if strings.HasSuffix(name, "kubelogin") {
			hint = "az aks install-cli installs it"
		}
		return fmt.Sprintf("%s is not installed; %s", name, hint)
	}
	return fmt.Sprintf("%s; run it by hand to see why, or log in anew: az login", text)
}
