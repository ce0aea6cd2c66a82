package image_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/image"
)

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParse(t *testing.T) {
	for text, want := range map[string]image.Reference{
		"nginx":                        {Registry: "index.docker.io", Repository: "library/nginx"},
		"nginx:1.27":                   {Registry: "index.docker.io", Repository: "library/nginx", Tag: "1.27"},
		"localhost:5000/app":           {Registry: "localhost:5000", Repository: "app"},
		"localhost:5000/app:v1":        {Registry: "localhost:5000", Repository: "app", Tag: "v1"},
		"a.azurecr.io/b/c:1@" + digest: {Registry: "a.azurecr.io", Repository: "b/c", Tag: "1", Digest: digest},
		"a.azurecr.io/c@" + digest:     {Registry: "a.azurecr.io", Repository: "c", Digest: digest},
	} {
		got, err := image.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", ":1", "UPPER", "a b", "nginx@sha256:1", "nginx@", "nginx:", "/", "a/", "a//b", strings.Repeat("a", 300)} {
		if got, err := image.Parse(text); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestOfficial(t *testing.T) {
	for text, want := range map[string]bool{"redis": true, "docker.io/library/redis:8": true, "bitnami/redis": false, "a.azurecr.io/library/redis": false, "libraryx/redis": false} {
		if r, err := image.Parse(text); err != nil || r.Official() != want {
			t.Errorf("%s: %v, %v", text, r.Official(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("nginx")
	f.Add("localhost:5000/app@" + digest)
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := image.Parse(text); err == nil && r.Base() == "" {
			t.Errorf("%q has no name", text)
		}
	})
}
