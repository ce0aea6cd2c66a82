package live

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/policy"
)

// Policy is the policy ConfigMap, nil if there is none. Where ConfigMaps may not be listed, why is told.
func (c *Cluster) Policy(ctx context.Context) (found *corev1.ConfigMap, unread, err error) {
	var list corev1.ConfigMapList
	err = c.client.List(ctx, &list, client.MatchingLabels{policy.ConfigMapLabel: "true"})
	if apierrors.IsForbidden(err) {
		return nil, err, nil
	} else if err != nil {
		return nil, nil, c.explain(err)
	}
	names := make([]string, len(list.Items))
	for i, item := range list.Items {
		names[i] = item.Namespace + "/" + item.Name
	}
	switch len(list.Items) {
	case 0:
		return nil, nil, nil
	case 1:
		return &list.Items[0], nil, nil
	}
	return nil, nil, fmt.Errorf("the cluster has several policies: %s; which of them holds is a flag of the webhook: get that one with kubectl, and name it with --policy", strings.Join(names, ", "))
}
