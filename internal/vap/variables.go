package vap

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"twelvefold.dev/internal/policy"
)

// notMirrored is false for mirror pods, which run whether they are admitted or not. Only kubelets make them.
const notMirrored = `!("system:nodes" in request.userInfo.?groups.orValue([]) && "kubernetes.io/config.mirror" in object.metadata.?annotations.orValue({}))`

// newTemplate is true of what may have made a pod worse: of workloads, those that no other one makes, with a template that
// is not what it was.
const newTemplate = `request.kind.kind == "Pod" || !object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))` +
	` && (request.operation == "CREATE" || object.spec != oldObject.spec)`

// variables are what the forms of rules and the conditions of policies build on. The pod may be that of a template, which is
// judged as if its controller made it.
func (e *exporter) variables(info policy.RuleInfo, f form) []variable {
	pod, workload, prefix := "object", podWorkload, `""`
	if f.templates(info) {
		// dyn, since each kind has one of the fields only, and the API server checks types.
		pod = `request.kind.kind == "Pod" ? dyn(object) : request.kind.kind == "CronJob" ? dyn(object).spec.jobTemplate.spec.template : dyn(object).spec.template`
		workload = `request.kind.kind != "Pod" ? request.kind.kind + "/" + object.metadata.?name.orValue("") : ` + podWorkload
		prefix = `request.kind.kind == "Pod" ? "" : "its pods will be denied: "`
	}
	all := `variables.spec.containers + variables.spec.?initContainers.orValue([])`
	if f.ephemeral {
		all = `request.?subResource.orValue("") == "ephemeralcontainers" ? variables.spec.?ephemeralContainers.orValue([])` +
			`.filter(c, !oldObject.spec.?ephemeralContainers.orValue([]).exists(o, o.name == c.name)) : ` + all
	}
	return []variable{
		{"pod", pod},
		{"spec", `variables.pod.spec`},
		{"prefix", prefix},
		{"byController", byController(e.policy.Spec().AllowedRequester)},
		// An ownerReference alone can be forged.
		{"owners", `variables.byController ? object.metadata.?ownerReferences.orValue([]).filter(o, o.?controller.orValue(false)) : []`},
		{"hash", `"-" + object.metadata.?labels[?"pod-template-hash"].orValue("")`},
		{"workload", workload},
		{"exemptable", exemptable},
		{"containers", containers(all, e.ignored(info))},
		{"running", containers(`variables.spec.containers + variables.spec.?initContainers.orValue([]).filter(c, c.?restartPolicy.orValue("") == "Always")`, e.ignored(info))},
	}
}

const podWorkload = `variables.owners.size() == 0 ? "" :` +
	` variables.owners[0].kind == "ReplicaSet" && variables.hash != "-" && variables.owners[0].name.endsWith(variables.hash)` +
	` ? "Deployment/" + variables.owners[0].name.substring(0, variables.owners[0].name.size() - variables.hash.size())` +
	` : variables.owners[0].kind + "/" + variables.owners[0].name`

// exemptable are the names by which exemptions know a pod: its workload, the CronJob of its Job, and its own where none of
// Kubernetes' workloads made it.
var exemptable = `[variables.workload]` +
	` + (variables.workload.matches("^Job/.*-[0-9]{8}$") ? ["Cron" + variables.workload.substring(0, variables.workload.size() - 9)] : [])` +
	` + (request.kind.kind != "Pod" || variables.workload.matches("^(` + strings.Join(policy.WorkloadKinds, "|") + `)/") ? [] : ["Pod/" + object.metadata.?name.orValue("")])`

func byController(allowed []string) string {
	user := `request.userInfo.?username.orValue("")`
	text := user + `.startsWith("system:serviceaccount:kube-system:") && ` + user + `.endsWith("-controller")` +
		` || ` + user + ` in ["system:kube-controller-manager", "system:kube-scheduler"]` +
		` || "system:nodes" in request.userInfo.?groups.orValue([])`
	if len(allowed) > 0 {
		text += " || " + glob(user, allowed...)
	}
	return text
}

func containers(list, ignored string) string {
	return fmt.Sprintf(`(%s).filter(c, c.?image.orValue("") != "auto" && !(%s))`, list, ignored)
}

// ignored is the condition on a container c under which its team is not asked, or is exempted from the rule.
func (e *exporter) ignored(info policy.RuleInfo) string {
	globs := e.policy.Spec().IgnoreContainers
	if globs == nil {
		globs = policy.DefaultIgnoredContainers
	}
	globs = append(slices.Clone(globs), policy.DefaultIgnoredContainers[len(policy.DefaultIgnoredContainers)-1])
	conditions := []string{glob("c.name", globs...)}
	for _, x := range e.policy.Spec().Exemptions {
		if x.Holds(info.ID, e.now) && x.Container != "" && x.Container != "*" {
			conditions = append(conditions, fmt.Sprintf("%s && %s", exempted(x), glob("c.name", x.Container)))
		}
	}
	return strings.Join(conditions, " || ")
}

// exempted is the condition on a pod under which an exemption is about it.
func exempted(x policy.Exemption) string {
	return glob("namespaceObject.metadata.name", cmp.Or(x.Namespace, "*")) + " && " + workload(x.Workload)
}

func workload(pattern string) string {
	if pattern == "" || pattern == "*" {
		return "true"
	}
	return fmt.Sprintf("variables.exemptable.exists(w, %s)", glob("w", pattern))
}

// matches is the condition under which a namespace is selected.
func matches(m policy.NamespaceMatch) string {
	conditions := []string{"true"}
	if len(m.Names) > 0 {
		conditions = append(conditions, glob("namespaceObject.metadata.name", m.Names...))
	}
	for _, key := range sorted(m.Labels) {
		conditions = append(conditions, fmt.Sprintf(`namespaceObject.metadata.?labels[?%s] == optional.of(%s)`, quote(key), quote(m.Labels[key])))
	}
	return strings.Join(conditions, " && ")
}

// labelled is the condition under which a namespace's label asks for one of the profiles.
func labelled(profiles []string) string {
	return fmt.Sprintf(`namespaceObject.metadata.?labels[?%s].orValue("") in [%s]`, quote(policy.ProfileLabel), quoteAll(profiles))
}

// glob is the condition under which a text matches one of the patterns, as [path.Match] has them.
func glob(text string, patterns ...string) string {
	var expressions []string
	for _, p := range patterns {
		expressions = append(expressions, globRegexp(p))
	}
	return fmt.Sprintf("%s.matches(%s)", text, quote("^(?:"+strings.Join(expressions, "|")+")$"))
}

func globRegexp(pattern string) string {
	var b strings.Builder
	inClass := false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		case inClass:
			inClass = c != ']'
			b.WriteByte(c)
		case c == '[':
			inClass = true
			b.WriteByte(c)
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	return b.String()
}

func quote(text string) string { return strconv.QuoteToASCII(text) }

func quoteAll(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(text)
	}
	return strings.Join(quoted, ", ")
}
