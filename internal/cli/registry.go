package cli

import (
	"context"
	"net/http"
	"time"

	"twelvefold.dev/internal/registry"
)

// registryPatience is how long one image's registry is waited for: somebody watches, and has asked for it.
const registryPatience = 10 * time.Second

// imageLabels asks registries, any that the manifests name; nil unless the flags say so.
func (in *input) imageLabels() func(image string) (map[string]string, error) {
	if !in.registry {
		return nil
	}
	images := registry.New(registry.Options{Transport: http.DefaultTransport, Patience: registryPatience, Refused: "sign in first: docker login"})
	return images.Labels(context.Background())
}
