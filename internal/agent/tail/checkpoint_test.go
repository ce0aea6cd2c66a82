package tail

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckpointSurvivesTheDisk(t *testing.T) {
	dir := t.TempDir() + "/made/on/demand"
	want := checkpoint{Version: checkpointVersion, Files: []checkpointEntry{{
		Stream: "/logs/0/app.log", Name: "app.log", identity: identity{Dev: 1, Ino: 1 << 63}, Offset: 3,
		Head: markOf([]byte("ab\n")), Mark: markOf([]byte("ab\n")), Old: true, Copy: true,
	}}}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := loadCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(checkpointEntry{})); d != "" {
		t.Error(d)
	}
}

// FuzzCheckpoint: whatever stands in the file, what is accepted can be read from.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte(`{"version":1,"files":[{"stream":"/l/a","name":"a","dev":1,"ino":2,"offset":300,"head":{"len":256,"sum":1},"mark":{"len":256,"sum":2}}]}`))
	f.Add([]byte(`{"version":1,"files":[{"stream":"/l/a","name":"../a","offset":-1}]}`))
	f.Add([]byte(`{"version":1,"files":[{"stream":"/l/a","name":"a","offset":1,"mark":{"len":9223372036854775807}}]}`))
	f.Add([]byte(`{"version":1,"files":[{"stream":"/l/a","name":"a.1","dev":1,"ino":2,"offset":0,"copy":true}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"files":null} `))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCheckpoint(text)
		if err != nil {
			return
		}
		for _, e := range c.Files {
			if e.Offset < 0 || int64(e.Mark.Len) > e.Offset || e.Mark.Len < 0 || e.Mark.Len > markSize {
				t.Errorf("accepted %+v", e)
			}
		}
		dir := t.TempDir()
		if err := c.save(dir); err != nil {
			t.Fatal(err)
		}
		again, err := loadCheckpoint(dir)
		if d := cmp.Diff(c, again, cmp.AllowUnexported(checkpointEntry{})); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
	})
}
