package azure

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"twelvefold.dev/internal/keyvault"
)

// once makes one attempt at what send does with the object's vault, within the time of one attempt.
func once[T any](ctx context.Context, c *Client, o keyvault.Object, send func(context.Context, *vault) (T, error)) (out T, failure *Failure) {
	defer func() {
		if p := recover(); p != nil { // a panic's message might quote a response; the stack holds addresses only
			c.Log.Error("internal error", "vault", o.Vault, "object", o.Name, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			failure = &Failure{Kind: Configuration, Subject: o.String(), Problem: "internal error", Fix: "report the stack in the log"}
		}
	}()
	ctx, attempt := withAttempt(ctx)
	v, err := c.vault(o.Vault)
	if err != nil {
		return out, c.explain(o, err, attempt)
	}
	leave, err := v.enter(ctx)
	if err != nil {
		return out, c.explain(o, err, attempt)
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, c.Retry.Timeout)
	defer cancel()
	out, err = send(ctx, v)
	var answer *azcore.ResponseError
	if err == nil || errors.As(err, &answer) {
		v.authorized.Store(true)
	}
	if err != nil {
		return out, c.explain(o, err, attempt)
	}
	return out, nil
}
