package mutate

import (
	"fmt"
	"strconv"
	"strings"
)

// prepare makes endpoints ready to be scraped, with what they need beside them, and returns those that are.
func (c *Context) prepare(found []endpoint) (ready []endpoint) {
	most := c.mostEndpoints()
	for i := range found {
		e := &found[i]
		if len(ready) == most {
			c.Skip("%s: %s", e, c.noRoom(ready))
			continue
		}
		if c.ready(e) {
			ready = append(ready, *e)
		} else if strings.HasPrefix(e.why, "step 1") { // what was asked for is not replaced by something else
			return ready
		}
	}
	return ready
}

// ready makes one endpoint ready, with its exporter if it needs one.
func (c *Context) ready(e *endpoint) bool {
	if text, set := c.Annotation(portAnnotation); set && e.exporter == nil && text != strconv.Itoa(int(e.port)) {
		c.Skip("%s: the pod's own prometheus.io/port is %s", e, quoted(text))
		return false
	}
	if e.exporter != nil && !c.export(e) {
		return false
	}
	if e.exporter == nil {
		c.Done("%s", e)
	}
	return true
}

// export injects an exporter unless something speaks against it; what the user asked for and doesn't get is a warning.
func (c *Context) export(e *endpoint) bool {
	asked := strings.HasPrefix(e.why, "step 1")
	err := error(nil)
	switch text, set := c.Annotation(exporterAnnotation); {
	case set && text == "none":
		err = fmt.Errorf("%s: none", exporterAnnotation)
	case !asked && !serves(e.app.Get(), e.exporter):
		err = fmt.Errorf("its command doesn't tell that it runs a server; %s: %s says so", exporterAnnotation, e.exporter.Name)
	}
	if where, set := c.Annotation(pathAnnotation); err == nil && set && where != "/metrics" {
		err = fmt.Errorf("the pod's own prometheus.io/path is %s, the exporter's /metrics", quoted(where))
	}
	if port, set := c.Annotation(portAnnotation); err == nil && set && port != strconv.Itoa(int(e.exporter.Port)) {
		err = fmt.Errorf("the pod's own prometheus.io/port is %s, the exporter's %d", quoted(port), e.exporter.Port)
	}
	if err == nil {
		err = c.inject(e)
	}
	if err == nil {
		return true
	}
	c.Skip("%s: %v", e, err)
	if asked {
		c.Warn(annotationField(exporterAnnotation), e.name, fmt.Sprintf("the exporter %s is not injected: %v", e.exporter.Name, err), "mend that, or remove the annotation")
	}
	return false
}
