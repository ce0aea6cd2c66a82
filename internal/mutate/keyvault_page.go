package mutate

import "twelvefold.dev/internal/policy"

var keyVaultPage = policy.Page{
	Title: "Secrets come from Azure Key Vault, as variables and files",
	Why: "A secret in a pod's spec is in etcd, in every backup of it, in the chart's repository and in the audit log. One in a Kubernetes Secret is there too, and has to be copied and rotated by hand. In Key Vault it is in one place, with its own access rights and its own log.\n" +
		"An init container reads the secrets with the identity of the pod's service account, and the kubelet, or on older clusters the agent's exec, hands them to the containers. No value stands in the pod, in etcd, or in a log.",
	Fix: "Write a reference where the value would stand, as in Azure App Service, in any case:\n" +
		"  @Microsoft.KeyVault(VaultName=shop;SecretName=db-password)\n" +
		"  @Microsoft.KeyVault(VaultName=shop;SecretName=db-password;SecretVersion=<32 hex digits>)\n" +
		"  @Microsoft.KeyVault(SecretUri=https://shop.vault.azure.net/secrets/db-password)\n" +
		"With ;Optional=true inside of the parentheses a secret may be missing. Inside of a longer value a reference stands in ${…}; other $(VAR) and $$ keep their meaning:\n" +
		"  postgres://api:${@Microsoft.KeyVault(VaultName=shop;SecretName=db-password)}@$(DB_HOST)/shop\n" +
		"The forms of other tools work as the whole value:\n" +
		"  azure:keyvault:db-password          bank-vaults, with /<version> too; the vault is the container's AZURE_KEY_VAULT_URL, else annotation twelvefold.dev/keyvault\n" +
		"  db-password@azurekeyvault           akv2k8s: the name is looked up in the policy's keyVault.akv2k8s, then among the namespace's AzureKeyVaultSecrets\n" +
		"  shop-tls@azurekeyvault?tls.key      of a certificate tls.crt, tls.key; of a multi-key-value-secret its key; of a secret username or password, split at the colon\n" +
		"A ConfigMap that containers take by envFrom may hold any of these if it is labelled twelvefold.dev/keyvault: \"true\". Each of its variables that holds a reference becomes an entry of its own, which wins over later sources, so that it can't be optional; of several labelled ConfigMaps the last wins. The rest of its text is not expanded, as ever.\n" +
		"By annotation the env stays untouched. A reference there is NAME, NAME/VERSION, the URL of a secret, certificate or key, or App Service's form. The first three may end in ? and, joined by &:\n" +
		"  optional                            it may be missing\n" +
		"  type=secret|cert|key                a URL says it already; a certificate's secret is the certificate with its private key\n" +
		"  format=pem|pfx|der|private-key      of certificates and keys; der of type=cert, pfx and private-key of the certificate's secret\n" +
		"  encoding=utf-8|hex|base64           a secret's text stands for bytes; only in files\n" +
		"  field=<name>                        one member of a secret that is JSON or YAML\n" +
		"  mode=0400                           permissions of a file\n" +
		"The annotations:\n" +
		"  twelvefold.dev/keyvault: shop                  the vault of plain names: its name or URL\n" +
		"  env.twelvefold.dev/DB_PASSWORD: db-password    a variable\n" +
		"  file.twelvefold.dev/tls.pem: shop-tls          a file below /var/run/secrets/keyvault\n" +
		"  twelvefold.dev/secrets-path: /etc/shop         another directory for the files\n" +
		"  twelvefold.dev/containers: api,worker          only these containers; else all of them\n" +
		"Volumes of the FlexVolume azure/kv are filled in its stead, unasked, with the same files at the same places; their mounts become read-only. Those of the CSI driver secrets-store.csi.k8s.io are left to it, but for pods that say so:\n" +
		"  twelvefold.dev/csi: adopt                      fill them by their SecretProviderClass of provider azure\n" +
		"Either is refused where it asks for what can't be brought: secretObjects, which would put values into etcd, objectVersionHistory, another tenant than the service account's. How their own drivers would sign in counts no more.\n" +
		"The policy can bind secrets to pods by keyVault.bindings, and give vaults to namespaces by keyVault.vaults.\n" +
		"Where the webhook has an identity that reads metadata (docs/operating.md), references into the vaults of keyVault.vaults are verified when a pod or workload is created: a secret that is missing, disabled, expired or not yet valid warns, or is refused with keyVault.verify: deny if the vault was asked in the last 30 seconds; off says nothing. Of a reference with a version only the name is looked up. Vaults that are not listed are not verified, for the answer would tell anybody what is in them.\n" +
		"Who reads is said by the service account:\n" +
		"  kubectl annotate serviceaccount api azure.workload.identity/client-id=<client id> azure.workload.identity/tenant-id=<tenant id>\n" +
		"The policy may sign in otherwise by keyVault.identity: {kind: managed, clientID: …} takes an identity of the nodes, {kind: service-principal, tenantID: …, secret: NAME} the keys clientid and clientsecret of that Secret in the pod's namespace, which only the agent mounts.\n" +
		"From Kubernetes 1.35 on, on the API server and all nodes, the kubelet sets the variables (env). Before that the agent starts the container's command with them (exec), and exec probes and hooks too; kubectl exec sees placeholders, and $(NAME) of a secret in command or args is refused there. A container without a command is started as its image says, which the webhook asks the registry; write the command where it can't.\n" +
		"  twelvefold.dev/delivery: exec                  exec on any cluster: for a value that an env file can't carry, such as one with '\n" +
		"Without more, a secret is read when the pod starts. By annotation, or for all pods by the policy's keyVault.rotation, and looked for every keyVault.rotationInterval:\n" +
		"  twelvefold.dev/rotation: files                 a sidecar keeps files current; the application reads them again\n" +
		"  twelvefold.dev/rotation: restart               all containers restart in place, without preStop and after 2 s: from 1.36 on, and in no Job\n" +
		"  twelvefold.dev/rotation: rollout               the Deployment, StatefulSet or DaemonSet is rolled out anew, where the chart's rollout.enabled allows it\n" +
		"Secrets have names of 1 to 127 letters, digits and hyphens; vaults of 3 to 24. References are refused where nothing can resolve them: in ephemeral containers, on Windows, and in pods that ask for virtual nodes.",
	Allowed: "References to other stores (vault:…, bao:…, gcp:secretmanager:…, arn:aws:secretsmanager:…, op://…) are left alone, with a warning. Refused, since it would not be what was there before: an AzureKeyVaultSecret with a transformation. Its azureIdentity is not used: the identity of the pod reads Key Vault.",
	Example: `metadata:
  annotations:
    twelvefold.dev/keyvault: shop
    file.twelvefold.dev/tls.pem: shop-tls
spec:
  serviceAccountName: api
  containers:
  - name: api
    image: contoso.azurecr.io/shop/api:1.4.2
    env:
    - name: DB_PASSWORD
      value: "@Microsoft.KeyVault(VaultName=shop;SecretName=db-password)"
    - name: DB_URL
      value: postgres://api:$(DB_PASSWORD)@db.shop.example/shop
`,
}
