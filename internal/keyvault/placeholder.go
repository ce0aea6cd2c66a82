package keyvault

import "regexp"

// AgentPath is where the agent lies in the containers whose command it starts, in exec mode.
const AgentPath = "/twelvefold/bin/twelvefold-agent"

// Placeholder stands in an environment variable for a value of the env file, until the agent's exec puts it there. The
// kubelet expands nothing in it.
func Placeholder(key string) string { return "@Twelvefold(" + key + ")" }

var placeholder = regexp.MustCompile(`@Twelvefold\(K[0-9]{1,5}\)`)

// HasPlaceholder says whether a value waits for the agent's exec.
func HasPlaceholder(value string) bool { return placeholder.MatchString(value) }
