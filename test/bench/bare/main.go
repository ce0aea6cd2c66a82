// Command bare reads secrets with Azure's SDK and does nothing else: what any program must spend that brings them to a pod.
// It takes the agent's environment, and the secrets' names as arguments.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, vault string, names []string) error {
	roots, err := x509.SystemCertPool() // Azure's authorities are in it
	if err != nil {
		return err
	}
	roots.AppendCertsFromPEM([]byte(os.Getenv("TWELVEFOLD_TRUSTED_CA")))
	options := azcore.ClientOptions{Transport: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}}}
	credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: options})
	if err != nil {
		return err
	}
	client, err := azsecrets.NewClient("https://"+vault, credential, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := client.GetSecret(ctx, name, "", nil); err != nil {
			return err
		}
	}
	return nil
}
