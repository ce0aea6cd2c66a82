package mutate

import (
	"fmt"
	"strconv"
)

// prepare makes endpoints ready to be scraped, with what they need beside them, and returns those that are.
func (c *Context) prepare(found []endpoint) (ready []endpoint) {
	most := c.mostEndpoints()
	kinds := map[string]int{} // how many exporters of each there are
	for i := range found {
		e := &found[i]
		if len(ready) == most {
			c.Skip("%s: %s", e, c.noRoom(ready))
			continue
		}
		if e.exporter != nil {
			e.sidecar = exporterContainer(e.exporter, kinds[e.exporter.Name]+1)
		}
		if c.ready(e) {
			ready = append(ready, *e)
			if e.exporter != nil {
				kinds[e.exporter.Name]++
			}
		} else if e.step == 1 { // what was asked for is not replaced by something else
			return ready
		}
	}
	return ready
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
