package logs_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/review/reviewtest"
)

// What the spec says of files is found with its path; the rules' fixtures say what counts as a signal.
func TestSignalPaths(t *testing.T) {
	for name, test := range map[string]struct {
		container corev1.Container
		want      []string
	}{
		"flag":              {corev1.Container{Args: []string{"--log-file", "/a/b.log"}}, []string{"log-file-flag /a/b.log"}},
		"traefik":           {corev1.Container{Args: []string{"--log.filePath=/a/b.log", "--log.level=INFO"}}, []string{"log-file-flag /a/b.log"}},
		"mysqld":            {corev1.Container{Args: []string{"--log-error=/a/e.log", "--log-error-verbosity=2"}}, []string{"log-file-flag /a/e.log"}},
		"another path":      {corev1.Container{Args: []string{"--log-path=api.requests", "--log-error=true"}}, nil},
		"env file":          {corev1.Container{Env: []corev1.EnvVar{{Name: "APP_LOG_FILE", Value: "/a/b.log"}, {Name: "LOG_FILE_SIZE", Value: "/5"}, {Name: "LOG_FILE", Value: "/dev/stdout"}}}, []string{"log-file-flag /a/b.log"}},
		"attached":          {corev1.Container{Args: []string{"--log_file=/a/../b.log"}}, []string{"log-file-flag /b.log"}},
		"relative":          {corev1.Container{Args: []string{"--log-file=b.log"}}, []string{"log-file-flag "}},
		"variable":          {corev1.Container{Args: []string{"--log-file=/logs/$(NAME)"}}, []string{"log-file-flag "}},
		"directory":         {corev1.Container{Args: []string{"--logtostderr=false", "--log_dir=/logs"}}, []string{"klog-file /logs/*"}},
		"spring's own name": {corev1.Container{Env: []corev1.EnvVar{{Name: "LOGGING_FILE_PATH", Value: "/logs/"}}}, []string{"spring-file /logs/spring.log"}},
		"jvm":               {corev1.Container{Env: []corev1.EnvVar{{Name: "X", Value: "-Xlog:gc:/gc.log -Xloggc:/old.log"}}}, []string{"jvm-log /gc.log", "jvm-log /old.log"}},
		"once":              {corev1.Container{Command: []string{"sh", "-c", "{ a; b; } > /a.log"}}, []string{"redirect /a.log"}},
		"from elsewhere":    {corev1.Container{Env: []corev1.EnvVar{{Name: "CATALINA_OUT", ValueFrom: &corev1.EnvVarSource{}}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range logs.Signals(&corev1.Pod{}, &test.container) {
				got = append(got, s.Name+" "+s.Path)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The word behind a flag may be a password; no signal shows it.
func TestSignalsShowNoOtherArguments(t *testing.T) {
	for _, args := range [][]string{
		{"--daemonize", "hunter2"},
		{"--alsologtostderr", "--password=hunter2", "--log_dir=/logs"},
		{"--logfile", "hunter2"},
		{"--log-file=/a.log", "hunter2"},
	} {
		signals := logs.Signals(&corev1.Pod{}, &corev1.Container{Command: append([]string{"app"}, args...)})
		if len(signals) == 0 {
			t.Errorf("%q: no signal", args)
		}
		for _, s := range signals {
			if strings.Contains(s.Seen+s.Instead+s.Field, "hunter2") {
				t.Errorf("%q: %+v", args, s)
			}
		}
	}
}

func TestStreams(t *testing.T) {
	streamed := []string{"/var/log/app/a.log", "/logs/*.log"}
	for _, test := range []struct {
		kind logs.Kind
		path string
		want bool
	}{
		{logs.Option, "/var/log/app/a.log", true},
		{logs.Option, "/var/log/app/b.log", false},
		{logs.Option, "/var/log/app/*", true},
		{logs.Option, "/logs/b.log", true},
		{logs.Option, "/logs/b.txt", false},
		{logs.Option, "/logs/deep/b.log", false},
		{logs.Redirect, "", true},
		{logs.Volume, "/var/log", true},
		{logs.Volume, "/var/log/app", true},
		{logs.Volume, "/var/log/a", false},
		{logs.Volume, "/", true},
	} {
		if got := (logs.Signal{Kind: test.kind, Path: test.path}).Streams(streamed); got != test.want {
			t.Errorf("kind %d, %q: %t, want %t", test.kind, test.path, got, test.want)
		}
		if (logs.Signal{Kind: test.kind, Path: test.path}).Streams(nil) {
			t.Errorf("%q is streamed by nobody", test.path)
		}
	}
}

func TestStreamed(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	plan := []corev1.EnvVar{{Name: logs.PlanEnv, Value: `{"files":[{"container":"a","path":"/a.log","at":"/l/a.log"},{"container":"b","path":"/b.log","at":"/l/b.log"}]}`}}
	pod := func(c corev1.Container) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "init"}, c}}}
	}
	got := logs.Streamed(pod(corev1.Container{Name: logs.TailContainer, RestartPolicy: &always, Env: plan}))
	if diff := cmp.Diff(map[string][]string{"a": {"/a.log"}, "b": {"/b.log"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, c := range map[string]corev1.Container{
		"another name": {Name: "tail", RestartPolicy: &always, Env: plan},
		"no sidecar":   {Name: logs.TailContainer, Env: plan},
		"broken plan":  {Name: logs.TailContainer, RestartPolicy: &always, Env: []corev1.EnvVar{{Name: logs.PlanEnv, Value: "{"}}},
	} {
		if got := logs.Streamed(pod(c)); len(got) > 0 {
			t.Errorf("%s streams %v", name, got)
		}
	}
}

// The rules' fixtures hold every signal, and policies may name each of them.
func TestSignalNames(t *testing.T) {
	found := map[string]bool{}
	files := reviewtest.Files(t, "../policy/rules/testdata/log-*/*/*.yaml")
	for _, file := range append(files, reviewtest.Files(t, "../policy/rules/testdata/buffered-stdout/*/*.yaml")...) {
		for _, input := range reviewtest.Load(t, file) {
			template, ok, err := input.Object.Template()
			if err != nil || !ok {
				continue
			}
			var pod corev1.Pod
			if err := json.Unmarshal(template.JSON, &pod); err != nil {
				t.Fatal(err)
			}
			for i := range pod.Spec.Containers {
				for _, s := range logs.Signals(&pod, &pod.Spec.Containers[i]) {
					found[s.Name] = true
				}
			}
		}
	}
	if diff := cmp.Diff(logs.SignalNames, slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("(-listed +found):\n%s", diff)
	}
}

func FuzzSignals(f *testing.F) {
	for _, s := range []string{"a > /l.log", "exec tee -a /logs/x", "-Xlog:gc*:file=", "--logfile", "{ a; } &>> $X/b.log", "--daemonize="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := corev1.Container{Command: []string{"sh", "-c", text}, Args: strings.Fields(text), Image: text,
			Env:          []corev1.EnvVar{{Name: text, Value: text}, {Name: "JAVA_OPTS", Value: text}, {Name: "LOGGING_FILE_PATH", Value: text}},
			VolumeMounts: []corev1.VolumeMount{{Name: text, MountPath: text}}}
		for _, s := range logs.Signals(&corev1.Pod{}, &c) {
			if s.Name == "" || s.Seen == "" || s.Instead == "" || s.Field == "" || s.Confidence == 0 || !slices.Contains(logs.SignalNames, s.Name) {
				t.Errorf("incomplete: %+v", s)
			}
		}
	})
}
