package policy_test

import (
	"testing"
	"time"

	"twelvefold.dev/internal/policy"
)

// The more specific part decides; a namespace's label only raises.
func TestLevel(t *testing.T) {
	strict := map[string]string{policy.ProfileLabel: "strict"}
	for name, test := range map[string]struct {
		spec   string
		rule   string // rises (XI: warn, strict deny) or denies (V)
		labels map[string]string
		own    *policy.Levels
		max    policy.Level
		want   policy.Level
	}{
		"no word is baseline":            {spec: "  {}", rule: "rises", want: policy.Warn},
		"profile off":                    {spec: "  profile: off", rule: "denies", want: policy.Off},
		"profile audit":                  {spec: "  profile: audit", rule: "denies", want: policy.Audit},
		"profile baseline":               {spec: "  profile: baseline", rule: "rises", want: policy.Warn},
		"profile strict":                 {spec: "  profile: strict", rule: "rises", want: policy.Deny},
		"factor over profile":            {spec: "  profile: strict\n  factors: {XI: audit}", rule: "rises", want: policy.Audit},
		"another factor":                 {spec: "  profile: strict\n  factors: {XI: audit}", rule: "denies", want: policy.Deny},
		"rule over factor":               {spec: "  factors: {XI: off}\n  rules: {rises: {level: deny}}", rule: "rises", want: policy.Deny},
		"rule without level":             {spec: "  factors: {XI: audit}\n  rules: {rises: {}}", rule: "rises", want: policy.Audit},
		"namespace over rule":            {spec: "  rules: {rises: {level: deny}}\n  namespaces: [{match: {names: [shop]}, profile: audit}]", rule: "rises", want: policy.Audit},
		"namespace without a word":       {spec: "  rules: {rises: {level: deny}}\n  namespaces: [{match: {names: [shop]}}]", rule: "rises", want: policy.Deny},
		"namespace's rule":               {spec: "  profile: strict\n  namespaces: [{match: {names: [sh*]}, profile: strict, factors: {XI: warn}, rules: {rises: {level: off}}}]", rule: "rises", want: policy.Off},
		"another namespace":              {spec: "  namespaces: [{match: {names: [blog]}, profile: off}]", rule: "rises", want: policy.Warn},
		"first namespace":                {spec: "  namespaces: [{match: {names: [shop]}, profile: off}, {match: {names: [shop]}, profile: strict}]", rule: "rises", want: policy.Off},
		"namespace by label":             {spec: "  namespaces: [{match: {labels: {tier: prod}}, profile: strict}]", rule: "rises", labels: map[string]string{"tier": "prod"}, want: policy.Deny},
		"namespace by name and label":    {spec: "  namespaces: [{match: {names: [shop], labels: {tier: prod}}, profile: strict}]", rule: "rises", labels: map[string]string{"tier": "dev"}, want: policy.Warn},
		"label raises the profile":       {spec: "  profile: off", rule: "rises", labels: strict, want: policy.Deny},
		"label raises a rule":            {spec: "  rules: {rises: {level: audit}}", rule: "rises", labels: strict, want: policy.Deny},
		"label does not lower":           {spec: "  profile: strict", rule: "rises", labels: map[string]string{policy.ProfileLabel: "audit"}, want: policy.Deny},
		"label off":                      {spec: "  profile: strict", rule: "rises", labels: map[string]string{policy.ProfileLabel: "off"}, want: policy.Deny},
		"unknown label":                  {spec: "  {}", rule: "rises", labels: map[string]string{policy.ProfileLabel: "hard"}, want: policy.Warn},
		"a case's own levels":            {spec: "  {}", rule: "denies", own: &policy.Levels{Baseline: policy.Audit, Strict: policy.Deny}, want: policy.Audit},
		"a case's own levels in strict":  {spec: "  profile: strict", rule: "denies", own: &policy.Levels{Baseline: policy.Audit, Strict: policy.Warn}, want: policy.Warn},
		"a rule that is named":           {spec: "  rules: {denies: {level: deny}}", rule: "denies", own: &policy.Levels{Baseline: policy.Audit, Strict: policy.Warn}, want: policy.Deny},
		"a case's bound":                 {spec: "  rules: {denies: {level: deny}}", rule: "denies", max: policy.Warn, want: policy.Warn},
		"a case's bound under the label": {spec: "  profile: audit", rule: "rises", labels: strict, max: policy.Warn, want: policy.Warn},
	} {
		t.Run(name, func(t *testing.T) {
			if test.max == policy.Off {
				test.max = policy.Deny
			}
			p := parse(t, test.spec+"\n")
			if got := p.For("shop", test.labels).Level(testRules()[test.rule], test.own, test.max); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
			if got := p.CappedAtWarn().For("shop", test.labels).Level(testRules()[test.rule], test.own, test.max); got != min(test.want, policy.Warn) {
				t.Errorf("capped: %v, want %v", got, min(test.want, policy.Warn))
			}
		})
	}
}

