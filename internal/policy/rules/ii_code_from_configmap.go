package rules

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// code-from-configmap
//
//	restricted: ConfigMaps in volumes with an executable mode, with programs by their names, or with what the command runs
//	allowed:    settings, whatever language they are written in; what a database or web server reads by its own convention
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "code-from-configmap", Factor: "II", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A container runs code from a ConfigMap",
			Why:     "That code has no build, no version, no test and no scan, and whoever may edit ConfigMaps runs programs in the pod. It changes under running pods: half of them run the old one, and a rollback of the Deployment does not bring the old one back.",
			Fix:     "Put the program into the image. Only what differs between environments belongs into a ConfigMap, with a mode of 0444.",
			Allowed: "Files that programs of the image read, whatever they are called, and that the command does not run. Init scripts of databases (/docker-entrypoint-initdb.d) and what the charts of databases bring into their pods; what nginx reads; settings written as code: config.js, env.js, settings.py, gunicorn.conf.py, superset_config.py.",
			Example: "volumes:\n- name: config\n  configMap: {name: shop, defaultMode: 0444}\n",
		},
		Check: checkCodeFromConfigMap,
	})
}

var (
	codeFile = regexp.MustCompile(`\.(sh|bash|py|js|mjs|cjs|ts|rb|pl|php|ps1|jar|war|class|dll)$`)
	// settingsFile are names of settings in a programming language.
	settingsFile = regexp.MustCompile(`(?i)(^|[-_.])(conf|config|configuration|settings|env|runtime|options|constants|variables)([-_.]|\d|$)`)
	// plainFile are names that no one executes, whatever the mode says.
	plainFile = regexp.MustCompile(`(?i)\.(ya?ml|json|toml|ini|conf|cfg|cnf|properties|xml|txt|crt|pem|env|html?|css|tpl|tmpl|sql|lua|rules)$`)
	// initDirectories are where images look for what to run at their first start, and where web servers look for settings.
	initDirectories = []string{"/docker-entrypoint-initdb.d", "/docker-entrypoint-init.d", "/docker-entrypoint.d", "/etc/nginx", "/usr/share/nginx", "/opt/bitnami/nginx"}
)

func checkCodeFromConfigMap(s *Subject, report func(Violation)) {
	if main := s.Containers(Main); len(main) > 0 && isDatabase(main[0]) {
		return
	}
	for _, c := range s.Containers() {
		var seen []string
		for _, m := range c.VolumeMounts {
			sources := s.configMaps(m.Name)
			if len(sources) == 0 || slices.Contains(seen, m.Name) || belowAny(path.Clean(m.MountPath), initDirectories) {
				continue
			}
			what := c.runsBelow(path.Clean(m.MountPath))
			for _, source := range sources {
				what = cmp.Or(mountsCode(source, m), what)
			}
			if what != "" {
				seen = append(seen, m.Name)
				report(c.At(fmt.Sprintf(".volumeMounts[mountPath=%q]", m.MountPath), what+" comes from a ConfigMap", "put it into the image; leave settings in the ConfigMap, with mode 0444"))
			}
		}
	}
}

// configMaps are what a volume shows of ConfigMaps, by itself or projected.
func (s *Subject) configMaps(volume string) (sources []*corev1.ConfigMapVolumeSource) {
	i := slices.IndexFunc(s.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume })
	if i < 0 {
		return nil
	}
	v := &s.Pod.Spec.Volumes[i]
	if v.ConfigMap != nil {
		return []*corev1.ConfigMapVolumeSource{v.ConfigMap}
	}
	if v.Projected == nil {
		return nil
	}
	for _, p := range v.Projected.Sources {
		if p.ConfigMap != nil {
			sources = append(sources, &corev1.ConfigMapVolumeSource{Items: p.ConfigMap.Items, DefaultMode: v.Projected.DefaultMode})
		}
	}
	return sources
}

// runsBelow is the file of a mounted directory that the container's commands run, or empty.
func (c Container) runsBelow(dir string) string {
	for _, command := range c.Commands() {
		words := command.Words
		interpreted := len(words) > 1 && (slices.Contains(interpreters, command.Name()) || strings.HasPrefix(command.Name(), "python"))
		if !interpreted && plainFile.MatchString(command.Name()) { // an argument of the image's own program
			continue
		}
		if interpreted {
			words = words[1:]
			for len(words) > 1 && strings.HasPrefix(words[0], "-") {
				words = words[1:]
			}
		}
		if len(words) > 0 && belowAny(path.Clean(words[0]), []string{dir}) {
			return path.Base(words[0])
		}
	}
	return ""
}

// interpreters run the file that their first argument names.
var interpreters = append([]string{".", "source", "node", "ruby", "perl", "php", "pwsh", "Rscript"}, shells...)

// mountsCode is what is code in a mounted ConfigMap, or empty.
func mountsCode(source *corev1.ConfigMapVolumeSource, m corev1.VolumeMount) string {
	type file struct {
		name string // empty: the pod does not say it
		mode *int32
	}
	files := []file{{m.SubPath, source.DefaultMode}}
	if len(source.Items) > 0 {
		files = nil
	}
	for _, item := range source.Items {
		if m.SubPath == "" || m.SubPath == item.Path {
			files = append(files, file{item.Path, cmp.Or(item.Mode, source.DefaultMode)})
		}
	}
	for _, f := range files {
		switch base := path.Base(f.name); {
		case f.name != "" && codeFile.MatchString(base):
			if !settingsFile.MatchString(strings.TrimSuffix(base, path.Ext(base))) {
				return base
			}
		case f.mode != nil && *f.mode&0o111 != 0 && !plainFile.MatchString(base):
			return fmt.Sprintf("something executable (mode %04o)", *f.mode)
		}
	}
	return ""
}
