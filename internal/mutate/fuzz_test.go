package mutate_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review/reviewtest"
)

// Whatever the annotations hold: what is injected is well-formed, and the second run changes nothing.
func FuzzMetricsAndLogs(f *testing.F) {
	f.Add("8080/metrics", "redis", "/var/log/app/a.log", "true", "--requirepass $(X)")
	f.Add("8080,9090/a?b=c", "none", "app:/var/log/*.log,/logs/../etc/x", "", "redis-server --port 7000")
	f.Add("0", "nginx\n", "/$(HOME)/x.log,:/a/b/c", "false", "sh -c")
	f.Add("none", "", strings.Repeat("/var/log/a/b.log,", 40), "\x00", "--port=99999")
	f.Fuzz(func(t *testing.T, metrics, exporter, files, scrape, args string) {
		annotations := map[string]string{"twelvefold.dev/log-files": strings.ToValidUTF8(files, "?")}
		for key, value := range map[string]string{"twelvefold.dev/metrics": metrics, "twelvefold.dev/exporter": exporter, "prometheus.io/scrape": scrape} {
			if value != "" {
				annotations[key] = strings.ToValidUTF8(value, "?") // the API server lets nothing else through
			}
		}
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: annotations}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: "redis:8.2.1", Args: strings.Fields(strings.ToValidUTF8(args, "?"))}}}}
		first := run(t, pod)
		checkScrape(t, pod, first)
		checkTail(t, first)
		if again := run(t, *first.Pod()); len(again.Operations()) > 0 {
			t.Errorf("the second run has a patch: %v", again.Operations())
		}
	})
}

// Whatever an app is: the second run changes nothing, and a password that stands in the pod as text is in no patch.
func FuzzMetricsOfApps(f *testing.F) {
	f.Add("postgres:17", "", "", "", "POSTGRES_PASSWORD")
	f.Add("php:8.4-fpm", "php-fpm -F", "php-fpm", "", "A")
	f.Add("shop", "java -jar /app.jar", "jmx", "spring-boot", "MANAGEMENT_SERVER_PORT")
	f.Add("shop", "python -m gunicorn shop.wsgi", "statsd", "opentelemetry", "GUNICORN_CMD_ARGS")
	f.Add("shop", "dotnet shop.dll", "dotnet", "none", "DOTNET_DiagnosticPorts")
	f.Add("mysql", "mysqld", "mysql", "micronaut", "MYSQL_ROOT_PASSWORD")
	f.Fuzz(func(t *testing.T, image, argv, exporter, profile, variable string) {
		clean := func(text string) string { return strings.ToValidUTF8(text, "?") }
		annotations := map[string]string{"twelvefold.dev/exporter": clean(exporter), "twelvefold.dev/metrics-profile": clean(profile)}
		for key, value := range annotations {
			if value == "" {
				delete(annotations, key)
			}
		}
		const password = "s3cret-as-text"
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: annotations}, Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "app", Image: clean(image), Args: strings.Fields(clean(argv)), Env: []corev1.EnvVar{{Name: "DB_PASSWORD", Value: password}, {Name: clean(variable), Value: "8080"}}},
			{Name: "other", Image: clean(image), Ports: []corev1.ContainerPort{{ContainerPort: 9404}}},
		}}}
		first := run(t, pod)
		for _, c := range first.Pod().Spec.InitContainers {
			if data, _ := json.Marshal(c); strings.Contains(string(data), password) {
				t.Errorf("the password was copied: %s", data)
			}
		}
		if again := run(t, *first.Pod()); len(again.Operations()) > 0 {
			t.Errorf("the second run has a patch: %v", again.Operations())
		}
	})
}

func run(t *testing.T, pod corev1.Pod) *podpatch.Builder {
	t.Helper()
	return runWith(t, pod, policy.Default(rules.Catalogue{}))
}

