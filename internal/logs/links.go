package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// LinkContainer is the name of the init container that puts links in the place of log files, and LinksEnv the
// environment variable that holds its [LinkPlan] as JSON.
const (
	LinkContainer = "twelvefold-link"
	LinksEnv      = "TWELVEFOLD_LINKS"
)

// Stdout and Stderr are what log files may be links to. What they lead to depends on the process that opens them, as it should.
const (
	Stdout = "/dev/stdout"
	Stderr = "/dev/stderr"
)

// LinkPlan tells the link container which links to make.
type LinkPlan struct {
	Links []Link `json:"links"`
}

// Link is one log file of one container that is a link to its output.
type Link struct {
	File
	To string `json:"to"` // Stdout or Stderr
}

// ParseLinks decodes a plan as strictly as [ParsePlan] does.
func ParseLinks(text string) (LinkPlan, error) {
	var p LinkPlan
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return LinkPlan{}, fmt.Errorf("%s: %w", LinksEnv, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return LinkPlan{}, fmt.Errorf("%s: text after the plan's closing brace", LinksEnv)
	}
	if len(p.Links) == 0 {
		return LinkPlan{}, fmt.Errorf("%s: links: empty; name at least one log file", LinksEnv)
	}
	for i, l := range p.Links {
		if err := l.validate(); err != nil {
			return LinkPlan{}, fmt.Errorf("%s: links[%d].%w", LinksEnv, i, err)
		}
	}
	return p, nil
}

func (l Link) validate() error {
	switch err := l.File.validate(); {
	case err != nil:
		return err
	case IsGlob(l.Path):
		return errors.New("path: a link has one name, not a glob")
	case l.To != Stdout && l.To != Stderr:
		return fmt.Errorf("to: %q is neither %s nor %s", l.To, Stdout, Stderr)
	}
	return nil
}

// Linked are the files that the pod's link container makes links, by container, as the containers name them.
func Linked(pod *corev1.Pod) map[string][]string {
	linked := map[string][]string{}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.Name != LinkContainer {
			continue
		}
		plan, err := ParseLinks(envValue(c, LinksEnv))
		if err != nil {
			continue // not ours: it links nothing
		}
		for _, l := range plan.Links {
			linked[l.Container] = append(linked[l.Container], l.Path)
		}
	}
	return linked
}

// Mended are the files of a pod that are streamed or are links, by container.
func Mended(pod *corev1.Pod) map[string][]string {
	mended := Streamed(pod)
	for container, files := range Linked(pod) {
		mended[container] = append(mended[container], files...)
	}
	return mended
}

// ImageLinks are the links that a server's image has in a directory that is its log directory, by their names; nil for
// any other image or directory. Such a server opens its logs before it changes its user.
func ImageLinks(c *corev1.Container, dir string) map[string]string {
	if !hides(c, dir) {
		return nil
	}
	switch dir {
	case "/var/log/nginx":
		return map[string]string{"access.log": Stdout, "error.log": Stderr}
	case "/var/log/apache2":
		return map[string]string{"access.log": Stdout, "error.log": Stderr, "other_vhosts_access.log": Stdout}
	case "/var/log/httpd", "/usr/local/apache2/logs":
		return map[string]string{"access_log": Stdout, "error_log": Stderr}
	}
	return nil // a directory above: more lies in it
}

// OnlyLogs says whether nothing but one program's logs lies in a directory, as far as its name tells.
func OnlyLogs(dir string) bool {
	switch dir {
	case "/var/log": // of all programs
		return false
	case "/usr/local/apache2/logs", "/var/log/httpd": // the process id, too
		return false
	}
	return isLogDirectory(dir)
}
