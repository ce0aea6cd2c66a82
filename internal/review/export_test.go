package review

import corev1 "k8s.io/api/core/v1"

// MutatedPod is the pod as rules are shown it: edited in memory, with no patch applied. It is nil for what is not
// reviewed.
func MutatedPod(in Input) (*corev1.Pod, error) {
	s, err := Open(in)
	if err != nil || s == nil {
		return nil, err
	}
	s.mutate(in)
	return s.Edit.Pod(), nil
}
