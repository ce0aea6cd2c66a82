//go:build e2e

// Package browser looks at the scorecard with Debian's Chromium, as people do: on a phone, on a screen, on paper.
//
//	go test -tags e2e ./test/browser
//	go test -tags e2e ./test/browser -screenshot ../../docs/report.png   # the one in the docs
package browser

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var screenshot = flag.String("screenshot", "", "write the top of the page at 1280 px to this file")

var widths = []int{390, 1280}

// page is the address of the page that a fixture of the scorecard makes.
func page(t *testing.T, name string) string {
	t.Helper()
	file, err := filepath.Abs("../../internal/scorecard/testdata/" + name)
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "file://" + file
}

// each shows each page at each width.
func each(t *testing.T, f func(t *testing.T, b *browser, width int)) {
	b := open(t)
	for _, name := range []string{"cluster.html", "hostile.html"} {
		url := page(t, name)
		for _, width := range widths {
			t.Run(fmt.Sprintf("%s/%d", name, width), func(t *testing.T) {
				b.t = t
				b.show(url, width)
				f(t, b, width)
			})
			b.t = t
		}
	}
}

func TestNothingOverflows(t *testing.T) {
	each(t, func(t *testing.T, b *browser, width int) {
		var wide []string
		b.eval(fmt.Sprintf(`[...document.querySelectorAll("body *")].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > %d)
			.map(e => e.outerHTML.slice(0, 120))`, width), &wide)
		var scroll int
		b.eval(`Math.max(document.documentElement.scrollWidth, innerWidth)`, &scroll)
		if len(wide) > 0 || scroll != width {
			t.Errorf("the page is %d px wide; these reach out of it: %q", scroll, wide)
		}
		shot := b.screenshot(width, 0)
		picture, err := png.Decode(bytes.NewReader(shot))
		if err != nil || picture.Bounds().Dx() != width || picture.Bounds().Dy() < 900 {
			t.Errorf("the screenshot: %v", err)
		}
		if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "report.png"), shot, 0o600); err != nil {
			t.Error(err)
		}
	})
}

// The style is in force though the page's policy lets nothing else in, and the browser has nothing to complain of.
func TestPolicyOfThePage(t *testing.T) {
	each(t, func(t *testing.T, b *browser, _ int) {
		var colour string
		b.eval(`getComputedStyle(document.querySelector(".deny")).backgroundColor`, &colour)
		if colour != "rgb(251, 220, 220)" {
			t.Errorf("the style is not in force: .deny is %s", colour)
		}
		var blocked bool
		b.eval(`new Promise(done => {
			addEventListener("securitypolicyviolation", () => done(true))
			const script = document.createElement("script"); script.textContent = "window.ran = true"; document.body.append(script)
			setTimeout(() => done(false), 5000)
		})`, &blocked)
		var ran bool
		b.eval(`!!window.ran`, &ran)
		if !blocked || ran {
			t.Errorf("the page would run scripts: blocked %v, ran %v", blocked, ran)
		}
	})
}

func TestNoComplaint(t *testing.T) {
	each(t, func(t *testing.T, b *browser, _ int) {
		var title string
		b.eval(`document.title`, &title) // what it says meanwhile is read with the answer
		for _, e := range b.events {
			if e.Method == "Log.entryAdded" || e.Method == "Page.javascriptDialogOpening" {
				t.Errorf("%s: %s", e.Method, e.Params)
			}
		}
	})
}

// Text stands out from what is behind it by 4.5 to 1, as WCAG 2 asks.
func TestContrast(t *testing.T) {
	each(t, func(t *testing.T, b *browser, _ int) {
		var weak []string
		b.eval(`(() => {
			const channels = c => c.match(/[\d.]+/g).map(Number)
			const luminance = c => { const [r, g, b] = channels(c).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
				return .2126 * r + .7152 * g + .0722 * b }
			const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (channels(c)[3] !== 0) return c }
				return "rgb(255, 255, 255)" }
			return [...document.querySelectorAll("body *")].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).filter(e => {
				const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((x, y) => y - x)
				return (a + .05) / (b + .05) < 4.5
			}).map(e => e.outerHTML.slice(0, 120))
		})()`, &weak)
		if len(weak) > 0 {
			t.Errorf("too weak: %q", weak)
		}
	})
}

// Assistive technology sees tables with headers, also where the narrow page lays them out as blocks.
func TestTablesStayTables(t *testing.T) {
	each(t, func(t *testing.T, b *browser, _ int) {
		var tree struct {
			Nodes []struct{ Role struct{ Value string } }
		}
		b.call("Accessibility.getFullAXTree", nil, &tree)
		roles := map[string]int{}
		for _, n := range tree.Nodes {
			roles[n.Role.Value]++
		}
		var workloads int
		b.eval(`document.querySelectorAll(".grid tbody tr").length`, &workloads)
		if roles["table"] != 2 || roles["columnheader"] != 13+4 || roles["rowheader"] < workloads || roles["cell"] < 12*workloads {
			t.Errorf("%d workloads, roles %v", workloads, roles)
		}
	})
}

func TestDrillDown(t *testing.T) {
	each(t, func(t *testing.T, b *browser, _ int) {
		var seen struct {
			Finding string
			Visible bool
		}
		b.eval(`(async () => {
			document.querySelectorAll("details").forEach(d => d.open = false)
			document.querySelector(".grid td.deny a").click()
			await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
			const target = document.getElementById(location.hash.slice(1)), {top, bottom} = target.getBoundingClientRect()
			return {Finding: target.nextElementSibling.textContent, Visible: target.checkVisibility() && top > -1 && bottom < innerHeight + 1} // browsers scroll to parts of a pixel
		})()`, &seen)
		if !seen.Visible || !bytes.Contains([]byte(seen.Finding), []byte("Fix:")) {
			t.Errorf("the click shows %+v", seen)
		}
	})
}

// On paper nothing stays folded.
func TestPrint(t *testing.T) {
	each(t, func(t *testing.T, b *browser, _ int) {
		b.call("Emulation.setEmulatedMedia", map[string]any{"media": "print"}, nil)
		var unfolded []bool
		b.eval(`(() => { const all = [...document.querySelectorAll("details")]; all.forEach(d => d.open = false)
			return all.map(d => d.lastElementChild.checkVisibility() && d.getBoundingClientRect().bottom >= d.lastElementChild.getBoundingClientRect().bottom) })()`, &unfolded)
		if slices.Contains(unfolded, false) {
			t.Errorf("workloads stay folded: %v", unfolded)
		}
		var paper struct{ Data json.RawMessage }
		b.call("Page.printToPDF", map[string]any{"printBackground": true}, &paper)
		if len(unfolded) == 0 || len(paper.Data) < 10_000 {
			t.Errorf("%d workloads on %d bytes of paper", len(unfolded), len(paper.Data))
		}
		b.call("Emulation.setEmulatedMedia", map[string]any{"media": ""}, nil)
	})
}

func TestScreenshotOfTheDocs(t *testing.T) {
	if *screenshot == "" {
		*screenshot = filepath.Join(t.ArtifactDir(), "docs.png")
	}
	b := open(t)
	b.show(page(t, "cluster.html"), 1280)
	if err := os.WriteFile(*screenshot, b.screenshot(1280, 775), 0o644); err != nil {
		t.Fatal(err)
	}
}
