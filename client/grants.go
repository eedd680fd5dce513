package client

import (
	"context"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// Grants is who has, had or wants access to the tenant by break-glass, newest
// first.
func (c *Client) Grants(ctx context.Context) (*api.GrantList, error) {
	return get[api.GrantList](ctx, c, api.RouteGrants)
}

// RequestGrant asks for access to the tenant by break-glass, which is for an
// administrator of the server. Another one has to approve it.
func (c *Client) RequestGrant(ctx context.Context, in api.RequestGrant) (*api.GrantResult, error) {
	return write[api.GrantResult](ctx, c, http.MethodPost, in, api.RouteGrants)
}

// ApproveGrant begins the access that another administrator of the server asked
// for.
func (c *Client) ApproveGrant(ctx context.Context, id string) (*api.GrantResult, error) {
	r, err := c.request(http.MethodPost, api.RouteGrantApprove, id)
	if err != nil {
		return nil, err
	}
	return call[api.GrantResult](ctx, c, r)
}

// EndGrant ends such access, or withdraws what was asked for.
func (c *Client) EndGrant(ctx context.Context, id, message string) (*api.GrantResult, error) {
	r, err := c.request(http.MethodDelete, api.RouteGrant, id)
	if err != nil {
		return nil, err
	}
	return call[api.GrantResult](ctx, c, r.set("message", message))
}
