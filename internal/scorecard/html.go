package scorecard

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
)

var (
	//go:embed page.gohtml
	pageText string
	//go:embed page.css
	style string

	page = template.Must(template.New("page").Funcs(template.FuncMap{
		"style":     func() template.CSS { return template.CSS(style) },
		"styleHash": func() string { return styleHash },
	}).Parse(pageText))

	styleHash = func() string {
		sum := sha256.Sum256([]byte(style))
		return base64.StdEncoding.EncodeToString(sum[:])
	}()
)

// HTML writes the card as one page that loads nothing: it has no script, and its policy forbids every one.
func (c Card) HTML(w io.Writer) error {
	var text bytes.Buffer
	if err := page.Execute(&text, c); err != nil {
		return err
	}
	_, err := w.Write(text.Bytes())
	return err
}
