package registry_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"twelvefold.dev/internal/registry"
)

// server is a registry that counts what it is asked, and does before answering what a test wants.
type server struct {
	*httptest.Server
	host     string
	requests atomic.Int64
	before   atomic.Pointer[func(w http.ResponseWriter, r *http.Request) (answered bool)]
}

func newServer(t *testing.T, start func(http.Handler) *httptest.Server) *server {
	s := &server{}
	images := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if before := s.before.Load(); before != nil && (*before)(w, r) {
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	_, s.host, _ = strings.Cut(s.URL, "://")
	return s
}

func (s *server) answer(first func(w http.ResponseWriter, r *http.Request) bool) {
	s.before.Store(&first)
}

func image(t *testing.T, config v1.Config) v1.Image {
	t.Helper()
	i, err := mutate.Config(empty.Image, config)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// push puts an image into the registry and gives its name with the digest.
func (s *server) push(t *testing.T, repository string, config v1.Config) string {
	t.Helper()
	i := image(t, config)
	if err := remote.Write(s.reference(t, repository), i, remote.WithTransport(s.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	digest, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return s.host + "/" + strings.Split(repository, ":")[0] + "@" + digest.String()
}

func (s *server) reference(t *testing.T, repository string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(s.host + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// entrypoints are without the guard, since the tests' registries are on loopback.
func (s *server) entrypoints(o registry.Options) *registry.Images {
	o.Transport = s.Client().Transport
	return registry.New(o)
}

func mustFind(t *testing.T, e *registry.Images, image, want string) {
	t.Helper()
	entrypoint, cmd, err := e.For(t.Context())(image)
	if got := fmt.Sprint(entrypoint, cmd); err != nil || got != want {
		t.Errorf("%s: got %s, %v; want %s", image, got, err, want)
	}
}

func mustFail(t *testing.T, e *registry.Images, image, want string) {
	t.Helper()
	if _, _, err := e.For(t.Context())(image); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want %q", image, err, want)
	}
}

func TestEntrypoint(t *testing.T) {
	for scheme, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t, start)
			s.push(t, "shop/api:1.4.2", v1.Config{Entrypoint: []string{"/app"}, Cmd: []string{"serve", "--all"}})
			s.push(t, "shop/worker:1", v1.Config{Cmd: []string{"worker"}})
			e := s.entrypoints(registry.Options{})
			mustFind(t, e, s.host+"/shop/api:1.4.2", "[/app] [serve --all]")
			mustFind(t, e, s.host+"/shop/worker:1", "[] [worker]")
			mustFail(t, e, s.host+"/shop/api:2", "has no such image")
			mustFail(t, e, "UPPER", "the image's name can't be read")
		})
	}
}

// What is in the cache costs no request: by tag for a while, by digest for ever, whatever the tag.
func TestCache(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	byDigest := s.push(t, "shop/api:1", v1.Config{Entrypoint: []string{"/app"}})
	e := s.entrypoints(registry.Options{})
	mustFind(t, e, s.host+"/shop/api:1", "[/app] []")
	before := s.requests.Load()
	for range 3 {
		mustFind(t, e, s.host+"/shop/api:1", "[/app] []")
		mustFind(t, e, byDigest, "[/app] []")
	}
	if n := s.requests.Load() - before; n > 0 {
		t.Errorf("%d more requests", n)
	}
}

// Many pods of one image ask once.
func TestOneFlight(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "shop/api:1", v1.Config{Entrypoint: []string{"/app"}})
	e := s.entrypoints(registry.Options{Patience: time.Minute})
	arrived, release := make(chan struct{}), make(chan struct{})
	var manifests atomic.Int64
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") && manifests.Add(1) == 1 {
			close(arrived)
			<-release
		}
		return false
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { mustFind(t, e, s.host+"/shop/api:1", "[/app] []") })
	}
	<-arrived
	close(release)
	all.Wait()
	if n := manifests.Load(); n != 1 {
		t.Errorf("the manifest was read %d times", n)
	}
}

func TestSeveralArchitectures(t *testing.T) {
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	for name, tc := range map[string]struct {
		platforms []string
		want      string
	}{
		"ours":            {[]string{"unknown/unknown", "windows/" + runtime.GOARCH, "linux/" + other, "linux/" + runtime.GOARCH}, "[linux/" + runtime.GOARCH + "] []"},
		"another's":       {[]string{"unknown/unknown", "linux/" + other, "linux/s390x"}, "[linux/" + other + "] []"},
		"only on Windows": {[]string{"windows/amd64"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, httptest.NewServer)
			index := v1.ImageIndex(empty.Index)
			for _, p := range tc.platforms {
				os, architecture, _ := strings.Cut(p, "/")
				index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image(t, v1.Config{Entrypoint: []string{p}}),
					Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: architecture}}})
			}
			if err := remote.WriteIndex(s.reference(t, "shop/api:1"), index); err != nil {
				t.Fatal(err)
			}
			e := s.entrypoints(registry.Options{})
			if tc.want == "" {
				mustFail(t, e, s.host+"/shop/api:1", "the image is not for Linux")
				return
			}
			mustFind(t, e, s.host+"/shop/api:1", tc.want)
		})
	}
}

type keychain struct{ authn.AuthConfig }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(k.AuthConfig), nil
}

