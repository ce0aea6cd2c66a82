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
	logRepairAnnotation = "twelvefold.dev/log-repair"
	logFilesPath        = `metadata.annotations["` + logFilesAnnotation + `"]`
	maxLogFiles         = 32
	tailStateVolume     = "twelvefold-logs-state"
)

func init() {
	register(Mutator{Name: "logs", Factor: "XI", Order: 20, Page: logsPage, Mutate: func(c *Context) { (&logStream{Context: c}).run() }})
}

// logStream brings the files that a pod's annotation names to stdout.
type logStream struct {
	*Context
	tail   *podpatch.Container // the sidecar that is there already, or nil
	plan   logs.Plan
	mounts []corev1.VolumeMount // that the sidecar needs and doesn't have yet
}

func (s *logStream) run() {
	text, named := s.Annotation(logFilesAnnotation)
	if !named || !s.wanted() || !s.findTail() {
		return
	}
	items := strings.Split(text, ",")
	if len(items) > maxLogFiles {
		s.warn("", fmt.Sprintf("%d files are named; at most %d are streamed, so none is", len(items), maxLogFiles), "name a glob instead of single files: /var/log/app/*.log")
		return
	}
	before := len(s.plan.Files)
	for _, item := range items {
		s.add(strings.Trim(item, " "))
	}
	if len(s.plan.Files) > before {
		s.write()
	}
}

// wanted says whether the pod asks for what this version has, and can have it.
func (s *logStream) wanted() bool {
	skip := func(format string, args ...any) bool {
		s.Skip("the log files are not streamed: "+format, args...)
		return false
	}
	if s.Policy.Spec().Logs.Mode == "off" {
		return skip("the policy says logs.mode: off")
	}
	switch repair, _ := s.Annotation(logRepairAnnotation); repair {
	case "", "stream":
	case "off":
		return skip("%s: off", logRepairAnnotation)
	case "rewrite", "link":
		return skip("%s: %s asks for a repair that this version does not have; it knows stream", logRepairAnnotation, repair)
	default:
		s.Warn(`metadata.annotations["`+logRepairAnnotation+`"]`, "", "no repair has this name; no log file is streamed", "write stream or off")
		return false
	}
	if why := s.noSidecar(); why != "" {
		return skip("%s", why)
	}
	return true
}

// findTail finds the sidecar of an earlier run. It says whether there is one or can be one.
func (s *logStream) findTail() bool {
	for _, c := range s.Edit.AllContainers() {
		if c.Name() != logs.TailContainer {
			continue
		}
		i := planIndex(c.Get())
		plan, err := logs.Plan{}, error(nil)
		if i >= 0 {
			plan, err = logs.ParsePlan(c.Get().Env[i].Value)
		}
		if !c.Init() || !runs(c) || i < 0 || err != nil {
			s.Warn(c.Path(), c.Name(), "the name is taken by a container that Twelvefold did not make; no log file is streamed", "rename the container")
			return false
		}
		s.tail, s.plan = c, plan
	}
	return true
}

func planIndex(c *corev1.Container) int {
	return slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == logs.PlanEnv })
}

