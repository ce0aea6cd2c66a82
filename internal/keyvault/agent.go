package keyvault

// What the webhook writes into the pod and the agent reads there.
const (
	// AgentPath is where the agent lies in the containers whose command it starts, by its exec.
	AgentPath = "/twelvefold/bin/twelvefold-agent"

	// PlanEnv is the environment variable of fetch and sync that holds their [Plan] as JSON.
	PlanEnv = "TWELVEFOLD_PLAN"
	// RotationEnv says how new versions come: [RotateFiles] or [RotateByRestart].
	RotationEnv = "TWELVEFOLD_ROTATION"
	// IntervalEnv is how often sync looks for them, as a duration; [DefaultInterval] if absent.
	IntervalEnv = "TWELVEFOLD_INTERVAL"
	// IdentityEnv is the kind of identity: workload (default), managed, service-principal.
	IdentityEnv = "TWELVEFOLD_IDENTITY"
	// CredentialDirEnv is where a service principal's Secret is mounted, with the files clientid and clientsecret.
	CredentialDirEnv = "TWELVEFOLD_CREDENTIAL_DIR"
	// TrustedCAEnv holds authorities to trust beside the system's, in PEM.
	TrustedCAEnv = "TWELVEFOLD_TRUSTED_CA"

	RotateFiles     = "files"   // sync replaces files
	RotateByRestart = "restart" // sync ends with ExitRestart, and all containers start again
	DefaultInterval = "2m"

	// ExitRestart is sync's exit code that restartPolicyRules turn into a restart of all containers.
	ExitRestart = 77
)
