package emulator

import (
	"fmt"
	"net/http"
	"time"
)

// entraError is a refusal in Entra's JSON. Clients tell them apart by the number.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
type entraError struct {
	number         int
	error, message string
}

func refuseToken(number int, oauthError, format string, args ...any) *entraError {
	return &entraError{number, oauthError, fmt.Sprintf(format, args...)}
}

func (e *entraError) write(w http.ResponseWriter) {
	status := http.StatusBadRequest
	if e.error == "invalid_client" {
		status = http.StatusUnauthorized
	}
	const trace = "00000000-0000-4000-8000-000000000000"
	now := time.Now().UTC().Format("2006-01-02 15:04:05Z")
	writeJSON(w, status, map[string]any{
		"error":             e.error,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", e.number, e.message, trace, trace, now),
		"error_codes":       []int{e.number},
		"timestamp":         now, "trace_id": trace, "correlation_id": trace,
	})
}
