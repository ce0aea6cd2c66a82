package shell

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Setting is a value in a command line and the name that the command gives it.
type Setting struct{ Name, Value string }

// passwordOptions are options of programs, of one letter, whose value is a password.
var passwordOptions = map[string]string{"redis-cli": "-a", "valkey-cli": "-a", "keydb-cli": "-a", "sshpass": "-p", "mongosh": "-p", "mongo": "-p", "mongodump": "-p",
	"rabbitmqadmin": "-p", "cqlsh": "-p", "az": "-p", "sqlcmd": "-P", "bcp": "-P", "ldapsearch": "-w", "curl": "-u",
	"mysql": "-p", "mysqladmin": "-p", "mysqldump": "-p", "mysqlshow": "-p", "mariadb": "-p", "mariadb-admin": "-p", "mariadb-dump": "-p"}

var (
	variable = regexp.MustCompile(`^[A-Z][A-Z0-9_]*=\S*$`) // a script may begin like this
	header   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*):\s*(\S(?s:.*))$`)
)

// Settings are those of an argument vector, by the place of the word that holds the value: --name=value, --name value,
// NAME=value, -H 'Name: value', and the passwords that programs take by a letter.
func Settings(argv []string) map[int]Setting {
	found := map[int]Setting{}
	own := unwrap(argv)
	password := ""
	if len(own) > 0 {
		password = passwordOptions[path.Base(own[0])]
	}
	for i, word := range argv {
		name, value, assigned := strings.Cut(word, "=")
		before := ""
		if i > 0 {
			before = argv[i-1]
		}
		switch h := header.FindStringSubmatch(word); {
		case password != "" && before == password:
			if _, secret, both := strings.Cut(word, ":"); both && password == "-u" { // user:password
				word = secret
			}
			found[i] = Setting{"password", word}
		case password == "-p" && strings.HasPrefix(word, "-p") && word != "-p" && !strings.Contains(word, "="): // mysql -psecret
			found[i] = Setting{"password", word[2:]}
		case h != nil && slices.Contains([]string{"-H", "--header"}, before):
			found[i] = Setting{h[1], h[2]}
		case assigned && (isFlag(name) && !strings.Contains(value, " -") || variable.MatchString(word)):
			found[i] = Setting{name, value}
		case isFlag(before) && !strings.HasPrefix(word, "-"):
			found[i] = Setting{before, word}
		}
	}
	return found
}

// ScriptSettings are those of all commands in a script, and its assignments to variables.
func ScriptSettings(script string) []Setting {
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return nil
	}
	var found []Setting
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.Assign:
			if n.Name != nil && n.Value != nil {
				found = append(found, Setting{n.Name.Value, text(n.Value, script)})
			}
		case *syntax.CallExpr:
			settings := Settings(wordsOf(n, script))
			for i := range n.Args {
				if s, ok := settings[i]; ok {
					found = append(found, s)
				}
			}
		}
		return true
	})
	return found
}

func isFlag(word string) bool {
	return len(word) > 2 && word[0] == '-' && !strings.ContainsAny(word, "= \n")
}
