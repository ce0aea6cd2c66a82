package mutate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/podpatch"
)

// reservedPorts are those of istio's and linkerd's proxies.
var reservedPorts = []int32{15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090, 4191}

const (
	istioMergeAnnotation   = "prometheus.istio.io/merge-metrics"
	istioTargetsAnnotation = "prometheus.istio.io/scrape-targets"
	istioPort              = "15020"
	istioPath              = "/stats/prometheus"
)

// istioServes says whether istio's proxy serves the pod's metrics, and nothing is left to do. At injection it takes the
// prometheus.io annotations away to itself and points them to its own port; what is written afterwards it doesn't read.
func (c *Context) istioServes() bool {
	port, _ := c.Annotation(portAnnotation)
	path, _ := c.Annotation(pathAnnotation)
	if port != istioPort || path != istioPath {
		return false
	}
	if c.mergeSidecar() != nil && len(c.DoneBefore()) > 0 || slices.ContainsFunc(c.dialects(), func(d dialect) bool { return d != prometheusWords }) {
		return false // istio scrapes our sidecar, which can have more targets, or others don't scrape istio
	}
	for _, entry := range c.before.Skipped["metrics"] {
		c.Skip("%s", entry)
	}
	if len(c.DoneBefore()) == 0 {
		c.Skip("port %s is the pod's own (step 2: prometheus.io annotations)", port)
	}
	return true
}

// istioHas says whether the prometheus.io annotations are istio's: neither the user's nor ours, and not to be touched.
func (c *Context) istioHas() bool {
	annotations := c.Edit.Pod().Annotations
	return annotations[portAnnotation] == istioPort && annotations[pathAnnotation] == istioPath
}

// istioTargets says whether an istio proxy is going to be injected that merges several endpoints by itself, as those
// from 1.31 do. It reads them when it is injected, so that for a pod that has its proxy it is too late.
func (c *Context) istioTargets() bool {
	pod := c.Edit.Pod()
	_, injected := pod.Annotations["sidecar.istio.io/status"]
	_, own := c.Annotation(istioTargetsAnnotation)
	merge, set := c.Annotation(istioMergeAnnotation)
	if injected && !c.ours[istioTargetsAnnotation] || own || set && merge != "true" || pod.Spec.HostNetwork || pod.Labels["sidecar.istio.io/inject"] == "false" {
		return false
	}
	for _, key := range []string{portAnnotation, pathAnnotation, schemeAnnotation} {
		if _, set := c.Annotation(key); set {
			return false
		}
	}
	return c.reads("prometheus", "azure", "container-insights") && !c.reads("grafana") && c.mergeSidecar() == nil && c.istioMinor() >= 31
}

var (
	istioTag      = regexp.MustCompile(`^1\.(\d{1,3})(\D|$)`)
	istioRevision = regexp.MustCompile(`^(?:asm-)?1-(\d{1,3})(-|$)`) // asm-1-31 of AKS' add-on; 1-31-0 as istio advises
)

// istioMinor is the minor version of the istio proxy that the pod has or gets, by its image or by its revision; 0 if
// nothing tells it.
func (c *Context) istioMinor() int {
	pod := c.Edit.Pod()
	images := []string{pod.Annotations["sidecar.istio.io/proxyImage"]}
	for _, p := range c.Edit.AllContainers() {
		if p.Name() == "istio-proxy" {
			images = append(images, p.Get().Image)
		}
	}
	for _, name := range images {
		if ref, err := image.Parse(name); err == nil && ref.Tag != "" {
			return minor(istioTag, ref.Tag)
		}
	}
	for _, revision := range []string{pod.Labels["istio.io/rev"], c.Facts.NamespaceLabels["istio.io/rev"]} {
		if revision != "" {
			return minor(istioRevision, revision)
		}
	}
	return 0
}

func minor(version *regexp.Regexp, text string) int {
	found := version.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		panic(err) // three digits are a number
	}
	return n
}

// tellIstio has istio's proxy merge the endpoints, also where the mesh's default is not to merge.
func (c *Context) tellIstio(ready []endpoint) {
	var targets []string
	for _, e := range ready {
		targets = append(targets, fmt.Sprintf("%d:%s", e.port, e.path))
	}
	text := strings.Join(targets, ",")
	c.Edit.SetAnnotation(istioTargetsAnnotation, text)
	c.Edit.SetAnnotation(istioMergeAnnotation, "true")
	c.Done("%s", istioTargetsDone(text))
}

func istioTargetsDone(targets string) string {
	return shown("istio-proxy: " + targets + " merged by " + istioTargetsAnnotation)
}

// besideMeshes are the endpoints without those at ports that a mesh's sidecar has, and without exporters that no consumer
// would see.
func (c *Context) besideMeshes(found []endpoint) []endpoint {
	return slices.DeleteFunc(found, func(e endpoint) bool {
		why := ""
		switch {
		case e.exporter != nil && e.port == 0:
			if slices.Equal(c.allDialects(), []dialect{openTelemetryWords{}}) {
				why = "the OpenTelemetry Collector finds ports of main containers only, and an exporter beside the app is none"
			}
		case slices.Contains(c.daprPorts(), e.port):
			why = fmt.Sprintf("port %d is that of Dapr's sidecar; dapr.io/metrics-port moves it", e.port)
		case slices.Contains(reservedPorts, e.port):
			why = fmt.Sprintf("port %d is that of a mesh's proxy", e.port)
		}
		if why == "" {
			return false
		}
		c.Skip("%s: %s", e, why)
		if e.name == metricsAnnotation {
			c.Warn(annotationField(metricsAnnotation), e.source, why+", so it is not scraped", "name a port of the app")
		}
		return true
	})
}

// daprPorts are those that Dapr's sidecar has, or will have once it is injected.
func (c *Context) daprPorts() []int32 {
	annotations := c.Edit.Pod().Annotations
	if annotations["dapr.io/enabled"] != "true" && !slices.ContainsFunc(c.Edit.AllContainers(), func(p *podpatch.Container) bool { return p.Name() == "daprd" }) {
		return nil
	}
	ports := []int32{3500, 3501, 50001, 50002}
	if annotations["dapr.io/enable-metrics"] == "false" {
		return ports
	}
	if port, ok := parsePort(annotations["dapr.io/metrics-port"]); ok {
		return append(ports, port)
	}
	return append(ports, 9090)
}
