package mutate

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

var exactVersion = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+$`)

// A default that floats would make two pods of one Deployment differ; a digest would rot, and hides the version.
func TestBuiltInExportersHaveExactVersions(t *testing.T) {
	for _, e := range builtInExporters {
		if e.Jar != "" && e.Image == "" {
			continue // the policy names it
		}
		ref, err := image.Parse(e.Image)
		registry, _, _ := strings.Cut(e.Image, "/")
		if err != nil || !exactVersion.MatchString(ref.Tag) || ref.Digest != "" || !strings.Contains(registry, ".") {
			t.Errorf("%s: want a registry and a version in %q: %+v, %v", e.Name, e.Image, ref, err)
		}
	}
}

func TestBuiltInExportersAreWhole(t *testing.T) {
	seen := map[string]string{}
	for _, e := range builtInExporters {
		if e.Port == 0 || e.Jar == "" && !e.Movable() {
			t.Errorf("%s: it has no port, or none that can move", e.Name)
		}
		if slices.Contains(reservedPorts, e.Port) || e.User < 0 {
			t.Errorf("%s: port %d, user %d", e.Name, e.Port, e.User)
		}
		for _, match := range e.Match {
			if _, err := image.ParsePattern(match); err != nil {
				t.Errorf("%s: %v", e.Name, err)
			}
			if seen[match] != "" {
				t.Errorf("%s: %s has %s already", e.Name, seen[match], match)
			}
			seen[match] = e.Name
		}
	}
	for image, kind := range exporterKinds {
		if i := slices.IndexFunc(builtInExporters, func(e policy.Exporter) bool { return e.Name == kind.name }); i < 0 || builtInExporters[i].Port != kind.port {
			t.Errorf("%s is %s on %d, which is no built-in exporter's", image, kind.name, kind.port)
		}
	}
}

// The policy accepts the profiles that there are.
func TestProfilesArePolicys(t *testing.T) {
	document := "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {metrics: {profiles: [" + strings.Join(profileNames(), ", ") + "]}}\n"
	if _, err := policy.Parse([]byte(document), rules.Catalogue{}); err != nil {
		t.Error(err)
	}
}

// The docs show the defaults as they are.
func TestDocsNameBuiltInExporters(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range builtInExporters {
		row := fmt.Sprintf("(?m)^\\| `%s` \\| .* \\| %s.* \\| %d \\|$", e.Name, regexp.QuoteMeta("`"+e.Image), e.Port)
		if e.Image == "" {
			row = fmt.Sprintf("(?m)^\\| `%s` \\| .* \\| none.* \\| %d \\|$", e.Name, e.Port)
		}
		if !regexp.MustCompile(row).Match(text) {
			t.Errorf("docs/metrics.md has no row like %s", row)
		}
	}
}

func TestMirrored(t *testing.T) {
	for _, test := range [][3]string{
		{"docker.io/oliver006/redis_exporter:v1", "contoso.azurecr.io/mirror", "contoso.azurecr.io/mirror/oliver006/redis_exporter:v1"},
		{"quay.io/a/b:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "localhost:5000/", "localhost:5000/a/b:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"quay.io/a/b:1", "", "quay.io/a/b:1"},
		{"", "contoso.azurecr.io", ""},
	} {
		if got := mirrored(test[0], test[1]); got != test[2] {
			t.Errorf("%s in %s: %s, want %s", test[0], test[1], got, test[2])
		}
	}
}
