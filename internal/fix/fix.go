// Package fix repairs manifests where they stand: it changes the lines that a repair touches and leaves all others, with
// their comments, as they are. Every change is proven before it counts: the new text, read again, must hold the old
// objects with the repair and nothing else.
package fix

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
)

// Repair is what is done to an object, or could not be done.
type Repair struct {
	Rule   string
	Factor policy.Factor
	Path   string // the finding's field, in the object
	What   string // "PYTHONUNBUFFERED is set"
	Failed bool   // the text is written in a way that can't be changed in place

	Object manifest.Object
	Line   int // of the finding, as far as it is known, before anything was repaired in the document
}

// View is an object with its policy, and with what is known of its surroundings.
type View func(o manifest.Object) review.Input

// File repairs a file: what is repaired by default, what the policy asks for, and what is asked for by the names of rules.
// Repairs come in the order of the objects.
func File(name string, data []byte, view View, asked ...string) (fixed []byte, repairs []Repair, err error) {
	line := 1
	for _, part := range split(data) {
		text, done, err := document(name, part, line, view, asked)
		if err != nil {
			return nil, nil, err
		}
		for i := range done {
			done[i].Line += line - 1
		}
		fixed, repairs = append(fixed, text...), append(repairs, done...)
		line += bytes.Count(part, []byte("\n"))
	}
	return fixed, repairs, nil
}

// split cuts a file into documents. A separating line --- is a part of its own.
func split(data []byte) (parts [][]byte) {
	start := 0
	for at := 0; at < len(data); {
		end := at + bytes.IndexByte(data[at:], '\n') + 1
		if end == at {
			end = len(data)
		}
		if rest, ok := bytes.CutPrefix(data[at:end], []byte("---")); ok {
			if rest = bytes.TrimSpace(rest); len(rest) == 0 || rest[0] == '#' {
				parts = append(parts, data[start:at], data[at:end])
				start = end
			}
		}
		at = end
	}
	return append(parts, data[start:])
}

// document repairs a document that begins at a line of its file.
func document(name string, text []byte, line int, view View, asked []string) ([]byte, []Repair, error) {
	var repairs []Repair
	tried := map[string]bool{}
	first, err := manifest.Read(bytes.NewReader(text), name)
	if err != nil {
		return nil, nil, err
	}
	for objects := first; ; {
		i, p, err := next(objects, view, asked, tried)
		if err != nil {
			broken := objects[i]
			broken.Line += line - 1
			return nil, nil, fmt.Errorf("%s: %w", broken.Place(), err)
		}
		if p == nil {
			return text, repairs, nil
		}
		r := p.Repair
		r.Object, r.Line = objects[i], first[i].LineOf(p.Path)
		changed, after, ok := try(name, text, objects, i, p.changes)
		if ok {
			text, objects = changed, after
		}
		r.Failed = !ok
		repairs = append(repairs, r)
	}
}

// next is the first repair that has not been tried, or what is wrong with an object, and the object's index.
func next(objects []manifest.Object, view View, asked []string, tried map[string]bool) (int, *plan, error) {
	for i, o := range objects {
		plans, err := plansFor(view(o), asked)
		if err != nil {
			return i, nil, err
		}
		for _, p := range plans {
			key := fmt.Sprint(i, "\n", p.Rule, "\n", p.Path, "\n", p.What, "\n", p.seen)
			if !tried[key] {
				tried[key] = true
				return i, &p, nil
			}
		}
	}
	return 0, nil, nil
}

// try makes changes to the text of the i-th object. It fails where the result does not read as it should.
func try(name string, text []byte, objects []manifest.Object, i int, changes []change) ([]byte, []manifest.Object, bool) {
	for _, c := range changes {
		want, err := trees(objects)
		if err != nil || !c.apply(&want[i]) {
			return nil, nil, false
		}
		changed, ok := edit(text, objects[i].Node(), c)
		if !ok {
			return nil, nil, false
		}
		after, err := manifest.Read(bytes.NewReader(changed), name)
		if err != nil {
			return nil, nil, false
		}
		got, err := trees(after)
		if err != nil || !reflect.DeepEqual(want, got) {
			return nil, nil, false
		}
		text, objects = changed, after
	}
	return text, objects, true
}

func trees(objects []manifest.Object) ([]any, error) {
	all := make([]any, len(objects))
	for i, o := range objects {
		var err error
		if all[i], err = tree(o.JSON); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// pathOf takes a path like spec.template apart.
func pathOf(fields string, more ...any) (path []any) {
	for field := range strings.SplitSeq(fields, ".") {
		if field != "" {
			path = append(path, field)
		}
	}
	return append(path, more...)
}
