package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"twelvefold.dev/internal/keyvault"
)

// once makes one attempt at what send does with the object's vault, within the time of one attempt. Who waits for the turn to send comes
// after failed, which hears of a failure; it may be nil.
func once[T any](ctx context.Context, c *Client, o keyvault.Object, send func(context.Context, *vault) (T, error), failed func(*Failure)) (out T, failure *Failure) {
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
	defer func() {
		if failure != nil && failed != nil {
			failed(failure)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, c.Retry.Timeout)
	defer cancel()
	before := v.authorized.Load()
	out, err = send(ctx, v)
	var answer *azcore.ResponseError
	switch answered := errors.As(err, &answer); {
	case answered && answer.StatusCode == http.StatusUnauthorized && before: // the token was good once: it was revoked, or our clock is slow
		c.forget(o.Vault)
		failure = c.explain(o, err, attempt)
		failure.temporary = true
		return out, failure
	case err == nil || answered && answer.StatusCode != http.StatusUnauthorized:
		v.authorized.Store(true)
	}
	if err != nil {
		return out, c.explain(o, err, attempt)
	}
	return out, nil
}
