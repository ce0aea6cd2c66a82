package rules

import (
	"regexp"
	"strings"

	"twelvefold.dev/internal/policy"
)

// embedded-database
//
//	restricted: env[*].value, command and args of all containers
//	allowed:    a database in memory; a file on a mounted claim; Jobs
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "embedded-database", Factor: "IV", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "The app's database is a file in its container",
			Why:     "The file is gone with the container: after each release, drain or crash the app begins anew. A second replica has another database, so two users see different data. It is the default of many frameworks, and right on a laptop only.",
			Fix:     "Attach a database by its address. Where one file is really enough, put it on a PersistentVolumeClaim, in a StatefulSet with one replica.",
			Allowed: "A database in memory, which nobody expects to last; a file on a claim that is mounted; Jobs, whose files end with them.",
			Example: "env:\n- name: DATABASE_URL\n  value: \"@Microsoft.KeyVault(VaultName=shop;SecretName=database-url)\"\n",
		},
		Check: checkEmbeddedDatabase,
	})
}

var (
	// embedded are URLs and connection strings of databases in files; the group is the file.
	embedded = []struct {
		kind    string
		pattern *regexp.Regexp
	}{
		{"SQLite", regexp.MustCompile(`(?i)(?:^|[\s"'=])sqlite3?(?:\+[a-z0-9]+)?://(/[^\s"'?;]+)`)},
		{"SQLite", regexp.MustCompile(`(?i)jdbc:sqlite:([^\s"'?;]+)`)},
		{"SQLite", regexp.MustCompile(`(?i)(?:^|[\s"';])(?:data source|filename)\s*=\s*([^\s"'?;]+\.(?:db|db3|sqlite|sqlite3))(?:$|[\s"';])`)},
		{"SQLite", regexp.MustCompile(`(?i)^(?:file|sqlite3?):([^\s"'?;]+\.(?:db|db3|sqlite|sqlite3))$`)}, // Prisma's, among others
		{"DuckDB", regexp.MustCompile(`(?i)jdbc:duckdb:([^\s"'?;]+)`)},
		{"H2", regexp.MustCompile(`(?i)jdbc:h2:file:([^\s"'?;]+)`)},
		{"H2", regexp.MustCompile(`(?i)jdbc:h2:([~./][^\s"'?;]*)`)},
		{"HSQLDB", regexp.MustCompile(`(?i)jdbc:hsqldb:file:([^\s"'?;]+)`)},
		{"Derby", regexp.MustCompile(`(?i)jdbc:derby:(?:directory:)?([^\s"'?;:/][^\s"'?;:]*|/[^/\s"'?;:][^\s"'?;:]*)`)},
	}
)

func checkEmbeddedDatabase(s *Subject, report func(Violation)) {
	if s.IsJob() {
		return
	}
	containers := map[string]Container{}
	for _, c := range s.Containers() {
		containers[c.Name] = c
	}
	for t := range s.texts() {
		if t.place > inScript {
			continue
		}
		if kind, file := embeddedDatabase(t.Value); kind != "" && !s.lasts(containers[t.Container], file) {
			report(Violation{Path: t.Path, Container: t.Container, Message: "the database is a file of the container (" + kind + "), and ends with it",
				Fix: "give the address of a database, or put the file on a PersistentVolumeClaim"})
		}
	}
}

// embeddedDatabase finds the database in a text, and its file.
func embeddedDatabase(text string) (kind, file string) {
	for _, e := range embedded {
		m := e.pattern.FindStringSubmatch(text)
		if m == nil || strings.Contains(strings.ToLower(m[0]), "memory") {
			continue
		}
		return e.kind, strings.TrimPrefix(m[1], "file:")
	}
	return "", ""
}

// lasts says whether a file outlives the container: it lies on a volume that is no scratch directory.
func (s *Subject) lasts(c Container, file string) bool {
	file = "/" + strings.TrimLeft(file, "/") // sqlite:////data/x
	for _, m := range c.VolumeMounts {
		if belowAny(file, []string{m.MountPath}) && !s.scratch(m.Name) {
			return true
		}
	}
	return false
}

// scratch says whether a volume is empty in each new pod. One that the template doesn't hold is a StatefulSet's claim.
func (s *Subject) scratch(volume string) bool {
	for _, v := range s.Pod.Spec.Volumes {
		if v.Name == volume {
			return v.PersistentVolumeClaim == nil && v.CSI == nil && v.NFS == nil && v.AzureFile == nil && v.HostPath == nil && v.Ephemeral == nil
		}
	}
	return false
}
