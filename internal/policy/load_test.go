package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/policy"
)

// params are the parameters of the test's rule with-params.
type params struct {
	Tags  []string          `yaml:"tags"`
	Names map[string]string `yaml:"names"`
}

// bounds are parameters that check themselves.
type bounds struct {
	Most int `yaml:"most"`
}

func (b bounds) Validate() error {
	if b.Most < 1 {
		return fmt.Errorf("most: %d; at least 1", b.Most)
	}
	return nil
}

// catalogue is some rules.
type catalogue map[string]policy.RuleInfo

func (c catalogue) Lookup(id string) (policy.RuleInfo, bool) { r, ok := c[id]; return r, ok }

func (c catalogue) Repairable() []string { return []string{"mended", "may-be-mended"} }

func testRules() catalogue {
	return catalogue{
		"denies":        {ID: "denies", Factor: "V", Levels: policy.At(policy.Deny)},
		"rises":         {ID: "rises", Factor: "XI", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		"mended":        {ID: "mended", Factor: "V", Levels: policy.At(policy.Warn), Repair: policy.ByDefault, Params: bounds{Most: 10}},
		"may-be-mended": {ID: "may-be-mended", Factor: "V", Levels: policy.At(policy.Warn), Repair: policy.OnRequest},
		"with-params":   {ID: "with-params", Factor: "V", Levels: policy.At(policy.Warn), Params: params{Tags: []string{"latest"}, Names: map[string]string{"a": "1"}}},
	}
}

// document is a policy with the text given as its spec, from line 4 on.
func document(spec string) string {
	return "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec:\n" + spec
}

func parse(t *testing.T, spec string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(document(spec)), testRules())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseRefuses(t *testing.T) {
	exemption := "  exemptions:\n  - {rules: [%s], reason: r, owner: o, expires: %s}\n"
	for name, test := range map[string]struct{ text, want string }{
		"empty":                            {"", "the document is empty"},
		"comments only":                    {"# nothing\n", "the document is empty"},
		"null":                             {"null\n", "the document is empty"},
		"a list":                           {"- a\n", "the document is not a mapping"},
		"two documents":                    {document("  profile: audit\n") + "---\na: 1\n", "more than one YAML document"},
		"a vault's name":                   {document("  keyVault:\n    vaults:\n    - {name: \"a/../b\"}\n"), "line 6: spec.keyVault.vaults[0].name: "},
		"a binding's vault":                {document("  keyVault:\n    bindings:\n    - {vault: x, env: {A: b}}\n"), "line 6: spec.keyVault.bindings[0].vault: "},
		"a binding's secret":               {document("  keyVault:\n    bindings:\n    - {env: {A: \"b c\"}}\n"), "line 6: spec.keyVault.bindings[0].env[\"A\"]: "},
		"a binding's file":                 {document("  keyVault:\n    bindings:\n    - {files: {../a: b}}\n"), "line 6: spec.keyVault.bindings[0].files: "},
		"bytes for a variable":             {document("  keyVault:\n    bindings:\n    - {env: {A: \"b?encoding=hex\"}}\n"), "line 6: spec.keyVault.bindings[0].env[\"A\"]: it can't be a variable: "},
		"a reference's query":              {document("  keyVault:\n    bindings:\n    - {files: {a: \"b?mode=9\"}}\n"), "line 6: spec.keyVault.bindings[0].files[\"a\"]: the mode "},
		"an akv2k8s name":                  {document("  keyVault:\n    akv2k8s:\n      \"a_b\": https://shop.vault.azure.net/secrets/a\n"), "line 6: spec.keyVault.akv2k8s: \"a_b\" is not the name of"},
		"an akv2k8s reference":             {document("  keyVault:\n    akv2k8s:\n      a: b\n"), "line 6: spec.keyVault.akv2k8s[\"a\"]: it names no vault"},
		"bytes for an akv2k8s reference":   {document("  keyVault:\n    akv2k8s:\n      a: https://shop.vault.azure.net/secrets/a?mode=0400\n"), "line 6: spec.keyVault.akv2k8s[\"a\"]: it can't be a variable: "},
		"an app's port":                    {document("  metrics:\n    exporters:\n    - {name: a, appPort: 70000}\n"), "70000 is no port"},
		"a glob of containers":             {document("  ignoreContainers: [\"[\"]\n"), "line 4: spec.ignoreContainers: "},
		"a glob of requesters":             {document("  allowedRequesters: [\"[\"]\n"), "line 4: spec.allowedRequesters: "},
		"a workload without a kind":        {document("  exemptions:\n  - {rules: [denies], workload: shop, reason: r, owner: o, expires: 2027-03-31}\n"), "want Kind/name, such as Deployment/shop"},
		"a blank reason":                   {document("  exemptions:\n  - {rules: [denies], reason: \" \", owner: o, expires: 2027-03-31}\n"), "reason is missing"},
		"a test without a name":            {document("  tests:\n  - {pod: {}}\n"), "line 5: spec.tests[0]: name is missing"},
		"a test without a pod":             {document("  tests:\n  - {name: a}\n"), "line 5: spec.tests[0]: pod is missing"},
		"a ConfigMap's lines":              {"kind: ConfigMap\ndata:\n  policy.yaml: |\n    apiVersion: twelvefold.dev/v1alpha1\n    kind: Policy\n    spec:\n      foo: 1\n", "line 7: unknown field"},
		"a ConfigMap's keys":               {"kind: ConfigMap\ndata: {policy.yml: x}\n", "no key \"policy.yaml\"; it has \"policy.yml\""},
		"a ConfigMap's mapping":            {"kind: ConfigMap\ndata:\n  policy.yaml: {kind: Policy}\n", "line 3: data[\"policy.yaml\"]: want text, not a mapping; write policy.yaml: |"},
		"no YAML":                          {"a: [\n", "policy: line "},
		"too large":                        {document("  profile: audit #" + strings.Repeat("x", policy.MaxSize)), "at most 524288"},
		"another version":                  {strings.Replace(document("  profile: audit\n"), "v1alpha1", "v2", 1), `apiVersion is "twelvefold.dev/v2"; this version reads twelvefold.dev/v1alpha1`},
		"another kind":                     {strings.Replace(document("  profile: audit\n"), "kind: Policy", "kind: Rules", 1), `kind is "Rules"; want Policy`},
		"no spec":                          {"apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\n", "spec is missing"},
		"an empty spec":                    {document(""), "spec is missing"},
		"spec is a list":                   {document("- a\n"), "line 4: want a mapping, not a list"},
		"spec is text":                     {"apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: strict\n", "line 3: want a mapping, not text `strict`"},
		"unknown key":                      {document("  profil: strict\n"), `line 4: unknown field "profil"`},
		"unknown nested key":               {document("  keyVault:\n    vaults:\n    - {nam: a}\n"), `line 6: unknown field "nam"`},
		"duplicate key":                    {document("  profile: audit\n  profile: strict\n"), `line 5: mapping key "profile" already defined at line 4`},
		"rule that is a level":             {document("  rules: {denies: deny}\n"), "line 4: want a mapping such as {level: deny}, not text `deny`"},
		"rule given twice":                 {document("  rules:\n    denies: {level: deny}\n    denies: {level: off}\n"), `line 6: mapping key "denies" already defined`},
		"unknown profile":                  {document("  profile: hard\n"), `line 4: unknown profile "hard"; one of off, audit, baseline, strict`},
		"profile is a list":                {document("  profile: [audit]\n"), "line 4: want a word, not a list"},
		"unknown level":                    {document("  rules:\n    denies: {level: error}\n"), `line 5: unknown level "error"; one of off, audit, warn, deny`},
		"level is a boolean":               {document("  rules:\n    denies: {level: true}\n"), `line 5: unknown level "true"`},
		"unknown factor":                   {document("  factors: {XIII: warn}\n"), `line 4: unknown factor "XIII"; I to XII`},
		"unknown rule":                     {document("  rules:\n    denys: {level: off}\n"), `line 5: unknown rule "denys" (twelvefold explain lists the rules)`},
		"a rule as findings head it":       {document("  exemptions:\n  - {rules: [V/denies], reason: r, owner: o, expires: 2027-01-01}\n"), `unknown rule "V/denies"; write denies`},
		"unknown rule in a namespace":      {document("  namespaces:\n  - match: {names: [a]}\n    rules: {denys: {level: off}}\n"), `line 6: unknown rule "denys"`},
		"params of a rule that has none":   {document("  rules: {denies: {params: {a: 1}}}\n"), "rule denies takes no params"},
		"a repair that there is not":       {document("  rules:\n    denies: {repair: true}\n"), "line 5: rule denies has no repair; these have one: mended, may-be-mended"},
		"a repair in a namespace":          {document("  namespaces:\n  - match: {names: [a]}\n    rules: {denies: {repair: false}}\n"), "line 6: rule denies has no repair"},
		"a repair that is no boolean":      {document("  rules:\n    mended: {repair: maybe}\n"), "line 5: want true or false, not text `maybe`"},
		"params out of bounds":             {document("  rules:\n    mended: {params: {most: 0}}\n"), "line 5: rule mended: params: most: 0; at least 1"},
		"unknown param":                    {document("  rules: {with-params: {params: {tag: [a]}}}\n"), `line 4: rule with-params: params: unknown field "tag"`},
		"param of another type":            {document("  rules: {with-params: {params: {tags: a}}}\n"), "line 4: rule with-params: params: want a list, not text `a`"},
		"broken glob":                      {document("  namespaces:\n  - match: {names: [\"[\"]}\n"), `line 5: spec.namespaces[0].match.names: "[" is not a valid pattern`},
		"exemption without rules":          {document("  exemptions:\n  - {reason: r, owner: o, expires: 2027-01-01}\n"), "line 5: spec.exemptions[0]: rules is empty"},
		"exemption without reason":         {document("  exemptions:\n  - {rules: [denies], owner: o, expires: 2027-01-01}\n"), "line 5: spec.exemptions[0]: reason is missing"},
		"exemption without owner":          {document("  exemptions:\n  - {rules: [denies], reason: r, expires: 2027-01-01}\n"), "line 5: spec.exemptions[0]: owner is missing"},
		"exemption without end":            {document("  exemptions:\n  - {rules: [denies], reason: r, owner: o}\n"), "line 5: spec.exemptions[0]: expires is missing"},
		"exemption of no rule":             {document(fmt.Sprintf(exemption, "nothing", "2027-01-01")), `line 5: spec.exemptions[0]: unknown rule "nothing"`},
		"no date":                          {document(fmt.Sprintf(exemption, "denies", "2027-02-30")), `line 5: "2027-02-30" is not a date like 2027-03-31`},
		"exemption given twice":            {document("  exemptions:\n  - {id: a, rules: [denies], reason: r, owner: o, expires: 2027-01-01}\n  - {id: a, rules: [rises], reason: r, owner: o, expires: 2027-01-01}\n"), `line 6: spec.exemptions[1]: the id "a" is given twice`},
		"custom rule without factor":       {document("  customRules:\n  - {id: a, expression: x, message: m}\n"), "line 5: spec.customRules[0]: factor is missing"},
		"custom rule of a built-in's name": {document("  customRules:\n  - {id: denies, factor: I, expression: x, message: m}\n"), `line 5: spec.customRules[0]: the id "denies" is given twice`},
		"custom rule without end of text":  {document("  customRules:\n  - id: a\n    factor: I\n    message: m\n    expression: |\n      true &&\n      nope\n"), `line 10: spec.customRules[0].expression: undeclared reference to 'nope'`},
		"custom rule that is no condition": {document("  customRules:\n  - {id: a, factor: I, message: m, expression: '\"a\"'}\n"), "line 5: spec.customRules[0].expression: its type is string; want bool"},
		"custom message that is no text":   {document("  customRules:\n  - {id: a, factor: I, message: m, expression: 'true', messageExpression: '1'}\n"), "line 5: spec.customRules[0].messageExpression: its type is int; want string"},
		"custom rule given twice":          {document("  customRules:\n  - {id: a, factor: I, message: m, expression: 'true'}\n  - {id: a, factor: I, message: m, expression: 'true'}\n"), `line 6: spec.customRules[1]: the id "a" is given twice`},
		"custom rule of a mutator's name":  {document("  customRules:\n  - {id: keyvault, factor: I, message: m, expression: 'true'}\n"), `line 5: spec.customRules[0]: the id "keyvault" is that of findings about what is injected`},
		"custom rule of a strange name":    {document("  customRules:\n  - {id: a/b, factor: I, message: m, expression: 'true'}\n"), `line 5: spec.customRules[0]: the id "a/b"; want lower-case letters`},
		"custom rule of a strange field":   {document("  customRules:\n  - {id: a, factor: I, message: m, expression: 'true', field: 'a b'}\n"), `line 5: spec.customRules[0].field: "a b"; want a field of the pod`},
		"custom level that falls":          {document("  customRules:\n  - {id: a, factor: I, message: m, expression: 'true', level: {baseline: deny, strict: warn}}\n"), "line 5: strict: warn is weaker than baseline: deny"},
		"custom level of a profile":        {document("  customRules:\n  - {id: a, factor: I, message: m, expression: 'true', level: {audit: deny}}\n"), `line 5: unknown field "audit"; want baseline, strict`},
		"unknown log mode":                 {document("  logs: {mode: strict}\n"), `line 4: spec.logs.mode: unknown value "strict"; one of off, audit`},
		"unknown signal":                   {document("  logs: {signals: {redis-log: deny}}\n"), `line 4: spec.logs.signals: unknown signal "redis-log"; one of buffered-stdout, catalina-out, `},
		"unknown collector":                {document("  logs: {collectors: [splunk]}\n"), `line 4: spec.logs.collectors: unknown value "splunk"; one of azure, container-insights, datadog`},
		"unknown log mode of a namespace":  {document("  namespaces:\n  - match: {names: [a]}\n    logs: {mode: strict}\n"), `line 6: spec.namespaces[0].logs.mode: unknown value "strict"; one of off`},
		"unknown signal of a namespace":    {document("  namespaces:\n  - match: {names: [a]}\n    logs: {signals: {x: deny}}\n"), `line 6: spec.namespaces[0].logs.signals: unknown signal "x"`},
		"unknown mode of a signal":         {document("  logs: {signals: {redirect: no-way}}\n"), `line 4: spec.logs.signals.redirect: unknown value "no-way"`},
		"unknown consumer":                 {document("  metrics: {consumers: [nagios]}\n"), `line 4: spec.metrics.consumers[0]: unknown value "nagios"; one of prometheus, azure, container-insights, datadog, grafana, opentelemetry`},
		"consumer given twice":             {document("  metrics:\n    consumers:\n    - azure\n    - datadog\n    - azure\n"), `line 8: spec.metrics.consumers[2]: "azure" is given twice`},
		"exporter given twice":             {document("  metrics:\n    exporters:\n    - {name: redis}\n    - {name: redis}\n"), `line 7: spec.metrics.exporters[1]: the name "redis" is given twice`},
		"exporter's port":                  {document("  metrics: {exporters: [{name: redis, port: 70000}]}\n"), "line 4: spec.metrics.exporters[0]: 70000 is no port"},
		"exporter's image":                 {document("  metrics:\n    exporters:\n    - {name: a, image: \"a b\"}\n"), "line 6: spec.metrics.exporters[0].image: image"},
		"exporter's match":                 {document("  metrics:\n    exporters:\n    - {name: a, match: [\"a*\"]}\n"), "line 6: spec.metrics.exporters[0].match: "},
		"exporter's portFlag":              {document("  metrics:\n    exporters:\n    - {name: a, portFlag: --port}\n"), "line 6: spec.metrics.exporters[0].portFlag: it has no $(ADDRESS)"},
		"exporter's user":                  {document("  metrics:\n    exporters:\n    - {name: a, user: -1}\n"), "line 6: spec.metrics.exporters[0].user: -1 is no user"},
		"exporter's jar":                   {document("  metrics:\n    exporters:\n    - {name: a, jar: agent.jar}\n"), "line 6: spec.metrics.exporters[0].jar: "},
		"exporter's env":                   {document("  metrics:\n    exporters:\n    - {name: a, env: {\"a b\": c}}\n"), "line 6: spec.metrics.exporters[0].env: \"a b\" is not the name"},
		"exporter's credential":            {document("  metrics:\n    exporters:\n    - {name: a, credentials: {A: [B, \"c=\"]}}\n"), "line 6: spec.metrics.exporters[0].credentials: \"c=\" is not the name"},
		"exporter's credential in a list":  {document("  metrics:\n    exporters:\n    - {name: a, credentials: {A: {from: B}}}\n"), "line 6: want a list"},
		"exporter's value":                 {document("  metrics:\n    exporters:\n    - {name: a, values: {A: {from: [\"\"]}}}\n"), "line 6: spec.metrics.exporters[0].values: \"\" is not the name"},
		"exporter's value's key":           {document("  metrics:\n    exporters:\n    - {name: a, values: {A: {of: B}}}\n"), "line 6: unknown field \"of\""},
		"exporter's variable twice":        {document("  metrics:\n    exporters:\n    - {name: a, env: {A: b}, values: {A: B}}\n"), "line 6: spec.metrics.exporters[0]: A stands in env and values"},
		"mirror":                           {document("  metrics: {registry: \"https://contoso.azurecr.io\"}\n"), "line 4: spec.metrics.registry: "},
		"unknown metrics profile":          {document("  metrics: {profiles: [rails]}\n"), `line 4: spec.metrics.profiles: unknown value "rails"; one of spring-boot, quarkus, micronaut, opentelemetry`},
		"port is text":                     {document("  metrics: {exporters: [{name: redis, port: http}]}\n"), "line 4: want a number, not text `http`"},
		"vault without name":               {document("  keyVault: {vaults: [{namespaces: [a]}]}\n"), "line 4: spec.keyVault.vaults[0]: name is missing"},
		"proxy with user info":             {document("  keyVault: {proxy: \"http://a:b@proxy:8080\"}\n"), "line 4: spec.keyVault.proxy: want http:// or https://host[:port] without user info"},
		"authority over HTTP":              {document("  keyVault: {authorityHost: \"http://login.example.com\"}\n"), "line 4: spec.keyVault.authorityHost: want https://host"},
		"no certificate":                   {document("  keyVault: {trustedCA: abc}\n"), "line 4: spec.keyVault.trustedCA holds no PEM certificate"},
		"identity without secret":          {document("  keyVault:\n    identity: {kind: service-principal, tenantID: t}\n"), "line 5: spec.keyVault.identity.secret: want the name of a Secret"},
		"identity's secret":                {document("  keyVault:\n    identity:\n      kind: service-principal\n      tenantID: t\n      secret: ../a\n"), "line 8: spec.keyVault.identity.secret: want"},
		"identity without tenant":          {document("  keyVault: {identity: {kind: service-principal, secret: s}}\n"), "line 4: spec.keyVault.identity.tenantID is missing"},
		"secret of a managed identity":     {document("  keyVault: {identity: {kind: managed, secret: s}}\n"), "line 4: spec.keyVault.identity.secret is for the kind service-principal"},
		"tenant of a managed identity":     {document("  keyVault: {identity: {kind: managed, tenantID: t}}\n"), "line 4: spec.keyVault.identity.tenantID: a managed identity has"},
		"client id":                        {document("  keyVault:\n    identity:\n      clientID: $(A)\n"), "line 6: spec.keyVault.identity.clientID: "},
		"tenant id":                        {document("  keyVault:\n    identity:\n      tenantID: a/b\n"), "line 6: spec.keyVault.identity.tenantID: "},
		"kind of identity":                 {document("  keyVault: {identity: {kind: pod}}\n"), "line 4: spec.keyVault.identity.kind: unknown value"},
		"rotation":                         {document("  keyVault: {rotation: file}\n"), "line 4: spec.keyVault.rotation: unknown value"},
		"short interval":                   {document("  keyVault: {rotationInterval: 1s}\n"), "line 4: spec.keyVault.rotationInterval: want a duration of 10s"},
		"interval without unit":            {document("  keyVault: {rotationInterval: 120}\n"), "line 4: spec.keyVault.rotationInterval: want a duration"},
		"verify audits":                    {document("  keyVault: {verify: audit}\n"), "line 4: spec.keyVault.verify: one of off, warn, deny"},
		"binding of no variable":           {document("  keyVault: {bindings: [{env: {\"a b\": c}}]}\n"), `line 4: spec.keyVault.bindings[0].env: "a b" is not the name`},
		"unknown key of a secret":          {document("  keyVault: {bindings: [{env: {A: {name: c}}}]}\n"), `line 4: unknown field "name"`},
		"key of a secret twice":            {document("  keyVault: {bindings: [{env: {A: {secret: a, secret: b}}}]}\n"), `line 4: mapping key "secret" already defined`},
		"secret is a list":                 {document("  keyVault: {bindings: [{env: {A: [a]}}]}\n"), "line 4: want a reference, or {secret: …, optional: true}"},
		"aliases without end":              {document("  ignoreContainers: &a [*a]\n"), "policy: "},
		"ConfigMap without key":            {"kind: ConfigMap\ndata: {other: x}\n", `the ConfigMap has no key "policy.yaml"`},
		"empty ConfigMap":                  {"kind: ConfigMap\ndata: {policy.yaml: \"\"}\n", "the document is empty"},
		"ConfigMap with the key twice":     {"kind: ConfigMap\ndata:\n  policy.yaml: a\n  policy.yaml: b\n", `line 4: mapping key "policy.yaml" already defined`},
		"ConfigMap in a ConfigMap":         {"kind: ConfigMap\ndata: {policy.yaml: \"{kind: ConfigMap, data: {policy.yaml: a}}\"}\n", `unknown field "data"`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse([]byte(test.text), testRules())
			if err == nil || p != nil {
				t.Fatal("it was accepted")
			}
			for _, line := range strings.Split(err.Error(), "\n") {
				if !strings.HasPrefix(line, "policy: ") {
					t.Errorf("not a line of its own: %q", line)
				}
			}
			for _, internal := range []string{"into policy.", "!!", "not found in type", "unreadable", "nil pointer"} {
				if strings.Contains(err.Error(), internal) {
					t.Errorf("not for people: %v", err)
				}
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q; want %q", err, test.want)
			}
		})
	}
}

