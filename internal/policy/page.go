package policy

// Page is what `twelvefold explain` and the docs tell about a rule, or about what a mutator refuses.
type Page struct {
	Title   string // one line, what is found: "A secret stands in the pod's spec as plain text"
	Why     string // what goes wrong in production because of it, a paragraph
	Fix     string // what to do, a paragraph
	Allowed string // what looks alike and is no violation; may be empty
	Repair  string // what the rule's repair does, a paragraph; empty if it has none
	Example string // YAML to copy: the spec as it should be
}
