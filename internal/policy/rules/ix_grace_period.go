package rules

import (
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// grace-period
//
//	restricted: terminationGracePeriodSeconds; containers[*].lifecycle.preStop, and that of native sidecars
//	allowed:    5 to 600 seconds, longer than what preStop sleeps
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "grace-period", Factor: "IX", Levels: policy.At(policy.Deny), Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "The pod has no time to end, or far too much",
			Why:     "With 0 seconds, or when preStop sleeps for all of them, the process is killed without the chance to finish its requests, commit its offsets or give back its locks: every rollout loses work. Below 5 seconds the endpoints are not even updated everywhere. Above 600 every drain of a node waits, and the cluster's upgrade gives up or takes days.",
			Fix:     "Handle SIGTERM, sleep in preStop for the 5 to 15 seconds that load balancers need to notice, and set terminationGracePeriodSeconds to that plus the longest request.",
			Allowed: "5 to 600 seconds, and the default of 30; less and more than that only warn, but for 0; more in a DaemonSet, whose pods drains pass over; 0 seconds only warn in pods of Jobs, too, since nobody sends them requests and they are run again. Pods that only hold a place (image pause) may end at once. The time counts from the start of preStop. What only a script knows (sleep $WAIT, a sleep in a loop or a branch) is not judged.",
			Repair:  "Less than 5 seconds become 30, more than 600 become 600, and a preStop that sleeps for all of the time gets 30 seconds more, as long as that makes no more than 600. It is on request because somebody may have meant it.",
			Example: "terminationGracePeriodSeconds: 45\ncontainers:\n- name: api\n  lifecycle:\n    preStop: {sleep: {seconds: 10}}\n",
		},
		Check: checkGracePeriod,
		Mend:  mendGracePeriod,
	})
}

const (
	graceDefault = 30 // the API server's, in seconds
	graceLow     = 5
	graceHigh    = 600
)

// pauseImage is Kubernetes' program that only waits, by the last segment of its name. Pods of it keep room for others, or have
// images pulled by their init containers, and are to give way at once.
var pauseImage = regexp.MustCompile(`^(mirrored-)?pause(-[a-z0-9]+)?$`)

// onlyPauses says whether none of the team's containers has anything to finish.
func (s *Subject) onlyPauses() bool {
	running := s.Containers(Main, Sidecar)
	return len(running) > 0 && !slices.ContainsFunc(running, func(c Container) bool {
		ref, err := image.Parse(c.Image)
		return err != nil || !pauseImage.MatchString(ref.Base())
	})
}

func checkGracePeriod(s *Subject, report func(Violation)) {
	const field = "terminationGracePeriodSeconds"
	grace := s.gracePeriod()
	weak := policy.At(policy.Warn)
	switch {
	case grace < graceLow && s.onlyPauses():
	case grace == 0:
		v := Violation{Path: "spec." + field, Message: "0 seconds: the processes are killed at once", Fix: "write " + field + ": 30"}
		if s.IsJob() { // nobody sends it requests, and it must bear to be run again
			v.Levels = &weak
		}
		report(v)
		return
	case grace < graceLow:
		report(Violation{Path: "spec." + field, Message: fmt.Sprintf("%d s are too short to end in", grace), Fix: "write " + field + ": 30", Levels: &weak})
	case grace > graceHigh && !s.IsNodeAgent(): // no drain waits for those
		report(Violation{Path: "spec." + field, Message: fmt.Sprintf("%d s hold up every drain of a node", grace),
			Fix: fmt.Sprintf("write %d at most, and let what takes longer be resumed", graceHigh), Levels: &weak})
	}
	for _, c := range s.Containers(Main, Sidecar) {
		if pause := preStopSleep(c.Container); pause >= float64(grace) {
			report(c.At(".lifecycle.preStop", fmt.Sprintf("sleeps for all of the %d s that the pod has to end, so SIGTERM comes too late", grace),
				"sleep for less, or raise "+field))
		}
	}
}

// gracePeriod is how many seconds the pod has to end.
func (s *Subject) gracePeriod() int64 {
	if grace := s.Pod.Spec.TerminationGracePeriodSeconds; grace != nil {
		return *grace
	}
	return graceDefault
}

func mendGracePeriod(s *Subject, done func(Repaired)) {
	grace := s.gracePeriod()
	switch {
	case grace < graceLow && s.onlyPauses():
	case grace < graceLow:
		grace = graceDefault
	case grace > graceHigh && !s.IsNodeAgent():
		grace = graceHigh
	}
	for _, c := range s.Containers(Main, Sidecar) {
		if pause := preStopSleep(c.Container); pause >= graceHigh {
			return // no time within bounds is enough
		} else if pause >= float64(grace) {
			grace = min(int64(pause)+graceDefault, graceHigh)
		}
	}
	if grace != s.gracePeriod() {
		s.edit.SetTerminationGracePeriod(grace)
		done(Repaired{Path: "spec.terminationGracePeriodSeconds", What: fmt.Sprintf("the pod has %d s to end", grace)})
	}
}

// preStopSleep is for how many seconds the preStop hook surely sleeps; less than 0 where it doesn't.
func preStopSleep(c *corev1.Container) float64 {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return -1
	}
	hook := c.Lifecycle.PreStop
	if hook.Sleep != nil {
		return float64(hook.Sleep.Seconds)
	}
	if hook.Exec == nil {
		return -1
	}
	pause := -1.0
	for _, command := range shell.Parse(hook.Exec.Command) {
		if seconds, ok := sleeps(command); ok && !command.Maybe && !command.Background {
			pause = max(pause, 0) + seconds
		}
	}
	return pause
}