func runWith(t *testing.T, pod corev1.Pod, effective *policy.Policy) *podpatch.Builder {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	edit, err := podpatch.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	mutate.Run(edit, effective.For("shop", nil), reviewtest.Facts)
	return edit
}

// checkScrape: the port is a number, and the three annotations come together.
func checkScrape(t *testing.T, before corev1.Pod, edit *podpatch.Builder) {
	t.Helper()
	annotations := edit.Pod().Annotations
	port, written := annotations["prometheus.io/port"]
	if !written {
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		t.Errorf("port %q", port)
	}
	if annotations["prometheus.io/scrape"] != "true" || !strings.HasPrefix(annotations["prometheus.io/path"], "/") {
		t.Errorf("port without scrape or path: %v", annotations)
	}
	for key, value := range before.Annotations {
		if annotations[key] != value {
			t.Errorf("the pod's own %s was changed from %q to %q", key, value, annotations[key])
		}
	}
}

// checkTail: the sidecar can read its plan, and the kubelet expands nothing in it.
func checkTail(t *testing.T, edit *podpatch.Builder) {
	t.Helper()
	for _, c := range edit.Pod().Spec.InitContainers {
		if c.Name != logs.TailContainer {
			continue
		}
		for _, e := range c.Env {
			if _, err := logs.ParsePlan(e.Value); err != nil || strings.Contains(e.Value, "$") {
				t.Errorf("%s=%s: %v", e.Name, e.Value, err)
			}
		}
	}
}

// Whatever a spec says of its logs: a repair leaves plans that can be read, and the second run changes nothing.
func FuzzLogRepair(f *testing.F) {
	f.Add("exec app > /var/log/app/a.log 2>&1", "--logfile /data/r.log", "/var/log/nginx", "-Xlog:gc:/g.log", "")
	f.Add("uwsgi --logto /var/log/u/u.log", "--logpath /m.log --logappend", "/logs", "/logs/x.log", "stream")
	f.Add("a > /logs/$(X).log; b", "--daemonize yes --log-file=/logs/$(Y).log", "/usr/local/apache2/logs", "OFF", "link")
	f.Add("python -c x", "--access-logfile=/x/logs/a.log", "/", "\x00", "rewrite")
	effective, err := policy.Parse([]byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {logs: {mode: repair, collectors: [datadog, elastic, fluentbit]}}\n"), rules.Catalogue{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, script, args, mount, value, want string) {
		for _, s := range []*string{&script, &args, &mount, &value, &want} {
			*s = strings.ToValidUTF8(*s, "?")
		}
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"app": "shop"}, Annotations: map[string]string{
			"twelvefold.dev/log-repair": want, logs.TailingAnnotation: "v:" + mount + "/a.log", logs.BanzaiAnnotation: value}},
			Spec: corev1.PodSpec{Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
				Containers: []corev1.Container{
					{Name: "script", Image: "shop:1", Command: []string{"sh", "-c", script}},
					{Name: "args", Image: "redis:8", Args: strings.Fields(args)},
					{Name: "env", Image: "shop:1", Env: []corev1.EnvVar{{Name: "UWSGI_LOGTO", Value: value}, {Name: "LOGGING_FILE_PATH", Value: value}, {Name: "JAVA_OPTS", Value: value}}},
					{Name: "nginx", Image: "nginx:1", VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: mount}}},
				}}}
		first := runWith(t, pod, effective)
		checkTail(t, first)
		for _, c := range first.Pod().Spec.InitContainers {
			if c.Name == logs.LinkContainer {
				if _, err := logs.ParseLinks(c.Env[0].Value); err != nil || strings.Contains(c.Env[0].Value, "$") {
					t.Errorf("%s: %v", c.Env[0].Value, err)
				}
			}
		}
		if again := runWith(t, *first.Pod(), effective); len(again.Operations()) > 0 {
			t.Errorf("the second run has a patch: %v", again.Operations())
		}
	})
}
