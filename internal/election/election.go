// Package election runs in one replica at a time what every replica of the webhook could do.
package election

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// Elected runs something in one replica at a time. The manager has an election of its own, but ends the process that loses
// it: here the webhooks must go on answering, and the replica stands for election again.
type Elected struct {
	Lock resourcelock.Interface
	Run  func(context.Context)
	Log  *slog.Logger
}

// NewLock is the lock of this process on a Lease, which is there from the installation.
func NewLock(config *rest.Config, namespace, lease string) (resourcelock.Interface, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("election: %w", err)
	}
	return resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, lease,
		resourcelock.ResourceLockConfig{Identity: host + "_" + rand.String(8)}, config, renewDeadline)
}

// NeedLeaderElection is false: it makes its own.
func (e *Elected) NeedLeaderElection() bool { return false }

// Start stands for election until the context ends.
func (e *Elected) Start(ctx context.Context) error {
	var one sync.Mutex // the callback is called in a goroutine, which may outlive its term by a moment
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: e.Lock, Name: e.Lock.Describe(), LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
			ReleaseOnCancel: true, // two at once for a moment must do no harm
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					one.Lock()
					defer one.Unlock()
					e.Log.Info("this replica leads", "lease", e.Lock.Describe())
					e.Run(ctx)
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return fmt.Errorf("election: %w", err)
		}
		elector.Run(ctx)
	}
	return nil
}
