package review_test

import (
	"strings"
	"testing"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
)

// What is kept of other namespaces is little, and no value of a variable.
func TestTwinsKeepNoValues(t *testing.T) {
	objects, err := manifest.Read(strings.NewReader(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    metadata: {labels: {app.kubernetes.io/name: shop, team: a}, annotations: {note: s3cr3t}}
    spec:
      initContainers: [{name: wait, image: "wait:1", args: [s3cr3t]}]
      containers:
      - name: api
        image: shop:1
        command: [s3cr3t]
        env: [{name: A, value: s3cr3t}, {name: B, valueFrom: {secretKeyRef: {name: s3cr3t, key: k}}}]
        envFrom: [{secretRef: {name: s3cr3t}}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: api}
spec: {template: {spec: {containers: [{name: api, image: "shop:1"}]}}}
`), "twins.yaml")
	if err != nil {
		t.Fatal(err)
	}
	twins := &review.Twins{}
	twins.Put("shop-prod", objects)
	twins.Put("shop-dev", objects[:1])
	found := twins.Of(policy.Workload{Kind: "Deployment", Name: "api"})
	if len(found) != 2 || found[0].Namespace != "shop-dev" || found[1].Namespace != "shop-prod" {
		t.Fatalf("%v", found)
	}
	const want = `{"metadata":{"labels":{"app.kubernetes.io/name":"shop"}},"spec":{"initContainers":[{"name":"wait","image":"wait:1"}],` +
		`"containers":[{"name":"api","image":"shop:1","env":[{"name":"A"},{"name":"B"}],"envFrom":[{}]}]}}`
	if got := string(found[0].Template); got != want {
		t.Errorf("kept is %s", got)
	}
	if jobs := twins.Of(policy.Workload{Kind: "Job", Name: "api"}); jobs != nil {
		t.Errorf("a Job has twins: %v", jobs)
	}
	twins.Keep([]string{"shop-dev"})
	twins.Put("shop-dev", nil)
	if left := twins.Of(policy.Workload{Kind: "Deployment", Name: "api"}); left != nil {
		t.Errorf("left: %v", left)
	}
}