func TestPrivateRegistry(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "shop/api:1", v1.Config{Entrypoint: []string{"/app"}})
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user == "webhook" && password == "pull" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="shop"`)
		http.Error(w, "the registry's own words", http.StatusUnauthorized)
		return true
	})
	mustFind(t, s.entrypoints(registry.Options{Keychain: keychain{authn.AuthConfig{Username: "webhook", Password: "pull"}}}), s.host+"/shop/api:1", "[/app] []")
	for _, user := range []string{"", "webhook"} {
		e := s.entrypoints(registry.Options{Keychain: keychain{authn.AuthConfig{Username: user, Password: user}}})
		mustFail(t, e, s.host+"/shop/api:1", "refuses to answer; give the webhook a pull secret (chart value registry.pullSecret)")
		if _, _, err := e.For(t.Context())(s.host + "/shop/api:1"); strings.Contains(fmt.Sprint(err), "own words") {
			t.Errorf("it repeats the registry: %v", err)
		}
	}
}

// A request waits for all its images together no longer than its patience. The answers are there for the next request.
func TestSlowRegistry(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "shop/api:1", v1.Config{Entrypoint: []string{"/app"}})
	s.push(t, "shop/worker:1", v1.Config{Entrypoint: []string{"/app"}})
	release := make(chan struct{})
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		<-release
		return false
	})
	e := s.entrypoints(registry.Options{Patience: 100 * time.Millisecond})
	lookUp := e.For(t.Context())
	for _, image := range []string{"/shop/api:1", "/shop/worker:1"} {
		if _, _, err := lookUp(s.host + image); err == nil || !strings.Contains(err.Error(), "has not answered in time; try again") {
			t.Errorf("got %v", err)
		}
	}
	close(release)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		entrypoint, _, err := e.For(ctx)(s.host + "/shop/api:1")
		if err == nil && slices.Equal(entrypoint, []string{"/app"}) {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// What a registry sends is bounded, and so is what of it is remembered.
func TestHugeAnswers(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "shop/long:1", v1.Config{Entrypoint: []string{strings.Repeat("x", 40<<10)}})
	e := s.entrypoints(registry.Options{})
	mustFail(t, e, s.host+"/shop/long:1", "what the image starts is too long")
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		block := []byte(strings.Repeat(" ", 1<<20))
		for range 64 {
			if _, err := w.Write(block); err != nil {
				return true
			}
		}
		return true
	})
	mustFail(t, e, s.host+"/shop/huge:1", "the registry's answer is too long")
}

func TestBusyAndBrokenRegistry(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	for status, want := range map[int]string{http.StatusTooManyRequests: "is asked too often; try again", http.StatusTeapot: "can't be asked", http.StatusForbidden: "refuses to answer"} {
		s.answer(func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(status)
			return true
		})
		mustFail(t, s.entrypoints(registry.Options{Patience: time.Minute}), s.host+"/shop/api:1", want)
	}
}

// A pod's author names the host: it must not become a way to what only the webhook reaches.
func TestGuard(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "shop/api:1", v1.Config{Entrypoint: []string{"/app"}})
	before := s.requests.Load()
	e := registry.New(registry.Options{})
	for _, host := range []string{s.host, strings.Replace(s.host, "127.0.0.1", "localhost", 1), "169.254.169.254", "[::ffff:169.254.169.254]:443", "168.63.129.16:80", "0.0.0.0:8080"} {
		if _, _, err := e.For(t.Context())(host + "/shop/api:1"); err == nil {
			t.Errorf("%s was asked", host)
		}
	}
	if n := s.requests.Load() - before; n > 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// A scan asks for each image once, and learns from the registry's silence.
func TestLabels(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	const source, revision = "org.opencontainers.image.source", "org.opencontainers.image.revision"
	s.push(t, "shop/api:1", v1.Config{Labels: map[string]string{source: "https://github.com/contoso/shop", revision: "5d1ac0f", "maintainer": "shop",
		"org.opencontainers.image.description": strings.Repeat("long", 1000)}})
	s.push(t, "shop/worker:1", v1.Config{Entrypoint: []string{"/app"}})
	e := s.entrypoints(registry.Options{})
	for range 2 {
		labels := e.Labels(t.Context())
		for image, want := range map[string]map[string]string{
			"/shop/api:1":    {source: "https://github.com/contoso/shop", revision: "5d1ac0f"},
			"/shop/worker:1": {},
		} {
			if got, err := labels(s.host + image); err != nil || !maps.Equal(got, want) {
				t.Errorf("%s: %v, %v", image, got, err)
			}
		}
	}
	mustFind(t, e, s.host+"/shop/worker:1", "[/app] []")
	before := s.requests.Load()
	labels := e.Labels(t.Context())
	for range 2 {
		for _, image := range []string{"/shop/api:1", "/shop/worker:1"} {
			if _, err := labels(s.host + image); err != nil {
				t.Error(err)
			}
		}
	}
	if n := s.requests.Load() - before; n > 0 {
		t.Errorf("%d requests for what is known", n)
	}
	if _, err := labels(s.host + "/shop/none:1"); err == nil {
		t.Error("an image that is not there has labels")
	}
	before = s.requests.Load()
	if _, err := labels(s.host + "/shop/none:1"); err == nil || s.requests.Load() > before {
		t.Errorf("it is asked for again: %v", err)
	}
}

func TestLabelsOfASilentRegistry(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	release := make(chan struct{})
	defer close(release)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		<-release
		return true
	})
	labels := s.entrypoints(registry.Options{Patience: 100 * time.Millisecond}).Labels(t.Context())
	for _, image := range []string{"/shop/api:1", "/shop/api:1", "/shop/worker:1", "/shop/cron:1"} {
		if _, err := labels(s.host + image); err == nil || !strings.Contains(err.Error(), "has not answered in time") {
			t.Errorf("%s: %v", image, err)
		}
	}
	if n := s.requests.Load(); n > 1 {
		t.Errorf("%d requests", n)
	}
}
