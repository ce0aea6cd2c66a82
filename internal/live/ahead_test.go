package live

import (
	"context"
	"sync/atomic"
	"testing"
)

// Results come in order, and no more are waiting than are read at a time.
func TestAhead(t *testing.T) {
	const n = 50
	var begun atomic.Int32
	next := 0
	for i, result := range ahead(t.Context(), n, func(_ context.Context, i int) int { begun.Add(1); return i * i }) {
		if i != next || result != i*i {
			t.Fatalf("%d: %d", i, result)
		}
		if waiting := int(begun.Load()) - i; waiting > parallel {
			t.Fatalf("%d were begun before %d was taken", waiting, i)
		}
		next++
	}
	if next != n {
		t.Errorf("%d of %d", next, n)
	}
}

// Whoever has enough stops the rest.
func TestAheadStops(t *testing.T) {
	var stopped context.Context
	for range ahead(t.Context(), 50, func(ctx context.Context, i int) int {
		if i == 0 {
			stopped = ctx
		}
		return i
	}) {
		break
	}
	if stopped.Err() == nil {
		t.Error("what is still read is not told to stop")
	}
}
