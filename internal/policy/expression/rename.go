package expression

import "strings"

// Rename replaces variables by what is given for them. Text in quotes, comments and fields keep what looks alike.
func Rename(text string, names map[string]string) string {
	var b strings.Builder
	field := false // a dot stands before
	for i := 0; i < len(text); {
		n := 1
		switch c := text[i]; {
		case c == '"' || c == '\'':
			n = quoted(text[i:], false)
		case c == '`':
			n = 1 + upTo(text[i+1:], "`")
		case strings.HasPrefix(text[i:], "//"):
			n = upTo(text[i:], "\n")
		case isWord(c):
			for i+n < len(text) && isWord(text[i+n]) {
				n++
			}
			word := text[i : i+n]
			if i+n < len(text) && strings.ContainsRune(`"'`, rune(text[i+n])) && isPrefix(word) {
				n += quoted(text[i+n:], strings.ContainsAny(word, "rR"))
			} else if name, found := names[word]; found && !field {
				b.WriteString(name)
				field, i = false, i+n
				continue
			}
		}
		if token := text[i : i+n]; strings.TrimSpace(token) != "" && !strings.HasPrefix(token, "//") {
			field = token == "." || token == "?" && field // object.?field
		}
		b.WriteString(text[i : i+n])
		i += n
	}
	return b.String()
}

// quoted is the length of the string that a text starts with.
func quoted(text string, raw bool) int {
	quote := text[:1]
	if strings.HasPrefix(text, strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	for i := len(quote); i < len(text); i++ {
		switch {
		case text[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		}
	}
	return len(text)
}

// upTo is the length of a text to the end of a mark.
func upTo(text, mark string) int {
	if i := strings.Index(text, mark); i >= 0 {
		return i + len(mark)
	}
	return len(text)
}

// isPrefix says whether a word before a quote makes the string raw or bytes.
func isPrefix(word string) bool {
	return len(word) <= 2 && strings.Trim(word, "rRbB") == ""
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
