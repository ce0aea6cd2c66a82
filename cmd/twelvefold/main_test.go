package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"twelvefold.dev/examples"
	"twelvefold.dev/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"twelvefold": main,
		"kubectl-twelvefold": func() {
			os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// The scripts say what each command prints and how it ends. examples/ holds the repository's examples.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "1")
			return os.CopyFS(env.WorkDir+"/examples", examples.FS)
		},
	})
}
