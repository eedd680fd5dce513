package client

import (
	"context"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// Quota is the tenant's limits, and what it uses of them.
func (c *Client) Quota(ctx context.Context) (*api.Quota, error) {
	return get[api.Quota](ctx, c, api.RouteQuota)
}

// PutQuota sets all limits of the tenant, which is for an administrator of the
// server; those left out go back to the default.
func (c *Client) PutQuota(ctx context.Context, in api.PutQuota) (*api.Quota, error) {
	return write[api.Quota](ctx, c, http.MethodPut, in, api.RouteQuota)
}
