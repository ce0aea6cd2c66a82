package rules

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/shell"
)

// migrators are programs, by the words behind their names that change a database's schema; an empty one: all do.
var migrators = map[string][]string{
	// Ruby, Python
	"rake": {"db:migrate", "db:setup", "db:schema:load"}, "rails": {"db:migrate", "db:prepare", "db:setup", "db:schema:load"},
	"manage.py": {"migrate"}, "manage": {"migrate"}, "django-admin": {"migrate"}, "django-admin.py": {"migrate"}, "flask": {"db upgrade"}, "alembic": {"upgrade"},
	"aerich": {"upgrade"}, "yoyo": {"apply"}, "airflow": {"db migrate", "db upgrade", "db init"}, "superset": {"db upgrade"}, "sentry": {"upgrade"},
	// JVM, .NET
	"flyway": {"migrate"}, "liquibase": {"update"}, "mvn": {"flyway:migrate", "liquibase:update"}, "mvnw": {"flyway:migrate", "liquibase:update"},
	"gradle": {"flywayMigrate"}, "gradlew": {"flywayMigrate"}, "dotnet-ef": {"database update"}, "ef": {"database update"},
	"efbundle": {""}, // what dotnet ef migrations bundle makes
	// Node.js, PHP, Elixir
	"prisma": {"migrate deploy", "migrate dev", "db push"}, "sequelize": {"db:migrate"}, "sequelize-cli": {"db:migrate"}, "knex": {"migrate:latest", "migrate:up"},
	"typeorm": {"migration:run"}, "typeorm-ts-node-commonjs": {"migration:run"}, "typeorm-ts-node-esm": {"migration:run"}, "mikro-orm": {"migration:up"},
	"drizzle-kit": {"migrate", "push"}, "node-pg-migrate": {"up"}, "db-migrate": {"up"}, "ace": {"migration:run"}, "directus": {"database migrate:latest"},
	"artisan": {"migrate", "migrate:fresh"}, "console": {"doctrine:migrations:migrate", "doctrine:schema:update"}, "phinx": {"migrate"}, "yii": {"migrate", "migrate/up"},
	"mix": {"ecto.migrate"},
	// Go, Rust, and servers that bring their own
	"goose": {"up"}, "migrate": {"up"}, "dbmate": {"up", "migrate"}, "atlas": {"migrate apply", "schema apply"}, "diesel": {"migration run"}, "sqlx": {"migrate run"},
	"sea-orm-cli": {"migrate up"}, "kong": {"migrations up", "migrations bootstrap", "migrations finish"}, "gitea": {"migrate"}, "mattermost": {"db migrate"},
	"temporal-sql-tool": {"update-schema"},
}

// onlyLooking are options with which they change nothing.
var onlyLooking = []string{"--check", "--plan", "--help", "--pretend", "--dry-run", "--sql"}

// migration is what a container migrates a schema by; empty if it doesn't. The command of an image that is nothing but a
// migrator may be left out.
func (c Container) migration() string {
	commands := c.Commands()
	if ref, err := image.Parse(c.Image); err == nil && len(c.Command) == 0 && migrators[ref.Base()] != nil {
		commands = append(commands, shell.Command{Words: append([]string{ref.Base()}, c.Args...)})
	}
	for _, command := range commands {
		name, args := program(command)
		if slices.ContainsFunc(command.Words, func(w string) bool { return slices.Contains(onlyLooking, w) }) {
			continue
		}
		for _, verb := range migrators[name] {
			if says(args, verb) {
				return strings.TrimSpace(name + " " + verb)
			}
		}
		if script := packageScript(name, args); script != "" && migrates(script) {
			return name + " " + script
		}
	}
	return ""
}

// packageScript is the script of a package.json that npm, yarn, pnpm or bun runs.
func packageScript(name string, args []string) string {
	if !slices.Contains([]string{"npm", "yarn", "pnpm", "bun"}, name) {
		return ""
	}
	if i := slices.IndexFunc(args, func(a string) bool { return a == "run" || a == "run-script" }); i >= 0 {
		args = args[i+1:]
	} else if name == "npm" {
		return ""
	}
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// migrates says whether a script's name tells that it migrates: migrate, db:migrate, migrate:deploy, migration:run.
// Others of that kind write a migration, look at it, or take it back.
func migrates(script string) bool {
	runs := true
	for _, word := range strings.FieldsFunc(script, func(r rune) bool { return strings.ContainsRune(":-_.", r) }) {
		switch word {
		case "migrate", "migration", "migrations":
			runs = runs && word == "migrate"
		case "run", "up", "latest", "deploy", "apply":
			runs = true
		case "db", "database", "prisma", "typeorm", "knex", "sequelize", "drizzle", "prod", "production", "all":
		default:
			return false
		}
	}
	return runs && strings.Contains(script, "migrat")
}

// alone says whether the pod is the only one of its kind: nobody migrates beside it. Of a StatefulSet's pod nobody knows.
func (s *Subject) alone() bool {
	if s.Workload.Kind != "StatefulSet" {
		return false
	}
	spec := s.Facts.WorkloadSpec
	return spec == nil || spec.Replicas == nil || *spec.Replicas <= 1
}
