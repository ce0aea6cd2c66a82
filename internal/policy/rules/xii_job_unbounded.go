package rules

import (
	"fmt"
	"math"
	"time"

	"twelvefold.dev/internal/policy"
)

// job-unbounded
//
//	restricted: activeDeadlineSeconds of Jobs and of a CronJob's jobTemplate; ttlSecondsAfterFinished of Jobs
//	allowed:    a deadline of the pod; Jobs that a controller, Helm or Argo CD deletes
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "job-unbounded", Factor: "XII", Levels: policy.At(policy.Warn), Params: jobParams{Deadline: "24h"}, Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "A Job may run for ever, or stay for ever",
			Why:     "A Job that hangs runs until somebody looks: it holds its locks, and the next run of a CronJob waits for it or works beside it. A finished Job without a time to live stays with its pods and logs, and the next release can't create one of its name.",
			Fix:     "Set activeDeadlineSeconds to a multiple of the usual time, and ttlSecondsAfterFinished to as long as somebody may want to read its logs.",
			Allowed: "activeDeadlineSeconds in the pod's spec; Jobs of a CronJob and others that have a controller, which deletes them; hooks of Helm and Argo CD need no time to live, and without a deadline they are only audited. A pod that its Job has made is not judged: the Job is.",
			Repair:  "activeDeadlineSeconds is set on the pods of Jobs (params: deadline, 24h), and by twelvefold fix on the Job. It is on request because a longer run is ended; a pod does not show a deadline of its Job, so take a time that no run needs. A finished Job is not deleted.",
			Example: "apiVersion: batch/v1\nkind: Job\nmetadata: {name: reindex}\nspec:\n  activeDeadlineSeconds: 3600\n  ttlSecondsAfterFinished: 86400\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {name: reindex, image: \"contoso.azurecr.io/shop:1.4.2\", command: [\"/app/reindex\"]}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			spec := s.Facts.WorkloadSpec
			if spec == nil || !s.IsJob() {
				return
			}
			in := "spec."
			if s.Workload.Kind == "CronJob" {
				in = "spec.jobTemplate.spec."
			}
			if spec.ActiveDeadlineSeconds == nil && s.Pod.Spec.ActiveDeadlineSeconds == nil {
				v := Violation{Path: in + "activeDeadlineSeconds", OfWorkload: true, Message: "a run that hangs is never ended", Fix: "write activeDeadlineSeconds: 3600, or more if it may need more"}
				if spec.Hook {
					v.Max = policy.Audit // the release fails, and somebody looks
				}
				report(v)
			}
			if spec.Standalone && spec.TTL == nil {
				report(Violation{Path: in + "ttlSecondsAfterFinished", OfWorkload: true, Message: "nobody deletes the Job when it is done", Fix: "write ttlSecondsAfterFinished: 86400"})
			}
		},
		Mend: func(s *Subject, done func(Repaired)) {
			spec := s.Facts.WorkloadSpec
			if !s.IsJob() || s.Pod.Spec.ActiveDeadlineSeconds != nil || spec != nil && spec.ActiveDeadlineSeconds != nil {
				return
			}
			deadline, _ := time.ParseDuration(Params[jobParams](s).Deadline) // it is valid
			s.edit.SetActiveDeadline(int64(deadline / time.Second))
			done(Repaired{Path: "spec.activeDeadlineSeconds", What: "a run ends after " + Params[jobParams](s).Deadline, OfWorkload: true})
		},
	})
}

// jobParams say how long a run may take.
type jobParams struct {
	Deadline string `yaml:"deadline"` // a duration: 24h
}

// Validate refuses what is no time.
func (p jobParams) Validate() error {
	if d, err := time.ParseDuration(p.Deadline); err != nil || d < time.Second || d > math.MaxInt32*time.Second { // as the API server bounds it
		return fmt.Errorf("deadline: %q; want a time such as 24h or 90m", p.Deadline)
	}
	return nil
}
