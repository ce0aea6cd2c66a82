// Package examples holds manifests to copy. The demo and the tests run them.
package examples

import "embed"

// FS holds the manifests.
//
//go:embed *.yaml
var FS embed.FS
