package envfile

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
)

// ExecFile is the name of the file of [EncodeExec], beside the env file.
const ExecFile = "exec.json"

// EncodeExec returns the content of the file from which the agent's exec takes the values: {"K0": base64, …}.
// Its errors are those of [Encode], but fewer: it carries whatever an environment can.
func EncodeExec(entries []Entry) ([]byte, error) {
	values := map[string][]byte{}
	if err := each(entries, checkExec, func(e Entry) { values[e.Key] = []byte(e.Value) }); err != nil {
		return nil, err
	}
	return json.Marshal(values)
}

// DecodeExec reads the file. Its error quotes nothing of it.
func DecodeExec(content []byte) (map[string]string, error) {
	var decoded map[string][]byte
	if err := json.Unmarshal(content, &decoded); err != nil {
		return nil, errors.New("it is not the JSON that fetch writes")
	}
	values := map[string]string{}
	for key, value := range decoded {
		values[key] = string(value)
	}
	return values, nil
}

// Placeholder is what stands in an environment variable for the value of a key. The kubelet expands nothing in it.
func Placeholder(key string) string { return "@Twelvefold(" + key + ")" }

// HasPlaceholder says whether a variable's value waits for the agent's exec.
func HasPlaceholder(value string) bool { return placeholder.MatchString(value) }

var placeholder = regexp.MustCompile(`@Twelvefold\((K[0-9]{1,5})\)`)

// Expand replaces the placeholders in variables (NAME=value). What comes out of one isn't expanded again. A key without a value is an optional
// secret that is missing: a variable that is nothing else goes, and inside a longer text nothing takes its place.
func Expand(environ []string, values map[string]string) []string {
	var out []string
	for _, variable := range environ {
		name, text, _ := strings.Cut(variable, "=")
		found := placeholder.FindAllStringSubmatchIndex(text, -1)
		if len(found) == 0 {
			out = append(out, variable)
			continue
		}
		whole := len(found) == 1 && found[0][1]-found[0][0] == len(text)
		if _, ok := values[text[found[0][2]:found[0][3]]]; whole && !ok {
			continue
		}
		var b strings.Builder
		b.WriteString(name + "=")
		end := 0
		for _, at := range found {
			b.WriteString(text[end:at[0]])
			b.WriteString(values[text[at[2]:at[3]]])
			end = at[1]
		}
		b.WriteString(text[end:])
		out = append(out, b.String())
	}
	return out
}
