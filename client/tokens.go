package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// CreateToken issues an administrator's token of the tenant. Its value is shown
// only here; with ErrTokenLost the token stands, and comes with the error.
func (c *Client) CreateToken(ctx context.Context, in api.NewToken) (*api.IssuedToken, error) {
	r, err := c.request(http.MethodPost, api.RouteTokens)
	if err != nil {
		return nil, err
	}
	return c.issue(ctx, r, in)
}

// RevokeToken takes a token of the tenant back.
func (c *Client) RevokeToken(ctx context.Context, id string) (*api.Deleted, error) {
	return c.delete(ctx, "", api.RouteToken, id)
}

// RotateToken gives a token of the tenant a successor of the same name and
// rights. Its value is shown only here; with ErrTokenLost the successor stands,
// and comes with the error.
func (c *Client) RotateToken(ctx context.Context, id string, in api.TokenRotate) (*api.IssuedToken, error) {
	r, err := c.request(http.MethodPost, api.RouteTokenRotate, id)
	if err != nil {
		return nil, err
	}
	return c.issue(ctx, r, in)
}

// Tokens is one page of the tenant's tokens.
func (c *Client) Tokens(ctx context.Context, page Page) (*api.TokenList, error) {
	return list[api.TokenList](ctx, c, page, api.RouteTokens)
}

// AllTokens goes through the tenant's tokens.
func (c *Client) AllTokens(ctx context.Context, page Page) iter.Seq2[api.Token, error] {
	return allTokens(page, func(p Page) (*api.TokenList, error) { return c.Tokens(ctx, p) })
}

// CreateServerToken is CreateToken for an administrator of the server.
func (c *Client) CreateServerToken(ctx context.Context, in api.NewToken) (*api.IssuedToken, error) {
	return c.issue(ctx, newRequest(http.MethodPost, api.RouteServerTokens), in)
}

// RotateServerToken is RotateToken for a token of the server.
func (c *Client) RotateServerToken(ctx context.Context, id string, in api.TokenRotate) (*api.IssuedToken, error) {
	return c.issue(ctx, newRequest(http.MethodPost, api.RouteServerRotate, id), in)
}

func (c *Client) issue(ctx context.Context, r *request, in any) (*api.IssuedToken, error) {
	r, err := r.json(in)
	if err != nil {
		return nil, err
	}
	issued, err := call[api.IssuedToken](ctx, c, r)
	if err != nil {
		return nil, err
	}
	return issued, unlessLost(*issued)
}

// RevokeServerToken takes a token of the server back.
func (c *Client) RevokeServerToken(ctx context.Context, id string) (*api.Deleted, error) {
	return call[api.Deleted](ctx, c, newRequest(http.MethodDelete, api.RouteServerToken, id))
}

// ServerTokens is one page of the server's tokens.
func (c *Client) ServerTokens(ctx context.Context, page Page) (*api.TokenList, error) {
	r := newRequest(http.MethodGet, api.RouteServerTokens)
	page.apply(r)
	return call[api.TokenList](ctx, c, r)
}

// AllServerTokens goes through the server's tokens.
func (c *Client) AllServerTokens(ctx context.Context, page Page) iter.Seq2[api.Token, error] {
	return allTokens(page, func(p Page) (*api.TokenList, error) { return c.ServerTokens(ctx, p) })
}

func allTokens(page Page, fetch func(Page) (*api.TokenList, error)) iter.Seq2[api.Token, error] {
	return all(page, func(p Page) ([]api.Token, string, error) {
		found, err := fetch(p)
		if err != nil {
			return nil, "", err
		}
		return found.Tokens, found.Next, nil
	})
}
