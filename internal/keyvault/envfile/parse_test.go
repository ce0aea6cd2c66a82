package envfile_test

import (
	"bufio"
	"errors"
	"strings"
	"unicode/utf8"
)

// parse finds a key as the kubelet does, from the grammar that was observed:
//
//	line = ws* ( nothing | "#" any | KEY "=" ws any | KEY "=" "'" char* "'" ws* [ "#" any ] )
//
// LF ends a line, one CR before it is dropped, a line of 64 KiB is an error, bytes that are not UTF-8 are replaced,
// and the first match ends the search.
func parse(text, key string) (string, error) {
	lines := bufio.NewScanner(strings.NewReader(text)) // ScanLines: 64 KiB at most, drops a CR
	for lines.Scan() {
		name, rest, ok := strings.Cut(strings.TrimLeft(lines.Text(), " \t"), "=")
		switch {
		case name == "" && !ok, strings.HasPrefix(name, "#"):
			continue
		case !ok:
			return "", errors.New("no = in line")
		case strings.HasPrefix(rest, " "), strings.HasPrefix(rest, "\t"), rest == "":
			if name == key {
				return "", nil
			}
			continue
		case rest[0] != '\'':
			return "", errors.New("no quote after =")
		}
		value, tail, closed := strings.Cut(rest[1:], "'")
		for !closed {
			if !lines.Scan() {
				return "", errors.Join(errors.New("no closing quote"), lines.Err())
			}
			more := lines.Text()
			value += "\n"
			more, tail, closed = strings.Cut(more, "'")
			value += more
		}
		if tail = strings.TrimLeft(tail, " \t"); tail != "" && tail[0] != '#' {
			return "", errors.New("something after the closing quote")
		}
		if strings.ContainsRune(value, 0) {
			return "", errors.New("NUL")
		}
		if name == key {
			return strings.ToValidUTF8(value, string(utf8.RuneError)), nil
		}
	}
	if lines.Err() != nil {
		return "", lines.Err()
	}
	return "", errors.New("key not found")
}
