package image

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Pattern describes images by the end of their name, from whatever registry or mirror they come: redis, bitnami/redis.
// What it has behind a colon must be a word of the tag: php:fpm is php:8.4-fpm-alpine too.
type Pattern struct {
	repository string // with registry where the text has one
	tagWord    string
}

var patternText = regexp.MustCompile(`^(?:[a-z0-9][-a-z0-9._]*(?::[0-9]+)?/)?[a-z0-9][-a-z0-9._]*(?:/[a-z0-9][-a-z0-9._]*)*(?::[A-Za-z0-9]+)?$`)

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	if len(text) > 255 || !patternText.MatchString(text) {
		return Pattern{}, fmt.Errorf("%q describes no image; want the end of its name, such as redis or bitnami/redis, and perhaps a word of its tag: php:fpm", text)
	}
	p := Pattern{repository: text}
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, '/') {
		p.repository, p.tagWord = text[:i], text[i+1:]
	}
	if rest, ok := strings.CutPrefix(p.repository, "docker.io/"); ok {
		p.repository = name.DefaultRegistry + "/" + rest
	}
	return p, nil
}

// Matches says whether a pattern describes the image: whole segments of its name, from the end.
func (r Reference) Matches(p Pattern) bool {
	full := r.Registry + "/" + r.Repository
	if p.repository == "" || full != p.repository && !strings.HasSuffix(full, "/"+p.repository) {
		return false
	}
	return p.tagWord == "" || slices.Contains(strings.FieldsFunc(r.Tag, func(c rune) bool { return strings.ContainsRune("-_.", c) }), p.tagWord)
}
