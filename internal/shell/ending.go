package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// ending are programs that do something and end.
var ending = strings.Fields(`
	awk basename cat chgrp chmod chown clear cp curl cut date df dig dirname du egrep env envsubst expr fgrep file find free gawk getent
	getopt gomplate grep groups gunzip gzip head host hostname htpasswd id install ip iptables jq keytool link ln locale-gen localedef ls
	md5sum mkdir mkfifo mktemp modprobe mount mv nc netcat ncat nproc nslookup openssl patch pg_isready mysqladmin ping printenv ps pwgen
	readlink realpath rm rmdir rsync sed seq sha256sum sha1sum shuf sleep sort split stat stty sync sysctl tar tee touch tr truncate
	tty umount uname uniq unlink unzip update-ca-certificates update-ca-trust uuidgen wc wget which whoami xargs xmlstarlet yq zip
	psql mysql mariadb redis-cli mongosh mongo sqlite3 aws az gcloud gsutil kubectl git base64 alembic flyway liquibase goose dbmate`)

// endingBy are programs that end where one of the words behind their name says what they do; db: stands for all that begin so.
var endingBy = map[string][]string{
	"apk": {"add", "update", "upgrade", "del"}, "apt": {"install", "update", "upgrade"}, "apt-get": {"install", "update", "upgrade", "clean"},
	"yum": {"install", "update"}, "dnf": {"install", "update"}, "microdnf": {"install", "update"},
	"pip": {"install", "download"}, "pip3": {"install", "download"}, "pipenv": {"install", "sync"}, "poetry": {"install"}, "uv": {"sync", "pip"},
	"npm": {"install", "i", "ci", "build", "rebuild", "config"}, "yarn": {"install", "build"}, "pnpm": {"install", "i", "build"}, "bundle": {"install", "config", "check"},
	"composer": {"install", "dump-autoload"}, "go": {"build", "mod", "install", "generate"}, "cargo": {"build"}, "dotnet": {"restore", "build", "publish"},
	"mvn": {"package", "install", "compile"}, "make": {"build", "install"},
	"rails": {"db:", "assets:"}, "rake": {"db:", "assets:", "tmp:"}, "artisan": {"migrate", "cache", "config:", "route:", "view:", "event:", "optimize", "storage:link", "key:generate", "db:seed"},
	"manage.py":    {"migrate", "collectstatic", "createcachetable", "compilemessages", "compress", "check", "loaddata", "createsuperuser", "makemigrations"},
	"django-admin": {"migrate", "collectstatic", "compilemessages"}, "flask": {"db", "init-db"}, "airflow": {"db", "users", "version"}, "superset": {"db", "init", "fab"},
	"prisma": {"migrate", "generate", "push"}, "sequelize": {"db:"}, "sequelize-cli": {"db:"}, "knex": {"migrate", "seed"}, "typeorm": {"migration:"},
	"vault": {"login", "read", "write", "kv"}, "consul-template": {"-once"}, "confd": {"-onetime"},
}

// tasks are parts of names that tell what is done before an app starts: ./migrate, /scripts/setup.sh, npm run db:seed.
var tasks = []string{"bootstrap", "build", "check", "clean", "collectstatic", "config", "copy", "create", "download", "fetch", "generat", "init", "install",
	"migrat", "prepar", "render", "seed", "setup", "upgrade", "wait"}

// lasting are parts of names that tell the contrary, whatever else is in them: config-server.
var lasting = []string{"daemon", "serve", "start", "watch", "worker"}

// interpreters run the script that the first of their arguments names, which may stand behind one of the words run and exec.
var interpreters = []string{"sh", "bash", "ash", "dash", "python", "python2", "python3", "node", "ruby", "perl", "php", "java", "npm", "npx", "yarn", "pnpm",
	"bundle", "poetry", "uv", "pipenv", "dotnet"}

// Ends says whether the command is known to do something and end.
func (c Command) Ends() bool { return len(c.Words) == 0 || c.Bounded || endsByItself(c.Words) }

// endsBefore says whether all that a script runs before its last command is known to end by itself.
func endsBefore(file *syntax.File, last *syntax.Stmt, script string) bool {
	ends := true
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.Stmt:
			if n == last {
				return false
			}
		case *syntax.WhileClause:
			ends = ends && !forEver(n)
		case *syntax.CallExpr:
			ends = ends && (len(n.Args) == 0 || endsByItself(wordsOf(n, script)))
		}
		return ends
	})
	return ends
}

// forEver says whether a loop has no condition and nothing that leaves it.
func forEver(loop *syntax.WhileClause) bool {
	for _, s := range loop.Cond {
		if call, ok := s.Cmd.(*syntax.CallExpr); !ok || len(call.Args) == 0 || !slices.Contains([]string{"true", ":"}, call.Args[0].Lit()) {
			return false
		}
	}
	leaves := false
	syntax.Walk(loop, func(node syntax.Node) bool {
		if call, ok := node.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			leaves = leaves || slices.Contains([]string{"break", "exit", "return"}, call.Args[0].Lit())
		}
		return !leaves
	})
	return !leaves
}

func endsByItself(words []string) bool {
	if bounded(words, unwrap(words)) {
		return true
	}
	words = unwrap(words)
	if _, ok := nested(words); ok || len(words) == 0 {
		return false // a shell of its own
	}
	name, args := path.Base(words[0]), words[1:]
	switch {
	case slices.Contains(builtins, words[0]), slices.Contains(ending, name):
		return true
	case name == "tail":
		return !slices.ContainsFunc(args, func(a string) bool {
			return strings.HasPrefix(a, "-f") || strings.HasPrefix(a, "-F") || strings.HasPrefix(a, "--f")
		})
	}
	for i, word := range words { // behind bundle exec, php, python
		for _, verb := range endingBy[path.Base(word)] {
			if slices.ContainsFunc(words[i+1:], func(a string) bool { return a == verb || strings.HasSuffix(verb, ":") && strings.HasPrefix(a, verb) }) {
				return true
			}
		}
	}
	var named []string // the program or script, and its subcommand
	for i, word := range words {
		interprets := len(named) == 0 && (slices.Contains(interpreters, path.Base(word)) || i > 0 && (word == "run" || word == "exec"))
		if !interprets && !strings.HasPrefix(word, "-") {
			named = append(named, word)
		}
	}
	switch {
	case len(named) == 0:
		return false
	case isTask(path.Base(named[0])):
		return true
	}
	return len(named) > 1 && !strings.ContainsAny(named[1], "./=") && isTask(named[1])
}

// isTask says whether a name tells of a thing that is done once.
func isTask(name string) bool {
	holds := func(part string) bool { return strings.Contains(strings.ToLower(name), part) }
	return slices.ContainsFunc(tasks, holds) && !slices.ContainsFunc(lasting, holds)
}
