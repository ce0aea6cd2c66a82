package mutate

import (
	"cmp"
	"encoding/json"
	"slices"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/podpatch"
)

// continuation are the lines that belong to the one before, as the JVM, Python and others write stack traces. What tail
// writes at once the container runtime splits again.
const continuation = `^[[:space:]]+|^Caused by:`

// route writes the annotations by which the collectors that the policy names tell logs apart. Azure Monitor (azure,
// container-insights) takes stdout as it is. A pod's own annotations always win.
func (s *logRepair) route() {
	for _, s.collector = range s.Policy.Spec().Logs.Collectors {
		switch s.collector {
		case "datadog":
			s.routeDatadog()
		case "elastic":
			s.routeElastic()
		case "fluentbit":
			if s.plan.Envelope() {
				s.annotate("fluentbit.io/parser-"+logs.TailContainer, "json")
			}
		}
	}
}

// annotate writes an annotation that the pod does not have.
func (s *logRepair) annotate(key, value string) {
	if _, own := s.Annotation(key); !own {
		s.Edit.SetAnnotation(key, value)
		s.Done("annotations for %s are set", s.collector)
	}
}

// routeDatadog names the service and the source, which decides how lines are parsed, of each main container and of the
// sidecar: what it streams is the app's.
func (s *logRepair) routeDatadog() {
	labels := s.Edit.Pod().Labels
	service := cmp.Or(labels["tags.datadoghq.com/service"], labels["app.kubernetes.io/name"], labels["app"])
	if service == "" {
		return // Datadog's own default is the image's name
	}
	for _, c := range s.team() {
		if !c.Init() {
			s.annotateDatadog(c.Name(), source(c), service)
		}
	}
	if len(s.plan.Files) == 0 {
		return
	}
	sources := []string{}
	for _, c := range s.team() {
		if slices.ContainsFunc(s.plan.Files, func(f logs.File) bool { return f.Container == c.Name() }) {
			sources = append(sources, source(c))
		}
	}
	if sources = slices.Compact(sources); len(sources) == 1 {
		s.annotateDatadog(logs.TailContainer, sources[0], service)
	} else {
		s.annotateDatadog(logs.TailContainer, service, service)
	}
}

func (s *logRepair) annotateDatadog(container, source, service string) {
	text, err := json.Marshal([]map[string]string{{"source": cmp.Or(source, service), "service": service}})
	if err != nil {
		panic(err) // strings always marshal
	}
	s.annotate("ad.datadoghq.com/"+container+".logs", string(text))
}

// source is the image's name: Datadog's sources are called like the programs.
func source(c *podpatch.Container) string {
	ref, err := image.Parse(c.Get().Image)
	if err != nil {
		return ""
	}
	return ref.Base()
}

// routeElastic tells Filebeat's hints how to read the sidecar's lines: JSON, or plain ones of which some belong together.
func (s *logRepair) routeElastic() {
	hint := func(key, value string) { s.annotate("co.elastic.logs."+logs.TailContainer+"/"+key, value) }
	switch {
	case len(s.plan.Files) == 0:
	case s.plan.Envelope():
		hint("json.message_key", "log")
		hint("json.add_error_key", "true")
	default:
		hint("multiline.type", "pattern")
		hint("multiline.pattern", continuation)
		hint("multiline.negate", "false")
		hint("multiline.match", "after")
	}
}
