// Package image reads image references as container runtimes do.
package image

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Reference is an image reference, taken apart.
type Reference struct {
	Registry   string // index.docker.io, localhost:5000
	Repository string // library/redis
	Tag        string // empty if the text has none: latest is never assumed
	Digest     string // sha256:…, or empty
}

// Parse takes a reference apart. localhost:5000/app has a port and no tag.
func Parse(text string) (Reference, error) {
	named, digest, hasDigest := strings.Cut(text, "@")
	tag, err := name.NewTag(named, name.WithDefaultTag(""))
	if err == nil && hasDigest {
		_, err = name.NewDigest(text)
	}
	if err != nil {
		return Reference{}, fmt.Errorf("image %q can't be read: %w", text, err)
	}
	r := Reference{Registry: tag.RegistryStr(), Repository: tag.RepositoryStr(), Tag: tag.TagStr(), Digest: digest}
	if slices.Contains(strings.Split(r.Repository, "/"), "") {
		return Reference{}, fmt.Errorf("image %q can't be read: a part of its name is empty", text)
	}
	return r, nil
}

// Official says whether the image is one of those that Docker itself keeps: redis, python.
func (r Reference) Official() bool {
	return r.Registry == name.DefaultRegistry && strings.HasPrefix(r.Repository, "library/")
}

// Base is the last segment of the repository: redis for docker.io/bitnami/redis:7.
func (r Reference) Base() string {
	return r.Repository[strings.LastIndex(r.Repository, "/")+1:]
}
