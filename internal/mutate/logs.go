package mutate

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/podpatch"
)

const (
	logFilesAnnotation  = "twelvefold.dev/log-files"
	logRepairAnnotation = logs.RepairAnnotation
	maxLogFiles         = 32
	tailStateVolume     = "twelvefold-logs-state"
	tailMetricsPort     = 9593 // of the sidecar's own /metrics
)

func init() {
	register(Mutator{Name: "logs", Factor: "XI", Order: 20, Page: logsPage, Mutate: func(c *Context) { (&logRepair{Context: c}).run() }})
}

// logRepair brings to stdout what goes elsewhere: the files that a pod's annotations name, and the signals of its spec
// that the policy or the pod wants repaired.
type logRepair struct {
	*Context
	want string // what the pod asks for: rewrite, link, stream, or empty

	tail   *podpatch.Container // the sidecar that is there already, or nil
	plan   logs.Plan
	mounts []corev1.VolumeMount // that the sidecar needs and doesn't have yet

	link       *podpatch.Container // the init container that is there already, or nil
	links      logs.LinkPlan
	linkMounts []corev1.VolumeMount

	problem string // the last that complain was told
	quiet   bool   // complain notes problems only: nobody named the file
	from    string // the annotation that names the file

	collector string // whose annotations are being written
}

func (s *logRepair) run() {
	if named := s.namedFiles(); s.readWish(len(named) > 0) && s.findOwn() {
		s.repairAll(named)
	}
	s.route()
}

func (s *logRepair) repairAll(named []namedFile) {
	files, links := len(s.plan.Files), len(s.links.Links)
	undecided := s.repairNamed(named)
	s.repairSignals(named)
	for _, n := range undecided { // the spec may have told who writes the file
		s.repairFile(n)
	}
	if len(s.plan.Files) > files {
		s.writeTail()
	}
	if len(s.links.Links) > links {
		s.writeLinks()
	}
}

// namedFile is an item of an annotation: [container:]/path.
type namedFile struct{ annotation, item string }

// namedFiles are those of our own annotation, and of other programs' that mean the same.
func (s *logRepair) namedFiles() (named []namedFile) {
	if text, found := s.Annotation(logFilesAnnotation); found {
		for _, item := range strings.Split(text, ",") {
			named = append(named, namedFile{logFilesAnnotation, strings.Trim(item, " ")})
		}
	}
	for _, key := range []string{logs.BanzaiAnnotation, logs.TailingAnnotation} {
		if text, found := s.Annotation(key); found {
			for _, item := range logs.Alias(key, text, s.Edit.Pod()) {
				named = append(named, namedFile{key, strings.Trim(item, " ")})
			}
		}
	}
	return named
}

// readWish reads what the pod asks for. It says whether anything may be repaired.
func (s *logRepair) readWish(named bool) bool {
	switch s.want, _ = s.Annotation(logRepairAnnotation); s.want {
	case "", "rewrite", "link", "stream":
	case "off":
		if named {
			s.Skip("the log files are not streamed: %s: off", logRepairAnnotation)
		}
		return false
	default:
		s.Warn(annotationPath(logRepairAnnotation), "", "no repair has this name; no log is repaired", "write rewrite, link, stream or off")
		return false
	}
	if spec := &s.Edit.Pod().Spec; spec.OS != nil && spec.OS.Name == corev1.Windows || spec.NodeSelector[corev1.LabelOSStable] == "windows" {
		if named {
			s.Skip("the log files are not streamed: the sidecar runs on Linux only")
		}
		return false
	}
	return true
}

// repairNamed streams the files that annotations name, or makes links of them where the pod asks for that.
// It returns those that don't tell who writes them.
func (s *logRepair) repairNamed(named []namedFile) (undecided []namedFile) {
	if len(named) == 0 {
		return nil
	}
	skip := func(format string, args ...any) { s.Skip("the log files are not streamed: "+format, args...) }
	switch why := s.noSidecar(); {
	case s.Policy.LogMode("") == "off":
		skip("the policy says logs.mode: off")
		return nil
	case s.want == "rewrite":
		skip("%s: rewrite changes options and scripts, and no file by its name", logRepairAnnotation)
		return nil
	case s.want != "link" && why != "":
		skip("%s", why)
		return nil
	case len(named) > maxLogFiles:
		s.from = named[0].annotation
		s.complain("", fmt.Sprintf("%d files are named; at most %d are streamed, so none is", len(named), maxLogFiles), "name a glob instead of single files: /var/log/app/*.log")
		return nil
	}
	for _, n := range named {
		if strings.HasPrefix(n.item, "/") && s.onlyWriter(n.item) == nil {
			undecided = append(undecided, n)
		} else {
			s.repairFile(n)
		}
	}
	return undecided
}

