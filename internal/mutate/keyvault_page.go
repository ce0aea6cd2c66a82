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
		"By annotation the env stays untouched. A reference there is NAME, NAME/VERSION, NAME?optional, the secret's URL, or one of the above:\n" +
		"  twelvefold.dev/keyvault: shop                  the vault of plain names: its name or URL\n" +
		"  env.twelvefold.dev/DB_PASSWORD: db-password    a variable\n" +
		"  file.twelvefold.dev/tls.pem: shop-tls          a file below /var/run/secrets/keyvault\n" +
		"  twelvefold.dev/secrets-path: /etc/shop         another directory for the files\n" +
		"  twelvefold.dev/containers: api,worker          only these containers; else all of them\n" +
		"The policy can bind secrets to pods by keyVault.bindings, and give vaults to namespaces by keyVault.vaults.\n" +
		"Who reads is said by the service account:\n" +
		"  kubectl annotate serviceaccount api azure.workload.identity/client-id=<client id> azure.workload.identity/tenant-id=<tenant id>\n" +
		"The policy may sign in otherwise by keyVault.identity: {kind: managed, clientID: …} takes an identity of the nodes, {kind: service-principal, tenantID: …, secret: NAME} the keys clientid and clientsecret of that Secret in the pod's namespace, which only the agent mounts.\n" +
		"From Kubernetes 1.35 on, on the API server and all nodes, the kubelet sets the variables (env). Before that the agent starts the container's command with them (exec), and exec probes and hooks too; $(NAME) of a secret in command or args is refused there. A container without a command is started as its image says, which the webhook asks the registry; write the command where it can't.\n" +
		"  twelvefold.dev/delivery: exec                  exec on any cluster: for a value that an env file can't carry, such as one with '\n" +
		"Without more, a secret is read when the pod starts. By annotation, or for all pods by the policy's keyVault.rotation, and looked for every keyVault.rotationInterval:\n" +
		"  twelvefold.dev/rotation: files                 a sidecar keeps files current; the application reads them again\n" +
		"  twelvefold.dev/rotation: restart               all containers restart in place, without preStop and after 2 s: from 1.36 on, and in no Job\n" +
		"  twelvefold.dev/rotation: rollout               the Deployment, StatefulSet or DaemonSet is rolled out anew, where the chart's rollout.enabled allows it\n" +
		"Secrets have names of 1 to 127 letters, digits and hyphens; vaults of 3 to 24. References are refused where nothing can resolve them: in ephemeral containers, on Windows, and in pods that ask for virtual nodes.",
	Allowed: "References of other tools are left alone, with a warning. This version does not resolve azure:keyvault:NAME and NAME@azurekeyvault.",
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
