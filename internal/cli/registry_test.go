package cli_test

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"twelvefold.dev/internal/cli"
)

// Registries are asked on request only, those on this machine among them.
func TestRegistry(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	image, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{
		"org.opencontainers.image.source": "https://github.com/contoso/shop", "org.opencontainers.image.revision": "5d1ac0f"}})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(host + "/shop:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image); err != nil {
		t.Fatal(err)
	}
	check := func(image string, flags ...string) string {
		var out, messages bytes.Buffer
		pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: shop}\nspec: {containers: [{name: shop, image: \"" + image + "\"}]}\n"
		if code := cli.Main(append([]string{"check", "-o", "json", "-f", "-"}, flags...), strings.NewReader(pod), &out, &messages); code == 2 {
			t.Fatal(messages.String())
		}
		return out.String()
	}
	for _, test := range []struct{ found, image, flag string }{
		{"no org.opencontainers.image.source, no org.opencontainers.image.revision", host + "/shop:1", "--registry=false"},
		{"", host + "/shop:1", "--registry"},
		{"the registry " + host + " has no such image", host + "/shop:2", "--registry"},
	} {
		text := check(test.image, test.flag)
		if reported := strings.Contains(text, "source-provenance"); reported != (test.found != "") || !strings.Contains(text, test.found) {
			t.Errorf("%s %s:\n%s", test.flag, test.image, text)
		}
	}
}
