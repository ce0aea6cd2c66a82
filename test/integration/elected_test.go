package integration

import (
	"context"
	"log/slog"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/election"
)

// allow gives a service account rights in all namespaces, and that of an election by an empty Lease.
func allow(t *testing.T, ns, account, lease string, rights []rbacv1.PolicyRule) {
	t.Helper()
	name := unique(account)
	rights = append(rights, rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{lease}, Verbs: []string{"get", "update"}})
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rights},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: ns}}},
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: lease}})
}

// as is a configuration with the rights of a service account, and no others.
func as(ns, account string) *rest.Config {
	limited := rest.CopyConfig(config)
	limited.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + ns + ":" + account}
	return limited
}

// elect runs a controller as the webhook does, by an election, until the test ends. atEnd reads its log then.
func elect(t *testing.T, limited *rest.Config, ns, lease string, atEnd func(log string),
	controller func(direct client.Client, recorder events.EventRecorder, log *slog.Logger) func(context.Context)) {
	t.Helper()
	direct, err := client.New(limited, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := election.NewLock(limited, ns, lease)
	if err != nil {
		t.Fatal(err)
	}
	set, err := kubernetes.NewForConfig(limited)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: set.EventsV1()})
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	text := &syncBuffer{}
	log := slog.New(slog.NewTextHandler(text, nil))
	elected := &election.Elected{Lock: lock, Run: controller(direct, broadcaster.NewRecorder(scheme.Scheme, "twelvefold"), log), Log: log}
	done := make(chan error, 1)
	go func() { done <- elected.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		broadcaster.Shutdown()
		atEnd(text.String())
		if t.Failed() {
			t.Logf("the log:\n%s", text.String())
		}
	})
}
