package emulator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// TokenAudience is the audience that a service account's token needs for the exchange.
const TokenAudience = "api://AzureADTokenExchange"

// leeway is how far Entra lets clocks differ.
const leeway = 5 * time.Minute

// verifyFederated judges a service account's token as Entra does: who issued it, is it genuine, is it meant for the exchange, is it in time,
// and has the application a federated credential for its subject.
func (e *Emulator) verifyFederated(ctx context.Context, tenant, clientID, assertion string) *entraError {
	id, ok := e.store.identity(clientID)
	if !ok || id.Tenant != tenant {
		return unknownApplication(tenant, clientID)
	}
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return refuseToken(50027, "invalid_request", "JWT token is invalid or malformed.")
	}
	var claims jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return refuseToken(50027, "invalid_request", "JWT token is invalid or malformed.")
	}
	issuer := e.issuer(claims.Issuer)
	if issuer == nil {
		return refuseToken(700211, "invalid_client", "No matching federated identity record found for presented assertion issuer '%s'.", claims.Issuer)
	}
	if err := issuer.verify(ctx, token, &claims); err != nil {
		return refuseToken(700027, "invalid_client", "The client assertion failed signature validation: %v.", err)
	}
	switch err := claims.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{TokenAudience}, Time: e.now()}, leeway); {
	case errors.Is(err, jwt.ErrInvalidAudience):
		return refuseToken(700212, "invalid_client", "No matching federated identity record found for presented assertion audience '%s'.", strings.Join(claims.Audience, " "))
	case err != nil:
		return refuseToken(700024, "invalid_client", "Client assertion is not within its valid time range.")
	}
	if !slices.ContainsFunc(id.Federated, func(f Federated) bool { return f.matches(claims) }) {
		return refuseToken(700213, "invalid_client", "No matching federated identity record found for presented assertion subject '%s'.", claims.Subject)
	}
	return nil
}

func unknownApplication(tenant, clientID string) *entraError {
	return refuseToken(700016, "unauthorized_client", "Application with identifier '%s' was not found in the directory '%s'.", clientID, tenant)
}

func (f Federated) matches(c jwt.Claims) bool {
	if f.Issuer != "" && f.Issuer != c.Issuer {
		return false
	}
	if prefix, any := strings.CutSuffix(f.Subject, "*"); any {
		return strings.HasPrefix(c.Subject, prefix)
	}
	return f.Subject == c.Subject
}
