package image_test

import (
	"strings"
	"testing"

	"twelvefold.dev/internal/image"
)

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		image, pattern string
		want           bool
	}{
		{"redis", "redis", true},
		{"redis:8", "redis", true},
		{"redis:8@" + digest, "redis", true},
		{"docker.io/library/redis@" + digest, "redis", true},
		{"docker.io/redis", "library/redis", true},
		{"localhost:5000/redis", "redis", true},
		{"localhost:5000/mirror/bitnami/redis:8", "redis", true},
		{"localhost:5000/mirror/bitnami/redis:8", "bitnami/redis", true},
		{"bitnamilegacy/redis", "bitnami/redis", false},
		{"quay.io/team/redis", "docker.io/team/redis", false},
		{"team/redis", "docker.io/team/redis", true},
		{"localhost:5000/redis:8", "localhost:5000/redis", true},
		{"localhost:5000/redis", "library/redis", false},
		{"redis-sentinel", "redis", false},
		{"bitnami/redis-exporter", "redis", false},
		{"my-redis", "redis", false},
		{"redis/redis-stack", "redis", false},
		{"redis/insight", "redis", false},
		{"php:8.4-fpm-alpine3.22", "php:fpm", true},
		{"php:fpm", "php:fpm", true},
		{"php:8.4-apache", "php:fpm", false},
		{"php", "php:fpm", false},
		{"php@" + digest, "php:fpm", false},
		{"php:8-notfpm", "php:fpm", false},
	} {
		reference, err := image.Parse(test.image)
		if err != nil {
			t.Fatal(err)
		}
		pattern, err := image.ParsePattern(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := reference.Matches(pattern); got != test.want {
			t.Errorf("%s is %s: %v", test.image, test.pattern, got)
		}
	}
	for _, text := range []string{"", "/", "a/", "/a", "a:", ":a", "A", "a b", "a@" + digest, "a:b:c", "*", strings.Repeat("a", 300)} {
		if p, err := image.ParsePattern(text); err == nil {
			t.Errorf("%q was read as %+v", text, p)
		}
	}
}

// An image matches its own name, and never a name of which it holds a part of a segment.
func FuzzMatches(f *testing.F) {
	f.Add("localhost:5000/bitnami/redis:8", "redis")
	f.Add("php:8.4-fpm", "php:fpm")
	f.Fuzz(func(t *testing.T, text, pattern string) {
		reference, err := image.Parse(text)
		if err != nil {
			return
		}
		if own, err := image.ParsePattern(reference.Base()); err == nil && !reference.Matches(own) {
			t.Errorf("%q doesn't match its own name", text)
		}
		p, err := image.ParsePattern(pattern)
		if err != nil || !reference.Matches(p) {
			return
		}
		last := pattern[strings.LastIndexByte(pattern, '/')+1:]
		if last, _, _ = strings.Cut(last, ":"); reference.Base() != last {
			t.Errorf("%q matches %q", text, pattern)
		}
	})
}
