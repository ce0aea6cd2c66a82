package secretscan

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// A detector finds secrets that carry a mark. The hints are cheap: without one of them the pattern is not tried.
type detector struct {
	kind    string
	hints   []string
	pattern *regexp.Regexp
}

// Azure's marks inside keys are those of Microsoft's identifiable keys
// (https://github.com/microsoft/security-utilities); the other forms are documented by their providers.
var detectors = []detector{
	{"private key", []string{"PRIVATE KEY"}, regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----[^\x00]{0,400}?[A-Za-z0-9+/=]{32,}`)},
	{"JWT", []string{"eyJ"}, regexp.MustCompile(`\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}`)},
	{"Entra client secret", []string{"Q~"}, regexp.MustCompile(`(?:^|[^\w.~-])[\w.~-]{3}\dQ~[\w.~-]{31,34}(?:$|[^\w.~-])`)},
	{"Azure storage account key", []string{"+ASt"}, regexp.MustCompile(`[\w/+]{76}\+ASt[\w/+]{5}[AQgw]==`)},
	{"Azure Cosmos DB key", []string{"ACDb"}, regexp.MustCompile(`[\w/+]{76}ACDb[\w/+]{5}[AQgw]==`)},
	{"Azure Batch key", []string{"+ABa"}, regexp.MustCompile(`[\w/+]{76}\+ABa[\w/+]{5}[AQgw]==`)},
	{"Azure shared access key", []string{"+ASb", "+AEh", "AIoT"}, regexp.MustCompile(`[\w/+]{33}(?:AIoT|\+ASb|\+AEh)[A-P][\w/+]{5}=`)},
	{"Azure Cache for Redis key", []string{"AzCa"}, regexp.MustCompile(`\b[A-Za-z0-9]{33}AzCa[A-P][A-Za-z0-9]{5}=`)},
	{"Azure Container Registry password", []string{"+ACR"}, regexp.MustCompile(`[A-Za-z0-9/+]{42}\+ACR[A-D][A-Za-z0-9]{5}`)},
	{"Azure Functions key", []string{"AzFu"}, regexp.MustCompile(`[\w-]{44}AzFu[\w-]{5}[AQgw]==`)},
	{"Azure AI Search key", []string{"AzSe"}, regexp.MustCompile(`\b[A-Za-z0-9]{42}AzSe[A-D][A-Za-z0-9]{5}\b`)},
	{"Azure API Management key", []string{"APIM"}, regexp.MustCompile(`[\w/+]{76}APIM[\w/+]{5}[AQgw]==`)},
	{"Azure Event Grid key", []string{"AZEG"}, regexp.MustCompile(`[\w/+]{33}AZEG[A-P][\w/+]{5}=`)},
	{"Azure Relay key", []string{"+ARm"}, regexp.MustCompile(`[\w/+]{33}\+ARm[A-P][\w/+]{5}=`)},
	{"Azure DevOps token", []string{"AZDO"}, regexp.MustCompile(`\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b`)},
	{"Azure key", []string{"JQQJ9"}, regexp.MustCompile(`\b[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{27}`)}, // Azure OpenAI, AI Search, Maps …
	{"AWS access key", []string{"AKIA", "ASIA"}, regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`)},
	{"Google API key", []string{"AIza"}, regexp.MustCompile(`\bAIza[\w-]{35}`)},
	{"Google OAuth client secret", []string{"GOCSPX-"}, regexp.MustCompile(`\bGOCSPX-[\w-]{28}`)},
	{"Google access token", []string{"ya29."}, regexp.MustCompile(`\bya29\.[\w-]{20,}`)},
	{"GitHub token", []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}, regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{36,})`)},
	// Not glcbt-: a runner writes it into the pod of a CI job, and it ends with the job.
	{"GitLab token", []string{"glpat-", "gldt-", "glrt-", "glptt-", "glagent-", "gloas-", "glsoat-"},
		regexp.MustCompile(`\bgl(?:pat|dt|rt|ptt|agent|oas|soat)-[\w.-]{20,}`)},
	{"Slack token", []string{"xox", "xapp-"}, regexp.MustCompile(`\b(?:xox[abeoprs]-[\w-]{10,}|xapp-\d-[\w-]{10,})`)},
	{"Slack webhook", []string{"hooks.slack.com/"}, regexp.MustCompile(`hooks\.slack\.com/(?:services|workflows)/[A-Z]\w+/\w+/\w{16,}`)},
	{"Stripe key", []string{"k_live_", "k_test_"}, regexp.MustCompile(`\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}`)},
	{"Stripe webhook secret", []string{"whsec_"}, regexp.MustCompile(`\bwhsec_[A-Za-z0-9+/=]{24,}`)},
	{"npm token", []string{"npm_"}, regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}`)},
	{"PyPI token", []string{"pypi-AgE"}, regexp.MustCompile(`\bpypi-AgE[\w-]{50,}`)},
	{"Docker Hub token", []string{"dckr_"}, regexp.MustCompile(`\bdckr_(?:pat|oat)_[\w-]{27,}`)},
	{"OpenAI key", []string{"T3BlbkFJ", "sk-proj-", "sk-svcacct-"}, regexp.MustCompile(`\bsk-(?:[\w-]{20,}T3BlbkFJ[\w-]{20,}|(?:proj|svcacct)-[\w-]{60,})`)},
	{"Anthropic key", []string{"sk-ant-"}, regexp.MustCompile(`\bsk-ant-[a-z0-9]+-[\w-]{80,}`)},
	{"Hugging Face token", []string{"hf_"}, regexp.MustCompile(`\bhf_[A-Za-z0-9]{34,}`)},
	{"SendGrid key", []string{"SG."}, regexp.MustCompile(`\bSG\.[\w-]{20,24}\.[\w-]{39,50}`)},
	{"Grafana token", []string{"glsa_"}, regexp.MustCompile(`\bglsa_[A-Za-z0-9]{32}_[0-9a-f]{8}`)},
	{"Vault token", []string{"hvs.", "hvb.", "hvr."}, regexp.MustCompile(`\bhv[sbr]\.[\w-]{24,}`)},
	{"Sentry token", []string{"sntrys_", "sntryu_"}, regexp.MustCompile(`\bsntry[su]_[\w=+/-]{60,}`)},
	{"Databricks token", []string{"dapi"}, regexp.MustCompile(`\bdapi[0-9a-f]{32}`)},
	{"DigitalOcean token", []string{"dop_v1_", "doo_v1_"}, regexp.MustCompile(`\bdo[po]_v1_[0-9a-f]{64}`)},
	{"Shopify token", []string{"shpat_", "shpss_"}, regexp.MustCompile(`\bshp(?:at|ss)_[0-9a-f]{32}`)},
	{"age secret key", []string{"AGE-SECRET-KEY-1"}, regexp.MustCompile(`\bAGE-SECRET-KEY-1[A-Z0-9]{50,}`)},
}

