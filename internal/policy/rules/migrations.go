package rules

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/shell"
)

// migrators are programs, by the words behind their names that change a database's schema.
var migrators = map[string][]string{
	"rake": {"db:migrate", "db:setup"}, "rails": {"db:migrate", "db:prepare", "db:setup"},
	"manage.py": {"migrate"}, "django-admin": {"migrate"}, "flask": {"db upgrade"}, "alembic": {"upgrade"},
	"flyway": {"migrate"}, "liquibase": {"update"}, "prisma": {"migrate deploy", "migrate dev", "db push"},
	"dotnet-ef": {"database update"}, "ef": {"database update"}, "sequelize": {"db:migrate"}, "sequelize-cli": {"db:migrate"},
	"knex": {"migrate:latest", "migrate:up"}, "typeorm": {"migration:run"}, "goose": {"up"}, "migrate": {"up"}, "dbmate": {"up", "migrate"},
	"artisan": {"migrate"}, "console": {"doctrine:migrations:migrate"}, "atlas": {"migrate apply", "schema apply"},
	"diesel": {"migration run"}, "sqlx": {"migrate run"}, "npm": {"run migrate", "run db:migrate"}, "yarn": {"migrate", "db:migrate", "run migrate"},
}

// onlyLooking are options with which they change nothing.
var onlyLooking = []string{"--check", "--plan", "--help", "--pretend", "--dry-run", "--sql"}

// runners start the program that their arguments name, behind the word given.
var runners = map[string][]string{
	"bundle": {"exec"}, "npx": nil, "pnpm": {"exec", "dlx"}, "yarn": {"run"}, "npm": {"exec"}, "poetry": {"run"}, "uv": {"run"}, "pipenv": {"run"},
	"python": nil, "python3": nil, "php": nil, "ruby": nil, "dotnet": nil, "bunx": nil,
}

// program is what a command runs in the end, behind bundle exec, npx, python -m and their like, and its arguments without options.
func program(command shell.Command) (name string, args []string) {
	words := command.Words
	for len(words) > 1 {
		verbs, runner := runners[base(words[0])]
		if !runner {
			break
		}
		rest := words[1:]
		for len(rest) > 1 && strings.HasPrefix(rest[0], "-") {
			rest = rest[1:]
		}
		if len(verbs) > 0 {
			if !slices.Contains(verbs, rest[0]) || len(rest) < 2 {
				break
			}
			rest = rest[1:]
			if rest[0] == "--" && len(rest) > 1 {
				rest = rest[1:]
			}
		}
		words = rest
	}
	if len(words) == 0 {
		return "", nil
	}
	for _, arg := range words[1:] {
		if !strings.HasPrefix(arg, "-") {
			args = append(args, arg)
		}
	}
	return base(words[0]), args
}

func base(word string) string { return word[strings.LastIndexByte(word, '/')+1:] }

// migration is what a container migrates a schema by; empty if it doesn't. The command of an image that is nothing but a
// migrator may be left out.
func (c Container) migration() string {
	commands := c.Commands()
	if ref, err := image.Parse(c.Image); err == nil && len(c.Command) == 0 && migrators[ref.Base()] != nil {
		commands = []shell.Command{{Words: append([]string{ref.Base()}, c.Args...)}}
	}
	for _, command := range commands {
		name, args := program(command)
		if slices.ContainsFunc(command.Words, func(w string) bool { return slices.Contains(onlyLooking, w) }) {
			continue
		}
		said := strings.Join(args, " ") + " "
		for _, verb := range migrators[name] {
			if strings.HasPrefix(said, verb+" ") || len(args) > 0 && args[len(args)-1] == verb || name == "migrate" && slices.Contains(args, verb) {
				return name + " " + verb
			}
		}
	}
	return ""
}

// alone says whether the pod is the only one of its kind: nobody migrates beside it. Of a StatefulSet's pod nobody knows.
func (s *Subject) alone() bool {
	if s.Workload.Kind != "StatefulSet" {
		return false
	}
	spec := s.Facts.WorkloadSpec
	return spec == nil || spec.Replicas == nil || *spec.Replicas <= 1
}
