// Command twelvefold is the webhook's engine on the command line.
package main

import (
	"os"

	"twelvefold.dev/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
