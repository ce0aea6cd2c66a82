package integration

import (
	"context"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	controlplane "sigs.k8s.io/controller-runtime/pkg/envtest"
)

// installCRDs installs those of a directory, until the test ends or uninstall is called.
func installCRDs(t *testing.T, dir string) (uninstall func()) {
	t.Helper()
	crds, err := controlplane.InstallCRDs(config, controlplane.CRDInstallOptions{Paths: []string{dir}, ErrorIfPathMissing: true, MaxTime: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	uninstall = func() {
		if err := controlplane.UninstallCRDs(config, controlplane.CRDInstallOptions{CRDs: crds}); err != nil {
			t.Error(err)
		}
		for _, crd := range crds { // the next test would find it half gone
			untilGone(t, crd.Name)
		}
	}
	t.Cleanup(uninstall)
	return uninstall
}

// untilGone waits for the end of a CRD that is being deleted, and touches it every other second. In the API server, a retry of
// its finalizer that meets its own last write in an old copy takes that for somebody else's and waits for the event, which it
// then skips as its own (updateCustomResourceDefinition in crd_finalizer.go of apiextensions-apiserver 0.37).
func untilGone(t *testing.T, name string) {
	t.Helper()
	ctx := context.Background() // t's has ended in a cleanup
	crd := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}}
	crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	touched := time.Now()
	until(t, name+" is gone", func() bool {
		if time.Since(touched) > 2*time.Second {
			touched = time.Now()
			patch := client.RawPatch(client.Merge.Type(), []byte(`{"metadata":{"annotations":{"touched":"`+touched.Format(time.RFC3339)+`"}}}`))
			if err := client.IgnoreNotFound(admin.Patch(ctx, crd, patch)); err != nil {
				t.Error(err)
			}
		}
		return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(crd), crd))
	})
}
