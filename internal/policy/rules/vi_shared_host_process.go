package rules

import "twelvefold.dev/internal/policy"

// shared-host-process
//
//	restricted: hostPID, hostIPC, shareProcessNamespace
//	allowed:    false, unset
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "shared-host-process", Factor: "VI", Levels: policy.At(policy.Deny)},
		Page: policy.Page{
			Title:   "The pod shares processes or memory with others",
			Why:     "Processes of one app share nothing. With hostPID a container sees, signals and, as root, enters every process of its node, and reads the environment of other teams' apps; hostIPC shares their memory segments. shareProcessNamespace does the same among the containers of a pod, and the app is no longer process 1: the signal that ends the pod reaches another.",
			Fix:     "Remove the field. Containers that must work together talk over localhost or share an emptyDir; for a look into a running pod there is kubectl debug --target.",
			Allowed: "shareProcessNamespace only warns. Pods of a DaemonSet are node agents: hostPID and hostIPC are only audited, and denied by the profile strict unless exempted.",
			Example: "hostPID: false\nhostIPC: false\ncontainers:\n- {name: api, image: contoso.azurecr.io/shop:1.4.2}\n",
		},
		Check: checkSharedHostProcess,
	})
}

func checkSharedHostProcess(s *Subject, report func(Violation)) {
	spec := &s.Pod.Spec
	if spec.HostPID {
		report(Violation{Path: "spec.hostPID", Levels: s.levels(), Message: "the pod sees all processes of its node", Fix: "remove hostPID"})
	}
	if spec.HostIPC {
		report(Violation{Path: "spec.hostIPC", Levels: s.levels(), Message: "the pod shares memory with all processes of its node", Fix: "remove hostIPC"})
	}
	if spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace {
		report(Violation{Path: "spec.shareProcessNamespace", Max: policy.Warn, Message: "the pod's containers see each other's processes",
			Fix: "remove shareProcessNamespace; let the containers talk over localhost"})
	}
}
