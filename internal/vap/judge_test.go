package vap

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

// Texts that are not what they seem at first sight. The webhook passes over images that it can't read, cleans paths, and
// tells placeholders from passwords: a pattern must not take more than it does.
var (
	oddImages = []string{"", "a", "A", "app", "app:", "app:latest", "app:LATEST", "app:1", "a/b", "/a", "a/", "a//b", "A/b", "A.b/c", "a.b/C", "a.b/c", "localhost", "localhost/a", "localhost:5000/a",
		"localhost:5000/a:latest", "a:5000/b", "a:b/c", "a:latest/c", "a b", "a\n", "ä", "ä.b/c", "a_b.c/d", "a..b/c", ".../x", "-a.b/c", "[::1]:5000/a", "127.0.0.1/a:latest", "a@b", "a:latest@b",
		"app@sha256:" + strings.Repeat("0", 64), "app:latest@sha256:" + strings.Repeat("0", 64), "app@sha256:" + strings.Repeat("0", 63), "app@sha256:" + strings.Repeat("G", 64),
		"app:" + strings.Repeat("x", 128), "app:" + strings.Repeat("x", 129), "app:dev-" + strings.Repeat("x", 129), strings.Repeat("a", 255), strings.Repeat("a", 256), "a.b/" + strings.Repeat("a", 255), "a.b/" + strings.Repeat("a", 256),
		"sshd", "sshd:1", "x/sshd", "SSHD/sshd", "x.y/openssh-server:latest", "sshd@sha256:" + strings.Repeat("0", 64), "sshd@sha256:1", "sshdx", "x-sshd", "sshd/x", "gitea/sshd", "sftp/sshd", "x/gitea:22", "sftp-sshd", "a/gitlab-sshd:dev",
		"ttl.sh/a:1", "ttl.sh", "ttl.sh/A", "ttl-sh/a:1", "ttl.sh:443/a", "kind.local/a", "app:dev", "app:1-dev", "app:dev.1", "app:DEV_1", "app:devel", "app:1.dev-2", "cgr.dev/a:dev", "cgr.dev/a:snapshot", "docker.io/a:dev", "index.docker.io/a:dev",
		"quay.io/a/b:dirty", "app:dev@sha256:" + strings.Repeat("0", 64), "app:dev@sha256:1", "localhost/a:dev", "dev", "dev:1", "auto"}
	oddPaths = []string{"/", "//", "/.", "/./", "/./.", ".", "usr", "./usr", "/usr", "/usr/", "/usr/.", "//usr", "/./usr/lib", "/usr/../etc", "/usr/..", "/etc/../usr", "/usrx", "/usr.", "/.usr", "/usr/lib", "/lib", "/libx", "/lib64", "/var/lib", "/opt/", "/optional",
		"/run", "/run/", "/runx", "/var/run", "/var/run/", "/var//run/./", "/var/runx", "/var/run/docker.sock", "/var/run/dockerxsock", "/run/docker.sock.bak", "//var/./run//docker.sock", "/run/user", "/var/run/user", "/run/containerd/x", "/x/run/docker.sock",
		"/usr/share/zoneinfo", "/usr/share/zoneinfo/", "/usr/share/zoneinfo/Europe", "/usr//share/./zoneinfo/x", "/usr/share/zoneinfox", "/usr/share/ca-certificates/mozilla", "/usr/share", "/etc/localtime", "/etc//localtime", "/etc/timezone", "/etc/timezones", "/data"}
	oddValues = []string{"", "1", "TRUE", " true ", "true\n", "on", "dev", "Development", "develop", "production", "staging", "prod,staging", "prod, $(X)", "prod,,default", "PRÖD", "<env>", "x,<env>", "kubernetes,ß",
		"postgres://a:b@c", "postgres://a:b@c:5432/d", "postgres://:b@c", "postgres://a:@c", "postgres://a:$(P)@c", "postgres://a:<p>@c", "postgres://a:xxx@c", "postgres://a:xxxxxxxx@c", "postgres://a:xxxxxxxxx1@c", "postgres://a:REDACTED@c", "postgres://a:__P__@c",
		"postgres://a:_@c", "postgres://a:%s@c", "POSTGRES://a:b@c", "a+b://c:d@e", "http://a:8080/b@c", "http://a:8080@c", "http://a:80@c/d", "x postgres://a:b@c", "postgres://a:b@c d", "postgres://a:b@C", "postgres://AKIAABCDEFGHIJKLMN:b@c", "postgres://a:AKIAABCDEFGHIJKLMN@c",
		"postgres://AK" + "IA0123456789ABCDEF:b@c", "https://a:gh" + "p_0123456789012345678901234567890123456789@github.com", "postgres://a:b@c/d?e=f", "postgres://a:EXAMPLE@c", "postgres://a:012345678EXAMPLE@c",
		"AK" + "IA0123456789ABCDEF", "AKIA012345678EXAMPLE", "xAK" + "IA0123456789ABCDEF", "AK" + "IA0123456789abcdef", "$AK" + "IA0123456789ABCDEF", "glp" + "at-01234567890123456789", "glpat-xxxxxxxxxxxxxxxxxxxx", "AIza" + strings.Repeat("a", 35), "eyJ0123456789.eyJ0123456789.0123456789", "ghp_" + strings.Repeat("a", 36), "ghp_" + strings.Repeat("a", 35), "ghp_*** " + strings.Repeat("a", 36),
		"-agentlib:jdwp=transport=dt_socket", "x-agentlib:jdwp=y", "a '-agentlib:jdwp=y'", "-Xrunjdwp:x", "--inspect", "--inspect=9229", "--inspect=0.0.0.0:9229", "--inspect=127.0.0.1", "--inspect-brk=[::]:1", "--inspect=0.0.0.0x", "--inspect=*", "\u00a0--inspect=0.0.0.0", "x--inspect=0.0.0.0"}
	oddNames = []string{"NODE_ENV", "NEXT_PUBLIC_KEY", "DEBUG", "debug", "ASPNETCORE_ENVIRONMENT", "GIN_MODE", "XDEBUG_MODE", "WERKZEUG_DEBUG_PIN", "SPRING_PROFILES_ACTIVE"}
	oddPorts = []string{"", "http", "metrics", "http-metrics", "metrics-http", "metrics-api", "api-metrics", "http-health-check", "grpc", "web", "x", "tcp-debug", "health-port"}
)

