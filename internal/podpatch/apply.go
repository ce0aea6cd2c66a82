package podpatch

import (
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// Apply applies a JSON Patch to an object, as the API server does it.
func Apply(operations, object []byte) ([]byte, error) {
	patch, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	patched, err := patch.Apply(object)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	return patched, nil
}
