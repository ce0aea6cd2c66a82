package vap

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/secretscan"
)

// form is a built-in rule in CEL. What it denies, the webhook denies: a test has a real API server judge the fixtures of
// all rules.
type form struct {
	// The conditions that are true of what is right, about the pod and about each of its containers c. nil: there is none.
	pod, container condition
	// unless is true of pods that the rule has nothing to say of; empty: there are none.
	unless string
	// volume is true of the volumes v that no container may mount; readOnly, that it may mount them to read.
	volume   condition
	readOnly bool
	// running says that init containers that end are not judged; else all are.
	running bool
	// ephemeral says that containers that kubectl debug adds are judged, too.
	ephemeral bool
	podOnly   bool // the rule is about the pod itself: templates are not judged
	// costly says that a pod may be so large that the API server gives up. Then it passes.
	costly bool
	// leaves is what only the webhook judges of the rule; empty: nothing.
	leaves string
}

// condition is CEL for a part of the policy; empty: nothing is judged there.
type condition func(p part) string

// part is a rule as a part of the policy has it.
type part struct {
	effective *policy.Effective
	info      policy.RuleInfo
	fixed     bool // the policy names the rule, so that its weaker cases deny, too
}

// templates says whether templates of workloads are judged, too: not where the webhook may mend what they lack.
func (f form) templates(info policy.RuleInfo) bool {
	return info.Repair == policy.NotRepaired && !f.podOnly
}

func always(text string) condition { return func(part) string { return text } }

const (
	grace  = `variables.spec.?terminationGracePeriodSeconds.orValue(30)`
	script = `c.?lifecycle.?preStop.?exec.?command.orValue([]).join(" ")`
	job    = `variables.workload.matches("^(Job|CronJob)/")`
	ends   = `variables.spec.?restartPolicy.orValue("Always") in ["Never", "OnFailure"]`
	// pauses says that all containers only hold a place.
	pauses = `variables.running.size() > 0 && variables.running.all(c, c.?image.orValue("").matches("^(?:[^@]*/)?(?:mirrored-)?pause(?:-[a-z0-9]+)?(?::[^/@]*)?(?:@.*)?$"))`
	// queued says that Knative's queue proxy asks in the kubelet's place.
	queued  = `variables.spec.containers.exists(c, c.?env.orValue([]).exists(e, e.name == "SERVING_READINESS_PROBE"))`
	windows = `(variables.spec.?os.?name.orValue("") == "windows" || variables.spec.?nodeSelector[?"kubernetes.io/os"].orValue("") == "windows")`
	mounts  = `c.?volumeMounts.orValue([]).all(m, !(m.name in variables.volumes))`
	writes  = `c.?volumeMounts.orValue([]).all(m, m.?readOnly.orValue(false) || !(m.name in variables.volumes))`
)

// sshImages and others are what rules know.
var (
	sshImages                      = rules.SSHImages()
	operatorsPorts, anyonesPorts   = rules.OperatorsPorts()
	secrets, secretHints, fillsIns = secretscan.Patterns()
)

