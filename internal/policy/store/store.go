// Package store keeps the policy in force: it follows the policy ConfigMap, and lets only a good policy take effect.
// The last good one is kept in a second ConfigMap, so that a bad one changes nothing across a restart either.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

// Recorder writes Events; it is the part of client-go's events.EventRecorder that is used here.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Store holds the policy in force.
type Store struct {
	Client   client.Client // reads must not come from a cache that has not synchronised
	Recorder Recorder
	Log      *slog.Logger
	Name     client.ObjectKey // the policy ConfigMap
	LastGood client.ObjectKey // the copy of the last good one, which must exist

	mu      sync.RWMutex
	current *policy.Policy
	problem error  // why the ConfigMap as it is has no effect
	reading string // resourceVersion of the ConfigMap that was read last

	valid *prometheus.GaugeVec
}

// RegisterMetrics registers twelvefold_policy_valid.
func (s *Store) RegisterMetrics(registry prometheus.Registerer) {
	s.valid = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "twelvefold_policy_valid",
		Help: "1 if the policy ConfigMap is in force, 0 if it is broken and an earlier policy is; by the hash of the policy in force.",
	}, []string{"hash"})
	registry.MustRegister(s.valid)
}

// Policy is the policy in force. It is the built-in one before anything was read, but then Ready fails.
func (s *Store) Policy() *policy.Policy {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.current == nil {
		return fallback()
	}
	return s.current
}

// fallback never denies: nobody has chosen to.
func fallback() *policy.Policy { return policy.Default(rules.Catalogue{}).CappedAtWarn() }

// Ready fails until a policy was loaded. A bad ConfigMap does not make it fail: a good policy is in force.
func (s *Store) Ready(*http.Request) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.current == nil {
		return errors.New("no policy was read yet")
	}
	return nil
}

// Problem says why the policy ConfigMap has no effect; nil if it has.
func (s *Store) Problem() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.problem
}

// NeedLeaderElection is false: every replica has a policy.
func (s *Store) NeedLeaderElection() bool { return false }

// Start reads the policy once, however long that takes. Reconcile follows its changes.
func (s *Store) Start(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		if err := s.read(ctx); err != nil {
			s.Log.Warn("reading the policy failed", "configmap", s.Name, "error", err)
			return false, nil
		}
		return true, nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Reconcile reads the policy anew.
func (s *Store) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	if request.NamespacedName != s.Name {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, s.read(ctx)
}

func (s *Store) read(ctx context.Context) error {
	var configMap corev1.ConfigMap
	err := s.Client.Get(ctx, s.Name, &configMap)
	if apierrors.IsNotFound(err) {
		s.Log.Warn("there is no policy ConfigMap: the built-in policy holds, and only warns", "configmap", s.Name)
		s.seen("")
		s.use(fallback(), nil)
		return nil
	}
	if err != nil {
		return err
	}
	if s.seen(configMap.ResourceVersion) {
		return nil
	}
	text := configMap.Data[policy.Key]
	loaded, err := load(text)
	if err != nil {
		s.reject(ctx, &configMap, err)
		return nil
	}
	for _, warning := range loaded.Warnings(time.Now()) {
		s.Log.Warn("policy", "configmap", s.Name, "warning", warning)
	}
	s.use(loaded, nil)
	s.keep(ctx, text)
	return nil
}

// seen says whether this version was read before, and remembers it: start and watch both report the first one.
func (s *Store) seen(resourceVersion string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.reading
	s.reading = resourceVersion
	return before == resourceVersion
}

func load(text string) (*policy.Policy, error) {
	if text == "" {
		return nil, fmt.Errorf("policy: the key %q is missing or empty", policy.Key)
	}
	return review.LoadPolicy([]byte(text), rules.Catalogue{})
}

// reject leaves the policy in force as it is; a replica that has none yet takes the last good one.
func (s *Store) reject(ctx context.Context, configMap *corev1.ConfigMap, problem error) {
	current := s.Policy()
	if s.Ready(nil) != nil {
		current = s.lastGood(ctx)
	}
	s.use(current, problem)
	s.Log.Error("the policy ConfigMap is broken and has no effect", "configmap", s.Name, "inForce", current.Hash(), "error", problem)
	s.Recorder.Eventf(configMap, nil, corev1.EventTypeWarning, "PolicyInvalid", "LoadPolicy",
		"has no effect, policy %s stays in force: %s", current.Hash(), truncate(problem.Error()))
}

// truncate keeps a note within the 1024 bytes of an Event.
func truncate(text string) string {
	const most = 800
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func (s *Store) lastGood(ctx context.Context) *policy.Policy {
	var kept corev1.ConfigMap
	err := s.Client.Get(ctx, s.LastGood, &kept)
	if err == nil {
		var loaded *policy.Policy
		if loaded, err = load(kept.Data[policy.Key]); err == nil {
			return loaded
		}
	}
	s.Log.Warn("there is no last good policy: the built-in policy holds, and only warns", "configmap", s.LastGood, "error", err)
	return fallback()
}

// keep remembers a good policy. Replicas do the same at the same time, so a conflict means that it is done.
func (s *Store) keep(ctx context.Context, text string) {
	var kept corev1.ConfigMap
	err := s.Client.Get(ctx, s.LastGood, &kept)
	if err == nil && kept.Data[policy.Key] != text {
		kept.Data = map[string]string{policy.Key: text}
		err = s.Client.Update(ctx, &kept)
	}
	if err != nil && !apierrors.IsConflict(err) {
		s.Log.Warn("the last good policy could not be kept", "configmap", s.LastGood, "error", err)
	}
}

func (s *Store) use(p *policy.Policy, problem error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.current.Hash() != p.Hash() {
		s.Log.Info("policy in force", "hash", p.Hash())
	}
	s.current, s.problem = p, problem
	if s.valid != nil {
		s.valid.Reset()
		valid := 1.0
		if problem != nil {
			valid = 0
		}
		s.valid.WithLabelValues(p.Hash()).Set(valid)
	}
}
