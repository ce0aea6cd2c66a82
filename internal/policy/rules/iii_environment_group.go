package rules

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/policy"
)

// environmentGroupParams are the parameters of environment-group.
type environmentGroupParams struct {
	Names   []string `yaml:"names"`   // variables that name a group of settings
	Allowed []string `yaml:"allowed"` // values that are no environment of yours, or the one that counts
}

// environment-group
//
//	restricted: env[*] of all containers
//	allowed:    production, and profiles that say how and not where the app runs
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "environment-group", Factor: "III", Levels: policy.At(policy.Audit), Params: environmentGroupParams{
			Names: []string{"RAILS_ENV", "RACK_ENV", "NODE_ENV", "APP_ENV", "MIX_ENV", "FLASK_ENV", "SPRING_PROFILES_ACTIVE", "QUARKUS_PROFILE", "MICRONAUT_ENVIRONMENTS",
				"ASPNETCORE_ENVIRONMENT", "DOTNET_ENVIRONMENT", "NODE_CONFIG_ENV", "SYMFONY_ENV"},
			Allowed: []string{"production", "prod", "default", "kubernetes", "k8s", "cloud", "docker", "container"},
		}},
		Page: policy.Page{
			Title:   "Config is chosen by the name of an environment",
			Why:     "Behind staging or qa stands a group of settings in the image. Each new environment needs a new build, groups multiply (staging-eu, joes-staging), and what runs in one was never tested in the other. Settings of their own can be set one by one, wherever the app runs.",
			Fix:     "Run production everywhere, and set what differs by variables of its own.",
			Allowed: "production and prod; kubernetes, cloud, docker, container and default, which say how the app runs. The policy's params take other names and values.",
			Example: "env:\n- {name: ASPNETCORE_ENVIRONMENT, value: Production}\n- {name: Catalog__Url, value: \"http://catalog.staging.svc:8080\"}\n",
		},
		Check: checkEnvironmentGroup,
	})
}

func checkEnvironmentGroup(s *Subject, report func(Violation)) {
	params := Params[environmentGroupParams](s)
	for _, c := range s.Containers() {
		for i := range c.Env {
			e := &c.Env[i]
			if !slices.Contains(params.Names, e.Name) {
				continue
			}
			for group := range strings.SplitSeq(e.Value, ",") {
				group = strings.ToLower(strings.TrimSpace(group))
				if group != "" && !strings.ContainsAny(group, "$@{<") && !slices.Contains(params.Allowed, group) { // not known yet
					report(Violation{Path: c.EnvPath(e.Name), Container: c.Name, Message: "chooses a group of settings by the name of an environment",
						Fix: "run production, and set what differs by variables of its own"})
					break
				}
			}
		}
	}
}
