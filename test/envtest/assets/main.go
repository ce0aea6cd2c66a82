// Command assets prints the directory of the control plane's programs, for KUBEBUILDER_ASSETS, and builds them if need be.
// Tests find them by themselves; but go test hides what they say, and counts the building against their time.
package main

import (
	"fmt"
	"os"

	"twelvefold.dev/test/envtest"
)

func main() {
	dir, err := envtest.Assets(os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