func (s *logRepair) repairFile(n namedFile) {
	s.from, s.quiet = n.annotation, false
	if c, file := s.read(n.item); c != nil && s.want == "link" {
		s.linkFile(c, file, logs.Stdout)
	} else if c != nil {
		s.streamFile(c, file, "")
	}
}

// findOwn finds the containers of an earlier run. It says whether there are any or can be any.
func (s *logRepair) findOwn() bool {
	for _, c := range s.Edit.AllContainers() {
		var err error
		i := -1
		switch c.Name() {
		case logs.TailContainer:
			if i = envIndex(c.Get(), logs.PlanEnv); i >= 0 && c.Init() && runs(c) {
				s.plan, err = logs.ParsePlan(c.Get().Env[i].Value)
				s.tail = c
			}
		case logs.LinkContainer:
			if i = envIndex(c.Get(), logs.LinksEnv); i >= 0 && c.Init() && !runs(c) {
				s.links, err = logs.ParseLinks(c.Get().Env[i].Value)
				s.link = c
			}
		default:
			continue
		}
		if err != nil || s.tail != c && s.link != c {
			s.Warn(c.Path(), c.Name(), "the name is taken by a container that Twelvefold did not make; no log is repaired", "rename the container")
			return false
		}
	}
	return true
}

func envIndex(c *corev1.Container, name string) int {
	return slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
}

// read takes an item apart: the container that writes the file, and its path. What can't be is warned of, and has no
// container.
func (s *logRepair) read(item string) (*podpatch.Container, string) {
	name, file := "", item
	if before, after, found := strings.Cut(item, ":"); found && !strings.HasPrefix(item, "/") {
		name, file = before, after
	}
	if !s.valid(file) {
		return nil, ""
	}
	return s.writer(name, file), file
}

func (s *logRepair) valid(file string) bool {
	if err := logs.ValidatePath(file); err != nil {
		s.complain("", shown(err.Error()), "write [container:]/path, several separated by commas")
		return false
	}
	if len(file) > 1024 || strings.ContainsFunc(file, func(r rune) bool { return r == ':' || unicode.IsControl(r) }) {
		problem := "has a colon or a control character, which no mount path may have"
		if len(file) > 1024 {
			problem = "has more than 1024 bytes"
		}
		s.complain("", fmt.Sprintf("%s %s", shown(fmt.Sprintf("%q", file)), problem), "name another path")
		return false
	}
	return true
}

// streamFile puts a container's file into the plan, and says whether it is there. reason is why, where nobody named it.
func (s *logRepair) streamFile(c *podpatch.Container, file, reason string) bool {
	if !s.streamed(c.Name(), file) {
		if slices.ContainsFunc(c.Get().VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == file }) {
			s.complain(c.Name(), fmt.Sprintf("a volume is mounted at %q itself; only directories are shared", file), "mount the volume at a directory")
			return false
		}
		at, ok := s.seen(c, path.Dir(file))
		if !ok {
			return false
		}
		at = path.Join(at, path.Base(file))
		if !slices.ContainsFunc(s.plan.Files, func(f logs.File) bool { return f.Mount == at }) { // else two containers share the file
			s.plan.Files = append(s.plan.Files, logs.File{Container: c.Name(), Path: file, Mount: at, MaxDisk: s.maxDisk(c, path.Dir(file))})
		}
	}
	s.Done("%s: %s is streamed by %s%s", c.Name(), file, logs.TailContainer, reason)
	return true
}

// maxDisk bounds what a log takes in a volume of ours; what is in the user's is the user's.
func (s *logRepair) maxDisk(c *podpatch.Container, dir string) int64 {
	if m := covering(c, dir); m != nil && strings.HasPrefix(m.Name, logVolumePrefix) {
		return 128 << 20
	}
	return 0
}

