package mutate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"twelvefold.dev/internal/podpatch"
)

// prepare makes endpoints ready to be scraped, with what they need beside them, and returns those that are.
func (c *Context) prepare(found []endpoint) (ready []endpoint) {
	most := c.mostEndpoints()
	used := map[string]bool{} // names of exporters' containers
	for i := range found {
		e := &found[i]
		if len(ready) == most {
			c.Skip("%s: %s", e, c.noRoom(ready))
			continue
		}
		if e.exporter != nil {
			e.sidecar = c.sidecarName(e, used)
		}
		if c.ready(e) {
			ready = append(ready, *e)
			used[e.sidecar] = true
		} else if e.step == 1 && most == 1 { // what was asked for is not replaced by something else
			return ready
		}
	}
	return ready
}

var exporterDone = regexp.MustCompile(`^(\S+): exporter (twelvefold-[-a-z0-9]+-exporter) on `)

// sidecarName is the name of an exporter's container: what the app's had when the pod was seen before, else one that no
// other app's has. The status that tells it may be somebody else's work, so it only chooses among names.
func (c *Context) sidecarName(e *endpoint, used map[string]bool) string {
	others := map[string]bool{}
	for _, entry := range c.DoneBefore() {
		found := exporterDone.FindStringSubmatch(entry)
		if found == nil || used[found[2]] {
			continue
		}
		if mine := found[1] == e.name; mine && slices.ContainsFunc([]int{1, 2, 3, 4}, func(n int) bool { return found[2] == exporterContainer(e.exporter, n) }) {
			return found[2]
		} else if !mine && slices.ContainsFunc(c.candidates(), func(p *podpatch.Container) bool { return p.Name() == found[1] }) {
			others[found[2]] = true
		}
	}
	for n := 1; ; n++ {
		if name := exporterContainer(e.exporter, n); !used[name] && !others[name] {
			return name
		}
	}
}

// ready makes one endpoint ready, with its exporter or its profile if it needs one.
func (c *Context) ready(e *endpoint) bool {
	if text, set := c.Annotation(portAnnotation); set && e.port > 0 && text != strconv.Itoa(int(e.port)) {
		c.Skip("%s: the pod's own prometheus.io/port is %s", e, quoted(text))
		return false
	}
	var err error
	switch {
	case e.exporter != nil:
		err = c.export(e)
	case e.profile != nil:
		err = c.switchOn(e)
	default:
		c.Done("%s", e)
	}
	if err == nil {
		return true
	}
	c.Skip("%s: %v", e, err)
	switch {
	case e.asked != "" && e.exporter != nil:
		c.Warn(annotationField(e.asked), e.name, fmt.Sprintf("the exporter %s is not injected: %v", e.exporter.Name, err), "mend that, or remove the annotation")
	case e.asked != "":
		c.Warn(annotationField(e.asked), e.name, fmt.Sprintf("the profile %s is not switched on: %v", e.profile.name, err), "mend that, or remove the annotation")
	}
	return false
}

// export injects an exporter unless something speaks against it.
func (c *Context) export(e *endpoint) error {
	if text, set := c.Annotation(exporterAnnotation); set && text == "none" {
		return fmt.Errorf("%s: none", exporterAnnotation)
	}
	if e.asked == "" && !serves(e.app.Get(), e.exporter) {
		return fmt.Errorf("its command doesn't tell that it runs a server; %s: %s says so", exporterAnnotation, e.exporter.Name)
	}
	if where, set := c.Annotation(pathAnnotation); set && where != "/metrics" {
		return fmt.Errorf("the pod's own prometheus.io/path is %s, the exporter's /metrics", quoted(where))
	}
	if port, set := c.Annotation(portAnnotation); set && port != strconv.Itoa(int(e.exporter.Port)) {
		return fmt.Errorf("the pod's own prometheus.io/port is %s, the exporter's %d", quoted(port), e.exporter.Port)
	}
	return c.inject(e)
}