// forms are the rules that CEL can express.
var forms = map[string]form{
	"app-identity":    {pod: appIdentity},
	"host-dependency": {volume: hostDependency, ephemeral: true},
	"literal-secret": {container: literalSecret, ephemeral: true, costly: true,
		leaves: "of env values, only tokens with a mark of their own are found; connection strings, base64, commands and annotations are the webhook's"},
	"credential-url": {container: credentialURL, ephemeral: true, costly: true,
		leaves: "of env values, only plain URLs of letters and digits with a short password are found; all others, commands and annotations are the webhook's"},
	"duplicate-env":     {container: always(`c.?env.orValue([]).all(e, c.env.filter(f, f.name == e.name).size() < 2)`), ephemeral: true, costly: true},
	"environment-group": {container: environmentGroup, ephemeral: true, costly: true},
	"optional-config": {volume: always(`v.?configMap.?optional.orValue(false) || v.?secret.?optional.orValue(false)` +
		` || v.?projected.?sources.orValue([]).exists(s, s.?configMap.?optional.orValue(false) || s.?secret.?optional.orValue(false))`),
		container: always(`c.?env.orValue([]).all(e, !e.?valueFrom.?configMapKeyRef.?optional.orValue(false) && !e.?valueFrom.?secretKeyRef.?optional.orValue(false))` +
			` && c.?envFrom.orValue([]).all(e, !e.?configMapRef.?optional.orValue(false) && !e.?secretRef.?optional.orValue(false))`), ephemeral: true},
	"service-links":   {pod: always(`!variables.spec.?enableServiceLinks.orValue(true)`)},
	"mutable-tag":     {container: mutableTag, ephemeral: true},
	"no-digest":       {container: noDigest, ephemeral: true},
	"pull-never":      {container: always(`c.?imagePullPolicy.orValue("") != "Never"`), ephemeral: true},
	"writable-rootfs": {container: always(`c.?securityContext.?readOnlyRootFilesystem.orValue(false)`), unless: windows},
	"host-state": {volume: always(fmt.Sprintf(`has(v.hostPath) && !(v.hostPath.path in [%s]) && !v.hostPath.path.startsWith("/usr/share/zoneinfo")`+
		` && v.hostPath.?type.orValue("") != "CharDevice"`, quoteAll(rules.NodeTimeZones()))), readOnly: true, ephemeral: true},
	"shared-host-process": {pod: always(`!variables.spec.?hostPID.orValue(false) && !variables.spec.?hostIPC.orValue(false)`)},
	"unbounded-emptydir": {volume: always(`has(v.emptyDir) && !v.name.startsWith("twelvefold-")` +
		` && quantity(v.emptyDir.?sizeLimit.orValue("0")).compareTo(quantity("0")) == 0` +
		` && (v.emptyDir.?medium.orValue("") != "" || variables.spec.containers.exists(c, quantity(c.?resources.?limits[?"ephemeral-storage"].orValue("0")).compareTo(quantity("0")) == 0))`)},
	"host-network": {pod: always(`!variables.spec.?hostNetwork.orValue(false)`)},
	"host-port":    {container: always(`variables.spec.?hostNetwork.orValue(false) || c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0)`)},
	"privileged-port": {container: always(`c.?ports.orValue([]).all(p, !(p.?containerPort.orValue(0) > 0 && p.containerPort < 1024))`),
		unless: windows, running: true},
	"bare-pod": {pod: always(`variables.byController` +
		` || object.metadata.?annotations[?"helm.sh/hook"].orValue("").split(",").exists(h, h.trim() in ["test", "test-success", "test-failure"])` +
		` || request.userInfo.?username.orValue("").startsWith("system:serviceaccount:")` +
		` && object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false)` +
		` && o.apiVersion.matches("^[^/]*[.][^/]*/") && !o.apiVersion.matches("^[^/]*[.]k8s[.]io/"))`), podOnly: true},
	"memory-limit-missing": {container: always(given("limits", "memory")), running: true},
	"requests-missing": {container: always("(" + given("requests", "cpu") + " || " + given("limits", "cpu") + ") && (" +
		given("requests", "memory") + " || " + given("limits", "memory") + ")"), running: true},
	"node-pinned": {unless: `variables.workload.startsWith("DaemonSet/")`, pod: always(`variables.spec.?nodeName.orValue("") == ""` +
		` && variables.spec.?nodeSelector[?"kubernetes.io/hostname"].orValue("") == ""` +
		` && [variables.spec.?affinity.?nodeAffinity.?requiredDuringSchedulingIgnoredDuringExecution.?nodeSelectorTerms.orValue([])].all(terms, terms.size() != 1` +
		` || (terms[0].?matchExpressions.orValue([]) + terms[0].?matchFields.orValue([])).all(r, !(r.key in ["kubernetes.io/hostname", "metadata.name"]` +
		` && r.operator == "In" && r.?values.orValue([]).size() == 1)))`)},
	"grace-period": {pod: graceBounds, container: always(`c.?lifecycle.?preStop.?sleep.?seconds.orValue(-1) < ` + grace +
		` && !(` + script + `.matches("^(?:(?:/bin/)?(?:ba|da|a)?sh -c )?(?:/bin/)?sleep [0-9]{1,9}$") && int(` + script + `.find("[0-9]+$")) >= ` + grace + `)`),
		running: true, leaves: "of what preStop sleeps, only preStop.sleep and a single command sleep N are judged; the webhook reads scripts"},
	"probe-identical": {container: always(`!has(c.livenessProbe) || !has(c.readinessProbe) || ` + patience("livenessProbe") + ` > ` + patience("readinessProbe") +
		` || ["httpGet", "tcpSocket", "exec", "grpc"].exists(h, c.livenessProbe[?h] != c.readinessProbe[?h])`), running: true},
	"readiness-missing": {container: readinessMissing, unless: ends + " || " + queued, running: true, costly: true},
	"slow-start":        {container: slowStart, running: true},
	"stop-signal-kill":  {container: always(`c.?lifecycle.?stopSignal.orValue("") != "SIGKILL"`)},
	"debug-in-production": {container: debugInProduction, costly: true,
		leaves: "where the policy says environment: production, switches and the options of the JVM and Node.js are looked for in variables; the webhook reads command lines as well"},
	"dev-image":       {container: devImage},
	"tty-service":     {container: always(`!c.?tty.orValue(false) && !c.?stdin.orValue(false)`), unless: job + " || " + ends, running: true},
	"ephemeral-debug": {container: always(`request.?subResource.orValue("") != "ephemeralcontainers"`), ephemeral: true, podOnly: true},
	"ssh-daemon":      {container: sshDaemon, ephemeral: true, leaves: "images and port 22 are judged; the webhook reads what commands and scripts start"},
}

