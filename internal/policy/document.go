package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// APIVersion and Kind identify a policy document.
const (
	APIVersion = "twelvefold.dev/v1alpha1"
	Kind       = "Policy"
	// Key is the key of the policy ConfigMap that holds the document.
	Key = "policy.yaml"
	// ConfigMapLabel marks the policy ConfigMap, by the value true.
	ConfigMapLabel = "twelvefold.dev/policy"
)

// Document is a policy as people write it. [Parse] reads it, [Policy] is what takes effect.
type Document struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Spec       Spec   `yaml:"spec"`
}

// Spec is the policy: what namespaces override, and what holds for all.
type Spec struct {
	Settings         `yaml:",inline"`
	Namespaces       []NamespaceSettings `yaml:"namespaces"`
	Templates        *Level              `yaml:"templates"`        // workloads whose pods would be denied: warn (default) or deny
	IgnoreContainers []string            `yaml:"ignoreContainers"` // replaces the default list
	AllowedRequester []string            `yaml:"allowedRequesters"`
	Exemptions       []Exemption         `yaml:"exemptions"`
	KeyVault         KeyVault            `yaml:"keyVault"`
	Metrics          Metrics             `yaml:"metrics"`
	Logs             Logs                `yaml:"logs"`
	CustomRules      []CustomRule        `yaml:"customRules"`
	Tests            []Test              `yaml:"tests"`
}

// Settings set levels. Precedence: rules, then factors, then the profile.
type Settings struct {
	Profile *Profile               `yaml:"profile"`
	Factors map[Factor]Level       `yaml:"factors"`
	Rules   map[string]RuleSetting `yaml:"rules"`
}

// RuleSetting changes one rule. An absent level leaves the rule's own, and so does an absent repair: see [Effective.Repairs].
type RuleSetting struct {
	Level  *Level    `yaml:"level"`
	Repair *bool     `yaml:"repair"`
	Params yaml.Node `yaml:"params"`
}

// NamespaceSettings hold for the namespaces that match; of several, the first wins.
type NamespaceSettings struct {
	Match       NamespaceMatch `yaml:"match"`
	Environment string         `yaml:"environment"` // production makes debug-in-production deny
	Settings    `yaml:",inline"`
	Logs        LogModes `yaml:"logs"`
}

// NamespaceMatch selects namespaces: one of the names (globs), and all of the labels. An empty part matches all.
type NamespaceMatch struct {
	Names  []string          `yaml:"names"`
	Labels map[string]string `yaml:"labels"`
}

// Exemption lifts rules for a workload or a container, until it expires.
type Exemption struct {
	ID        string   `yaml:"id"`
	Rules     []string `yaml:"rules"`
	Namespace string   `yaml:"namespace"` // glob; empty is all
	Workload  string   `yaml:"workload"`  // glob of Kind/name, of a pod that none of Kubernetes' workloads made also Pod/name; empty is all
	Container string   `yaml:"container"` // glob; empty is all
	Reason    string   `yaml:"reason"`
	Owner     string   `yaml:"owner"`
	Expires   Date     `yaml:"expires"` // the last day on which it holds, UTC
}

// Date is a day in UTC: 2027-03-31.
type Date struct{ time.Time }

// KeyVault says which vaults there are, who may use them, and how secrets are delivered.
type KeyVault struct {
	Cloud         string    `yaml:"cloud"`         // public (default), china, usgov
	DNSSuffixes   []string  `yaml:"dnsSuffixes"`   // allowed in addition to the clouds' own
	AuthorityHost string    `yaml:"authorityHost"` // Entra ID's URL, where it isn't the cloud's own
	Proxy         string    `yaml:"proxy"`         // HTTPS proxy of the agent: http://host:port
	TrustedCA     string    `yaml:"trustedCA"`     // PEM, trusted by the agent in addition to the system's
	Identity      Identity  `yaml:"identity"`
	Vaults        []Vault   `yaml:"vaults"` // empty: any vault under the allowed suffixes
	Bindings      []Binding `yaml:"bindings"`
	Verify        *Level    `yaml:"verify"`   // off, warn (default), deny
	Rotation      string    `yaml:"rotation"` // none (default), files, restart, rollout
	// RotationInterval is how often the agent looks for new versions: a duration as 90s, at least 10s.
	RotationInterval string            `yaml:"rotationInterval"`
	Akv2k8s          map[string]string `yaml:"akv2k8s"` // AzureKeyVaultSecret name to reference
}

// Identity is how the agent signs in. Of a workload identity, client and tenant are used where the service account names
// none; a managed identity without client is the node's own.
type Identity struct {
	Kind     string `yaml:"kind"` // workload (default), managed, service-principal
	ClientID string `yaml:"clientID"`
	TenantID string `yaml:"tenantID"`
	// Secret of the pod's namespace with the keys clientsecret and, where clientID is not given, clientid. It is for a
	// service principal.
	Secret string `yaml:"secret"`
}

// Vault gives namespaces the use of a vault.
type Vault struct {
	Name       string   `yaml:"name"`       // a vault name of the cloud, or a whole host
	Namespaces []string `yaml:"namespaces"` // globs
	Owner      string   `yaml:"owner"`      // whom a refused namespace should ask
}

// Binding injects secrets into the pods that match, without a word in their specs.
type Binding struct {
	Match PodMatch                 `yaml:"match"`
	Vault string                   `yaml:"vault"`
	Env   map[string]BindingSecret `yaml:"env"`
	Files map[string]BindingSecret `yaml:"files"`
}

