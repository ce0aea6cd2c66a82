package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/client-go/util/cert"

	"twelvefold.dev/internal/admission"
)

// webhook is the real webhook, served over TLS on loopback.
type webhook struct {
	url    string
	client *http.Client
	server *http.Server
}

type mux struct{ *http.ServeMux }

func (m mux) Register(path string, h http.Handler) { m.Handle(path, h) }

func startWebhook(w *admission.Webhooks) (*webhook, error) {
	w.Log = slog.New(slog.DiscardHandler)
	w.Metrics = admission.NewMetrics(prometheus.NewRegistry())
	w.Now = time.Now
	endpoints := mux{http.NewServeMux()}
	w.Register(endpoints)

	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	served := &webhook{
		url:    "https://" + listener.Addr().String(),
		client: &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}},
		server: &http.Server{Handler: endpoints, ReadHeaderTimeout: 5 * time.Second,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}},
	}
	go func() { _ = served.server.ServeTLS(listener, "", "") }() // ends with close
	return served, nil
}

func (w *webhook) close() {
	w.client.CloseIdleConnections()
	_ = w.server.Close() // the demo is over
}

// ask sends a request as the API server sends it.
func (w *webhook) ask(ctx context.Context, path string, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	review := admissionv1.AdmissionReview{Request: request}
	review.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
	body, err := json.Marshal(review)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+path+"?timeout=5s", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := w.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", answer.Status, body)
	}
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, err
	}
	if review.Response == nil {
		return nil, errors.New("the answer has no response")
	}
	return review.Response, nil
}
