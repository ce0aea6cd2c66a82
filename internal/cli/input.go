package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

// stdin is what findings call standard input.
const stdin = "stdin"

// input are the flags that say what to review, and as what.
type input struct {
	files      []string
	named      []string // the same with the arguments
	policyFile string
	policyName string // what people call it
	namespaces []string
	labels     map[string]string
	kubernetes string
	agentImage string
	registry   bool
	gaps       []string // what of a cluster could not be read
	clusterFlags
}

// addFlags adds the flags of commands that read files.
func (in *input) addFlags(c *cobra.Command) {
	f := c.Flags()
	in.addCommonFlags(c)
	f.StringVar(&in.policyFile, "policy", "", "policy: the ConfigMap or the bare document (default: the built-in policy)")
	f.StringSliceVarP(&in.namespaces, "namespace", "n", nil, "namespace of objects that name none (default: default)")
	f.StringVar(&in.kubernetes, "kubernetes", newest, "version of the cluster")
}

// addClusterFlags adds the flags of commands that read files or a cluster.
func (in *input) addClusterFlags(c *cobra.Command) {
	f := c.Flags()
	in.addCommonFlags(c)
	in.clusterFlags.addFlags(c)
	f.StringVar(&in.policyFile, "policy", "", "policy: the ConfigMap or the bare document (default: the cluster's policy, else the built-in one)")
	f.StringSliceVarP(&in.namespaces, "namespace", "n", nil,
		"of a cluster, the namespaces to read: a,b (default: all but Kubernetes' and AKS's own); of files, that of objects that name none (default: default)")
	f.StringVar(&in.kubernetes, "kubernetes", newest, "version of the cluster; with --cluster it is asked")
	f.BoolVar(&in.registry, "registry", false, "ask the registries of images for labels that tell their source; signs in as docker does")
}

func (in *input) addCommonFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVarP(&in.files, "filename", "f", nil, "file, directory, or - for standard input; may be repeated")
	f.StringToStringVar(&in.labels, "namespace-labels", nil, "labels of the namespace, where the input holds no Namespace: k=v,…")
	f.StringVar(&in.agentImage, "agent-image", "twelvefold-agent", "image of injected containers")
}

// newest is the newest Kubernetes that this version knows.
var newest = fmt.Sprintf("1.%d", policy.NewestKubernetes)

// read reads everything that the flags name. More files may stand as arguments, as a shell expands them.
func (in *input) read(c *cobra.Command, args []string) ([]review.Input, error) {
	sources, err := in.sources(c, args)
	if err != nil {
		return nil, err
	}
	return in.inputs(sources)
}

// sources are the files that the flags name.
func (in *input) sources(c *cobra.Command, args []string) ([]source, error) {
	files := slices.Concat(in.files, args)
	if len(files) == 0 {
		return nil, errors.New(in.nothing(c))
	}
	if err := in.checkNamespaces(c); err != nil {
		return nil, err
	}
	if len(in.namespaces) > 1 {
		return nil, fmt.Errorf("-n %s: objects in files that name no namespace are in one; name that one", strings.Join(in.namespaces, ","))
	}
	if i := slices.Index(files, "-"); i >= 0 && slices.Contains(files[i+1:], "-") {
		return nil, errors.New("-f - stands twice, but standard input can be read only once")
	}
	in.named = files
	var sources []source
	for _, file := range files {
		found, err := readFiles(c, file)
		if err != nil {
			return nil, err
		}
		sources = append(sources, found...)
	}
	return sources, nil
}

// checkNamespaces refuses an empty name, which is most likely a variable that is not set: it must not mean all of a cluster.
func (in *input) checkNamespaces(c *cobra.Command) error {
	if c.Flags().Changed("namespace") && (len(in.namespaces) == 0 || slices.Contains(in.namespaces, "")) {
		return errors.New("-n: an empty name; name a namespace, or leave -n out")
	}
	return nil
}

