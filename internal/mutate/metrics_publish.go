package mutate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"twelvefold.dev/internal/metricsmerge"
)

// publish tells the consumers of the endpoints. A dialect that holds one is told of the merged one, if there are several.
func (c *Context) publish(ready []endpoint) {
	if path, set := c.Annotation(pathAnnotation); set && len(ready) == 1 && ready[0].exporter == nil && endpointPath.MatchString(path) {
		ready[0].path = path // the user's own tells more than the port's name
	}
	var apart []endpoint // one exporter may serve two containers
	for _, e := range ready {
		if !slices.ContainsFunc(apart, func(other endpoint) bool { return target(other).URL() == target(e).URL() }) {
			apart = append(apart, e)
		}
	}
	ready = apart
	single := ready[:1:1]
	if (len(ready) > 1 || c.mergeSidecar() != nil) && c.needsOne() {
		single = c.asOne(ready)
	}
	for _, d := range c.dialects() {
		if d.several() {
			c.tell(d, ready)
		} else {
			c.tell(d, single)
		}
	}
}

// publishOwn tells the other consumers of the endpoint that the user's own prometheus.io annotations name.
func (c *Context) publishOwn(port int32) {
	own := endpoint{port: port, path: "/metrics", scheme: "http", name: "prometheus.io", source: c.containerOf(port), why: "step 2: the pod's own annotations"}
	if path, set := c.Annotation(pathAnnotation); set && endpointPath.MatchString(path) {
		own.path = path
	}
	if scheme, _ := c.Annotation(schemeAnnotation); scheme == "https" {
		own.scheme = scheme
	}
	for _, d := range c.dialects() {
		c.tell(d, []endpoint{own})
	}
}

// needsOne says whether a consumer is to be told of one endpoint, and the user has not said which.
func (c *Context) needsOne() bool {
	return slices.ContainsFunc(c.dialects(), func(d dialect) bool {
		words, single := d.(singleWords)
		if !single || words == prometheusWords && c.istioHas() && c.mergeSidecar() == nil {
			return false
		}
		if words == prometheusWords {
			_, own := c.Annotation(words.port)
			return !own // noMerge tells of the others
		}
		return !slices.ContainsFunc([]string{words.port, words.path, words.scheme, grafanaPortName, grafanaContainer}, func(key string) bool {
			text, own := c.Annotation(key)
			return own && text != metricsmerge.Path && text != "http"
		})
	})
}

// mostEndpoints is how many endpoints can be published.
func (c *Context) mostEndpoints() int {
	all := c.dialects()
	switch several := slices.ContainsFunc(all, dialect.several); {
	case len(all) == 0, several, c.istioTargets(), c.noMerge() == "":
		return metricsmerge.MaxTargets
	}
	return 1
}

// noRoom is why an endpoint beyond the most is not scraped.
func (c *Context) noRoom(ready []endpoint) string {
	if len(ready) > 1 {
		return fmt.Sprintf("a pod can have %d endpoints at most", len(ready))
	}
	words, _ := c.dialects()[0].(singleWords)
	reason := fmt.Sprintf("%s holds one endpoint, and %d was taken", words.port, ready[0].port)
	if why := c.noMerge(); why != "" {
		reason += "; they can't be merged: " + why
	}
	return reason
}

// asOne makes several endpoints one: merged by istio's proxy, or by a sidecar of ours; or it takes the first of them.
func (c *Context) asOne(ready []endpoint) []endpoint {
	if c.istioTargets() && !slices.ContainsFunc(ready, func(e endpoint) bool { return e.scheme == "https" }) {
		c.tellIstio(ready)
		return ready[:1]
	}
	merged, why := c.merge(ready)
	if why == "" {
		return []endpoint{merged}
	}
	for _, e := range ready[1:] {
		c.Skip("%s: only %d is scraped by those who take one endpoint; they can't be merged: %s", e, ready[0].port, why)
	}
	return ready[:1]
}

// tell writes a dialect's annotations. What the user wrote is not changed.
func (c *Context) tell(d dialect, ready []endpoint) {
	if d == prometheusWords && c.istioHas() {
		c.Skip("the prometheus.io annotations are istio's: its proxy serves what they named when it was injected")
		return
	}
	ready = slices.DeleteFunc(slices.Clone(ready), func(e endpoint) bool {
		why := d.lacks(c, e)
		if why != "" {
			c.Skip("%s: %s", e, why)
		}
		return why != ""
	})
	if len(ready) == 0 {
		return
	}
	if words, single := d.(singleWords); single && !c.completable(words, ready[0]) {
		return
	}
	for _, g := range d.words(c, ready) {
		if !g.completed && c.hasOwn(g) {
			continue
		}
		for _, a := range g.annotations {
			if _, set := c.Annotation(a[0]); !set {
				c.Edit.SetAnnotation(a[0], a[1])
			}
		}
	}
}

