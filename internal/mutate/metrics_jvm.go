package mutate

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/shell"
)

// The JMX exporter runs inside the app's JVM. Its jar comes by a volume; its configuration is an annotation, which the
// kubelet shows as a file.
const (
	jmxConfigAnnotation = "twelvefold.dev/jmx-config"
	jmxDefaultConfig    = `{"rules": [{"pattern": ".*"}]}`

	jmxVolume       = "twelvefold-jmx"
	jmxConfigVolume = "twelvefold-jmx-config"
	jmxCopier       = "twelvefold-jmx-copy"
	jmxDir          = "/var/run/twelvefold/jmx"
	jmxConfigDir    = "/var/run/twelvefold/jmx-config"
)

// javaOptions are the variables of which a JVM, or the start script of a server, takes options.
var javaOptions = []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTS", "CATALINA_OPTS"}

// jmxAgent finds -javaagent:JAR=[HOST:]PORT:CONFIG of a JMX exporter, whosever it is.
var jmxAgent = regexp.MustCompile(`-javaagent:(` + jmxDir + `/[^\s=]*|[^\s=]*jmx_prometheus_javaagent[^\s=]*)=(?:[^\s=:]*:)?([0-9]{1,5}):`)

// javaTools start a JVM of their own.
var javaTools = []string{"java", "javac", "jar", "jcmd", "jconsole", "jinfo", "jmap", "jps", "jshell", "jstack", "jstat", "keytool"}

// jmxPort is where a JMX exporter's agent serves in a container, or 0 if it has none.
func jmxPort(get *corev1.Container) int32 {
	port, _ := jmxAgentOf(get)
	return port
}

// agentPort is the same for an agent that is not ours.
func agentPort(get *corev1.Container) int32 {
	port, ours := jmxAgentOf(get)
	if ours {
		return 0
	}
	return port
}

func jmxAgentOf(get *corev1.Container) (port int32, ours bool) {
	texts := append(slices.Clone(get.Command), get.Args...)
	for _, name := range javaOptions {
		if value, ok := plainEnv(get, name); ok {
			texts = append(texts, value)
		}
	}
	for _, text := range texts {
		if found := jmxAgent.FindStringSubmatch(text); found != nil {
			port, _ = parsePort(found[2])
			return port, strings.HasPrefix(found[1], jmxDir)
		}
	}
	return 0, false
}

// injectAgent puts the agent into the app's JVM, and into that one only where the command shows it: with
// JAVA_TOOL_OPTIONS every further JVM of the container would find the port taken and die (jmx_exporter#325, #392).
func (c *Context) injectAgent(at *endpoint) error {
	e := at.exporter
	if port := jmxPort(at.app.Get()); port > 0 {
		at.port = port
		if _, ours := jmxAgentOf(at.app.Get()); !ours { // else it was told when it was put there
			c.Done("%s: JMX exporter on %d (%s)", at.name, port, at.why)
		}
		return nil
	}
	switch why := c.noSidecar(); {
	case why != "":
		return errors.New(why)
	case c.Edit.Pod().Spec.HostNetwork:
		return errors.New("with hostNetwork its port would be one of the node's")
	case e.Image == "":
		return fmt.Errorf("the policy names no image with the agent's jar: spec.metrics.exporters, name %s, image", e.Name)
	case taken(at.app.Get(), jmxDir) || taken(at.app.Get(), jmxConfigDir):
		return fmt.Errorf("the container has something else at %s", jmxDir)
	}
	port, err := c.freePort(e.Port, true)
	if err != nil {
		return err
	}
	jar := jmxDir + e.Jar
	if !c.imageVolumes() {
		jar = jmxDir + "/" + path.Base(e.Jar)
	}
	how, err := addAgent(at, fmt.Sprintf("-javaagent:%s=%d:%s/config.yaml", jar, port, jmxConfigDir))
	if err != nil {
		return err
	}
	at.port = port
	c.mountAgent(at, jar)
	c.Done("%s: JMX exporter on %d by %s (%s)", at.name, port, how, at.why)
	return nil
}