func (in *input) nothing(c *cobra.Command) string {
	text := "nothing to read: name a file, a directory or - with -f"
	if c.Flags().Lookup("cluster") != nil {
		text += ", or a cluster with --cluster"
	}
	return text
}

// inputs are the objects of some files, ready for review under the policy of the flags.
func (in *input) inputs(sources []source) ([]review.Input, error) {
	effective, err := in.policy()
	if err != nil {
		return nil, err
	}
	objects, err := in.objects(sources)
	if err != nil {
		return nil, err
	}
	facts, err := in.facts()
	if err != nil {
		return nil, err
	}
	return review.Offline(objects, effective, facts), nil
}

func (in *input) policy() (*policy.Policy, error) {
	in.policyName = cmp.Or(in.policyFile, "the built-in policy")
	if in.policyFile == "" {
		return policy.Default(rules.Catalogue{}), nil
	}
	return readPolicy(in.policyFile)
}

func (in *input) objects(sources []source) ([]manifest.Object, error) {
	var objects []manifest.Object
	for _, s := range sources {
		found, err := manifest.Read(bytes.NewReader(s.data), s.name)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	if !slices.ContainsFunc(objects, func(o manifest.Object) bool { return o.Kind != "" }) { // most likely not what was meant: a gate must not pass because helm template failed before it
		return nil, fmt.Errorf("no Kubernetes object in %s", strings.Join(in.named, ", "))
	}
	return objects, nil
}

// facts are what the flags say of the cluster.
func (in *input) facts() (policy.Facts, error) {
	minor, err := parseKubernetes(in.kubernetes)
	if err == nil {
		err = checkLabels(in.labels)
	}
	return policy.Facts{
		Now:             time.Now(),
		Namespace:       cmp.Or(append(in.namespaces, "default")...),
		NamespaceLabels: in.labels,
		Kubernetes:      policy.Kubernetes{APIServer: minor, OldestKubelet: minor},
		AgentImage:      in.agentImage,
		Lookup:          policy.Lookup{Labels: in.imageLabels()},
	}, err
}

// checkLabels refuses a profile that the webhook would not know, and so pass over.
func checkLabels(labels map[string]string) error {
	if err := policy.CheckProfileLabel(labels); err != nil {
		return fmt.Errorf("--namespace-labels %w", err)
	}
	return nil
}

func readPolicy(file string) (*policy.Policy, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return loadPolicy(file, data)
}

func loadPolicy(file string, data []byte) (*policy.Policy, error) {
	p, err := review.LoadPolicy(data, rules.Catalogue{})
	if err != nil {
		return nil, fmt.Errorf("%s:\n%w", file, err)
	}
	return p, nil
}

func parseKubernetes(text string) (int, error) {
	major, minor, ok := strings.Cut(strings.TrimPrefix(text, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	n, err := strconv.Atoi(minor)
	if !ok || major != "1" || err != nil || n < 0 {
		return 0, fmt.Errorf("--kubernetes %q: want a version like %s", text, newest)
	}
	return n, nil
}

// source is the text of a file.
type source struct {
	name string
	data []byte
}

func readFiles(c *cobra.Command, name string) ([]source, error) {
	if name == "-" {
		data, err := io.ReadAll(c.InOrStdin())
		return []source{{stdin, data}}, err
	}
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return nil, fmt.Errorf("%s: URLs are not fetched; pipe it in: curl -fsSL %s | %s -f -", name, name, c.CommandPath())
	}
	root := name
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		root += "/" // else a link to a directory would be taken for a file
	}
	var sources []source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if path != name && !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			return nil
		}
		if info, err := os.Stat(path); path != name && err == nil && !info.Mode().IsRegular() { // a pipe would never end
			return nil
		}
		data, err := os.ReadFile(path)
		sources = append(sources, source{path, data})
		return err
	})
	return sources, err
}
