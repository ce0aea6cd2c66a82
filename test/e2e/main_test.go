//go:build e2e

// Package e2e installs Twelvefold with its chart in a kind cluster of its own, and runs real pods through it.
//
// The cluster is made anew and deleted at the end. Azure is the emulator, in namespace azure. Applications and
// exporters are Debian's packages but for two stand-ins (images/Dockerfile); Prometheus and its statsd_exporter are built from
// their modules.
//
//	make e2e
//	go test -tags e2e ./test/e2e -v -keep -run TestLogs   # uses the cluster that is there, and leaves it
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

var keep = flag.Bool("keep", false, "use the cluster that is there, and leave it running")

// cluster is what the tests run against; TestMain sets it.
var cluster *environment

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetLogger(logr.Discard()) // controller-runtime's client complains without one
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e, err := setUp(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "setting up the cluster: %v\n", err)
		return max(1, cleanUp(e))
	}
	cluster = e
	step("tests")
	// Tests don't end by themselves at a signal, but what they use can be taken away.
	running := context.AfterFunc(ctx, func() { os.Exit(max(130, cleanUp(e))) })
	code := m.Run()
	if !running() {
		select {} // the process is about to exit
	}
	return max(code, cleanUp(e))
}

// cleanUp returns an exit code.
func cleanUp(e *environment) int {
	if e == nil {
		return 0
	}
	var err error
	if !*keep {
		err = e.deleteCluster(context.Background())
	}
	if err := errors.Join(err, os.RemoveAll(e.dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var started = time.Now()

func step(what string) {
	fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", time.Since(started).Seconds(), what)
}
