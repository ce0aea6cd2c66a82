// Package store keeps the policy in force: it follows the policy ConfigMap, and lets only a good policy take effect.
// The last good one is kept in a second ConfigMap, so that a bad one changes nothing across a restart either.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

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
	// Changed hears of every policy that takes effect; nil if nobody wants to know.
	Changed func(*policy.Policy)

	mu      sync.RWMutex
	current *policy.Policy
	problem error // why the ConfigMap as it is has no effect

	read  string // resourceVersion of the ConfigMap that was read last; only Reconcile looks at it
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

// Source asks for the first read, whether there is a ConfigMap to watch or not.
func (s *Store) Source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{NamespacedName: s.Name})
		return nil
	})
}

// again is when a read that failed is repeated: soon, for nobody is served without a policy.
const again = time.Second

// Reconcile reads the policy anew. It must not run twice at a time, or the older of two could win.
func (s *Store) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	if request.NamespacedName != s.Name {
		return reconcile.Result{}, nil
	}
	if err := s.load(ctx); err != nil {
		s.Log.Warn("reading the policy failed", "configmap", s.Name.String(), "error", err)
		return reconcile.Result{RequeueAfter: again}, nil
	}
	return reconcile.Result{}, nil
}

func (s *Store) load(ctx context.Context) error {
	var configMap corev1.ConfigMap
	err := s.Client.Get(ctx, s.Name, &configMap)
	if apierrors.IsNotFound(err) {
		s.Log.Warn("there is no policy ConfigMap: the built-in policy holds, and only warns", "configmap", s.Name.String())
		s.read = ""
		s.use(fallback(), nil)
		return nil
	}
	if err != nil || configMap.ResourceVersion == s.read {
		return err
	}
	text := configMap.Data[policy.Key]
	loaded, problem := parse(text)
	if problem != nil {
		err = s.reject(ctx, &configMap, problem)
	} else {
		for _, warning := range loaded.Warnings(time.Now()) {
			s.Log.Warn("policy", "configmap", s.Name.String(), "warning", warning)
		}
		s.use(loaded, nil)
		s.keep(ctx, text)
	}
	if err == nil {
		s.read = configMap.ResourceVersion
	}
	return err
}

func parse(text string) (*policy.Policy, error) {
	if text == "" {
		return nil, fmt.Errorf("policy: the key %q is missing or empty", policy.Key)
	}
	return review.LoadPolicy([]byte(text), rules.Catalogue{})
}

// reject leaves the policy in force as it is; a replica that has none yet takes the last good one.
func (s *Store) reject(ctx context.Context, configMap *corev1.ConfigMap, problem error) error {
	current := s.Policy()
	if s.Ready(nil) != nil {
		var err error
		if current, err = s.lastGood(ctx); err != nil {
			return fmt.Errorf("the last good policy, %s: %w", s.LastGood, err)
		}
	}
	s.use(current, problem)
	s.Log.Error("the policy ConfigMap is broken and has no effect", "configmap", s.Name.String(), "inForce", current.Hash(), "error", problem)
	s.Recorder.Eventf(configMap, nil, corev1.EventTypeWarning, "PolicyInvalid", "LoadPolicy",
		"has no effect, policy %s stays in force: %s", current.Hash(), truncate(problem.Error()))
	return nil
}

// truncate keeps a note within the 1024 bytes of an Event.
func truncate(text string) string {
	const most = 800
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// lastGood is the policy that was kept, or the built-in one if none was. An error says nothing about whether there is one.
func (s *Store) lastGood(ctx context.Context) (*policy.Policy, error) {
	var kept corev1.ConfigMap
	err := s.Client.Get(ctx, s.LastGood, &kept)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	if err == nil {
		var loaded *policy.Policy
		if loaded, err = parse(kept.Data[policy.Key]); err == nil {
			return loaded, nil
		}
	}
	s.Log.Warn("there is no last good policy: the built-in policy holds, and only warns", "configmap", s.LastGood.String(), "error", err)
	return fallback(), nil
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
		s.Log.Warn("the last good policy could not be kept", "configmap", s.LastGood.String(), "error", err)
	}
}

func (s *Store) use(p *policy.Policy, problem error) {
	if s.replace(p, problem) {
		s.Log.Info("policy in force", "hash", p.Hash())
		if s.Changed != nil {
			s.Changed(p)
		}
	}
}

// replace says whether the policy is another one than before.
func (s *Store) replace(p *policy.Policy, problem error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.current == nil || s.current.Hash() != p.Hash()
	s.current, s.problem = p, problem
	if s.valid != nil {
		s.valid.Reset()
		valid := 1.0
		if problem != nil {
			valid = 0
		}
		s.valid.WithLabelValues(p.Hash()).Set(valid)
	}
	return changed
}
