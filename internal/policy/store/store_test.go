package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/policy/store"
	"twelvefold.dev/internal/review"
)

const (
	broken = "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {profil: strict}\n"
	strict = "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {profile: strict}\n"
	lax    = "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {profile: audit}\n"
)

var (
	name     = client.ObjectKey{Namespace: "twelvefold", Name: "twelvefold-policy"}
	lastGood = client.ObjectKey{Namespace: "twelvefold", Name: "twelvefold-policy-last-good"}
)

func configMap(key client.ObjectKey, text string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	if text != "" {
		c.Data = map[string]string{policy.Key: text}
	}
	return c
}

// hashOf is the hash of a policy, by which a policy in force is known.
func hashOf(t *testing.T, text string) string {
	t.Helper()
	p, err := review.LoadPolicy([]byte(text), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Hash()
}

type noEvents struct{}

func (noEvents) Eventf(_, _ runtime.Object, _, _, _, _ string, _ ...any) {}

type getter func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error

// newStore has the objects in its cluster; get answers in the place of the API server, unless it is nil.
func newStore(get getter, objects ...client.Object) (*store.Store, client.Client) {
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{Get: get}).Build()
	return &store.Store{Client: c, Recorder: noEvents{}, Log: slog.New(slog.DiscardHandler), Name: name, LastGood: lastGood}, c
}

func reconciled(t *testing.T, s *store.Store) {
	t.Helper()
	if _, err := s.Reconcile(t.Context(), reconcile.Request{NamespacedName: name}); err != nil {
		t.Fatal(err)
	}
}

func TestABrokenPolicyLeavesTheLastGoodOneInForce(t *testing.T) {
	s, c := newStore(nil, configMap(name, strict), configMap(lastGood, ""))
	var told []string
	s.Changed = func(p *policy.Policy) {
		if s.Policy() != p {
			t.Error("it is told of before it is in force")
		}
		told = append(told, p.Hash())
	}
	reconciled(t, s)
	for _, text := range []string{broken, "", lax} {
		var current corev1.ConfigMap
		if err := c.Get(t.Context(), name, &current); err != nil {
			t.Fatal(err)
		}
		current.Data = configMap(name, text).Data
		if err := c.Update(t.Context(), &current); err != nil {
			t.Fatal(err)
		}
		reconciled(t, s)
		if text == lax {
			break
		}
		if s.Policy().Hash() != hashOf(t, strict) || s.Problem() == nil || s.Ready(nil) != nil {
			t.Errorf("%q: in force is %s, problem %v, ready %v", text, s.Policy().Hash(), s.Problem(), s.Ready(nil))
		}
	}
	if s.Policy().Hash() != hashOf(t, lax) || s.Problem() != nil {
		t.Errorf("the mended policy: in force is %s, problem %v", s.Policy().Hash(), s.Problem())
	}
	if want := []string{hashOf(t, strict), hashOf(t, lax)}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}

type events []string

func (e *events) Eventf(_, _ runtime.Object, _, _, _, format string, args ...any) {
	*e = append(*e, fmt.Sprintf(format, args...))
}

// An Event has 1024 bytes, and every text in it whole characters.
func TestALongMistakeFitsAnEvent(t *testing.T) {
	for shift := range 2 {
		s, _ := newStore(nil, configMap(name, broken+strings.Repeat("x", shift)+strings.Repeat("ü", 1000)+": 1\n"), configMap(lastGood, ""))
		var told events
		s.Recorder = &told
		reconciled(t, s)
		if len(told) != 1 || len(told[0]) > 1024 || !utf8.ValidString(told[0]) {
			t.Errorf("Events %q", told)
		}
	}
}

func TestADeletedPolicyOnlyWarnsUntilItIsThereAgain(t *testing.T) {
	s, c := newStore(nil, configMap(name, strict), configMap(lastGood, ""))
	reconciled(t, s)
	if err := c.Delete(t.Context(), configMap(name, "")); err != nil {
		t.Fatal(err)
	}
	reconciled(t, s)
	if got, want := s.Policy().Hash(), policy.Default(rules.Catalogue{}).CappedAtWarn().Hash(); got != want {
		t.Errorf("in force is %s, want the built-in policy %s", got, want)
	}
	if err := c.Create(t.Context(), configMap(name, strict)); err != nil {
		t.Fatal(err)
	}
	reconciled(t, s)
	if s.Policy().Hash() != hashOf(t, strict) {
		t.Errorf("in force is %s", s.Policy().Hash())
	}
}

// A replica that starts beside a broken policy must not fall back to the built-in one, which denies nothing, because the
// API server was busy for a moment.
func TestTheLastGoodPolicyIsWaitedFor(t *testing.T) {
	failures := 1
	s, _ := newStore(func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		if key == lastGood && failures > 0 {
			failures--
			return errors.New("the API server is busy")
		}
		return c.Get(ctx, key, object, options...)
	}, configMap(name, broken), configMap(lastGood, strict))
	result, err := s.Reconcile(t.Context(), reconcile.Request{NamespacedName: name})
	if err != nil || result.RequeueAfter == 0 || s.Ready(nil) == nil {
		t.Errorf("after a failed read: %+v, error %v, ready %v", result, err, s.Ready(nil))
	}
	reconciled(t, s)
	if s.Policy().Hash() != hashOf(t, strict) || s.Problem() == nil || !strings.Contains(s.Problem().Error(), "profil") {
		t.Errorf("in force is %s, problem %v", s.Policy().Hash(), s.Problem())
	}
}
