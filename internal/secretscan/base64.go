package secretscan

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minEncoded is the shortest base64 that is decoded: 18 bytes hold no secret that is certain by its form.
const minEncoded = 24

// decode lists the texts that stand in a text as base64: all of it, wrapped or not, or words of it.
func decode(text string) []string {
	if len(text) < minEncoded {
		return nil
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return !inBase64(r) })
	if len(words) > 1 && strings.IndexFunc(text, func(r rune) bool { return !inBase64(r) && r != '=' && !unicode.IsSpace(r) }) < 0 {
		words = []string{strings.Join(words, "")}
	}
	var texts []string
	for _, word := range words {
		if len(word) < minEncoded {
			continue
		}
		encoding := base64.RawStdEncoding
		if strings.ContainsAny(word, "-_") {
			encoding = base64.RawURLEncoding
		}
		if data, err := encoding.DecodeString(word); err == nil && readable(data) {
			texts = append(texts, string(data))
		}
	}
	return texts
}

func inBase64(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '+' || r == '/' || r == '-' || r == '_'
}

// readable tells text from the noise that any other word decodes to.
func readable(data []byte) bool {
	for _, b := range data {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return utf8.Valid(data)
}
