// Package admission is HTTP in and out: AdmissionReviews become inputs of the engine, verdicts become responses,
// warnings and audit annotations. It decides nothing by itself.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	kjson "sigs.k8s.io/json"
)

// MaxBody is the largest request that is read, in bytes. The API server sends two objects of 3 MiB at most.
const MaxBody = 7 << 20

// patience is how long a request may wait for what caches do not know. The API server gives up after five seconds; what is
// unknown by then is said to be, and not found out.
const patience = 4 * time.Second

// reviewer answers one request of the API server. An error is ours, not the user's: the webhook's failurePolicy decides.
type reviewer func(r *http.Request, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error)

// handler serves a reviewer over HTTP.
type handler struct {
	webhook string // its name in metrics and logs
	review  reviewer
	log     *slog.Logger
	metrics *Metrics
}

// ServeHTTP answers 200 with a decision. Any other code makes the API server apply the webhook's failurePolicy.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	uid := ""
	defer func() {
		// A bug must not end the process. The stack names code and never arguments' contents.
		if p := recover(); p != nil {
			h.log.Error("panic", "webhook", h.webhook, "uid", uid, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			h.fail(w, http.StatusInternalServerError, errors.New("internal error; the webhook's log has the stack"))
		}
		h.metrics.latency.WithLabelValues(h.webhook).Observe(time.Since(start).Seconds())
	}()
	review, code, err := readReview(w, r)
	if err != nil {
		h.fail(w, code, err)
		return
	}
	uid = string(review.Request.UID)
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	response, err := h.review(r.WithContext(ctx), review.Request)
	if err != nil {
		h.log.Error("review failed", "webhook", h.webhook, "uid", uid, "namespace", review.Request.Namespace, "error", err)
		h.fail(w, http.StatusInternalServerError, err)
		return
	}
	h.metrics.answered(h.webhook, review.Request, response)
	response.UID = review.Request.UID
	review.Response, review.Request = response, nil
	body, err := json.Marshal(review)
	if err != nil {
		h.fail(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the API server has gone away: nothing is left to tell it
}

func (h handler) fail(w http.ResponseWriter, code int, err error) {
	h.metrics.decisions.WithLabelValues(h.webhook, "error").Inc()
	http.Error(w, "twelvefold: "+err.Error(), code)
}

// readReview reads the body; on an error it also gives the HTTP status.
func readReview(w http.ResponseWriter, r *http.Request) (*admissionv1.AdmissionReview, int, error) {
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed, fmt.Errorf("method %s; want POST", r.Method)
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("content type %q; want application/json", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body exceeds %d bytes", MaxBody)
	} else if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("reading the body: %w", err)
	}
	var review admissionv1.AdmissionReview
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &review); err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("not an AdmissionReview: %w", err)
	}
	switch {
	case review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview":
		return nil, http.StatusBadRequest, fmt.Errorf("%s %s; want %s AdmissionReview", review.APIVersion, review.Kind, admissionv1.SchemeGroupVersion)
	case review.Request == nil || review.Request.UID == "":
		return nil, http.StatusBadRequest, errors.New("the AdmissionReview has no request with a uid")
	}
	return &review, http.StatusOK, nil
}