// writer is the container that writes a file: the one named, or the only main one.
func (s *logRepair) writer(name, file string) *podpatch.Container {
	team := s.team()
	for _, c := range team {
		if c.Name() == name {
			return c
		}
	}
	if name != "" {
		s.complain("", fmt.Sprintf("the pod has no container %s of its own", shown(fmt.Sprintf("%q", name))), "name a container of the pod")
		return nil
	}
	if c := s.onlyWriter(file); c != nil {
		return c
	}
	main := slices.DeleteFunc(team, (*podpatch.Container).Init)
	s.complain("", fmt.Sprintf("it does not say which of the %d containers writes %q", len(main), file), "name the container: CONTAINER:"+file)
	return nil
}

// onlyWriter is the container that writes a file that is named without one: the one whose file is in a plan already, for
// another webhook may have added a container since, or the only main one.
func (s *logRepair) onlyWriter(file string) *podpatch.Container {
	team := s.team()
	for _, c := range team {
		if (s.streamed(c.Name(), file) || s.linked(c.Name(), file)) && !s.named(c.Name(), file) {
			return c
		}
	}
	if main := slices.DeleteFunc(team, (*podpatch.Container).Init); len(main) == 1 {
		return main[0]
	}
	return nil
}

// team are the containers that the pod's team answers for.
func (s *logRepair) team() []*podpatch.Container {
	return slices.DeleteFunc(s.Edit.AllContainers(), func(c *podpatch.Container) bool { return s.Policy.Ignored(c.Name()) })
}

// streamed says whether a container's file is in the plan.
func (s *logRepair) streamed(container, file string) bool {
	return slices.ContainsFunc(s.plan.Files, func(f logs.File) bool { return f.Container == container && f.Path == file })
}

// named says whether an annotation names a container's file with the container.
func (s *logRepair) named(container, file string) bool {
	return slices.ContainsFunc(s.namedFiles(), func(n namedFile) bool { return n.item == container+":"+file })
}

// complain warns of an annotation that can't be followed, or notes the problem where nobody wrote one.
func (s *logRepair) complain(container, message, fix string) {
	s.problem = message
	if !s.quiet {
		s.Warn(annotationPath(s.from), container, message, fix)
	}
}

// writeTail adds the sidecar, or gives the one that is there the new plan.
func (s *logRepair) writeTail() {
	if s.tail != nil {
		s.update(s.tail, logs.PlanEnv, s.plan, s.mounts)
		return
	}
	tail := agentContainer(s.Context, logs.TailContainer, "tail", "--state-dir=/state")
	tail.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	if s.free(tailMetricsPort) {
		s.plan.MetricsPort = tailMetricsPort
		tail.Ports = []corev1.ContainerPort{{Name: "tail-counters", ContainerPort: tailMetricsPort, Protocol: corev1.ProtocolTCP}}
	}
	tail.Env = []corev1.EnvVar{{Name: logs.PlanEnv, Value: inEnv(s.plan)}}
	tail.VolumeMounts = append([]corev1.VolumeMount{{Name: tailStateVolume, MountPath: "/state"}}, s.mounts...)
	if !s.hasVolume(tailStateVolume) {
		limit := resource.MustParse("16Mi") // positions of 32 files take a few KiB
		s.Edit.AddVolume(corev1.Volume{Name: tailStateVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}})
	}
	s.insert(tail)
}

// free says whether the sidecar may listen on a port, as far as the spec tells.
func (s *logRepair) free(port int32) bool {
	return !s.Edit.Pod().Spec.HostNetwork && !slices.ContainsFunc(s.Edit.AllContainers(), func(c *podpatch.Container) bool {
		return slices.ContainsFunc(c.Get().Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == port })
	})
}

// insert puts a container before all others but the one that fetches secrets: no line is missed.
func (s *logRepair) insert(c corev1.Container) {
	fetch := slices.IndexFunc(s.Edit.InitContainers(), func(c *podpatch.Container) bool { return c.Name() == "twelvefold-fetch" })
	s.Edit.InsertInitContainer(fetch+1, c)
}

// update gives a container of an earlier run its new plan.
func (s *logRepair) update(c *podpatch.Container, env string, plan any, mounts []corev1.VolumeMount) {
	for _, m := range mounts {
		c.AddVolumeMount(m)
	}
	c.SetEnvValue(envIndex(c.Get(), env), inEnv(plan))
}

// inEnv is a plan as the value of a variable.
func inEnv(plan any) string {
	text, err := json.Marshal(plan)
	if err != nil {
		panic(err) // strings always marshal
	}
	return strings.ReplaceAll(string(text), "$", `\u0024`) // the kubelet would expand $(NAME)
}
