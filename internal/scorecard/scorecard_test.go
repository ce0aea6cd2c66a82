package scorecard_test

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
	"twelvefold.dev/internal/scorecard"
)

const (
	fixture = "testdata/cluster.yaml"
	hostile = "testdata/hostile.yaml"
)

func TestPage(t *testing.T) {
	for _, file := range []string{fixture, hostile} { // test/browser looks at both pages
		reviewtest.Golden(t, strings.TrimSuffix(file, ".yaml")+".html", page(t, load(t, file)))
	}
}

func TestWorkloads(t *testing.T) {
	c := card(t)
	var names []string
	for _, w := range c.Workloads {
		names = append(names, w.Name)
	}
	if slices.Contains(names, "api-6d4cf56db6") || slices.Contains(names, "api-6d4cf56db6-x7k2p") {
		t.Errorf("what belongs to a Deployment stands beside it: %q", names)
	}
	if c.Owned != 2 {
		t.Errorf("%d objects left out; want 2", c.Owned)
	}
	if !slices.IsSortedFunc(c.Workloads, func(a, b scorecard.Workload) int { return int(b.Worst - a.Worst) }) {
		t.Errorf("the worst is not first: %q", names)
	}
}

// A page of thousands of workloads has what was found behind the grid: whoever has a keyboard or a small screen need not go through it.
func TestNavigation(t *testing.T) {
	text := string(page(t, card(t)))
	_, nav, _ := strings.Cut(text, "<nav ")
	nav, _, _ = strings.Cut(nav, "</nav>")
	links := regexp.MustCompile(`href="#([a-z]+)"`).FindAllStringSubmatch(nav, -1)
	if len(links) != 4 {
		t.Errorf("links %q", links)
	}
	for _, link := range links {
		if !strings.Contains(text, `id="`+link[1]+`"`) {
			t.Errorf("no part %s", link[1])
		}
	}
}

// Who gets the page sees where a pass is for want of a look.
func TestGaps(t *testing.T) {
	c := card(t)
	if text := page(t, c); bytes.Contains(text, []byte("could not be read")) {
		t.Error("the page speaks of gaps where there are none")
	}
	c.Gaps = []string{"may not list services in <shop>: what needs them is not judged"}
	if text := page(t, c); !bytes.Contains(text, []byte("<li>may not list services in &lt;shop&gt;: what needs them is not judged</li>")) {
		t.Errorf("the page does not tell of gaps:\n%s", text)
	}
}

// A dump as the docs have it made holds no ReplicaSets: pods name their Deployment all the same.
func TestDumpWithoutReplicaSets(t *testing.T) {
	c := load(t, "testdata/dump.yaml")
	var names []string
	for _, w := range c.Workloads {
		names = append(names, w.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"api", "canary-1-x", "night"}) || c.Owned != 4 {
		t.Errorf("workloads %q, %d left out", names, c.Owned)
	}
}

func TestForgedOwner(t *testing.T) {
	if c := load(t, hostile); c.Owned != 0 || len(c.Workloads) != 3 {
		t.Errorf("an ownerReference with another UID hides a pod: %d left out, %d workloads", c.Owned, len(c.Workloads))
	}
}

func TestCells(t *testing.T) {
	c := load(t, "testdata/cells.yaml")
	for _, want := range []struct {
		workload string
		factor   policy.Factor
		state    scorecard.State
	}{
		{"bad", "V", scorecard.Deny},
		{"bad", "VII", scorecard.Audit},
		{"bad", "IX", scorecard.Warn},
		{"good", "V", scorecard.Pass},
		{"good", "VII", scorecard.Pass},
		{"good", "IX", scorecard.Pass},
		{"good", "VI", scorecard.NotAssessable}, // no rule of it is on
		{"job", "VII", scorecard.NotAssessable}, // a Job binds no port
		{"sandboxed", "V", scorecard.Pass},
		{"sandboxed", "IX", scorecard.NotAssessable}, // off in its namespace
	} {
		if got := cell(t, c, want.workload, want.factor).State; got != want.state {
			t.Errorf("%s, factor %s: %s; want %s", want.workload, want.factor, got, want.state)
		}
	}
}

