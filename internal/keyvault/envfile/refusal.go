package envfile

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Refusal says that an environment variable can't carry a value this way. It never holds the value.
type Refusal struct {
	Secret  string
	EnvName string
	Problem string
	Exec    bool // the agent's exec could carry it
}

// Error names the secret, the variable, the problem and the ways out.
func (r *Refusal) Error() string {
	out := "take it as a file, with the annotation file.twelvefold.dev/<file name>"
	if r.Exec {
		out += ", or have the container's command wrapped, with the annotation twelvefold.dev/delivery: exec"
	}
	return fmt.Sprintf("%s cannot become the environment variable %s: %s; %s", r.Secret, r.EnvName, r.Problem, out)
}

// check tells why the file can't carry a value, or returns "".
func check(e Entry) string {
	if problem := checkExec(e); problem != "" {
		return problem
	}
	switch v := e.Value; {
	case v == "" && e.Optional:
		return ""
	case v == "":
		return "it is empty, which Kubernetes takes for a missing key"
	case strings.Contains(v, "'"):
		return "it holds a single quote, which would end the value"
	case strings.Contains(v, "\r\n"):
		return "it holds Windows line ends (CR LF), of which Kubernetes would drop the CR"
	case !utf8.ValidString(v):
		return "it is not UTF-8, and Kubernetes would change the bytes that are not"
	case longestLine(e.Key+"='"+v+"'") >= maxLine:
		return fmt.Sprintf("it has a line of %d bytes or more, which Kubernetes cannot read", maxLine-len(e.Key)-len("=''"))
	}
	return ""
}

// checkExec tells why no environment at all can carry a value, or returns "".
func checkExec(e Entry) string {
	switch {
	case strings.Contains(e.Value, "\x00"):
		return "it holds a NUL byte, which no environment can carry" // and which would put the value into the pod's status
	case len(e.EnvName)+len(e.Value) > maxVariable:
		return fmt.Sprintf("name and value exceed %d bytes, the most that Linux takes for one variable", maxVariable)
	}
	return ""
}

// longestLine returns the length of the longest line.
func longestLine(s string) int {
	longest := 0
	for line := range strings.SplitSeq(s, "\n") {
		longest = max(longest, len(line))
	}
	return longest
}