// What a policy denies, the webhook denies, also where texts are odd; and a rule that is exported in whole denies the same.
func TestPoliciesAreNeverStricter(t *testing.T) {
	var pods []string
	add := func(format string, args ...any) { pods = append(pods, fmt.Sprintf(format, args...)) }
	for _, image := range oddImages {
		add(`{"containers": [{"name": "a", "image": %q}]}`, image)
	}
	for _, p := range oddPaths {
		for _, mount := range []string{``, `, "readOnly": true`} {
			add(`{"volumes": [{"name": "v", "hostPath": {"path": %q}}], "containers": [{"name": "a", "image": "a.b/c:1", "volumeMounts": [{"name": "v", "mountPath": "/v"%s}]}]}`, p, mount)
		}
	}
	for i, name := range oddNames {
		for _, value := range oddValues {
			if i > 1 && len(value) > 12 { // which is neither a switch nor an environment
				continue
			}
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			add(`{"initContainers": [{"name": "i", "image": "a.b/c:1", "env": [{"name": %q, "value": %s}, {"name": "B"}]}], "containers": [{"name": "a", "image": "a.b/c:1"}]}`, name, text)
		}
	}
	for _, name := range oddPorts {
		for _, more := range []string{``, `, "protocol": "UDP"`, `, "protocol": "TCP"`} {
			for _, port := range []int{0, 22, 1023, 1024} {
				add(`{"containers": [{"name": "a", "image": "a.b/c:1", "ports": [{"name": "metrics", "containerPort": 9090}, {"name": %q, "containerPort": %d%s}]}]}`, name, port, more)
			}
		}
	}

	text := "  profile: off\n  namespaces: [{match: {names: [shop]}, environment: Production}]\n  rules:\n"
	for id := range forms {
		text += "    " + id + ": {level: deny}\n"
	}
	p := parse(t, text)
	judges := judgesOf(t, p)
	denied := map[string]int{}
	for _, spec := range pods {
		data := []byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": ` + spec + `}`)
		var object map[string]any
		if err := json.Unmarshal(data, &object); err != nil {
			t.Fatal(err)
		}
		verdict, err := review.Judge(review.Input{Policy: p, Object: manifest.Object{APIVersion: "v1", Kind: "Pod", JSON: data},
			Facts: policy.Facts{Now: now, Namespace: "shop", Requester: "somebody"}})
		if err != nil {
			t.Fatal(err)
		}
		for id, denies := range judges {
			webhook := slices.ContainsFunc(verdict.Findings, func(f policy.Finding) bool { return f.Rule == id && f.Level == policy.Deny })
			switch here := denies(t, object); {
			case here && !webhook:
				t.Errorf("%s: stricter than the webhook: %s", id, spec)
			case !here && webhook && forms[id].leaves == "" && !narrower(id, spec):
				t.Errorf("%s: passes what the webhook denies: %s", id, spec)
			case here:
				denied[id]++
			}
		}
	}
	for _, id := range []string{"mutable-tag", "no-digest", "ssh-daemon", "dev-image", "host-dependency", "host-state", "debug-in-production", "environment-group",
		"credential-url", "literal-secret", "readiness-missing", "privileged-port"} {
		if denied[id] == 0 {
			t.Errorf("%s denies nothing", id)
		}
	}
}