func TestSumsAgree(t *testing.T) {
	c := card(t)
	for _, f := range c.Factors {
		sum := 0
		for _, count := range f.Counts {
			sum += count.N
		}
		if sum != len(c.Workloads) {
			t.Errorf("factor %s counts %d workloads of %d", f.Factor, sum, len(c.Workloads))
		}
	}
	findings, byLevel := 0, 0
	for _, r := range c.Rules {
		findings += r.Findings
	}
	for _, count := range c.Levels {
		byLevel += count.N
	}
	if findings != byLevel || findings == 0 {
		t.Errorf("%d findings by rule, %d by level", findings, byLevel)
	}
}

// Whatever objects are called, the page has the elements and attributes of the template and no others.
func TestNothingOfTheInputIsMarkup(t *testing.T) {
	text := page(t, load(t, hostile))
	if !bytes.Contains(text, []byte("&lt;script&gt;alert(1)")) {
		t.Fatal("the page leaves out what it was given")
	}
	z := html.NewTokenizer(bytes.NewReader(text))
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				t.Fatal(z.Err())
			}
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if slices.Contains([]string{"script", "img", "svg", "iframe", "link", "object"}, token.Data) {
				t.Errorf("the page has %s", token)
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || (a.Key == "href" && !strings.HasPrefix(a.Val, "#")) {
					t.Errorf("the page has %s", token)
				}
			}
		}
	}
}

// Every link of the page leads somewhere, and no place is there twice.
func TestLinks(t *testing.T) {
	var links []string
	ids := map[string]bool{}
	z := html.NewTokenizer(bytes.NewReader(page(t, card(t))))
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		for _, a := range z.Token().Attr {
			switch {
			case a.Key == "href":
				links = append(links, strings.TrimPrefix(a.Val, "#"))
			case a.Key == "id" && ids[a.Val]:
				t.Errorf("the id %s is there twice", a.Val)
			case a.Key == "id":
				ids[a.Val] = true
			}
		}
	}
	for _, link := range links {
		if !ids[link] {
			t.Errorf("the link to %s leads nowhere", link)
		}
	}
	if len(links) == 0 {
		t.Error("the page has no link")
	}
}

func TestSecretsStayOut(t *testing.T) {
	if bytes.Contains(page(t, card(t)), []byte("hunter2")) {
		t.Error("the page shows a password")
	}
}

func TestNoWorkload(t *testing.T) {
	text := page(t, read(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"))
	if !bytes.Contains(text, []byte("No workload")) || bytes.Contains(text, []byte("<table")) {
		t.Errorf("the page of no workload:\n%s", text)
	}
}

func TestUnreadableWorkload(t *testing.T) {
	objects, err := manifest.Read(strings.NewReader("\n\napiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: 7}\n"), "dump.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c scorecard.Card
	err = c.Add(review.Offline(objects, policy.Default(rules.Catalogue{}), reviewtest.Facts))
	if err == nil || !strings.HasPrefix(err.Error(), "dump.yaml:3: Pod x: ") {
		t.Errorf("error %v", err)
	}
}

func card(t *testing.T) scorecard.Card { return load(t, fixture) }

func load(t *testing.T, file string) scorecard.Card {
	t.Helper()
	return of(t, reviewtest.Load(t, file))
}

func read(t *testing.T, text string) scorecard.Card {
	t.Helper()
	objects, err := manifest.Read(strings.NewReader(text), "in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return of(t, review.Offline(objects, policy.Default(rules.Catalogue{}), reviewtest.Facts))
}

func of(t *testing.T, inputs []review.Input) scorecard.Card {
	t.Helper()
	var c scorecard.Card
	if err := c.Add(inputs); err != nil {
		t.Fatal(err)
	}
	c.Sum()
	return c
}

func page(t *testing.T, c scorecard.Card) []byte {
	t.Helper()
	var text bytes.Buffer
	if err := c.HTML(&text); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func cell(t *testing.T, c scorecard.Card, workload string, factor policy.Factor) scorecard.Cell {
	t.Helper()
	for _, w := range c.Workloads {
		if w.Name == workload {
			return w.Cells[slices.Index(policy.Factors, factor)]
		}
	}
	t.Fatalf("no workload %s", workload)
	return scorecard.Cell{}
}
