// Command twelvefold-agent is what Twelvefold runs inside pods.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"twelvefold.dev/internal/agent"
)

func main() {
	ctx, stop := context.Background(), func() {}
	if len(os.Args) < 2 || os.Args[1] != "exec" { // which ends with SIGTERM as any program does, even before it has become the command
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	}
	a := &agent.Agent{Env: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr, Harden: agent.Harden}
	code := a.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
