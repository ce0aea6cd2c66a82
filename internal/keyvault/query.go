package keyvault

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errQuery names no part of the text: it may be a secret that was written in the wrong place.
var errQuery = errors.New("after ? may stand, joined by &: optional, type=secret|cert|key, format=pem|pfx|der|private-key, encoding=utf-8|hex|base64, field=<name>, mode=<octal>")

// applyQuery reads key=value&… after a reference, each key once: optional, type, format, encoding, field, mode. A URL has
// given the type already.
func (r *Reference) applyQuery(query string, typed bool) error {
	seen := map[string]bool{}
	for part := range strings.SplitSeq(query, "&") {
		key, value, assigned := strings.Cut(part, "=")
		if strings.EqualFold(key, "optional") && !assigned {
			key, value = "optional", "true"
		}
		if seen[key] {
			return errors.New("a part of what stands after ? is given twice")
		}
		seen[key] = true
		if err := r.set(key, value, typed); err != nil {
			return err
		}
	}
	if problem := r.renderingProblem(); problem != "" {
		return errors.New(problem)
	}
	return nil
}

var (
	queryTypes     = map[string]Type{"secret": SecretType, "cert": CertificateType, "key": KeyType}
	queryFormats   = map[string]Format{"pem": PEM, "pfx": PFX, "der": DER, "modulus": Modulus, "private-key": PrivateKey, "username": Username, "password": Password}
	queryEncodings = map[string]Encoding{"utf-8": UTF8, "hex": Hex, "base64": Base64}
	queryMode      = regexp.MustCompile(`^0?[0-7]{3}$`)
)

func (r *Reference) set(key, value string, typed bool) error {
	known := true
	switch key {
	case "optional":
		r.Optional, known = value == "true", value == "true" || value == "false"
	case "type":
		before := r.Type
		if r.Type, known = queryTypes[value]; known && typed && r.Type != before {
			return errors.New("the URL is that of another type than the one that stands after ?")
		}
	case "format":
		r.Format, known = queryFormats[value]
	case "encoding":
		r.Encoding, known = queryEncodings[value]
	case "field":
		if !validField(value) {
			return errors.New("the field must be the name of a member of the secret's JSON or YAML, without control characters")
		}
		r.Field = value
	case "mode":
		mode, err := strconv.ParseInt(value, 8, 32)
		if r.Mode = int32(mode); err != nil || !queryMode.MatchString(value) || mode == 0 {
			return errors.New("the mode must be three octal digits that let someone read the file, such as 0400")
		}
	default:
		known = false
	}
	if !known {
		return errQuery
	}
	return nil
}

// validField says whether a member of a mapping may be asked for by this name.
func validField(name string) bool {
	return name != "" && len(name) <= 253 && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// EnvProblem tells why what a reference asks for can't be the value of a variable, or returns "".
func (r Reference) EnvProblem() string {
	switch {
	case r.Mode != 0:
		return "a variable has no mode; only a file has one"
	case r.Format == DER:
		return "der is bytes and no text"
	case r.Encoding != UTF8:
		return "what is decoded from " + string(r.Encoding) + " is bytes and no text"
	}
	return ""
}
