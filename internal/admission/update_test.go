package admission_test

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
)

func TestAnUpdateIsJudgedByWhatItMakesWorse(t *testing.T) {
	s := newServer(t, "")
	worse := strings.Replace(floating, `{"name":"b","image":"nginx"}`, `{"name":"b","image":"nginx:latest"}`, 1)
	got := s.ask(t, "/validate", "Pod", worse, `,"operation":"UPDATE","oldObject":`+floating)
	if got.Allowed || len(got.Result.Details.Causes) != 1 || got.Result.Details.Causes[0].Field != `spec.containers[name="b"].image` {
		t.Errorf("only the new image denies: %+v", got.Result)
	}
	better := strings.Replace(floating, `{"name":"b","image":"nginx"}`, `{"name":"b","image":"nginx:1.27"}`, 1)
	if got := s.ask(t, "/validate", "Pod", better, `,"operation":"UPDATE","oldObject":`+floating); !got.Allowed {
		t.Errorf("mending one of two images is refused: %+v", got.Result)
	}
	debugged := strings.Replace(floating, `"containers"`, `"ephemeralContainers":[{"name":"d","image":"busybox"}],"containers"`, 1)
	got = s.ask(t, "/validate", "Pod", debugged, `,"operation":"UPDATE","subResource":"ephemeralcontainers","oldObject":`+floating)
	if got.Allowed || len(got.Result.Details.Causes) != 1 || got.Result.Details.Causes[0].Field != `spec.ephemeralContainers[name="d"].image` {
		t.Errorf("the ephemeral container's image denies: %+v", got.Result)
	}
}

// What stands in a workload's template already refuses no update of it, wherever it has moved to, and warns of what becomes of its pods.
func TestAnOldFaultMoves(t *testing.T) {
	template := func(containers string) string {
		return `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[` + containers + `]}}}}`
	}
	const (
		first  = `{"name":"a","image":"a:1.2","ports":[{"containerPort":80,"hostPort":80}],"args":["--db=postgres://a:hunter2@db/a"]}`
		second = `{"name":"b","image":"b:1.2"}`
	)
	old := template(first + "," + second)
	update := func(document, containers string) *admissionv1.AdmissionResponse {
		t.Helper()
		s := newServer(t, "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: "+document+"\n")
		return s.ask(t, "/validate", "Deployment", template(containers), `,"operation":"UPDATE","oldObject":`+old)
	}
	for name, containers := range map[string]string{
		"nothing has moved":   first + `,{"name":"b","image":"b:1.3"}`,
		"in another order":    second + "," + first,
		"with another name":   strings.Replace(first, `"a"`, `"web"`, 1) + "," + second,
		"behind another port": strings.Replace(first, `[{"containerPort":80`, `[{"containerPort":8080},{"containerPort":80`, 1) + "," + second,
		"behind another word": strings.Replace(first, `"args":[`, `"args":["--verbose",`, 1) + "," + second,
	} {
		for _, document := range []string{"{templates: deny}", "{templates: warn}"} {
			got := update(document, containers)
			if !got.Allowed {
				t.Errorf("%s, %s: refused: %+v", name, document, got.Result.Details.Causes)
			}
			if len(got.Warnings) < 2 || !strings.HasPrefix(got.Warnings[0], "its pods will be denied: ") || !strings.HasPrefix(got.Warnings[1], "its pods will be denied: ") {
				t.Errorf("%s, %s: warnings %q", name, document, got.Warnings)
			}
		}
	}
	for name, containers := range map[string]string{
		"one more port":     strings.Replace(first, `"ports":[`, `"ports":[{"containerPort":81,"hostPort":81},`, 1) + "," + second,
		"one more secret":   strings.Replace(first, `"args":[`, `"args":["--cache=postgres://a:other@db/a",`, 1) + "," + second,
		"another container": first + "," + strings.Replace(first, `"a"`, `"web"`, 1),
	} {
		if got := update("{templates: deny}", containers); got.Allowed || len(got.Result.Details.Causes) > 2 {
			t.Errorf("%s: %+v", name, got.Result)
		}
	}
}

// Of two faults that look alike, the one that has not moved is the old one.
func TestANewFaultIsToldWhereItIs(t *testing.T) {
	s := newServer(t, "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {templates: deny}\n")
	template := func(containers string) string {
		return `{"metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[` + containers + `]}}}}`
	}
	const old, added = `{"name":"a","image":"nginx"}`, `{"name":"b","image":"nginx"}`
	got := s.ask(t, "/validate", "Deployment", template(added+","+old), `,"operation":"UPDATE","oldObject":`+template(old))
	if got.Allowed || len(got.Result.Details.Causes) != 1 || got.Result.Details.Causes[0].Field != `spec.template.spec.containers[name="b"].image` {
		t.Errorf("only the new image denies: %+v", got.Result)
	}
}