// add puts the file that an item names, [container:]/path, into the plan. What can't be streamed is warned of.
func (s *logStream) add(item string) {
	const form = "write [container:]/path, several separated by commas"
	name, file := "", item
	if before, after, found := strings.Cut(item, ":"); found && !strings.HasPrefix(item, "/") {
		name, file = before, after
	}
	if err := logs.ValidatePath(file); err != nil {
		s.warn("", shown(err.Error()), form)
		return
	}
	if len(file) > 1024 || strings.ContainsFunc(file, func(r rune) bool { return r == ':' || unicode.IsControl(r) }) {
		problem := "has a colon or a control character, which no mount path may have"
		if len(file) > 1024 {
			problem = "has more than 1024 bytes"
		}
		s.warn("", fmt.Sprintf("%s %s", shown(fmt.Sprintf("%q", file)), problem), "name another path")
		return
	}
	c := s.writer(name, file)
	if c == nil {
		return
	}
	if !s.streamed(c.Name(), file) {
		if slices.ContainsFunc(c.Get().VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == file }) {
			s.warn(c.Name(), fmt.Sprintf("a volume is mounted at %q itself; only directories are shared", file), "mount the volume at a directory")
			return
		}
		at, ok := s.seen(c, path.Dir(file))
		if !ok {
			return
		}
		at = path.Join(at, path.Base(file))
		if !slices.ContainsFunc(s.plan.Files, func(f logs.File) bool { return f.Mount == at }) { // else two containers share the file
			s.plan.Files = append(s.plan.Files, logs.File{Container: c.Name(), Path: file, Mount: at})
		}
	}
	s.Done("%s: %s is streamed by %s", c.Name(), file, logs.TailContainer)
}

// writer is the container that writes a file: the one named, or the only main one.
func (s *logStream) writer(name, file string) *podpatch.Container {
	team := slices.DeleteFunc(s.Edit.AllContainers(), func(c *podpatch.Container) bool { return s.Policy.Ignored(c.Name()) })
	for _, c := range team {
		if c.Name() == name {
			return c
		}
	}
	if name != "" {
		s.warn("", fmt.Sprintf("the pod has no container %s of its own", shown(fmt.Sprintf("%q", name))), "name a container of the pod")
		return nil
	}
	for _, c := range team { // another webhook may have added a container since
		if s.streamed(c.Name(), file) && !s.named(c.Name(), file) {
			return c
		}
	}
	main := slices.DeleteFunc(team, (*podpatch.Container).Init)
	if len(main) != 1 {
		s.warn("", fmt.Sprintf("it does not say which of the %d containers writes %q", len(main), file), "name the container: CONTAINER:"+file)
		return nil
	}
	return main[0]
}

// streamed says whether a container's file is in the plan.
func (s *logStream) streamed(container, file string) bool {
	return slices.ContainsFunc(s.plan.Files, func(f logs.File) bool { return f.Container == container && f.Path == file })
}

// named says whether the annotation names a container's file with the container.
func (s *logStream) named(container, file string) bool {
	text, _ := s.Annotation(logFilesAnnotation)
	return slices.ContainsFunc(strings.Split(text, ","), func(item string) bool { return strings.Trim(item, " ") == container+":"+file })
}

func (s *logStream) warn(container, message, fix string) {
	s.Warn(logFilesPath, container, message, fix)
}

// write adds the sidecar, or gives the one that is there the new plan.
func (s *logStream) write() {
	text, err := json.Marshal(s.plan)
	if err != nil {
		panic(err) // strings always marshal
	}
	plan := strings.ReplaceAll(string(text), "$", `\u0024`) // the kubelet would expand $(NAME)
	if s.tail != nil {
		for _, m := range s.mounts {
			s.tail.AddVolumeMount(m)
		}
		s.tail.SetEnvValue(planIndex(s.tail.Get()), plan)
		return
	}
	tail := agentContainer(s.Context, logs.TailContainer, "tail", "--state-dir=/state")
	tail.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	tail.Env = []corev1.EnvVar{{Name: logs.PlanEnv, Value: plan}}
	tail.VolumeMounts = append([]corev1.VolumeMount{{Name: tailStateVolume, MountPath: "/state"}}, s.mounts...)
	if !s.hasVolume(tailStateVolume) {
		limit := resource.MustParse("16Mi") // positions of 32 files take a few KiB
		s.Edit.AddVolume(corev1.Volume{Name: tailStateVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}})
	}
	// It starts before all containers but the one that fetches secrets, so that it misses no line.
	fetch := slices.IndexFunc(s.Edit.InitContainers(), func(c *podpatch.Container) bool { return c.Name() == "twelvefold-fetch" })
	s.Edit.InsertInitContainer(fetch+1, tail)
}