// narrower are texts that hardly anybody writes, which the policies let pass so that they are never stricter.
func narrower(id, spec string) bool {
	switch id {
	case "mutable-tag", "no-digest":
		return strings.Contains(spec, `"[::1]`) || strings.Contains(spec, `"ä.b`) || strings.Contains(spec, `"a.b/`+strings.Repeat("a", 255))
	case "host-dependency":
		return strings.Contains(spec, "..") // no API server takes it
	case "environment-group":
		return strings.ContainsAny(spec, "Öß\u00a0")
	}
	return false
}

// judgesOf are the policies that a policy is exported to, for the namespace shop, by their rules: each says whether a pod
// that somebody makes is denied.
func judgesOf(t *testing.T, p *policy.Policy) map[string]func(*testing.T, map[string]any) bool {
	t.Helper()
	set, err := environment.MustBaseEnvSet(version.MajorMinor(1, 33)).Extend(environment.VersionedOptions{IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: []cel.EnvOption{cel.Variable("object", cel.DynType), cel.Variable("oldObject", cel.DynType), cel.Variable("request", cel.DynType),
			cel.Variable("namespaceObject", cel.DynType), cel.Variable("variables", cel.DynType)}})
	if err != nil {
		t.Fatal(err)
	}
	env := set.NewExpressionsEnv()
	program := func(text string) cel.Program {
		ast, issues := env.Compile(text)
		if issues.Err() != nil {
			t.Fatalf("%s: %v", text, issues.Err())
		}
		program, err := env.Program(ast)
		if err != nil {
			t.Fatal(err)
		}
		return program
	}
	e := exporter{policy: p, now: now}
	judges := map[string]func(*testing.T, map[string]any) bool{}
	for _, r := range rules.All() {
		f, found := forms[r.ID]
		if !found {
			continue
		}
		effective := p.Within(0)
		where, _ := e.where(r.RuleInfo, effective, 0)
		if f.unless != "" {
			where += " && !(" + f.unless + ")"
		}
		v := f.validation(r, part{effective, r.RuleInfo, true})
		type named struct {
			name    string
			program cel.Program
		}
		var variables []named
		for _, v := range slices.Concat(e.variables(r.RuleInfo, f), []variable{{"judged", where}}, v.variables) {
			variables = append(variables, named{v.name, program(v.expression)})
		}
		condition, message := program("!variables.judged || "+v.condition), program(v.messageExpression)
		judges[r.ID] = func(t *testing.T, object map[string]any) bool {
			t.Helper()
			values := map[string]any{}
			in := map[string]any{"object": object, "oldObject": nil, "variables": values, "namespaceObject": map[string]any{"metadata": map[string]any{"name": "shop"}},
				"request": map[string]any{"operation": "CREATE", "kind": map[string]any{"kind": object["kind"]}, "userInfo": map[string]any{"username": "somebody"}}}
			for _, v := range variables {
				value, _, err := v.program.Eval(in)
				if err != nil {
					t.Fatalf("%s: %s: %v", r.ID, v.name, err)
				}
				values[v.name] = value
			}
			right, _, err := condition.Eval(in)
			if err != nil {
				t.Fatalf("%s: %v", r.ID, err)
			}
			if right == types.False {
				text, _, err := message.Eval(in)
				if said, _ := text.Value().(string); err != nil || !strings.HasPrefix(said, fmt.Sprintf("%s/%s", r.Factor, r.ID)) || said != policy.OneLine(said) {
					t.Errorf("%s: the message is %v, %v", r.ID, text, err)
				}
			}
			return right == types.False
		}
	}
	return judges
}