// By default baseline and strict repair what is safe, and an audit nothing. A rule's own word holds but where it is off.
func TestRepairs(t *testing.T) {
	const mended, may = "mended", "may-be-mended"
	for name, test := range map[string]struct {
		spec   string
		rule   string
		labels map[string]string
		want   bool
		byHand bool // what somebody who repairs by hand gets
	}{
		"baseline":                    {spec: "  {}", rule: mended, want: true, byHand: true},
		"strict":                      {spec: "  profile: strict", rule: mended, want: true, byHand: true},
		"audit":                       {spec: "  profile: audit", rule: mended, byHand: true},
		"off":                         {spec: "  profile: off", rule: mended},
		"on request":                  {spec: "  profile: strict", rule: may},
		"asked for":                   {spec: "  rules: {may-be-mended: {repair: true}}", rule: may, want: true, byHand: true},
		"asked for in an audit":       {spec: "  profile: audit\n  rules: {mended: {repair: true}}", rule: mended, want: true, byHand: true},
		"turned off":                  {spec: "  rules: {mended: {repair: false}}", rule: mended},
		"the rule is off":             {spec: "  rules: {mended: {repair: true, level: off}}", rule: mended},
		"its factor is off":           {spec: "  factors: {V: off}\n  rules: {mended: {repair: true}}", rule: mended},
		"the rule audits":             {spec: "  rules: {mended: {level: audit}}", rule: mended, want: true, byHand: true},
		"a namespace's audit":         {spec: "  namespaces: [{match: {names: [shop]}, profile: audit}]", rule: mended, byHand: true},
		"a namespace asks":            {spec: "  namespaces: [{match: {names: [shop]}, rules: {may-be-mended: {repair: true}}}]", rule: may, want: true, byHand: true},
		"a namespace turns off":       {spec: "  rules: {may-be-mended: {repair: true}}\n  namespaces: [{match: {names: [shop]}, rules: {may-be-mended: {repair: false}}}]", rule: may},
		"a namespace sets the level":  {spec: "  rules: {mended: {repair: false}}\n  namespaces: [{match: {names: [shop]}, rules: {mended: {level: deny}}}]", rule: mended},
		"a label raises to baseline":  {spec: "  profile: audit", rule: mended, labels: map[string]string{policy.ProfileLabel: "baseline"}, want: true, byHand: true},
		"a rule that repairs nothing": {spec: "  {}", rule: "denies"},
	} {
		t.Run(name, func(t *testing.T) {
			effective, rule := parse(t, test.spec+"\n").For("shop", test.labels), testRules()[test.rule]
			if got := effective.Repairs(rule); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
			if got := effective.ByHand(nil).Repairs(rule); got != test.byHand {
				t.Errorf("by hand %v, want %v", got, test.byHand)
			}
			want := rule.Repair != policy.NotRepaired && effective.Level(rule, nil, policy.Deny) != policy.Off
			if got := effective.ByHand([]string{rule.ID}).Repairs(rule); got != want {
				t.Errorf("by hand and name %v, want %v", got, want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	p := parse(t, "  namespaces: [{match: {names: [\"prod-*\"]}, environment: production}]\n")
	if got := p.For("prod-shop", nil).Environment; got != "production" {
		t.Errorf("environment %q", got)
	}
	if got := p.For("dev-shop", nil).Environment; got != "" {
		t.Errorf("environment %q elsewhere", got)
	}
}

func TestIgnored(t *testing.T) {
	for _, test := range []struct {
		spec, container string
		want            bool
	}{
		{"  {}", "istio-proxy", true},
		{"  {}", "api", false},
		{"  {}", "twelvefold-tail", true},
		{"  ignoreContainers: [\"mesh-*\"]", "mesh-proxy", true},
		{"  ignoreContainers: [\"mesh-*\"]", "istio-proxy", false},
		{"  ignoreContainers: [\"mesh-*\"]", "twelvefold-tail", true},
		{"  ignoreContainers: []", "istio-proxy", false},
	} {
		if got := parse(t, test.spec+"\n").For("shop", nil).Ignored(test.container); got != test.want {
			t.Errorf("%s: %s is ignored: %t, want %t", test.spec, test.container, got, test.want)
		}
	}
}

func TestExempt(t *testing.T) {
	p := parse(t, `
  exemptions:
  - {rules: [denies], namespace: "shop-*", workload: "Deployment/web*", container: api, reason: r, owner: team-shop, expires: 2026-11-01}
  - {rules: [rises], reason: r, owner: o, expires: 2027-01-01}
  - {rules: [with-params], workload: CronJob/backup, reason: r, owner: o, expires: 2027-01-01}
`)
	day := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 59, 59, 0, time.UTC)
	}
	web := policy.Workload{Kind: "Deployment", Name: "web-1"}
	for name, test := range map[string]struct {
		rule, namespace, container string
		workload                   policy.Workload
		now                        time.Time
		want                       bool
	}{
		"all match":            {"denies", "shop-a", "api", web, day(10, 1, 0), true},
		"its last day":         {"denies", "shop-a", "api", web, day(11, 1, 23), true},
		"the day after":        {"denies", "shop-a", "api", web, day(11, 2, 0), false},
		"another rule":         {"with-params", "shop-a", "api", web, day(10, 1, 0), false},
		"another namespace":    {"denies", "blog", "api", web, day(10, 1, 0), false},
		"another workload":     {"denies", "shop-a", "api", policy.Workload{Kind: "Job", Name: "web-1"}, day(10, 1, 0), false},
		"no workload":          {"denies", "shop-a", "api", policy.Workload{}, day(10, 1, 0), false},
		"another container":    {"denies", "shop-a", "db", web, day(10, 1, 0), false},
		"the pod itself":       {"denies", "shop-a", "", web, day(10, 1, 0), false},
		"what a CronJob made":  {"with-params", "any", "", policy.Workload{Kind: "Job", Name: "backup-29402280"}, day(10, 1, 0), true},
		"a Job like it":        {"with-params", "any", "", policy.Workload{Kind: "Job", Name: "backup-2"}, day(10, 1, 0), false},
		"another CronJob's":    {"with-params", "any", "", policy.Workload{Kind: "Job", Name: "backup-a-29402280"}, day(10, 1, 0), false},
		"everything, one rule": {"rises", "any", "", policy.Workload{}, day(10, 1, 0), true},
	} {
		t.Run(name, func(t *testing.T) {
			f := policy.Finding{Rule: test.rule, Container: test.container}
			if got := p.For(test.namespace, nil).Exempt(f, test.workload, test.now) != nil; got != test.want {
				t.Errorf("exempt: %t, want %t", got, test.want)
			}
		})
	}
}

func TestControlled(t *testing.T) {
	agent := policy.Workload{Kind: "DaemonSet", Name: "agent"}
	for name, test := range map[string]struct {
		facts policy.Facts
		want  policy.Workload
	}{
		"a controller":     {policy.Facts{Workload: agent, Requester: "system:serviceaccount:kube-system:daemon-set-controller"}, agent},
		"a user":           {policy.Facts{Workload: agent, Requester: "kim"}, policy.Workload{}},
		"another's":        {policy.Facts{Workload: agent, Requester: "system:serviceaccount:shop:daemon-set-controller"}, policy.Workload{}},
		"nobody":           {policy.Facts{Workload: agent}, policy.Workload{}},
		"an allowed one":   {policy.Facts{Workload: agent, Requester: "system:serviceaccount:ci:runner"}, agent},
		"a template":       {policy.Facts{Workload: agent, Requester: "kim", Template: true}, agent},
		"offline":          {policy.Facts{Workload: agent, Offline: true}, agent},
		"a node's own pod": {policy.Facts{Workload: agent, Requester: "system:node:a", RequesterGroups: []string{"system:nodes"}}, agent},
	} {
		if got := test.facts.Controlled([]string{"system:serviceaccount:ci:*"}); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestLogMode(t *testing.T) {
	p := parse(t, `  logs: {mode: repair, signals: {redirect: deny, tee: "off"}}
  namespaces:
  - match: {names: [dev]}
    logs: {signals: {tee: warn}}
  - match: {names: [prod]}
    logs: {mode: audit}
`)
	for _, test := range []struct{ namespace, signal, want string }{
		{"any", "", "repair"}, {"any", "redirect", "deny"}, {"any", "tee", "off"}, {"any", "uwsgi-logto", "repair"},
		{"dev", "", "repair"}, {"dev", "tee", "warn"}, {"dev", "redirect", "deny"},
		{"prod", "", "audit"}, {"prod", "redirect", "audit"},
	} {
		if got := p.For(test.namespace, nil).LogMode(test.signal); got != test.want {
			t.Errorf("%s in %s: %q, want %q", test.signal, test.namespace, got, test.want)
		}
	}
}
