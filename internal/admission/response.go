package admission

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
)

func allowed() *admissionv1.AdmissionResponse { return &admissionv1.AdmissionResponse{Allowed: true} }

// respond says what the findings say: a denial holds all that denies, warnings all that warns. onlyWarn makes what
// would deny a warning too.
func respond(object manifest.Object, findings []policy.Finding, onlyWarn bool) *admissionv1.AdmissionResponse {
	response := allowed()
	var denied []policy.Finding
	var grave, warnings []string
	audit := map[string][]string{}
	for _, f := range findings {
		switch {
		case f.Level == policy.Deny && !onlyWarn:
			denied = append(denied, f)
		case f.Grave():
			grave = append(grave, f.Warning())
		case f.Level == policy.Warn:
			warnings = append(warnings, f.Warning())
		}
		if ids := audit[f.Level.String()]; !slices.Contains(ids, f.Rule) {
			audit[f.Level.String()] = append(ids, f.Rule)
		}
	}
	if len(denied) > 0 {
		deny(response, object, denied)
	}
	response.Warnings = Warnings(append(grave, warnings...)) // where not all fit, these do
	for level, ids := range audit {
		if response.AuditAnnotations == nil {
			response.AuditAnnotations = map[string]string{}
		}
		response.AuditAnnotations[level] = strings.Join(ids, ",")
	}
	return response
}

// deny says everything twice: kubectl shows the causes and hides the message, events of controllers show the message
// and hide the causes.
func deny(response *admissionv1.AdmissionResponse, object manifest.Object, findings []policy.Finding) {
	group, _, _ := strings.Cut(object.APIVersion, "/")
	if group == object.APIVersion {
		group = "" // v1
	}
	name := object.Name
	if name == "" { // the API server makes the name later
		if named, err := manifest.FromJSON(object.JSON); err == nil {
			name = named.Name
		}
	}
	details := &metav1.StatusDetails{Kind: object.Kind, Name: name, Group: group}
	lines := make([]string, len(findings))
	for i, f := range findings {
		lines[i] = f.String()
		details.Causes = append(details.Causes, metav1.StatusCause{
			Type: metav1.CauseTypeFieldValueInvalid, Field: f.Path, Message: f.Cause()})
	}
	response.Allowed = false
	response.Result = &metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusUnprocessableEntity,
		Reason:  metav1.StatusReasonInvalid,
		Message: strings.Join(lines, "\n"),
		Details: details,
	}
}

// patch adds the edits to a response.
func patch(response *admissionv1.AdmissionResponse, operations []jsonpatch.Operation) error {
	if len(operations) == 0 {
		return nil
	}
	data, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	patchType := admissionv1.PatchTypeJSONPatch
	response.Patch, response.PatchType = data, &patchType
	return nil
}

// maxWarnings is what the API server passes on of all warnings together, in runes, with room for the last line.
const maxWarnings = 4096 - 100

// Warnings are the lines that the API server delivers: each once, and as many as fit. The last one counts the rest.
func Warnings(lines []string) []string {
	var kept []string
	seen := map[string]bool{}
	total := 0
	for _, line := range lines {
		if seen[line] {
			continue
		}
		seen[line] = true
		if total += utf8.RuneCountInString(line); total <= maxWarnings {
			kept = append(kept, line)
		}
	}
	if more := len(seen) - len(kept); more > 0 {
		kept = append(kept, fmt.Sprintf("twelvefold: and %d more; `twelvefold check` lists all", more))
	}
	return kept
}
