// Package review is the engine: the webhook, the command line and the check of workload templates all call it, so they
// never disagree. It is pure; whoever calls it gathers the facts.
package review

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// Input is a pod, or a workload whose template is reviewed as if its controller made the pod.
type Input struct {
	Object manifest.Object
	Old    *manifest.Object // the object that an update replaces, or nil
	Policy *policy.Policy
	Facts  policy.Facts // Workload, Template and those of the service account are filled in from the object

	// ServiceAccount looks up the annotations of a service account of the namespace; nil knows none. An error says that
	// nobody could tell.
	ServiceAccount func(name string) (map[string]string, error)
}

// Verdict is what there is to say about an object. Paths of findings are fields of the object, not of its template.
type Verdict struct {
	Patch    []jsonpatch.Operation // for the whole object
	Findings []policy.Finding
	Repaired []string // rules whose repairs are in the patch, each once
}

// Denied says whether a finding denies.
func (v Verdict) Denied() bool {
	for _, f := range v.Findings {
		if f.Level == policy.Deny {
			return true
		}
	}
	return false
}

// Mutate makes a twelve-factor pod. Where the pod must be refused, the findings hold everything else that would deny
// it too, so that it is mended in one go, and there is no patch.
func Mutate(in Input) (Verdict, error) {
	s, err := Open(in)
	if err != nil || s == nil {
		return Verdict{}, err
	}
	v := s.mutate(in)
	if v.Denied() {
		for _, f := range s.judge() {
			if f.Level == policy.Deny {
				v.Findings = append(v.Findings, f)
			}
		}
	}
	return s.located(v), nil
}

// Judge runs the rules on a pod as it is. An update is judged by what it makes worse: what was wrong before warns.
func Judge(in Input) (Verdict, error) {
	s, err := Open(in)
	if err != nil || s == nil {
		return Verdict{}, err
	}
	if s.Facts.Template { // no webhook has seen it as a pod: judge what would come of it
		return full(in, s)
	}
	v := Verdict{Findings: append(mutate.Unresolved(s.Edit.Pod(), s.Policy), s.judge()...)}
	return s.ratchet(in, s.located(v), Judge)
}

// Full mutates and then judges the result.
func Full(in Input) (Verdict, error) {
	s, err := Open(in)
	if err != nil || s == nil {
		return Verdict{}, err
	}
	return full(in, s)
}

func full(in Input, s *Pod) (Verdict, error) {
	v := s.mutate(in)
	v.Findings = append(v.Findings, s.judge()...)
	return s.ratchet(in, s.located(v), Full)
}

// Pod is an opened input: the pod, and what is known of it.
type Pod struct {
	Template manifest.Template
	Edit     *podpatch.Builder
	Policy   *policy.Effective
	Facts    policy.Facts
}

// Open decodes the pod; it is nil for an object that has none, and for a pod that is not judged: one that is being
// deleted, or that mirrors a static pod.
func Open(in Input) (*Pod, error) {
	template, ok, err := in.Object.Template()
	if err != nil || !ok {
		return nil, err
	}
	edit, err := podpatch.Decode(template.JSON)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %s", in.Object.Kind, in.Object.Name, manifest.InWords(err))
	}
	facts := in.Facts
	facts.NamespaceLabels = policy.LabelsOf(facts.Namespace, facts.NamespaceLabels)
	if template.Path == "" {
		if pod := edit.Pod(); pod.DeletionTimestamp != nil || mirrors(pod, facts) {
			return nil, nil
		}
		facts.Workload = policy.OwnerOf(edit.Pod())
	} else {
		facts.Template = true
		facts.Workload, facts.WorkloadSpec = workloadOf(in.Object)
	}
	return &Pod{template, edit, in.Policy.For(facts.Namespace, facts.NamespaceLabels), facts}, nil
}

// mutate says what the mutators found; where nothing denies, also what they did.
func (s *Pod) mutate(in Input) Verdict {
	if in.ServiceAccount != nil {
		annotations, err := in.ServiceAccount(cmp.Or(s.Edit.Pod().Spec.ServiceAccountName, "default"))
		s.Facts.ServiceAccount, s.Facts.ServiceAccountUnread = annotations, err != nil
	}
	findings, repaired := mutate.Run(s.Edit, s.Policy, s.Facts)
	v := Verdict{Findings: findings}
	if !v.Denied() {
		v.Patch, v.Repaired = s.patch(), repaired
	}
	return v
}

func (s *Pod) judge() []policy.Finding {
	subject := rules.NewSubject(s.Edit.Pod(), s.Policy, s.Facts)
	subject.JSON = s.json
	return rules.Judge(subject)
}

// json is the pod after mutation, without loss.
func (s *Pod) json() ([]byte, error) {
	if len(s.Edit.Operations()) == 0 {
		return s.Template.JSON, nil
	}
	operations, err := json.Marshal(s.Edit.Operations())
	if err != nil {
		return nil, err
	}
	return podpatch.Apply(operations, s.Template.JSON)
}

func (s *Pod) patch() []jsonpatch.Operation {
	patch := slices.Clone(s.Edit.Operations()) // custom rules need them as they are
	for i := range patch {
		patch[i].Path = s.Template.Pointer() + patch[i].Path
	}
	return patch
}

// located turns fields of the pod into fields of the object.
func (s *Pod) located(v Verdict) Verdict {
	for i := range v.Findings {
		if !v.Findings[i].OfWorkload {
			v.Findings[i].Path = s.Template.Field(v.Findings[i].Path)
		}
	}
	return v
}

// mirrors says whether a pod only shows a static pod, which runs whether it is admitted or not. Only kubelets make
// such pods: from anyone else the annotation would be a way around the rules.
func mirrors(pod *corev1.Pod, facts policy.Facts) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror && (facts.Offline || facts.Running || slices.Contains(facts.RequesterGroups, "system:nodes"))
}
