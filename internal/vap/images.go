package vap

import (
	"fmt"
	"regexp"
	"strings"
)

// Parts of image references. They are a little narrower than what [twelvefold.dev/internal/image] reads: the webhook passes
// over references that it can't read, so these must not take more.
const (
	imageRegistry = `(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*:[0-9]{1,5})`
	imageSegment  = `[a-z0-9._-]+`
	imageTag      = `[A-Za-z0-9_.-]{1,128}`
	imageDigest   = `(?:@sha256:[0-9a-f]{64})?`
)

var (
	isRegistry = regexp.MustCompile("^" + imageRegistry + "$")
	isTag      = regexp.MustCompile("^" + imageTag + "$")
)

// imageIs is the condition that the image of a container c can be read, and is in one of the registries (any for none),
// its name ends in a segment of the pattern, and what follows is of the pattern end.
func imageIs(registries []string, segment, end string) string {
	registry := "(?:" + imageRegistry + "/)?"
	if len(registries) > 0 {
		registry = "(?:" + alternatives(registries) + ")/"
	}
	pattern := fmt.Sprintf("^%s(?:%s/)*%s%s$", registry, imageSegment, segment, end)
	return fmt.Sprintf(`(c.?image.orValue("").size() < 256 && c.image.matches(%s))`, quote(pattern))
}

// alternatives is a pattern of texts.
func alternatives(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = regexp.QuoteMeta(text)
	}
	return strings.Join(quoted, "|")
}

func mutableTag(p part) string {
	end := ""
	if tags := only(p.strings("floating"), isTag.MatchString); len(tags) > 0 {
		end = "(?::(?:" + alternatives(tags) + "))?"
	}
	return "!" + imageIs(nil, imageSegment, end)
}

func noDigest(part) string { return "!" + imageIs(nil, imageSegment, "(?::"+imageTag+")?") }

// sshDaemon is what images and ports tell of it.
func sshDaemon(p part) string {
	wrong := imageIs(nil, "(?:"+alternatives(sshImages)+")", "(?::"+imageTag+")?"+imageDigest) +
		` || c.?ports.orValue([]).exists(p, p.?containerPort.orValue(0) == 22 && p.?protocol.orValue("TCP") == "TCP")`
	allowed := p.strings("allowedImages")
	if len(allowed) == 0 {
		return "!(" + wrong + ")"
	}
	for i, glob := range allowed {
		allowed[i] = globRegexp(glob)
	}
	served := "^(?:[^@]*/)?(?:" + strings.Join(allowed, "|") + ")(?::[^/@]*)?(?:@.*)?$"
	return fmt.Sprintf(`c.?image.orValue("").matches(%s) || !(%s)`, quote(served), wrong)
}

// devImage looks for registries, and for words of tags outside of registries that mean something else by them.
func devImage(p part) string {
	wrong := []string{}
	hosts := only(p.strings("registries"), func(host string) bool { return isRegistry.MatchString(host) && host != "docker.io" })
	if len(hosts) > 0 {
		wrong = append(wrong, imageIs(hosts, imageSegment, "(?::"+imageTag+")?"+imageDigest))
	}
	words := only(p.strings("words"), regexp.MustCompile(`^[a-z0-9]+$`).MatchString)
	if len(words) > 0 {
		variant := imageIs(nil, imageSegment, `:(?:[A-Za-z0-9_.-]*[-._])?(?i:`+alternatives(words)+`)(?:[-._][A-Za-z0-9_.-]*)?`+imageDigest)
		if allowed := p.strings("allowed"); len(allowed) > 0 {
			pattern := "^(?:" + alternatives(allowed) + ")/"
			for _, host := range allowed {
				if host == "index.docker.io" { // which most references leave out
					pattern += `|^docker\.io/|^[^/]*$|^[^/.:]+/`
				}
			}
			variant += fmt.Sprintf(` && !c.image.matches(%s)`, quote(pattern))
		}
		wrong = append(wrong, variant+` && !c.image.matches(":[^:/@]{129}")`)
	}
	if len(wrong) == 0 {
		return "true"
	}
	return "!(" + strings.Join(wrong, " || ") + ")"
}
