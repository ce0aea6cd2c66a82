package charts

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The README's helm command is rendered with the flags that stand there.
func TestREADMEInstalls(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^    helm install (\S+) charts/(\S+) (.*)$`).FindStringSubmatch(string(text))
	if command == nil {
		t.Fatal("the README does not tell how to install")
	}
	args := append([]string{"template", command[1], command[2]}, strings.Fields(command[3])...)
	rendered, err := runHelm(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"image: contoso.azurecr.io/twelvefold-webhook:v0.1.0", "--agent-image=contoso.azurecr.io/twelvefold-agent:v0.1.0"} {
		if !strings.Contains(rendered, image) {
			t.Errorf("%q is not rendered", image)
		}
	}
}
