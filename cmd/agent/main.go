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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &agent.Agent{Env: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}
	code := a.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
