package mutate

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
)

const (
	tokenVolume    = "twelvefold-token"
	identityVolume = "twelvefold-identity"

	tokenAudience = "api://AzureADTokenExchange"
	tokenDir      = "/var/run/secrets/twelvefold.dev/token"
	identityDir   = "/var/run/secrets/twelvefold.dev/identity"

	clientAnnotation = "azure.workload.identity/client-id"
	tenantAnnotation = "azure.workload.identity/tenant-id"
)

// The kinds of identities beside workload identity, which is the default.
const (
	managed          = "managed"
	servicePrincipal = "service-principal"
)

var (
	clientID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	tenantID = regexp.MustCompile(`^[0-9a-zA-Z][-.0-9a-zA-Z]*$`)
)

// identity is the client and tenant that the pod's service account stands for.
func (k *keyVault) identity() (client, tenant string) {
	volumeClient, volumeTenant := k.volumeIdentity()
	client = cmp.Or(k.Facts.ServiceAccount[clientAnnotation], volumeClient, k.policy.Identity.ClientID)
	tenant = cmp.Or(k.Facts.ServiceAccount[tenantAnnotation], volumeTenant, k.policy.Identity.TenantID)
	return strings.TrimSpace(client), strings.TrimSpace(tenant)
}

// checkIdentity refuses a pod whose service account stands for no identity in Entra ID: the fetch could never work. The
// other kinds are the policy's own word.
func (k *keyVault) checkIdentity() {
	if kind := k.policy.Identity.Kind; kind == managed || kind == servicePrincipal {
		return
	}
	client, tenant := k.identity()
	if clientID.MatchString(client) && tenantID.MatchString(tenant) {
		return
	}
	account := k.Edit.Pod().Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	if k.Facts.ServiceAccountUnread {
		k.refuse("spec.serviceAccountName", "", fmt.Sprintf("the service account %q could not be read: the API server did not answer in time, or refused", account),
			"try again; if it stays so, the webhook's log has the reason")
		return
	}
	message := fmt.Sprintf("the service account %q does not say which identity reads Key Vault: annotation %s, %s", account, clientAnnotation, tenantAnnotation)
	fix := fmt.Sprintf("kubectl annotate serviceaccount %s -n %s %s=<client id> %s=<tenant id>", account, k.Facts.Namespace, clientAnnotation, tenantAnnotation)
	if k.Facts.Offline && k.Facts.ServiceAccount == nil && client+tenant == "" { // it may be in the cluster
		k.Warn("spec.serviceAccountName", "", message, fix)
		return
	}
	k.refuse("spec.serviceAccountName", "", message, fix)
}

// identityVariables tell the agent how to sign in.
func (k *keyVault) identityVariables() []corev1.EnvVar {
	policy := k.policy.Identity
	switch policy.Kind {
	case managed:
		env := []corev1.EnvVar{{Name: keyvault.IdentityEnv, Value: managed}}
		if policy.ClientID != "" { // else the node's own
			env = append(env, corev1.EnvVar{Name: "AZURE_CLIENT_ID", Value: policy.ClientID})
		}
		return env
	case servicePrincipal:
		env := []corev1.EnvVar{{Name: keyvault.IdentityEnv, Value: servicePrincipal}}
		if policy.ClientID != "" { // else the Secret has it
			env = append(env, corev1.EnvVar{Name: "AZURE_CLIENT_ID", Value: policy.ClientID})
		}
		return append(env, corev1.EnvVar{Name: "AZURE_TENANT_ID", Value: policy.TenantID}, corev1.EnvVar{Name: keyvault.CredentialDirEnv, Value: identityDir})
	}
	client, tenant := k.identity()
	return []corev1.EnvVar{
		{Name: "AZURE_CLIENT_ID", Value: client},
		{Name: "AZURE_TENANT_ID", Value: tenant},
		{Name: "AZURE_FEDERATED_TOKEN_FILE", Value: tokenDir + "/token"},
	}
}

// identityVolumes hold what the agent signs in with: none for a managed identity, whose token the node gives. Only the
// agent's containers mount them.
func (k *keyVault) identityVolumes() ([]corev1.Volume, []corev1.VolumeMount) {
	switch k.policy.Identity.Kind {
	case managed:
		return nil, nil
	case servicePrincipal: // the agent owns no file of it, and is in no group of it
		return []corev1.Volume{{Name: identityVolume, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: k.policy.Identity.Secret, DefaultMode: new(int32(0o444))}}}},
			[]corev1.VolumeMount{{Name: identityVolume, MountPath: identityDir, ReadOnly: true}}
	}
	return []corev1.Volume{{Name: tokenVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: tokenAudience, ExpirationSeconds: new(int64(3600)), Path: "token"}}}}}}},
		[]corev1.VolumeMount{{Name: tokenVolume, MountPath: tokenDir, ReadOnly: true}}
}
