// Command webhook is what the API server asks: it makes the pods of opted-in namespaces twelve-factor pods, and refuses
// those that cannot be.
package main

import (
	"fmt"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"

	"twelvefold.dev/internal/server"
)

func main() {
	if err := server.Command().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		os.Exit(1)
	}
}
