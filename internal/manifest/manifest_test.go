package manifest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/manifest"
)

const input = `# a comment
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: shop}
spec:
  containers:
  - name: api
    image: api:1
    env:
    - {name: A, value: x}
    - name: B
      value: y
---
---
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec:
    template:
      metadata:
        annotations:
          a.b/c: x
      spec: {containers: []}
- {apiVersion: v1, kind: Service, metadata: {generateName: svc-}}
---
{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "night"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}}
`

func TestRead(t *testing.T) {
	objects, err := manifest.Read(strings.NewReader(input), "in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Kind, Namespace, Name, Path, Template string
		Line                                  int
	}
	var got []row
	for _, o := range objects {
		template, _, err := o.Template()
		if err != nil {
			t.Fatal(err)
		}
		text := string(template.JSON)
		if len(text) > 20 {
			text = text[:20]
		}
		got = append(got, row{o.Kind, o.Namespace, o.Name, template.Path, text, o.Line})
	}
	want := []row{
		{"Pod", "shop", "bare", "", `{"apiVersion":"v1","`, 2},
		{"Deployment", "", "web", "spec.template", `{"metadata":{"annota`, 18},
		{"Service", "", "svc-", "", "", 27},
		{"CronJob", "", "night", "spec.jobTemplate.spec.template", `{"spec":{}}`, 29},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for path, line := range map[string]int{
		`spec.containers[name="api"].env[name="B"].value`: 12,
		`spec.containers[name="api"].env[name="B"]`:       11,
		`spec.containers[name="api"].readinessProbe`:      7,
		`spec.containers[0].image`:                        8,
		`metadata.labels`:                                 4,
		``:                                                2,
	} {
		if got := objects[0].LineOf(path); got != line {
			t.Errorf("%s is on line %d, not on %d", path, line, got)
		}
	}
	if got := objects[1].LineOf(`spec.template.metadata.annotations["a.b/c"]`); got != 25 {
		t.Errorf("the annotation is on line 25, not on %d", got)
	}
}

// The API server's own lists leave out what their items are.
func TestReadTypedLists(t *testing.T) {
	objects, err := manifest.Read(strings.NewReader("apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata: {name: a}\n  spec: {replicas: 1, template: {spec: {}}}\n- {apiVersion: v1, kind: Pod}\n"), "in.yaml")
	if err != nil || len(objects) != 2 {
		t.Fatal(objects, err)
	}
	if _, ok, err := objects[0].Template(); !ok || err != nil || objects[0].Line != 4 ||
		string(objects[0].JSON) != `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"},"spec":{"replicas":1,"template":{"spec":{}}}}` {
		t.Errorf("%s on line %d, %t, %v", objects[0].JSON, objects[0].Line, ok, err)
	}
	if objects[1].Kind != "Pod" {
		t.Errorf("%v", objects[1])
	}
}

// A kind of somebody's own may be called a list, and is one object.
func TestReadKindsThatSoundLikeLists(t *testing.T) {
	for _, items := range []string{`[{"cidr":"10.0.0.0/8"}]`, `["10.0.0.1"]`} {
		text := `{"apiVersion":"a.b/v1","items":` + items + `,"kind":"AllowList","metadata":{"name":"a"}}`
		objects, err := manifest.Read(strings.NewReader(text), "in.json")
		if err != nil || len(objects) != 1 || string(objects[0].JSON) != text {
			t.Errorf("%s: %v, %v", text, objects, err)
		}
	}
}

func TestReadMergeKeys(t *testing.T) {
	objects, err := manifest.Read(strings.NewReader("kind: Pod\nmetadata: &a {name: a, namespace: b}\nspec: {a: {<<: *a, name: c}, b: {name: d, <<: *a}}\n"), "in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := `"a":{"name":"c","namespace":"b"}`; !strings.Contains(string(objects[0].JSON), want) {
		t.Errorf("%s; want %s", objects[0].JSON, want)
	}
}

// Directories of Kustomize hold patches, which are no workloads by themselves.
func TestTemplateTellsPatches(t *testing.T) {
	objects, err := manifest.Read(strings.NewReader("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: kafka}\nspec: {replicas: 1}\n"), "patch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := objects[0].Template(); err == nil || !strings.Contains(err.Error(), "StatefulSet kafka: spec.template is missing (if it is a patch, ") || !strings.Contains(err.Error(), "kubectl kustomize") {
		t.Errorf("%v; want what to do with patches", err)
	}
}

// What is not judged is read as kubectl reads it: the last one holds.
func TestReadPassesOverRepetitions(t *testing.T) {
	objects, err := manifest.Read(strings.NewReader("apiVersion: v1\nkind: ConfigMap\ndata: {a: b, c: d, a: e}\n---\napiVersion: v1\nkind: Pod\n"), "in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := `"data":{"a":"e","c":"d"}`; len(objects) != 2 || !strings.Contains(string(objects[0].JSON), want) {
		t.Errorf("%v; want two objects, and %s in the first", objects, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"apiVersion: v1\nkind: Pod\nspec: {a: 1, a: 2}\n":                        "line 3",
		"apiVersion: v1\nkind: List\nitems: [{kind: Pod, spec: {a: 1, a: 2}}]\n": "line 3",
		"apiVersion: v1\nkind: Pod\napiVersion: v1\nkind: Service\n":             "line 3",
		"a: &a {b: 1}\nc:\n  <<: *a\n  b: 2\n  b: 3\n":                           "line 5",
		"a: 1\n---\n- x\n":          "in.yaml: document at line 3 is no Kubernetes object",
		"a: 1\na: 2\n":              "line 1",
		"kind: [\n":                 "in.yaml: document at line 1",
		"kind: Pod\nmetadata: 1\n":  "in.yaml: document at line 1: no Kubernetes object: unexpected number at metadata",
		"a: 1\n---\nb: 1\n\tc: 1\n": "in.yaml: document at line 3: line 4: ",
		"a: {{ .Values.a }}\n":      "helm template",
		"a: 1\n...\nb: 1\n":         "another follows it without a line ---",
		"{\"a\": 1}\n{\"b\"\n":      "in.yaml: document at line 2",
		"kind: List\nitems: [1]\n":  "no Kubernetes object: unexpected number",
		"kind: List\nitems: 5\n":    "in.yaml: document at line 1: List: unexpected number at items",
		"apiVersion: v1\nkind: PodList\nitems: {a: {kind: Pod}}\n": "PodList: unexpected object at items",
		"apiVersion: v1\nkind: PodList\nitems: [3]\n":              "no Kubernetes object: unexpected number",
		"{\"a\": 1} b\n": "in.yaml: document at line 1",
	} {
		_, err := manifest.Read(strings.NewReader(text), "in.yaml")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v; want %q", text, err, want)
		}
	}
}

func TestReadJSONStream(t *testing.T) {
	objects, err := manifest.Read(strings.NewReader("{\"kind\": \"Pod\"}{\"kind\": \"Job\"}\n\n{\n\"kind\": \"List\", \"items\": [{},\n{}]}\n"), "in.json")
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, o := range objects {
		lines = append(lines, o.Line)
	}
	if diff := cmp.Diff([]int{1, 1, 4, 5}, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(input)
	f.Add("kind: List\nitems: [1]\n")
	f.Add("{\"kind\": \"Pod\"}{}\n")
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := manifest.Read(strings.NewReader(text), "in.yaml")
		if err != nil {
			return
		}
		for _, o := range objects {
			_, _, _ = o.Template()
			o.LineOf(`spec.containers[name="x"].env[0]["y"]`)
		}
	})
}

func TestErrorsAreInWords(t *testing.T) {
	for text, want := range map[string]string{
		`{"ports": 2147483648}`: "unexpected number at ports",
		`{"ports": "http"}`:     "unexpected string at ports",
		`{"name": 1}`:           "unexpected number at name: put it in quotes",
		`[]`:                    "unexpected array",
	} {
		var into struct {
			Ports int32  `json:"ports"`
			Name  string `json:"name"`
		}
		if got := manifest.InWords(json.Unmarshal([]byte(text), &into)); got != want {
			t.Errorf("%s: %s; want %s", text, got, want)
		}
	}
}

// However a list is given its items, they are taken apart: a gate must not pass what kubectl applies.
func TestItemsByAnchor(t *testing.T) {
	const anchor = "x: &a {items: &b [{kind: Pod, metadata: {name: p}}]}\nkind: List\n"
	for text, line := range map[string]int{anchor + "items: *b\n": 1, anchor + "<<: *a\n": 1} {
		objects, err := manifest.Read(strings.NewReader(text), "in.yaml")
		if err != nil || len(objects) != 1 || objects[0].Kind != "Pod" || objects[0].Line != line {
			t.Errorf("%s: %+v, %v", text, objects, err)
		}
	}
}