// PodMatch selects pods: in one of the namespaces (globs), with all of the labels.
type PodMatch struct {
	Namespaces []string          `yaml:"namespaces"`
	Labels     map[string]string `yaml:"labels"`
}

// BindingSecret is a reference: NAME[/VERSION] or a full one, as a string or as {secret: …, optional: true}.
type BindingSecret struct {
	Secret   string `yaml:"secret"`
	Optional bool   `yaml:"optional"`
}

// Metrics says who scrapes and which exporters there are.
type Metrics struct {
	Consumers []string   `yaml:"consumers"` // who scrapes: prometheus (the default), azure, container-insights, datadog, grafana, opentelemetry
	Registry  string     `yaml:"registry"`  // mirror of the exporters' images: contoso.azurecr.io/mirror
	Exporters []Exporter `yaml:"exporters"` // add to the built-in ones, or replace one by name
	Profiles  []string   `yaml:"profiles"`  // framework profiles that are on: spring-boot, quarkus, micronaut, opentelemetry
}

// Exporter is a metrics exporter for an image that has no endpoint of its own. What one with a built-in one's name
// leaves out is the built-in one's.
type Exporter struct {
	Name     string            `yaml:"name"`
	Match    []string          `yaml:"match"`    // apps' images, by the end of their name: redis, bitnami/redis, php:fpm
	Programs []string          `yaml:"programs"` // what such an image runs as a server, if it isn't called as the image is
	Image    string            `yaml:"image"`
	Port     int32             `yaml:"port"`
	PortFlag string            `yaml:"portFlag"` // the flag that moves the port; $(ADDRESS) stands for :PORT
	AppPort  int32             `yaml:"appPort"`  // where the app listens if it declares no port; 0: it must declare one
	Args     []string          `yaml:"args"`     // $(APP_PORT) stands for the app's port, $(ADDRESS) for the exporter's :PORT, in env too
	Env      map[string]string `yaml:"env"`      // may use credentials and values: $(DATABASE)
	// Credentials are copied from the app by their valueFrom: the exporter's env name, and the app's, of which the first
	// that it has is taken.
	Credentials map[string]Names `yaml:"credentials"`
	// Values are what is no secret: user and database names. They are copied as text, too.
	Values map[string]Value `yaml:"values"`
	// Passwordless names the app's variables that say that it needs no password. Where it is set, an app that has neither
	// credentials nor one of these gets no exporter.
	Passwordless []string `yaml:"passwordless"`
	User         int64    `yaml:"user"` // numeric; default 65534
	Jar          string   `yaml:"jar"`  // of a Java agent, which runs in the app: its path in the image
}

// Movable says whether an exporter's port can be another than its own.
func (e *Exporter) Movable() bool {
	address := func(text string) bool { return strings.Contains(text, "$(ADDRESS)") }
	return e.PortFlag != "" || slices.ContainsFunc(e.Args, address) || slices.ContainsFunc(slices.Collect(maps.Values(e.Env)), address)
}

// Names are env names, written as one or as a list.
type Names []string

// Value is the app's first variable of those named, or the default. It is written as a name, a list, or
// {from: [NAME], default: TEXT}.
type Value struct {
	From    Names  `yaml:"from"`
	Default string `yaml:"default"`
}

// Logs says what is done about logs that go elsewhere than to stdout, and who collects them.
type Logs struct {
	LogModes   `yaml:",inline"`
	Collectors []string `yaml:"collectors"` // azure, container-insights, datadog, elastic, fluentbit: whose annotations pods get
}

// LogModes say how far repair goes, for all signals and for single ones.
type LogModes struct {
	Mode    string            `yaml:"mode"`    // off, audit, warn (default), repair, deny
	Signals map[string]string `yaml:"signals"` // per signal
}

// CustomRule is a rule in CEL: a pod is right where the expression is true.
type CustomRule struct {
	ID         string       `yaml:"id"`
	Factor     Factor       `yaml:"factor"`
	Level      CustomLevels `yaml:"level"` // one, or one for each of baseline and strict; warn if there is none
	Expression string       `yaml:"expression"`
	Message    string       `yaml:"message"`
	// MessageExpression makes the message in CEL. Where it fails or makes none, the message is what Message says.
	MessageExpression string         `yaml:"messageExpression"`
	Fix               string         `yaml:"fix"`
	Field             string         `yaml:"field"`  // of the pod, that findings are about: metadata.labels; spec if there is none
	Params            map[string]any `yaml:"params"` // defaults of what the policy's rules and namespaces may set
}

// CustomLevels are written as one level, or as {baseline: warn, strict: deny}.
type CustomLevels struct {
	Levels
	set bool
}

// Test is a sample that the policy must judge as expected; a policy that fails its own tests takes no effect.
type Test struct {
	Name      string            `yaml:"name"`
	Namespace string            `yaml:"namespace"`
	Labels    map[string]string `yaml:"namespaceLabels"`
	Pod       JSON              `yaml:"pod"`
	Expect    Expectation       `yaml:"expect"`
}

// Expectation lists the rules that must be found at each level. Nothing else may deny; what else warns is passed over.
type Expectation struct {
	Deny []string `yaml:"deny"`
	Warn []string `yaml:"warn"`
}

// JSON is a YAML value kept as JSON.
type JSON json.RawMessage