func token(text string) (string, bool) {
	for _, d := range detectors {
		if containsAny(text, d.hints) && d.pattern.MatchString(text) {
			return d.kind, true
		}
	}
	return "", false
}

var (
	oldVault  = regexp.MustCompile(`^s\.[A-Za-z0-9]{24}$`) // before 1.10
	awsSecret = regexp.MustCompile(`^[A-Za-z0-9/+]{40}$`)
	awsAssign = regexp.MustCompile(`(?i)aws_?secret_?access_?key["']?\s*[=:]\s*["']?[A-Za-z0-9/+]{40}(?:$|[^A-Za-z0-9/+])`)
	awsHints  = []string{"aws", "AWS", "Aws"}
	mysqlDSN  = regexp.MustCompile(`[^\s:@/"'=]+:([^\s@"']+)@(?:tcp|unix)\(`)
)

// named finds secrets that only the name beside them makes certain.
func named(name, text string) (Secret, bool) {
	words := strings.ToLower(strings.Map(dropSeparators, name))
	value := strings.TrimSpace(text)
	switch {
	case strings.Contains(words, "awssecret") && awsSecret.MatchString(value), len(text) > 40 && containsAny(text, awsHints) && awsAssign.MatchString(text):
		return Secret{Kind: "AWS secret access key"}, true
	case words == "vaulttoken" && oldVault.MatchString(value):
		return Secret{Kind: "Vault token"}, true
	case strings.HasSuffix(words, "key") && len(value) == 88 && strings.HasSuffix(value, "=="): // storage, Cosmos DB, Batch before their keys had marks
		if data, err := base64.StdEncoding.DecodeString(value); err == nil && len(data) == 64 {
			if emulatorKey(value) {
				return Secret{Kind: emulatorKind, Published: true}, true
			}
			return Secret{Kind: "Azure storage or Cosmos DB account key"}, true
		}
	case strings.Contains(text, "@tcp(") || strings.Contains(text, "@unix("):
		if m := mysqlDSN.FindStringSubmatch(text); m != nil && literal(m[1]) {
			return Secret{Kind: "MySQL data source name with a password"}, true
		}
	}
	return Secret{}, false
}

func dropSeparators(r rune) rune {
	if r == '_' || r == '-' || r == '.' {
		return -1
	}
	return r
}
