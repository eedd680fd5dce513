package client

import (
	"context"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// Identity is who the server takes the caller for.
func (c *Client) Identity(ctx context.Context) (*api.Identity, error) {
	return call[api.Identity](ctx, c, newRequest(http.MethodGet, api.RouteIdentity))
}

// LoginMethods are the issuers that people can log in at. It takes no token.
func (c *Client) LoginMethods(ctx context.Context) (*api.LoginMethods, error) {
	return call[api.LoginMethods](ctx, c, newRequest(http.MethodGet, api.RouteLoginMethods))
}

// Version says what build the server is.
func (c *Client) Version(ctx context.Context) (*api.Version, error) {
	return call[api.Version](ctx, c, newRequest(http.MethodGet, api.RouteVersion))
}

// Live says whether the server's process works at all.
func (c *Client) Live(ctx context.Context) (*api.Health, error) { return c.health(ctx, api.RouteLive) }

// Ready says whether the server can serve now. One that cannot is no error:
// its Status is not "ok", and its Checks say why.
func (c *Client) Ready(ctx context.Context) (*api.Health, error) {
	return c.health(ctx, api.RouteReady)
}

// Startup says whether the server has started.
func (c *Client) Startup(ctx context.Context) (*api.Health, error) {
	return c.health(ctx, api.RouteStartup)
}

// health asks once: a probe wants to know how things are, not how they will be.
func (c *Client) health(ctx context.Context, route string) (*api.Health, error) {
	r := newRequest(http.MethodGet, route)
	r.once = true
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK && (a.status != http.StatusServiceUnavailable || mediaType(a.header) != api.TypeJSON) {
		return nil, c.failure(a)
	}
	return decode[api.Health](c, a)
}
