package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

const allowingPolicy = `
apiVersion: twelvefold.dev/v1alpha1
kind: Policy
spec: {profile: strict, allowedRequesters: ["system:serviceaccount:ci:*"]}
`

// Whether a pod has a controller depends on who asks for it, not on what its metadata says alone.
func TestRequesters(t *testing.T) {
	const (
		none     = ``
		replicas = `{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-7d4", "uid": "1", "controller": true}`
		daemons  = `{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "1", "controller": true}`
		driver   = `{"apiVersion": "v1", "kind": "Pod", "name": "spark-driver", "uid": "1", "controller": true}`
		cluster  = `{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "db", "uid": "1", "controller": true}`
	)
	for name, test := range map[string]struct {
		owner, requester string
		groups           []string
		want             []string // of bare-pod and host-state
	}{
		"a replica set's":         {replicas, "system:serviceaccount:kube-system:replicaset-controller", nil, []string{"deny host-state"}},
		"a daemon set's":          {daemons, "system:serviceaccount:kube-system:daemon-set-controller", nil, []string{"deny host-state"}},
		"a user's":                {none, "kim@contoso.com", nil, []string{"deny bare-pod", "deny host-state"}},
		"forged by a user":        {replicas, "kim@contoso.com", nil, []string{"deny bare-pod", "deny host-state"}},
		"a forged daemon set's":   {daemons, "kim@contoso.com", nil, []string{"deny bare-pod", "deny host-state"}},
		"forged by an account":    {replicas, "system:serviceaccount:shop:deployer", nil, []string{"deny bare-pod", "deny host-state"}},
		"a lookalike controller":  {replicas, "system:serviceaccount:shop:replicaset-controller", nil, []string{"deny bare-pod", "deny host-state"}},
		"a CI runner's, allowed":  {none, "system:serviceaccount:ci:gitlab-runner", nil, []string{"deny host-state"}},
		"a CI runner's elsewhere": {none, "system:serviceaccount:shop:gitlab-runner", nil, []string{"deny bare-pod", "deny host-state"}},
		"Spark's executor":        {driver, "system:serviceaccount:shop:spark", nil, []string{"deny bare-pod", "deny host-state"}},
		"an operator's":           {cluster, "system:serviceaccount:cnpg-system:cnpg-manager", nil, []string{"audit bare-pod", "deny host-state"}},
		"an operator's, forged":   {cluster, "kim@contoso.com", nil, []string{"deny bare-pod", "deny host-state"}},
		"a mirror's, forged":      {none, "kim@contoso.com", nil, []string{"deny bare-pod", "deny host-state"}},
		"a mirror's":              {none, "system:node:aks-1", []string{"system:nodes"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := "{}"
			if strings.HasPrefix(name, "a mirror") {
				annotations = `{"kubernetes.io/config.mirror": "5d1a"}`
			}
			got := judge(t, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "annotations": `+annotations+`, "ownerReferences": [`+test.owner+`]},
				"spec": {"volumes": [{"name": "d", "hostPath": {"path": "/data"}}],
				"containers": [{"name": "a", "image": "a:1", "volumeMounts": [{"name": "d", "mountPath": "/d"}]}]}}`, test.requester, test.groups)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// judge lists what two rules say to a pod in a request.
func judge(t *testing.T, pod, requester string, groups []string) []string {
	t.Helper()
	object, err := manifest.FromJSON([]byte(pod))
	if err != nil {
		t.Fatal(err)
	}
	effective, err := policy.Parse([]byte(allowingPolicy), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	facts := reviewtest.Facts
	facts.Requester, facts.RequesterGroups = requester, groups
	verdict, err := review.Judge(review.Input{Object: object, Policy: effective, Facts: facts})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range verdict.Findings {
		if f.Rule == "bare-pod" || f.Rule == "host-state" {
			found = append(found, f.Level.String()+" "+f.Rule)
		}
	}
	slices.Sort(found)
	return found
}

// Nobody mends a pod that is on its way out.
func TestPodsBeingDeletedAreNotJudged(t *testing.T) {
	pod := `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "deletionTimestamp": "` + time.Unix(0, 0).UTC().Format(time.RFC3339) + `"},
		"spec": {"containers": [{"name": "a", "image": "a"}]}}`
	if found := judge(t, pod, "kim@contoso.com", nil); len(found) > 0 {
		t.Errorf("found %q", found)
	}
}
