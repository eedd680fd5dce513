package client

import (
	"context"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// TenantKeys is the state of the tenant's keys.
func (c *Client) TenantKeys(ctx context.Context) (*api.TenantKeys, error) {
	return get[api.TenantKeys](ctx, c, api.RouteKeys)
}

// RotateTenantKey gives the tenant's key a new version. The data keys are
// wrapped anew by and by; TenantKeys tells how far that is.
func (c *Client) RotateTenantKey(ctx context.Context, in api.KeyRotate) (*api.KeyResult, error) {
	return write[api.KeyResult](ctx, c, http.MethodPost, in, api.RouteKeysRotate)
}

// RetireTenantKey takes away an old version of the tenant's key that wraps
// nothing any more. Backups of data that need it can then not be opened.
func (c *Client) RetireTenantKey(ctx context.Context, in api.KeyRetire) (*api.KeyResult, error) {
	return write[api.KeyResult](ctx, c, http.MethodPost, in, api.RouteKeysRetire)
}

// MasterKeys is the state of the server's master key.
func (c *Client) MasterKeys(ctx context.Context) (*api.MasterKeys, error) {
	return call[api.MasterKeys](ctx, c, newRequest(http.MethodGet, api.RouteMasterKeys))
}

// RotateMasterKey has the server take up a new master key and wrap the tenants'
// keys anew; MasterKeys tells how far that is.
func (c *Client) RotateMasterKey(ctx context.Context, in api.KeyRotate) (*api.KeyResult, error) {
	r, err := newRequest(http.MethodPost, api.RouteMasterRotate).json(in)
	if err != nil {
		return nil, err
	}
	return call[api.KeyResult](ctx, c, r)
}
