package rules_test

import (
	"strings"
	"testing"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// What a repair would write is looked at when the policy is read: the API server would refuse the pods.
func TestParamsOfRepairs(t *testing.T) {
	for params, want := range map[string]string{
		"unbounded-emptydir: {params: {sizeLimit: 64m}}":                 `sizeLimit: "64m"; want a size such as 64Mi`,
		"unbounded-emptydir: {params: {sizeLimit: 64MB}}":                `sizeLimit: "64MB"; want`,
		"writable-rootfs: {params: {sizeLimit: -1Gi}}":                   `sizeLimit: "-1Gi"; want`,
		"requests-missing: {params: {requests: {cpu: a}}}":               `requests.cpu: "a"; want a quantity such as 50m`,
		"requests-missing: {params: {requests: {memory: \"64\"}}}":       `requests.memory: "64"; want`,
		"requests-missing: {params: {requests: {ephemeral-storage: 1}}}": `unknown field "ephemeral-storage"`,
		"memory-limit-missing: {params: {limit: 0}}":                     `limit: "0"; want`,
		"job-unbounded: {params: {deadline: 0s}}":                        `deadline: "0s"; want a time such as 24h`,
		"job-unbounded: {params: {deadline: 999999h}}":                   `deadline: "999999h"; want`,
		"grace-period: {params: {seconds: 30}}":                          "rule grace-period takes no params",
	} {
		_, err := policy.Parse([]byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec:\n  rules:\n    "+params+"\n"), rules.Catalogue{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line 5: ") {
			t.Errorf("%s: %v", params, err)
		}
	}
}
