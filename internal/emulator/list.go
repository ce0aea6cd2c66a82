package emulator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// maxPage is the service's largest and default page.
const maxPage = 25

// page is an answer of the list operations.
type page struct {
	Value    []bundle `json:"value"`
	NextLink *string  `json:"nextLink"`
}

// list lists the newest version's metadata of every object of a kind.
func (e *Emulator) list(k kind) handler {
	return func(w http.ResponseWriter, r *http.Request, vault Vault) {
		var all []bundle
		for _, name := range e.store.names(vault.Host, k) {
			newest, _ := pick(e.store.all(vault.Host, k, name), "")
			all = append(all, newest.metadata(k, vault.Host, false))
		}
		writePage(w, r, vault.Host, all)
	}
}

// listVersions lists the metadata of all versions of an object; of an unknown one the list is empty.
func (e *Emulator) listVersions(k kind) handler {
	return func(w http.ResponseWriter, r *http.Request, vault Vault) {
		var all []bundle
		for _, v := range e.store.all(vault.Host, k, r.PathValue("name")) {
			all = append(all, v.metadata(k, vault.Host, true))
		}
		writePage(w, r, vault.Host, all)
	}
}

// writePage sends the part of a list that maxresults and $skiptoken ask for.
func writePage(w http.ResponseWriter, r *http.Request, host string, all []bundle) {
	q := r.URL.Query()
	size := maxPage
	if text := q.Get("maxresults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			vaultError{http.StatusBadRequest, "BadParameter", "", fmt.Sprintf("The parameter maxresults must be 1 to %d.", maxPage)}.write(w)
			return
		}
		size = n
	}
	start, ok := decodeSkip(q.Get("$skiptoken"))
	if !ok {
		vaultError{http.StatusBadRequest, "BadParameter", "", "The $skiptoken is malformed."}.write(w)
		return
	}
	start = min(start, len(all))
	end := min(start+size, len(all))
	p := page{Value: append([]bundle{}, all[start:end]...)}
	if end < len(all) {
		next := url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawQuery: url.Values{
			"api-version": {q.Get("api-version")}, "maxresults": {strconv.Itoa(size)}, "$skiptoken": {encodeSkip(end)},
		}.Encode()}
		link := next.String()
		p.NextLink = &link
	}
	writeJSON(w, http.StatusOK, p)
}

// The token is opaque to clients, as the service's is.
func encodeSkip(n int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(n)))
}

func decodeSkip(token string) (int, bool) {
	if token == "" {
		return 0, true
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(text))
	return n, err == nil && n >= 0
}
