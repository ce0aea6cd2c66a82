package rules

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// Subject is a pod under judgement, and what is known about it.
type Subject struct {
	Pod      *corev1.Pod
	Facts    policy.Facts
	Policy   *policy.Effective
	Workload policy.Workload // what really made the pod; empty for a bare pod
	// JSON is the pod with the fields that our API types don't know; nil: there are none.
	JSON func() ([]byte, error)

	containers []Container
	params     any
	edit       *podpatch.Builder // of the pod under repair; nil under judgement
}

// Kind tells containers apart.
type Kind int

const (
	Init      Kind = iota // runs to its end before the main containers start
	Sidecar               // a native sidecar: an init container that is always restarted (KEP-753)
	Main                  //
	Ephemeral             // added by kubectl debug
)

// Container is a container of any kind that its team answers for.
type Container struct {
	*corev1.Container
	Kind Kind
	Path string // spec.containers[name="api"]

	edit     *podpatch.Container    // of a pod under repair
	commands func() []shell.Command // parsed when the first rule asks
}

// NewSubject prepares a pod for judgement.
func NewSubject(pod *corev1.Pod, effective *policy.Effective, facts policy.Facts) *Subject {
	s := &Subject{Pod: pod, Facts: facts, Policy: effective, Workload: facts.Controlled(effective.AllowedRequesters())}
	add := func(c *corev1.Container, kind Kind, field string) {
		if !s.teams(c) {
			return
		}
		added := Container{Container: c, Kind: kind, Path: fmt.Sprintf("spec.%s[name=%q]", field, c.Name)}
		added.commands = sync.OnceValue(func() []shell.Command { return shell.Parse(added.Argv()) })
		s.containers = append(s.containers, added)
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		kind := Init
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			kind = Sidecar
		}
		add(c, kind, "initContainers")
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i], Main, "containers")
	}
	for i := range pod.Spec.EphemeralContainers {
		c := corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		add(&c, Ephemeral, "ephemeralContainers")
	}
	return s
}

// Containers are the containers of the kinds given, or all of them, in the pod's order.
func (s *Subject) Containers(kinds ...Kind) []Container {
	if len(kinds) == 0 {
		return s.containers
	}
	var some []Container
	for _, c := range s.containers {
		if slices.Contains(kinds, c.Kind) {
			some = append(some, c)
		}
	}
	return some
}

// defaultContainer names the app's container, where sidecars stand before it: kubectl logs takes it, and injectors write it.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// app is the main container that the pod names as its default one, or else the first that the team answers for, whatever
// is exempt; nil if there is none.
func (s *Subject) app() *corev1.Container {
	named := s.Pod.Annotations[defaultContainer]
	var first *corev1.Container
	for i := range s.Pod.Spec.Containers {
		switch c := &s.Pod.Spec.Containers[i]; {
		case !s.teams(c):
		case c.Name == named:
			return c
		case first == nil:
			first = c
		}
	}
	return first
}

// teams says whether a container is the team's. Istio's own placeholder has the image auto.
func (s *Subject) teams(c *corev1.Container) bool {
	return !s.Policy.Ignored(c.Name) && c.Image != "auto"
}

// lifted says whether an exemption covers a finding. A pod that none of Kubernetes' own workloads made may be named itself,
// also where it is not known whether an operator really asks for it.
func (s *Subject) lifted(f policy.Finding) bool {
	pod := policy.Workload{Kind: "Pod", Name: cmp.Or(s.Pod.Name, s.Pod.GenerateName)}
	return s.Policy.Exempt(f, s.Workload, s.Facts.Now) != nil ||
		!slices.Contains(policy.WorkloadKinds, s.Workload.Kind) && s.Policy.Exempt(f, pod, s.Facts.Now) != nil
}

// IsJob says whether the pod runs to its end: it belongs to a Job or CronJob.
func (s *Subject) IsJob() bool { return s.Workload.Kind == "Job" || s.Workload.Kind == "CronJob" }

// IsNodeAgent says whether the pod belongs to a DaemonSet.
func (s *Subject) IsNodeAgent() bool { return s.Workload.Kind == "DaemonSet" }

// nodeAgentLevels are for what node agents need and others must not do: seen in reports, denied by strict.
var nodeAgentLevels = policy.Levels{Baseline: policy.Audit, Strict: policy.Deny}

// Node agents' levels for what would deny in another pod; nil leaves the rule's own.
func (s *Subject) levels() *policy.Levels {
	if s.IsNodeAgent() {
		return &nodeAgentLevels
	}
	return nil
}

// nodeAgentRules are those that ask for them.
var nodeAgentRules = []string{"host-dependency", "host-network", "host-port", "host-state", "shared-host-process"}

// NodeAgentLevels are the levels of a rule for the pods of DaemonSets, where they are others than for all else.
func NodeAgentLevels(rule string) (*policy.Levels, bool) {
	return &nodeAgentLevels, slices.Contains(nodeAgentRules, rule)
}

// jobExempt are rules that make no sense for a pod that ends by itself.
var jobExempt = []string{"probe-identical", "readiness-missing", "slow-start", "migration-in-start"}

// exempt says whether a rule does not apply to this kind of pod at all.
func (s *Subject) exempt(r *Rule) bool {
	return s.IsJob() && ExemptsJobs(r.RuleInfo)
}

// EnvPath is the path of an environment variable.
func (c Container) EnvPath(name string) string { return fmt.Sprintf("%s.env[name=%q]", c.Path, name) }

// At is a violation at a field of the container.
func (c Container) At(field, message, fix string) Violation {
	return Violation{Path: c.Path + field, Container: c.Name, Message: message, Fix: fix}
}

// Argv is what the container runs: its command followed by its args.
func (c Container) Argv() []string { return slices.Concat(c.Command, c.Args) }

// Commands are the simple commands that the container starts with. Callers don't change them.
func (c Container) Commands() []shell.Command {
	if c.edit != nil { // the repair before may have changed them
		return shell.Parse(c.Argv())
	}
	return slices.Clip(c.commands())
}

// PostStart are the commands of the container's postStart hook.
func (c Container) PostStart() []shell.Command {
	if c.Lifecycle == nil || c.Lifecycle.PostStart == nil || c.Lifecycle.PostStart.Exec == nil {
		return nil
	}
	return shell.Parse(c.Lifecycle.PostStart.Exec.Command)
}

// argvField is the field of the container that holds a word of its argument vector.
func (c Container) argvField() string {
	if len(c.Args) > 0 && (len(c.Command) == 0 || shell.IsScript(c.Argv()) && !shell.IsScript(c.Command)) {
		return ".args"
	}
	return ".command"
}