// addAgent adds the option to the command or, if that doesn't show the JVM, to the environment; and says which.
func addAgent(at *endpoint, option string) (how string, err error) {
	app := at.app
	get := app.Get()
	argv := append(slices.Clone(get.Command), get.Args...)
	commands := shell.Parse(argv)
	if len(commands) == 1 && !commands[0].InScript && commands[0].Name() == "java" {
		i := len(argv) - len(commands[0].Words) + 1 // behind the word java
		if i <= len(get.Command) {
			app.SetCommand(slices.Insert(slices.Clone(get.Command), i, option))
		} else {
			app.SetArgs(slices.Insert(slices.Clone(get.Args), i-len(get.Command), option))
		}
		return "the command", nil
	}
	if at.asked == "" {
		return "", fmt.Errorf("its command doesn't show the JVM, and by JAVA_TOOL_OPTIONS the agent gets into every JVM of the container, of which the second dies; %s: %s says that there is one only",
			exporterAnnotation, at.exporter.Name)
	}
	if other := furtherJVM(app, commands); other != "" {
		return "", fmt.Errorf("%s starts a further JVM, which would find the agent's port taken and die; start java by the container's command, which then gets the agent alone", other)
	}
	return "JAVA_TOOL_OPTIONS", appendEnv(app, "JAVA_TOOL_OPTIONS", " ", option)
}

// furtherJVM is what starts a JVM beside the app's, as far as the container shows it.
func furtherJVM(app *podpatch.Container, commands []shell.Command) string {
	var started []string
	for _, command := range commands {
		if slices.Contains(javaTools, command.Name()) {
			started = append(started, command.Name())
		}
	}
	if len(started) > 1 {
		return "the command, by " + strings.Join(started, " and ") + ","
	}
	for _, hook := range app.Hooks() {
		for _, command := range shell.Parse(hook.Command()) {
			if slices.Contains(javaTools, command.Name()) {
				return hook.Field + ", by " + command.Name() + ","
			}
		}
	}
	return ""
}

// imageVolumes says whether the cluster has them.
func (c *Context) imageVolumes() bool { return c.Facts.Kubernetes.AtLeast(35) }

// mountAgent brings the jar and its configuration into the app's container.
func (c *Context) mountAgent(at *endpoint, jar string) {
	e := at.exporter
	mount := corev1.VolumeMount{Name: jmxVolume, MountPath: jmxDir, ReadOnly: true}
	if c.needsVolume(jmxVolume) {
		volume := corev1.Volume{Name: jmxVolume}
		if c.imageVolumes() {
			volume.Image = &corev1.ImageVolumeSource{Reference: e.Image}
		} else {
			volume.EmptyDir = &corev1.EmptyDirVolumeSource{}
			security := restricted()
			security.RunAsUser = new(e.User)
			c.Edit.InsertInitContainer(0, corev1.Container{
				Name:                     jmxCopier,
				Image:                    e.Image,
				Command:                  []string{"cp", e.Jar, jar},
				VolumeMounts:             []corev1.VolumeMount{{Name: jmxVolume, MountPath: jmxDir}},
				Resources:                smallResources(),
				SecurityContext:          security,
				TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
			})
		}
		c.Edit.AddVolume(volume)
	}
	if c.needsVolume(jmxConfigVolume) {
		c.Edit.AddVolume(corev1.Volume{Name: jmxConfigVolume, VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
			Items: []corev1.DownwardAPIVolumeFile{{Path: "config.yaml", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + jmxConfigAnnotation + "']"}}},
		}}})
	}
	if _, set := c.Annotation(jmxConfigAnnotation); !set {
		c.Edit.SetAnnotation(jmxConfigAnnotation, jmxDefaultConfig)
	}
	at.app.AddVolumeMount(mount)
	at.app.AddVolumeMount(corev1.VolumeMount{Name: jmxConfigVolume, MountPath: jmxConfigDir, ReadOnly: true})
}

func (c *Context) needsVolume(name string) bool {
	return !slices.ContainsFunc(c.Edit.Pod().Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
}

// taken says whether a container has a mount at a path.
func taken(get *corev1.Container, where string) bool {
	return slices.ContainsFunc(get.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == where })
}

// runsJava says whether a container shows that it is a JVM.
func runsJava(get *corev1.Container) bool {
	return runsProgram(get, "java") || slices.ContainsFunc(javaOptions, func(name string) bool { return lastEnv(get, name) >= 0 })
}

func runsProgram(get *corev1.Container, name string) bool {
	return slices.ContainsFunc(shell.Parse(append(slices.Clone(get.Command), get.Args...)), func(command shell.Command) bool { return command.Name() == name })
}