// Every mistake is told at once, in the order of its lines; what only follows from another is not told.
func TestParseReportsAll(t *testing.T) {
	for name, test := range map[string]struct {
		spec string
		want []string
	}{
		"of the checks": {"  rules: {a: {level: warn}}\n  exemptions: [{rules: [b]}]\n  logs: {mode: x}\n", []string{
			`4: unknown rule "a"`, "5: spec.exemptions[0]: reason is missing", "5: spec.exemptions[0]: owner is missing", "5: spec.exemptions[0]: expires is missing",
			`5: spec.exemptions[0]: unknown rule "b"`, `6: spec.logs.mode: unknown value "x"`}},
		"of reading, and of the checks": {`
  profil: strict
  factors: {XX: warn, XI: no}
  rules:
    nope: {level: deny}
  customRules:
  - {id: own, factor: XIII, expression: object.spec, message: m}
  - id: Bad
    factor: [I]
    level: {baseline: x, strict: y, audit: z}
    expression: nope && nada
  exemptions: [{rules: [own], reason: r, owner: o, expires: tomorrow}]
  tests: [{pod: {}}]
`, []string{`5: unknown field "profil"`, `6: unknown factor "XX"`, `6: unknown level "no"`, `8: unknown rule "nope"`, `10: unknown factor "XIII"`,
			"10: spec.customRules[0].expression: it may be anything", "11: spec.customRules[1]: message is missing", `11: spec.customRules[1]: the id "Bad"`,
			"12: want a word, not a list", `13: unknown field "audit"`, `13: unknown level "x"`, `13: unknown level "y"`, "14: spec.customRules[1].expression: undeclared reference to 'nope'",
			"14: spec.customRules[1].expression: undeclared reference to 'nada'", `15: "tomorrow" is not a date`, "16: spec.tests[0]: name is missing", "16: spec.tests[0].pod: it has no spec.containers"}},
		"of templates": {"  templates: Deny\n", []string{`4: unknown level "Deny"`}},
		"of tests": {"  tests:\n  - {name: a, pod: {spec: {containers: [{name: a}]}}, expect: {deny: [Denies], warn: [nope]}}\n  - {name: b, pod: [a]}\n" +
			"  - name: c\n    pod: {kind: Deployment, spec: {template: {}}}\n  - {name: d, pod: {spec: {container: [{name: a}]}}, expect: {audit: [denies]}}\n", []string{
			`5: spec.tests[0].expect: unknown rule "Denies"; write denies`, `5: spec.tests[0].expect: unknown rule "nope"`, "6: spec.tests[1].pod: this is no pod",
			"8: spec.tests[2].pod: want a Pod, not a Deployment", `9: unknown field "audit"`, "9: spec.tests[3].pod: it has no spec.containers"}},
		"of patterns that match nothing": {"  namespaces: [{match: {names: [\"prod-*, dev\", \"{a,b}-*\", \"[!a]*\"]}}]\n  exemptions:\n" +
			"  - {rules: [denies], namespace: A_b, workload: deployment/a, container: a b, reason: r, owner: o, expires: 2027-01-01}\n" +
			"  - {rules: [denies], workload: Deployment/, reason: r, owner: o, expires: 2027-01-01}\n", []string{
			`4: spec.namespaces[0].match.names: "prod-*, dev" matches nothing`, `4: spec.namespaces[0].match.names: "{a,b}-*"`, `4: spec.namespaces[0].match.names: "[!a]*"`,
			`6: spec.exemptions[0].namespace: "A_b" matches nothing`, `6: spec.exemptions[0].container: "a b"`, `6: spec.exemptions[0].workload: "deployment/a" matches nothing`,
			`7: spec.exemptions[1].workload: "Deployment/"`}},
		"of a custom rule's parameters by an anchor": {"  rules: {own: {params: &p {most: a}}}\n  namespaces: [{match: {names: [a]}, rules: {own: {params: *p}}}]\n" +
			"  customRules: [{id: own, factor: I, expression: params.most > 1, message: m, params: {most: 1}}]\n", []string{
			"4: rule own: params: most: want a number, not text"}},
		"of a custom rule's parameters": {"  rules: {own: {params: {most: \"1\", mots: 1, other: 1}}}\n  namespaces: [{match: {names: [a]}, rules: {own: {params: {names: a}}}}]\n" +
			"  customRules: [{id: own, factor: I, expression: 'params.most > 1 && params.?other.orValue(1) == 1', message: m, params: {most: 1, names: [a]}}]\n", []string{
			"4: rule own: params: most: want a number, not text", `4: rule own: params: unknown field "mots"`, "5: rule own: params: names: want a list, not text"}},
		"of parameters that no rule asks for by name": {"  rules: {own: {params: {mots: 1}}}\n  customRules: [{id: own, factor: I, message: m, expression: 'has(params.most) && params.most in [1] && params[\"least\"] == 1 &&\n params.?other.orValue(1) == params.most'}]\n", []string{
			`4: rule own: params: unknown field "mots"`}},
		"beside keys that stand twice": {"  profile: audit\n  profile: strict\n  bogus: 1\n  rules:\n    denies: {level: warn, bogus: 1}\n    denies: {level: x}\n  ignoreContainers: [a]\n  ignoreContainers: [A]\n", []string{
			`5: mapping key "profile" already`, `6: unknown field "bogus"`, `8: unknown field "bogus"`, `9: mapping key "denies" already`, `11: mapping key "ignoreContainers"`}},
		"of what holds a key twice": {"  rules: {a: {level: x}}\n  rules: {b: {}}\n  logs: {mode: x}\n  exemptions: []\n  exemptions: []\n", []string{
			`4: unknown level "x"`, `4: unknown rule "a"`, `5: mapping key "rules" already defined at line 4`, "6: spec.logs.mode", `8: mapping key "exemptions" already defined at line 7`}},
		"beside an item that can't be read": {"  customRules:\n  - own\n  - {id: other, factor: I, expression: 'true', message: m}\n  rules: {other: {level: warn}, nope: {}}\n  exemptions: nope\n", []string{
			"5: want a mapping, not text `own`", `7: unknown rule "nope"`, "8: want a list, not text `nope`"}},
		"of parameters": {"  rules:\n    with-params:\n      params:\n        tags: latest\n        tag: [latest]\n        names: [a]\n", []string{
			"7: rule with-params: params: want a list, not text `latest`", `8: rule with-params: params: unknown field "tag"`, "9: rule with-params: params: want a mapping, not a list"}},
		"of what a merge key brings": {"  ignoreContainers: &names [a]\n  namespaces:\n  - rules: &base\n      with-params: {params: {tags: a, names: {a: [b]}, nope: 1}}\n  rules: {<<: *base}\n", []string{
			"7: rule with-params: params: want a list", "7: rule with-params: params: want text, not a list", `7: rule with-params: params: unknown field "nope"`}},
		"of a binding": {"  keyVault:\n    bindings:\n    - vault: a/../b\n      env: {\"a b\": c, B: {secret: [], optional: x, name: y}}\n", []string{
			"6: spec.keyVault.bindings[0].vault", `6: spec.keyVault.bindings[0].env: "a b"`, `7: unknown field "name"; want secret, optional`, "7: want text, not a list", "7: want true or false, not text `x`"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Parse([]byte(document(test.spec)), testRules())
			if err == nil {
				t.Fatal("it was accepted")
			}
			told := strings.Split(err.Error(), "\n")
			for i, want := range test.want {
				if i >= len(told) || !strings.HasPrefix(told[i], "policy: line "+want) {
					t.Fatalf("no %q in its place:\n%v", want, err)
				}
			}
			if len(told) != len(test.want) {
				t.Errorf("%d mistakes, want %d:\n%v", len(told), len(test.want), err)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for name, spec := range map[string]string{
		"nothing":    "  {}\n",
		"patterns":   "  namespaces: [{match: {names: [\"prod-[^a-c]?\", \"*\"]}}]\n  exemptions: [{rules: [denies], workload: \"*/a.b-*\", reason: r, owner: o, expires: 2027-01-01}]\n",
		"separators": "  profile: audit\n---\n# nothing\n---\n",
		"parameters by any name": "  rules: {in: {params: {shop: 1}}, each: {params: {shop: 1}}, at: {params: {shop: 1}}}\n  customRules:\n" +
			"  - {id: in, factor: I, message: m, expression: 'object.metadata.name in params'}\n" +
			"  - {id: each, factor: I, message: m, expression: 'params.exists(k, k == object.metadata.name)'}\n" +
			"  - {id: at, factor: I, message: m, expression: 'params.?most.orValue(1) in [1] && params[?object.metadata.name].orValue(1) == 1'}\n",
		"anchors":   "  ignoreContainers: &l [a]\n  allowedRequesters: *l\n",
		"no params": "  rules: {with-params: {params: }}\n",
		"everything": `
  profile: strict
  factors: {XI: warn}
  rules: {with-params: {level: deny, params: {tags: [a]}}}
  namespaces: [{match: {names: ["prod-*"], labels: {tier: prod}}, environment: production, profile: audit}]
  ignoreContainers: [a]
  exemptions: [{id: a, rules: [denies, own], namespace: "a-*", workload: DaemonSet/x, container: "*", reason: r, owner: o, expires: "2027-03-31"}]
  keyVault: {vaults: [{name: shop, namespaces: ["shop-*"]}], bindings: [{match: {namespaces: [a]}, vault: shop, env: {A: a, B: {secret: "b?field=c", optional: true}}, files: {f: "b?type=key&mode=0400"}}], akv2k8s: {a.b: "https://shop.vault.azure.net/certificates/b"}, verify: off}
  logs: {mode: repair, signals: {redirect: deny}}
  customRules: [{id: own, factor: I, level: warn, expression: "params.a > 0", messageExpression: "'m' + object.metadata.name", message: m, fix: f, field: 'spec.containers[name="a"]', params: {a: 1}}]
  tests: [{name: t, pod: {spec: {containers: [{name: a}]}}, expect: {deny: [denies], warn: [own]}}]
`,
	} {
		t.Run(name, func(t *testing.T) { parse(t, spec) })
	}
}

// off is a boolean to YAML 1.1, and to whoever turned the document into JSON.
func TestOffUnquoted(t *testing.T) {
	for _, off := range []string{"off", `"off"`, "false"} {
		p := parse(t, "  profile: strict\n  rules: {denies: {level: "+off+"}}\n  namespaces: [{match: {names: [a]}, profile: "+off+"}]\n")
		denies, rises := testRules()["denies"], testRules()["rises"]
		if l := p.For("b", nil).Level(denies, nil, policy.Deny); l != policy.Off {
			t.Errorf("level: %s is %v", off, l)
		}
		if l := p.For("a", nil).Level(rises, nil, policy.Deny); l != policy.Off {
			t.Errorf("profile: %s is %v", off, l)
		}
	}
}

// A ConfigMap means the document that it holds, in YAML and in JSON.
func TestParseConfigMap(t *testing.T) {
	text := document("  profile: audit\n")
	bare, err := policy.Parse([]byte(text), testRules())
	if err != nil {
		t.Fatal(err)
	}
	for _, configMap := range []string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twelvefold-policy}\ndata:\n  policy.yaml: |\n    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n",
		fmt.Sprintf(`{"kind": "ConfigMap", "data": {"policy.yaml": %q}}`, text),
	} {
		p, err := policy.Parse([]byte(configMap), testRules())
		if err != nil {
			t.Fatal(err)
		}
		if p.Hash() != bare.Hash() || len(p.Hash()) != 12 {
			t.Errorf("hash %q; the document's is %q", p.Hash(), bare.Hash())
		}
	}
	if other := parse(t, "  profile: strict\n"); other.Hash() == bare.Hash() {
		t.Error("two policies have one hash")
	}
}

// What one policy sets does not reach the rule's defaults, nor another namespace.
func TestParams(t *testing.T) {
	rules := testRules()
	p, err := policy.Parse([]byte(document(`
  rules: {with-params: {params: {names: {b: "2"}}}}
  namespaces: [{match: {names: [a]}, rules: {with-params: {params: {tags: [main]}}}}]
`)), rules)
	if err != nil {
		t.Fatal(err)
	}
	rule := rules["with-params"]
	both := map[string]string{"a": "1", "b": "2"}
	if diff := cmp.Diff(params{[]string{"latest"}, both}, p.For("b", nil).Params(rule)); diff != "" {
		t.Errorf("elsewhere (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(params{[]string{"main"}, both}, p.For("a", nil).Params(rule)); diff != "" {
		t.Errorf("in the namespace (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(testRules()["with-params"].Params, rule.Params); diff != "" {
		t.Errorf("the defaults changed (-want +got):\n%s", diff)
	}
}

func TestDefault(t *testing.T) {
	p := policy.Default(testRules())
	if l := p.For("a", nil).Level(testRules()["denies"], nil, policy.Deny); l != policy.Deny || p.Hash() != "default" || len(p.Warnings(time.Now())) > 0 {
		t.Errorf("level %v, hash %s, warnings %q", l, p.Hash(), p.Warnings(time.Now()))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(document("  rules: {with-params: {level: off, params: {tags: [a]}}}\n"))
	f.Add(document("  exemptions: [{rules: [denies], expires: 2027-01-01}]\n  keyVault: {bindings: [{env: {A: {secret: s}}}]}\n"))
	f.Add(document("  rules: &a {denies: *a}\n"))
	f.Add(document("  tests: [{pod: {? [a] : b}}]\n"))
	f.Add(document("  customRules: [{id: a, factor: XX, expression: object.spec, level: {strict: x}}, b]\n  rules: {a: {params: {b: c}}, a: {}}\n"))
	f.Add(document("  namespaces: [{rules: &a {with-params: {params: {tags: x, y: z}}}}, null]\n  rules: {<<: *a}\n  keyVault: {vaults: [a, {name: [b]}], bindings: [{vault: /}]}\n"))
	f.Add("kind: ConfigMap\ndata: {policy.yaml: {a: b}}\n")
	f.Add("kind: ConfigMap\ndata: &a {policy.yaml: *a}\n")
	f.Add("spec: &a {<<: *a}\n")
	f.Add("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := policy.Parse([]byte(text), testRules())
		if (err == nil) == (p == nil) {
			t.Fatalf("policy %v and error %v", p, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "unreadable YAML: runtime error") {
				t.Errorf("a panic, caught: %v", err)
			}
			return
		}
		p.Warnings(time.Time{})
		p.For("a", nil).Exempt(policy.Finding{}, policy.Workload{}, time.Time{})
	})
}

func TestParamsByAnchor(t *testing.T) {
	p := parse(t, "  rules:\n    with-params: {params: {tags: &tags [main, edge]}}\n  namespaces:\n"+
		"  - {match: {names: [a]}, rules: {with-params: {params: {tags: *tags}}}}\n")
	got := p.For("a", nil).Params(testRules()["with-params"]).(params).Tags
	if diff := cmp.Diff([]string{"main", "edge"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