// hasOwn says whether the user's own annotations decide what a group tells. Those that tell the same may be ours.
func (c *Context) hasOwn(g group) bool {
	annotations := c.Edit.Pod().Annotations
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if g.own(key) && !slices.Contains(g.annotations, [2]string{key, annotations[key]}) {
			c.Skip("%s is the pod's own, so %s is not written", shown(key), g.annotations[0][0])
			return true
		}
	}
	return false
}

// completable says whether what a dialect's annotations lack can be added: they may be about another endpoint.
func (c *Context) completable(w singleWords, e endpoint) bool {
	if text, set := c.Annotation(w.scrape); set && text != "true" {
		c.Skip("%s is %s: the pod's own", w.scrape, quoted(text))
		return false
	}
	if w == grafanaWords {
		for _, key := range []string{grafanaPortName, grafanaContainer} {
			if _, set := c.Annotation(key); set {
				c.Skip("%s", own(key))
				return false
			}
		}
	}
	if text, set := c.Annotation(w.port); set {
		if text != strconv.Itoa(int(e.port)) {
			c.Skip("%s: the pod's own %s is %s", e, w.port, quoted(text))
			return false
		}
	}
	for _, key := range []string{w.port, w.path, w.scheme} { // tells them from ours when the pod is seen again
		if text, set := c.Annotation(key); set && text != metricsmerge.Path && text != "http" && !strings.HasPrefix(e.why, "step 2") {
			c.Skip("%s", own(key))
		}
	}
	if w == prometheusWords && e.scheme == "https" && c.reads("azure") && !strings.HasPrefix(e.why, "step 2") {
		c.Warn(annotationField(schemeAnnotation), e.source, fmt.Sprintf("%d is served over https; Azure Monitor doesn't read the scheme and scrapes over http", e.port), "serve metrics over http")
	}
	return true
}

func own(key string) string { return key + " is the pod's own" }

// hideOurs makes the annotations that we wrote when we saw the pod before count as not there. What tells them from the
// user's is the status: it names what was done by its port. A status copied from another pod comes with its annotations,
// which are then put right.
func (c *Context) hideOurs() {
	c.ours = map[string]bool{}
	for _, d := range c.dialects() {
		if words, single := d.(singleWords); single {
			c.hideSingle(words)
		}
	}
	if text, set := c.Annotation(istioTargetsAnnotation); set && slices.Contains(c.DoneBefore(), istioTargetsDone(text)) {
		c.ours[istioTargetsAnnotation] = true
		c.ours[istioMergeAnnotation] = true
	}
}

func (c *Context) hideSingle(w singleWords) {
	if w == prometheusWords && c.istioHas() {
		c.ours[w.port], c.ours[w.path], c.ours[w.scrape] = true, true, true
		return
	}
	port, _ := c.Annotation(w.port)
	if _, number := parsePort(port); !number || len(c.DoneBefore()) == 0 || !c.didBefore(`\b`+port+`\b`) {
		return
	}
	skipped := c.before.Skipped["metrics"]
	if w == prometheusWords && slices.ContainsFunc(skipped, func(entry string) bool { return strings.HasPrefix(entry, "port "+port+" is the pod's own") }) {
		return
	}
	scrape, _ := c.Annotation(w.scrape)
	path, _ := c.Annotation(w.path)
	scheme, _ := c.Annotation(w.scheme)
	c.ours[w.port] = true
	c.ours[w.scrape] = scrape == "true"
	c.ours[w.path] = path == metricsmerge.Path || path != "" && c.didBefore(`\b`+port+regexp.QuoteMeta(path)+` `) ||
		w == grafanaWords && path == c.Edit.Pod().Annotations[pathAnnotation] // which was translated
	c.ours[w.scheme] = scheme == "https" && c.didBefore(`\bhttps `+port+`\b`)
	for _, key := range []string{w.port, w.path, w.scheme} {
		c.ours[key] = c.ours[key] && !slices.Contains(skipped, own(key))
	}
}

func (c *Context) didBefore(pattern string) bool {
	return slices.ContainsFunc(c.DoneBefore(), regexp.MustCompile(pattern).MatchString)
}