func appIdentity(p part) string {
	keys := append([]string{"app.kubernetes.io/name"}, p.strings("labels")...)
	return fmt.Sprintf(`[%s].exists(k, variables.pod.metadata.?labels[?k].orValue("") != "")`, quoteAll(keys))
}

// hostDependency reads paths as path.Clean makes them, and /var/run as the link that it is.
func hostDependency(p part) string {
	wrong := []string{`/(?:\.?/)*\.?`, spellings("/run") + `(?:/\.?)*`, spellings("/var/run") + `(?:/\.?)*`}
	for _, dir := range p.strings("paths") {
		dir, trailing := strings.CutSuffix(dir, "/")
		below := "(?:/.*)?"
		if trailing {
			below = "/.*[^./].*"
		}
		switch {
		case dir == "":
			wrong = append(wrong, "/.*")
		case !isCleanPath.MatchString(dir) || path.Clean(dir) != dir || strings.HasPrefix(dir+"/", "/var/run/"):
			continue // the webhook compares it with clean paths, so it never matches
		case strings.HasPrefix(dir+"/", "/run/"):
			wrong = append(wrong, spellings("/var"+dir)+below)
			fallthrough
		default:
			wrong = append(wrong, spellings(dir)+below)
		}
	}
	var data []string
	for _, dir := range rules.NodeData() {
		data = append(data, spellings(dir)+"(?:/.*)?")
	}
	return fmt.Sprintf(`has(v.hostPath) && v.hostPath.path.matches(%s) && !v.hostPath.path.contains("..") && !v.hostPath.path.matches(%s)`,
		quote("^(?:"+strings.Join(wrong, "|")+")$"), quote("^(?:"+strings.Join(data, "|")+")$"))
}

var isCleanPath = regexp.MustCompile(`^/[A-Za-z0-9./_-]+$`)

// spellings is a pattern of what path.Clean makes a path of: //usr/./lib is /usr/lib.
func spellings(clean string) string {
	return strings.NewReplacer("/", `/(?:\.?/)*`, ".", `\.`).Replace(clean)
}

// literalSecret takes the patterns as they are, and passes over whatever may hold a placeholder.
func literalSecret(part) string {
	return fmt.Sprintf(`c.?env.orValue([]).all(e, !has(e.value) || !%s || %s || !e.value.matches(%s))`,
		holdsAny(secretHints), holdsAny(fillsIns), quote("(?:"+strings.Join(secrets, ")|(?:")+")"))
}

// credentialURL takes URLs in which nothing can be taken for something else: placeholders, ports, and what
// literal-secret reports instead.
func credentialURL(part) string {
	return fmt.Sprintf(`c.?env.orValue([]).all(e, !has(e.value) || !e.value.contains("://") || !e.value.matches(%s) || %s || e.value.matches(%s))`,
		quote(`^[a-z][a-z0-9+]{0,20}://[A-Za-z0-9_]{0,19}:[A-Za-z0-9_!]{1,19}@[a-z0-9-]{1,20}(?:\.[a-z0-9-]{1,20}){0,8}(?::[0-9]{1,5})?(?:/[A-Za-z0-9_]{0,19})?$`),
		holdsAny(fillsIns), quote(`[xX]{3}|REDACTED|:__`))
}

