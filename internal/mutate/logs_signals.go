package mutate

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/podpatch"
)

// repairSignals repairs what the containers' specs tell of logs that don't go to stdout: by the cheapest repair that is
// safe, where the policy's mode for the signal is repair, or the pod asks for a repair.
func (s *logRepair) repairSignals(named []namedFile) {
	s.quiet = true
	for _, c := range s.team() {
		for _, signal := range logs.Signals(s.Edit.Pod(), c.Get()) {
			mode := s.Policy.LogMode(signal.Name)
			if mode == "off" || mode != "repair" && (s.want == "" || s.want == "stream" && len(named) > 0) {
				continue // of a pod that names its files no others are streamed
			}
			if !s.mended(c, signal) && needsRepair(signal) {
				s.repair(c, signal)
			}
		}
	}
}

// needsRepair says whether a signal keeps lines from stdout, or writes a file beside it that is easily left out.
func needsRepair(signal logs.Signal) bool {
	switch {
	case signal.Name == "tee":
		return false // stdout has the lines
	case signal.Confidence == logs.Hint:
		return signal.Name == "spring-file" // a buffer is its rule's to repair
	}
	return true
}

// mended says whether the signal is gone already, or its file is streamed or a link.
func (s *logRepair) mended(c *podpatch.Container, signal logs.Signal) bool {
	if !slices.Contains(logs.Signals(s.Edit.Pod(), c.Get()), signal) {
		return true
	}
	var files []string
	for _, f := range s.plan.Files {
		if f.Container == c.Name() {
			files = append(files, f.Path)
		}
	}
	for _, l := range s.links.Links {
		if l.Container == c.Name() {
			files = append(files, l.Path)
		}
	}
	return signal.Streams(files)
}

// repair tries rewrite, link and stream, or only what the pod asks for.
func (s *logRepair) repair(c *podpatch.Container, signal logs.Signal) {
	var reasons []string
	for _, rung := range []struct {
		name string
		try  func(*podpatch.Container, logs.Signal) string
	}{{"rewrite", s.rewriteSignal}, {"link", s.linkSignal}, {"stream", s.streamSignal}} {
		if s.want != "" && s.want != rung.name {
			continue
		}
		why := rung.try(c, signal)
		if why == "" {
			return
		}
		reasons = append(reasons, rung.name+": "+why)
	}
	if len(reasons) == 0 {
		return
	}
	s.Skip("%s: %s is not repaired: %s", c.Name(), signal.Name, strings.Join(reasons, "; "))
}

// rewriteSignal changes the container's own option or script. It says why not where it can't.
func (s *logRepair) rewriteSignal(c *podpatch.Container, signal logs.Signal) string {
	if signal.Kind == logs.Volume {
		return "a volume is no option"
	}
	if why := s.needed(c, signal); why != "" {
		return why
	}
	changed := logs.Rewritten(c.Get(), signal, s.want == "rewrite")
	if changed == nil {
		return "no change is certain to work"
	}
	c.Rewrite(changed)
	what := "its option is rewritten"
	if signal.Kind == logs.Redirect {
		what = "the redirection is left out"
	}
	s.Done("%s: %s: %s, which costs no container", c.Name(), signal.Name, what)
	return ""
}

// needed is who else may need the file; empty if nobody.
func (s *logRepair) needed(c *podpatch.Container, signal logs.Signal) string {
	if signal.Path == "" {
		return ""
	}
	for _, h := range c.Hooks() {
		if slices.ContainsFunc(h.Command(), func(word string) bool { return strings.Contains(word, signal.Path) }) {
			return "the container's " + h.Field + " names the file"
		}
	}
	m := covering(c, path.Dir(signal.Path))
	if m == nil {
		return ""
	}
	if v := s.volume(m.Name); v == nil || v.EmptyDir == nil {
		return "the file is in a volume that outlives the pod"
	}
	if s.shared(c, m.Name) {
		return "another container has the file's volume"
	}
	return ""
}

// shared says whether another container than c, and none of ours, mounts a volume.
func (s *logRepair) shared(c *podpatch.Container, volume string) bool {
	return slices.ContainsFunc(s.Edit.AllContainers(), func(other *podpatch.Container) bool {
		return other != c && !strings.HasPrefix(other.Name(), ownVolumePrefix) &&
			slices.ContainsFunc(other.Get().VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
	})
}

// linkSignal gives the directory that hides an image's links to stdout its links back. It says why not where it can't:
// of other programs nobody knows whether they open their logs before they become another user.
func (s *logRepair) linkSignal(c *podpatch.Container, signal logs.Signal) string {
	links := logs.ImageLinks(c.Get(), signal.Path)
	if signal.Name != "hidden-links" || len(links) == 0 {
		return "it is not known which files the program opens, and as which user"
	}
	names := slices.Sorted(maps.Keys(links))
	for _, name := range names {
		if why := s.unlinkable(c, path.Join(signal.Path, name)); why != "" {
			return why
		}
	}
	for _, name := range names {
		s.linkFile(c, path.Join(signal.Path, name), links[name])
	}
	return ""
}

// streamSignal streams the signal's file, or the *.log of its directory. It says why not where it can't.
func (s *logRepair) streamSignal(c *podpatch.Container, signal logs.Signal) string {
	file := signal.Path
	switch {
	case signal.Kind == logs.Volume:
		file = path.Join(file, "*.log")
	case signal.Name == "klog-file" && path.Base(file) == "*":
		file = path.Join(path.Dir(file), "*.log.INFO.*") // which has the lines of all levels
	}
	switch why := s.noSidecar(); {
	case why != "":
		return why
	case signal.Confidence == logs.Hint:
		return "the lines are on stdout, too"
	case signal.HostPath != "":
		return "a node's directory is for its own collector"
	case !runs(c):
		return "it is an init container"
	case file == "":
		return "the spec does not tell the file"
	case covering(c, path.Dir(file)) == nil && !logs.OnlyLogs(path.Dir(file)):
		return fmt.Sprintf("%q may hold more than logs, which an empty volume would hide", path.Dir(file))
	case len(s.plan.Files) >= maxLogFiles:
		return fmt.Sprintf("at most %d files are streamed", maxLogFiles)
	case !s.valid(file) || !s.streamFile(c, file, ": "+signal.Name):
		return s.problem
	}
	return ""
}
