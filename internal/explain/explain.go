// Package explain renders the pages of rules and mutators, for the terminal and for the docs.
package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/vap"
)

// Topic is what can be explained: a rule, or the job of a mutator.
type Topic struct {
	ID     string
	Factor policy.Factor
	Levels *policy.Levels // nil for a mutator
	Repair policy.Repairable
	// ByProfile says of a mutator that the profile decides what it does by default.
	ByProfile bool
	policy.Page
	Exported string // what there is of it as a ValidatingAdmissionPolicy
}

// Topics are all topics: the mutators in their order, then the rules by factor.
func Topics() []Topic {
	var topics []Topic
	for _, m := range mutate.All() {
		topics = append(topics, Topic{ID: m.Name, Factor: m.Factor, ByProfile: m.ByProfile, Page: m.Page})
	}
	for _, r := range rules.All() {
		topics = append(topics, Topic{ID: r.ID, Factor: r.Factor, Levels: &r.Levels, Repair: r.RuleInfo.Repair, Page: r.Page, Exported: vap.Says(r.RuleInfo)})
	}
	return topics
}

// Custom are the topics of a policy's own rules.
func Custom(p *policy.Policy) []Topic {
	var topics []Topic
	for _, c := range p.Custom() {
		topics = append(topics, Topic{ID: c.RuleInfo.ID, Factor: c.RuleInfo.Factor, Levels: &c.Levels, Page: policy.Page{
			Title: policy.OneLine(c.Message),
			Why:   "The policy has this rule of its own: a pod is right where this CEL expression is true.\n" + indent(strings.TrimSpace(c.Expression), "  "),
			Fix:   cmp.Or(c.Fix, "Ask whoever owns the policy."),
		}})
	}
	return topics
}

// Find is the topic with an id, which findings head by its factor (V/mutable-tag), among all topics and some more.
func Find(id string, more ...Topic) (Topic, bool) {
	topics := append(Topics(), more...)
	i := slices.IndexFunc(topics, func(t Topic) bool { return t.ID == id || t.heading() == id })
	if i < 0 {
		return Topic{}, false
	}
	return topics[i], true
}

func (t Topic) heading() string {
	return fmt.Sprintf("%s/%s", t.Factor, t.ID)
}

func (t Topic) levels() string {
	if t.ByProfile {
		return "none; the profile decides what is done by default, and what can't be done is left as it is"
	}
	if t.Levels == nil {
		return "what can't be done is refused, warned of or skipped, whatever the profile"
	}
	return fmt.Sprintf("%s in baseline, %s in strict", t.Levels.Baseline, t.Levels.Strict)
}

type section struct{ title, text string }

// parts are the page's sections of prose; a text may be empty.
func (t Topic) parts() []section {
	repair := ""
	if t.Repair != policy.NotRepaired {
		repair = "Repaired " + t.Repair.String() + ". " + t.Page.Repair
	}
	return []section{{"Why", t.Why}, {"Fix", t.Page.Fix}, {"Repair", repair}, {"Not a violation", t.Allowed}, {"As a ValidatingAdmissionPolicy", t.Exported}}
}

// Text is the page for a terminal, at most 100 columns wide where it is prose.
func (t Topic) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", t.heading(), t.Title)
	fmt.Fprintf(&b, "Factor %s, %s. Level: %s.\n\n", t.Factor, t.Factor.Title(), t.levels())
	for _, part := range t.parts() {
		if part.text != "" {
			fmt.Fprintf(&b, "%s\n%s\n", part.title, wrap(part.text, "  ", 98))
		}
	}
	if t.Example != "" {
		fmt.Fprintf(&b, "Example\n%s", indent(t.Example, "  "))
	}
	return b.String()
}

// Markdown is the page for the docs.
func (t Topic) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s.\n\nFactor %s, %s. Level: %s.\n", t.heading(), strings.TrimSuffix(t.Title, "."), t.Factor, t.Factor.Title(), t.levels())
	for _, part := range t.parts() {
		if part.text != "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s", part.title, markdown(part.text))
		}
	}
	if t.Example != "" {
		fmt.Fprintf(&b, "\n## Example\n\n```yaml\n%s```\n", t.Example)
	}
	return b.String()
}

// markdown makes paragraphs of lines, and code blocks of the indented ones.
func markdown(text string) string {
	var b strings.Builder
	inCode := false
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		isCode := strings.HasPrefix(line, " ")
		if i > 0 && !(inCode && isCode) {
			b.WriteString("\n")
		}
		if inCode = isCode; isCode {
			line = "  " + line // four blanks
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Table is the catalogue of rules in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| Factor | Rule | Finds | baseline | strict | repaired |\n|---|---|---|---|---|---|\n")
	factor := policy.Factor("")
	for _, r := range rules.All() {
		shown := ""
		if r.Factor != factor {
			factor = r.Factor
			shown = fmt.Sprintf("%s %s", factor, factor.Title())
		}
		fmt.Fprintf(&b, "| %s | [`%s`](docs/rules/%s.md) | %s | %s | %s | %s |\n", shown, r.ID, r.ID, r.Title, r.Levels.Baseline, r.Levels.Strict, r.RuleInfo.Repair)
	}
	return b.String()
}

// Catalogue lists all topics for a terminal, and some more.
func Catalogue(more ...Topic) string {
	var b strings.Builder
	for _, t := range append(Topics(), more...) {
		level := "injects"
		if t.Levels != nil {
			level = t.Levels.Baseline.String()
			if t.Levels.Strict != t.Levels.Baseline {
				level += "/" + t.Levels.Strict.String()
			}
		}
		fmt.Fprintf(&b, "%-5s %-22s %-10s %s\n", t.Factor, t.ID, level, t.Title)
	}
	return b.String()
}

// wrap breaks prose into lines. Lines that are indented already, such as snippets, stay as they are.
func wrap(text, prefix string, width int) string {
	var b strings.Builder
	for _, paragraph := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(paragraph, " ") || paragraph == "" {
			b.WriteString(strings.TrimRight(prefix+paragraph, " ") + "\n")
			continue
		}
		line := prefix
		for _, word := range strings.Fields(paragraph) {
			if len(line)+1+len(word) > width && line != prefix {
				b.WriteString(line + "\n")
				line = prefix
			}
			if line != prefix {
				line += " "
			}
			line += word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func indent(text, prefix string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if strings.TrimSpace(line) != "" {
			lines[i] = prefix + line
		}
	}
	return strings.Join(lines, "")
}