func holdsAny(texts []string) string {
	return fmt.Sprintf(`[%s].exists(h, e.value.contains(h))`, quoteAll(texts))
}

func environmentGroup(p part) string {
	const group = `g.trim().lowerAscii()`
	return fmt.Sprintf(`c.?env.orValue([]).all(e, !(e.name in [%s]) || e.?value.orValue("").split(",").all(g, `+group+` == "" || g.matches("[$@{<]|[^\\x00-\\x7f]") || `+group+` in [%s]))`,
		quoteAll(p.strings("names")), quoteAll(p.strings("allowed")))
}

// given is the condition that a container has a request or limit of its own, or its pod has.
func given(list, resource string) string {
	return fmt.Sprintf(`c.?resources.?%[1]s[?%[2]q].hasValue() || variables.spec.?resources.?%[1]s[?%[2]q].hasValue()`, list, resource)
}

func graceBounds(p part) string {
	if p.fixed {
		return `(` + grace + ` >= 5 || ` + pauses + `) && (` + grace + ` <= 600 || variables.workload.startsWith("DaemonSet/"))`
	}
	return grace + ` != 0 || ` + job + ` || ` + pauses
}

// patience is for how many seconds a probe may fail, as the API server fills in what is not written.
func patience(probe string) string {
	return fmt.Sprintf(`c.%[1]s.?periodSeconds.orValue(10) * c.%[1]s.?failureThreshold.orValue(3)`, probe)
}

// readinessMissing asks no probe of kube-rbac-proxy.
func readinessMissing(part) string {
	operators, neutral := quoteAll(operatorsPorts), quoteAll(anyonesPorts)
	return `c.?image.orValue("").matches("^(?:[^@]*/)?kube-rbac-proxy(?::[^/@]*)?(?:@.*)?$")` + fmt.Sprintf(` || has(c.readinessProbe) || c.?ports.orValue([]).all(p, p.?protocol.orValue("TCP") in ["UDP", "SCTP"]`+
		` || [p.?name.orValue("").lowerAscii().split("-")].all(words, words[words.size() - 1] in [%[1]s]`+
		` || words.exists(w, w in [%[1]s]) && words.all(w, w in [%[1]s] || w in [%[2]s])))`, operators, neutral)
}

func slowStart(p part) string {
	delay := func(probe string) string {
		return fmt.Sprintf(`c.?%s.?initialDelaySeconds.orValue(0)`, probe)
	}
	// The last question that may fail is asked one period before patience ends.
	return fmt.Sprintf(`(!has(c.startupProbe) || %s + %s - c.startupProbe.?periodSeconds.orValue(10) <= %d) && %[1]s <= %[4]d && %[5]s <= %[4]d`,
		delay("startupProbe"), patience("startupProbe"), p.number("budget"), p.number("delay"), delay("readinessProbe"))
}

// debugInProduction is about the variables that turn debugging on.
func debugInProduction(p part) string {
	if !strings.EqualFold(p.effective.Environment, "production") {
		return ""
	}
	switches := rules.DebugSwitches()
	var entries []string
	for _, name := range sorted(switches) {
		entries = append(entries, fmt.Sprintf("%s: [%s]", quote(name), quoteAll(switches[name])))
	}
	return fmt.Sprintf(`[{%s}].all(switches, c.?env.orValue([]).all(e, !(e.name in switches && e.?value.orValue("").trim().lowerAscii() in switches[e.name])`+
		` && !e.?value.orValue("").matches(%s)))`, strings.Join(entries, ", "),
		quote(`(?:^|\s)["']*(?:-agentlib:jdwp=|-Xrunjdwp:|--inspect(?:-brk|-wait|-port)?=(?:0\.0\.0\.0|\[::\]|\*)(?:[:\s"']|$))`))
}

// strings is a list among the rule's parameters.
func (p part) strings(name string) []string {
	var list []string
	items, _ := p.params()[name].([]any)
	for _, item := range items {
		list = append(list, fmt.Sprint(item))
	}
	return list
}

func (p part) number(name string) int {
	n, _ := p.params()[name].(int)
	return n
}

func (p part) params() map[string]any {
	var fields map[string]any
	text, err := yaml.Marshal(p.effective.Params(p.info))
	if err != nil || yaml.Unmarshal(text, &fields) != nil {
		return nil
	}
	return fields
}

func only(texts []string, right func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return !right(text) })
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
