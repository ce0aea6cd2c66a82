package azure

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// signInRefusal explains an answer of whoever gives tokens: Entra ID, or the nodes' metadata service.
func (c *Client) signInRefusal(res *http.Response) *Failure {
	who := "Entra ID"
	if c.Identity.Kind == Managed {
		who = "the nodes' metadata service"
	}
	f := &Failure{Kind: Denied, Subject: c.Identity.String()}
	switch status := res.StatusCode; {
	case isTemporary(status), c.Identity.Kind == Managed && (status == http.StatusNotFound || status == http.StatusGone): // it starts anew
		f.Kind, f.temporary, f.retryAfter = Unreachable, true, retryAfter(res)
		f.Problem, f.Fix = fmt.Sprintf("%s answers %d", who, status), "look at Azure's service health"
	case c.Identity.Kind == Managed:
		return c.Identity.metadataRefusal(status)
	default:
		c.entraRefusal(f, res)
	}
	return f
}

// entraRefusal explains an answer of Entra ID by its number.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func (c *Client) entraRefusal(f *Failure, res *http.Response) {
	var body struct {
		Codes []int  `json:"error_codes"`
		Text  string `json:"error_description"`
	}
	payload, _ := runtime.Payload(res)
	_ = json.Unmarshal(payload, &body) // what isn't JSON is explained by its status
	code := 0
	if len(body.Codes) > 0 {
		code = body.Codes[0]
	}
	id := c.Identity
	token := fmt.Sprintf("Entra ID refuses the service account's token (AADSTS%d)", code)
	switch code {
	case 70021, 700211, 700212, 700213, 7002137, 7002138:
		f.Problem, f.Fix = token, "add a federated credential to it with "+id.federation()
	case 700024:
		f.Problem, f.Fix = token, "the token is too old or not valid yet: recreate the pod, and check the node's clock"
	case 7000215:
		f.Problem = "Entra ID refuses its client secret (AADSTS7000215)"
		f.Fix = "put the value of a client secret of it, not that one's id, into the key clientsecret of the Secret that the policy's keyVault.identity names"
	case 7000222:
		f.Problem = "its client secret has expired (AADSTS7000222)"
		f.Fix = "make a new client secret, and put its value into the key clientsecret of the Secret that the policy's keyVault.identity names"
	case 700016:
		f.Problem, f.Fix = fmt.Sprintf("tenant %s does not know it (AADSTS700016)", id.TenantID), "correct "+id.namedBy("client-id and tenant-id", "the client id (key clientid) or tenant id")
	case 90002, 900023:
		f.Problem, f.Fix = fmt.Sprintf("there is no tenant %s (AADSTS%d)", id.TenantID, code), "correct "+id.namedBy("tenant-id", "the tenant id")
	default:
		text, _, _ := strings.Cut(firstLine(body.Text), ". Trace ID")
		f.Problem = fmt.Sprintf("Entra ID answers %d: %s", res.StatusCode, cmp.Or(text, "no reason given"))
		f.Fix = "check its federated credential: " + id.federation()
		if id.Kind == ServicePrincipal {
			f.Fix = "check its client secret, and its registration in Entra ID"
		}
	}
}

// namedBy tells where the identity's ids come from.
func (id Identity) namedBy(annotation, setting string) string {
	if id.Kind == ServicePrincipal {
		return setting + " that the policy's keyVault.identity names"
	}
	return "the service account's annotation azure.workload.identity/" + annotation
}
