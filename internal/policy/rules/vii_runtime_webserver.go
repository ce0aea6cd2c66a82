package rules

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// runtime-webserver
//
//	restricted: volumeMounts of containers whose image is an application server
//	allowed:    configuration; images that hold their app
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "runtime-webserver", Factor: "VII", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "The app is put into a web server when the pod starts",
			Why:     "An app brings its own server and is one artifact with it. A .war that a volume or an init container puts into Tomcat is a release that no image tag names: which server runs which app, nobody has tested or scanned, and a rollback of the image doesn't roll back the app.",
			Fix:     "Build one image: FROM the server, COPY the .war. Or make the app bring its server (Spring Boot, Quarkus, Jetty embedded).",
			Allowed: "Mounted configuration (server.xml, context.xml, standalone.xml), and server images whose volumes hold something else; Jobs.",
			Example: "# Dockerfile: FROM tomcat:11.0.13 / COPY shop.war /usr/local/tomcat/webapps/\nimage: contoso.azurecr.io/shop:1.4.2\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			copied := s.warVolumes()
			for _, c := range s.Containers(Main) {
				ref, err := image.Parse(c.Image)
				if err != nil || !slices.Contains(appServers, ref.Base()) {
					continue
				}
				for _, m := range c.VolumeMounts {
					if isWar(m.MountPath) || isWar(m.SubPath) || copied[m.Name] {
						report(c.At(fmt.Sprintf(".volumeMounts[mountPath=%q]", m.MountPath), "puts an app into "+ref.Base()+" at run time",
							"build one image of both: FROM "+ref.Base()+", COPY the .war"))
					}
				}
			}
		},
	})
}

// appServers are images, by the last segment of their names.
var appServers = []string{"tomcat", "tomee", "jetty", "wildfly", "payara", "server-full", "server-web", "glassfish", "open-liberty", "websphere-liberty", "weblogic", "resin"}

func isWar(path string) bool {
	return strings.HasSuffix(path, ".war") || strings.HasSuffix(path, ".ear")
}

// warVolumes are those into which an init container writes an archive, as far as its command tells.
func (s *Subject) warVolumes() map[string]bool {
	volumes := map[string]bool{}
	for _, c := range s.Containers(Init) {
		for _, command := range c.Commands() {
			if !slices.ContainsFunc(command.Words, isWar) {
				continue
			}
			for _, m := range c.VolumeMounts {
				if !m.ReadOnly && slices.ContainsFunc(command.Words, func(w string) bool { return strings.HasPrefix(w, m.MountPath) }) && isEmptyDir(s.Pod, m.Name) {
					volumes[m.Name] = true
				}
			}
		}
	}
	return volumes
}

func isEmptyDir(pod *corev1.Pod, volume string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume && v.EmptyDir != nil })
}
