package azure

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"twelvefold.dev/internal/keyvault"
)

// explain turns an SDK's error into a failure.
func (c *Client) explain(s keyvault.Object, err error, a *attempt) *Failure {
	var (
		known  *Failure
		vault  *azcore.ResponseError
		signIn *azidentity.AuthenticationFailedError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &vault):
		return c.vaultRefusal(s, vault)
	case errors.As(err, &signIn) && signIn.RawResponse != nil:
		return c.signInRefusal(signIn.RawResponse)
	case a.err != nil:
		return c.networkFailure(s, a.err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return c.networkFailure(s, err)
	case a.status == http.StatusOK: // the error might quote the answer, and so the value
		return &Failure{Kind: Unreachable, Subject: s.String(), Problem: "the answer cannot be understood", Fix: "check what answers in Azure's place, and the policy's keyVault.proxy"}
	}
	return &Failure{Kind: Configuration, Subject: s.String(), Problem: firstSentence(err.Error()), Fix: "check the vault, the client and tenant id and the authority host"}
}

// permissions are what a reader of a type of objects needs: by Azure RBAC, and by the older access policies.
var permissions = map[keyvault.Type]struct{ role, policy string }{
	keyvault.SecretType:      {"Key Vault Secrets User", "secret"},
	keyvault.CertificateType: {"Key Vault Certificate User", "certificate"},
	keyvault.KeyType:         {"Key Vault Crypto User", "key"},
}

// vaultRefusal explains an answer of Key Vault by its status and its inner code.
// https://learn.microsoft.com/azure/key-vault/general/rest-error-codes
func (c *Client) vaultRefusal(s keyvault.Object, err *azcore.ResponseError) *Failure {
	inner := innerCode(err.RawResponse)
	said := strings.TrimSpace(fmt.Sprintf("Azure answers %d %s", err.StatusCode, cmp.Or(inner, err.ErrorCode)))
	f := &Failure{Subject: s.String()}
	switch status := err.StatusCode; {
	case strings.HasSuffix(inner, "Disabled"): // SecretDisabled, KeyDisabled
		f.Kind, f.Problem, f.Fix = Disabled, "it is disabled", "enable it, or name another version"
	case inner == "ForbiddenByFirewall" || inner == "ForbiddenByConnection":
		f.Kind, f.Problem = Denied, "the vault does not let this network in ("+said+")"
		f.Fix = "allow the cluster's outbound address in the vault's firewall, or use its private endpoint"
	case inner == "AccessDenied":
		f.Kind, f.Problem = Denied, said
		f.Fix = fmt.Sprintf("give %s the %s permission Get in the vault's access policies", c.Identity.grantee(), permissions[s.Type].policy)
	case status == http.StatusUnauthorized:
		f.Kind, f.Problem = Denied, "the vault does not take the token of "+c.Identity.String()+" ("+said+")"
		f.Fix = "check that both are of the same tenant, and the node's clock"
	case status == http.StatusForbidden:
		f.Kind, f.Problem = Denied, said
		f.Fix = fmt.Sprintf(`give %s the role "%s" on the vault; a new role takes some minutes`, c.Identity.grantee(), permissions[s.Type].role)
	case status == http.StatusNotFound:
		f.Kind, f.Problem = Missing, "it does not exist ("+said+")"
		f.Fix = missingFix
	case status == http.StatusTooManyRequests:
		f.Kind, f.Problem, f.Fix = Unreachable, "the vault is throttled ("+said+")", "start fewer pods at a time, or spread their secrets over several vaults"
	case isTemporary(status):
		f.Kind, f.Problem, f.Fix = Unreachable, said, "look at Azure's service health"
	default:
		f.Kind, f.Problem, f.Fix = Configuration, said, "check the names of vault, secret and version"
	}
	f.temporary, f.retryAfter = isTemporary(err.StatusCode), retryAfter(err.RawResponse)
	return f
}

// networkFailure explains that there was no answer from the vault or from Entra ID.
func (c *Client) networkFailure(s keyvault.Object, err error) *Failure {
	host := s.Vault
	if u := (*url.Error)(nil); errors.As(err, &u) {
		if target, parseErr := url.Parse(u.URL); parseErr == nil {
			host = target.Hostname()
		}
		err = u.Err
	}
	f := &Failure{
		Kind: Unreachable, Subject: s.String(), Problem: "cannot reach " + host + ": " + firstLine(err.Error()), temporary: true,
		Fix: "check the vault's name, DNS, firewall, private endpoint and the policy's keyVault.proxy",
	}
	switch {
	case c.Identity.Kind == Managed && host != s.Vault:
		f.Subject, f.Fix = c.Identity.String(), "let pods reach the nodes' metadata service: a network policy or AKS's IMDS restriction may forbid it"
	case host != s.Vault:
		f.Subject, f.Fix = c.Identity.String(), "check DNS, firewall and the policy's keyVault.proxy"
	}
	if certificate := (*tls.CertificateVerificationError)(nil); errors.As(err, &certificate) {
		f.temporary = false // it won't be trusted by asking again
		f.Fix = "add the authority of what terminates TLS there to the policy's keyVault.trustedCA"
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		f.Problem = "no answer from " + host + " in time"
	}
	return f
}

// innerCode tells the kinds of 403 apart.
func innerCode(res *http.Response) string {
	var body struct {
		Error struct {
			Inner struct{ Code string } `json:"innererror"`
		}
	}
	if res != nil {
		payload, _ := runtime.Payload(res)
		_ = json.Unmarshal(payload, &body) // an answer that isn't Key Vault's has no inner code
	}
	return body.Error.Inner.Code
}

func isTemporary(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// retryAfter is the wait that an answer asks for: Retry-After in seconds or as a date.
func retryAfter(res *http.Response) time.Duration {
	if res == nil {
		return 0
	}
	text := res.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// firstSentence leaves out the SDK's advice, which may be to switch off checks.
func firstSentence(s string) string {
	sentence, _, _ := strings.Cut(firstLine(s), ". ")
	return sentence
}

const missingFix = "create it, correct the name, or mark the reference optional"
