package rules

import (
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
)

// sameRepository says whether two images come from one repository: by its name, or that in a mirror, another registry in
// which something stands before it (redis, library/redis, mirror/library/redis).
func sameRepository(a, b image.Reference) bool {
	first, second := strings.TrimPrefix(a.Repository, "library/"), strings.TrimPrefix(b.Repository, "library/")
	return first == second || a.Registry != b.Registry && (strings.HasSuffix(first, "/"+second) || strings.HasSuffix(second, "/"+first))
}

// sameRelease says whether two images of one repository may be of the same release. What can't be compared, a tag with a digest,
// may be; so may 1.4.2 and 1.4.2-migrate, 1.4 and 1.4.2, or 1.4.2-fpm and 1.4.2-cli.
func sameRelease(a, b image.Reference) bool {
	if first, second := tagOf(a), tagOf(b); first != "" && second != "" {
		return holds(first, second) || holds(second, first) || slices.ContainsFunc(releaseWords(first), func(word string) bool {
			return slices.Contains(releaseWords(second), word)
		})
	}
	return a.Digest == "" || b.Digest == "" || a.Digest == b.Digest
}

// releaseWord is a part of a tag that tells a release: a version, a commit, the number of a build.
var releaseWord = regexp.MustCompile(`^(v?[0-9]+(\.[0-9]+)+|[0-9a-f]{7,40}|[0-9]{3,})$`)

func releaseWords(tag string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(tag, func(c rune) bool { return c == '-' || c == '_' }), func(word string) bool { return !releaseWord.MatchString(word) })
}

// tagOf is the tag, latest where there is neither tag nor digest.
func tagOf(r image.Reference) string {
	if r.Tag == "" && r.Digest == "" {
		return "latest"
	}
	return r.Tag
}

// holds says whether a tag has another one in it, as whole words.
func holds(tag, part string) bool {
	for from := 0; ; {
		i := strings.Index(tag[from:], part)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(part)
		if (start == 0 || !alphanumeric(tag[start-1])) && (end == len(tag) || !alphanumeric(tag[end])) {
			return true
		}
		from = start + 1
	}
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// versionOf is the tag, or the beginning of the digest, for messages.
func versionOf(r image.Reference) string {
	if tag := tagOf(r); tag != "" {
		return tag
	}
	return r.Digest[:min(len(r.Digest), len("sha256:")+12)]
}

// references are the images of a pod that can be read: those of init containers behind those of the others.
func references(pod *corev1.PodSpec) (all []image.Reference) {
	for _, containers := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for _, c := range containers {
			if ref, err := image.Parse(c.Image); err == nil {
				all = append(all, ref)
			}
		}
	}
	return all
}
