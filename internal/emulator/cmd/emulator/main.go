// Command emulator runs the emulator of Key Vault and Entra ID in a test cluster. It is for tests only: whoever reaches it can read
// and change what it holds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"twelvefold.dev/internal/emulator"
)

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "emulator:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	listen := flag.String("listen", "127.0.0.1:8080", "address of the proxy and test interface")
	seed := flag.String("seed", "", "YAML file of vaults, secrets and identities")
	issuer := flag.String("issuer", "https://kubernetes.default.svc.cluster.local", "issuer of the service account tokens to believe")
	jwks := flag.String("jwks", "https://kubernetes.default.svc/openid/v1/jwks", "the issuer's keys: URL or file")
	jwksCA := flag.String("jwks-ca", serviceAccount+"ca.crt", "authority of the URL; empty: the system's")
	jwksToken := flag.String("jwks-token", serviceAccount+"token", "token to show at the URL; empty: none")
	tokenLife := flag.Duration("token-life", time.Hour, "how long access tokens are good for")
	caOut := flag.String("ca-out", "", "file to write the emulator's authority to; also at GET /ca.pem")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config := emulator.Config{Listen: *listen, TokenLife: *tokenLife, Issuers: []emulator.Issuer{{Name: *issuer, Keys: emulator.KeysFromFile(*jwks)}}}
	if strings.HasPrefix(*jwks, "https://") {
		config.Issuers[0].Keys = emulator.KeysFromURL(*jwks, *jwksCA, *jwksToken)
	}
	if *seed != "" {
		if config.Seed, err = emulator.LoadSeed(*seed); err != nil {
			return err
		}
	}
	e, err := emulator.Start(ctx, config)
	if err != nil {
		return err
	}
	if *caOut != "" {
		if err := os.WriteFile(*caOut, e.CAPEM(), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "emulator: listening at", e.ProxyURL())
	<-e.Done()
	return nil
}
