package server

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/cluster"
	"twelvefold.dev/internal/policy"
)

// Options are the flags of cmd/webhook.
type Options struct {
	Namespace     string        // that Twelvefold runs in
	ServiceName   string        // in front of the webhook
	AgentImage    string        // for the containers that are injected
	PolicyName    string        // ConfigMap of the policy
	WebhookConfig string        // name of both webhook configurations
	CASecret      string        // Secret of the self-managed CA
	TLSDir        string        // mounted tls.crt and tls.key; empty means self-managed
	BindAddress   string        //
	Port          int           //
	MetricsAddr   string        //
	HealthAddr    string        //
	Excluded      []string      // namespaces that are left alone, besides Namespace
	DrainDelay    time.Duration // from the signal to stop until connections are closed
	Sources       cluster.Sources
	Rollout       bool // roll out workloads whose secrets have changed
	RolloutRate   int  // of them, in a minute
	Scan          bool // look at workloads that run already
	ScanInterval  time.Duration
	ScanReports   bool // and keep Reports of openreports.io
	ScanRegistry  bool // and ask registries for labels of images
	LogLevel      slog.Level

	// The webhook's own identity in Azure, which reads metadata of vaults; all empty if it has none.
	AzureClientID, AzureTenantID, AzureTokenFile string
}

// Command is the command line of cmd/webhook.
func Command() *cobra.Command {
	var o Options
	command := &cobra.Command{
		Use:   "webhook",
		Short: "Serves Twelvefold's admission webhooks",
		Long: "Serves Twelvefold's admission webhooks: /mutate for pods, /validate for pods, ephemeral containers and workload\n" +
			"templates, /validate-policy for the policy ConfigMap. It runs in the cluster; the Helm chart sets every flag.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Namespace == "" {
				return fmt.Errorf("--namespace is empty: set it, or POD_NAMESPACE")
			}
			if o.ScanInterval < time.Minute {
				return fmt.Errorf("--scan-interval is %v: set a minute or more", o.ScanInterval)
			}
			log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: o.LogLevel}))
			return Run(cmd.Context(), o, nil, log)
		},
	}
	f := command.Flags()
	f.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace that Twelvefold runs in")
	f.StringVar(&o.ServiceName, "service-name", "twelvefold-webhook", "Service in front of the webhook, for its certificate")
	f.StringVar(&o.AgentImage, "agent-image", "twelvefold-agent", "image of the containers that are injected into pods")
	f.StringVar(&o.PolicyName, "policy-configmap", "twelvefold-policy", "ConfigMap of the policy; the last good one is kept in NAME-last-good")
	f.StringVar(&o.WebhookConfig, "webhook-config", "aa-twelvefold", "name of the mutating and the validating webhook configuration")
	f.StringVar(&o.CASecret, "ca-secret", "twelvefold-ca", "Secret of the self-managed CA")
	f.StringVar(&o.TLSDir, "tls-dir", "", "directory with tls.crt and tls.key, kept current by cert-manager or another tool (default: certificates are self-managed)")
	f.StringVar(&o.BindAddress, "bind-address", "", "address to serve webhooks on (default: all)")
	f.IntVar(&o.Port, "port", 9443, "port to serve webhooks on")
	f.StringVar(&o.MetricsAddr, "metrics-bind-address", ":8080", "address of /metrics")
	f.StringVar(&o.HealthAddr, "health-bind-address", ":8081", "address of /healthz and /readyz")
	f.StringSliceVar(&o.Excluded, "excluded-namespaces", policy.SystemNamespaces, "namespaces that are left alone even if they are labelled, as the webhook configurations have it; that of --namespace always is")
	f.DurationVar(&o.DrainDelay, "drain-delay", 10*time.Second, "how long to serve on after a signal to stop, while endpoints are told")
	f.BoolVar(&o.Sources.ConfigMaps, "configmaps", true, "resolve references in ConfigMaps of envFrom that are labelled twelvefold.dev/keyvault=true")
	f.BoolVar(&o.Sources.SecretProviderClasses, "secret-provider-classes", true, "read SecretProviderClasses, where the cluster has that kind")
	f.BoolVar(&o.Sources.AzureKeyVaultSecrets, "akv2k8s", true, "read AzureKeyVaultSecrets of akv2k8s, where the cluster has that kind")
	f.BoolVar(&o.Sources.Monitors, "monitors", true, "don't annotate pods that a PodMonitor or ServiceMonitor scrapes, where the cluster has those kinds")
	f.BoolVar(&o.Rollout, "rollout", false, "restart the pods of workloads with rotation rollout when their secrets change; one replica does, by the Lease twelvefold-rollout")
	f.IntVar(&o.RolloutRate, "rollout-per-minute", 10, "how many workloads to roll out in a minute at most")
	f.BoolVar(&o.Scan, "scan", false, "judge workloads that run already, in metrics and Events; one replica does, by the Lease twelvefold-scan")
	f.DurationVar(&o.ScanInterval, "scan-interval", time.Hour, "time between two scans; at least a minute")
	f.BoolVar(&o.ScanReports, "scan-reports", false, "keep a Report of openreports.io for each workload in which the scan finds something")
	f.BoolVar(&o.ScanRegistry, "scan-registry", false, "have the scan ask registries for the labels of images, which tell their source")
	f.StringVar(&o.AzureClientID, "azure-client-id", "", "identity that verifies by metadata the secrets that pods refer to (default: nobody verifies)")
	f.StringVar(&o.AzureTenantID, "azure-tenant-id", "", "tenant of that identity")
	f.StringVar(&o.AzureTokenFile, "azure-token-file", "", "projected token of the service account with audience api://AzureADTokenExchange, which stands for that identity")
	f.TextVar(&o.LogLevel, "log-level", slog.LevelInfo, "lowest level to log: debug, info, warn, error")
	return command
}
