package rules

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// build-at-start
//
//	restricted: containers[*].command, args, lifecycle.postStart.exec, and those of initContainers, ephemeralContainers; git-sync
//	allowed:    Jobs and pods that end: they may be the build
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "build-at-start", Factor: "V", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "A container builds the app, or fetches its code, when it starts",
			Why:     "Build and run are two stages. What is built at each start is another build each time: replicas of one release may differ, a rollback builds the old code with today's dependencies, and a broken branch breaks the next restart. Starts take minutes, and need compilers, memory and credentials that the app itself does not.",
			Fix:     "Build in CI, push the image, and start what is in it. Content that changes without a release (DAGs, dashboards) can come from an image volume or from object storage, by version.",
			Allowed: "Jobs, and pods that end: CI builds in them. npm start, java -jar, dotnet App.dll start what was built before.",
			Example: "# Dockerfile: RUN npm ci && npm run build\nimage: contoso.azurecr.io/shop:1.4.2\ncommand: [node, dist/server.js]\n",
		},
		Check: checkBuildAtStart,
	})
}

func checkBuildAtStart(s *Subject, report func(Violation)) {
	if s.IsJob() || s.Pod.Spec.RestartPolicy == corev1.RestartPolicyNever || s.Pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure {
		return
	}
	for _, c := range s.Containers() {
		check := func(field string, commands []shell.Command) {
			var seen []string
			for _, command := range commands {
				if what := builds(command); what != "" && !slices.Contains(seen, what) {
					seen = append(seen, what)
					report(c.At(field, what+" at every start", "do it when the image is built (RUN in the Dockerfile)"))
				}
			}
		}
		check(c.argvField(), c.Commands())
		check(".lifecycle.postStart.exec.command", c.PostStart())
		if ref, err := image.Parse(c.Image); err == nil && ref.Base() == "git-sync" && s.sharesScratch(c) {
			report(c.At("", "git-sync fetches what the pod runs", "put it into an image, by version"))
		}
	}
}

// scripts of package managers that build, with any suffix: build:prod.
var buildScripts = []string{"build", "compile", "bundle"}

// builders are programs that build by one of these subcommands; by any if there is none.
var builders = map[string][]string{
	"mvn": nil, "mvnw": nil, "gradle": nil, "gradlew": nil, "sbt": nil, "ant": nil, "make": nil, "cmake": nil, "tsc": nil, "javac": nil, "gcc": nil, "msbuild": nil,
	"go": {"build", "run"}, "cargo": {"build", "run"}, "dotnet": {"build", "run", "publish", "restore"}, "swift": {"build", "run"},
	"next": {"build"}, "nuxt": {"build", "generate"}, "ng": {"build"}, "vite": {"build"}, "gatsby": {"build"}, "webpack": {"build"}, "hugo": {"build"},
	"rails": {"assets:precompile"}, "rake": {"assets:precompile"}, "docker": {"build", "buildx"}, "buildah": {"build", "bud"}, "git": {"clone", "pull"},
}

// starters run the program that follows them.
var starters = []string{"npx", "pnpx", "bunx", "bundle", "yarn"}

// builds is what a command builds or fetches by, in words that hold none of its arguments: a repository's URL may hold
// a password.
func builds(command shell.Command) string {
	name, args := command.Name(), command.Args()
	if slices.Contains(args, "--version") || slices.Contains(args, "-version") || slices.Contains(args, "--help") {
		return ""
	}
	if slices.Contains([]string{"npm", "pnpm", "yarn", "bun"}, name) {
		verb := subcommand(args)
		if verb == "run" || verb == "run-script" {
			verb = subcommand(args[slices.Index(args, verb)+1:])
			name += " run"
		} else if name != "yarn" && name != "pnpm" {
			return ""
		}
		for _, script := range buildScripts {
			if verb == script || strings.HasPrefix(verb, script+":") {
				return name + " " + script
			}
		}
	}
	if slices.Contains(starters, name) && len(args) > 0 {
		if args[0] == "exec" {
			args = args[1:]
		}
		if len(args) == 0 {
			return ""
		}
		name, args = args[0], args[1:]
	}
	verbs, known := builders[name]
	if !known || len(verbs) == 0 {
		if known {
			return name
		}
		return ""
	}
	if verb := subcommand(args); slices.Contains(verbs, verb) {
		return name + " " + verb
	}
	return ""
}

// sharesScratch says whether a container hands an emptyDir to another.
func (s *Subject) sharesScratch(c Container) bool {
	for _, m := range c.VolumeMounts {
		if i := slices.IndexFunc(s.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }); i < 0 || s.Pod.Spec.Volumes[i].EmptyDir == nil {
			continue
		}
		for _, other := range s.containers {
			if other.Name != c.Name && slices.ContainsFunc(other.VolumeMounts, func(o corev1.VolumeMount) bool { return o.Name == m.Name }) {
				return true
			}
		}
	}
	return false
}
