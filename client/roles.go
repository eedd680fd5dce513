package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// Roles is all roles of the tenant, the built-in ones first.
func (c *Client) Roles(ctx context.Context) (*api.RoleList, error) {
	return get[api.RoleList](ctx, c, api.RouteRoles)
}

// Role is a version of a role, 0 being the newest.
func (c *Client) Role(ctx context.Context, name string, version int64) (*api.Role, error) {
	r, err := c.request(http.MethodGet, api.RouteRole, name)
	if err != nil {
		return nil, err
	}
	return call[api.Role](ctx, c, r.setInt("version", version))
}

// PutRole defines a role of the tenant's own.
func (c *Client) PutRole(ctx context.Context, name string, in api.PutRole) (*api.RoleResult, error) {
	return write[api.RoleResult](ctx, c, http.MethodPut, in, api.RouteRole, name)
}

// RoleDelete says how a role is to be deleted.
type RoleDelete struct {
	Message   string
	IfVersion *int64 // the role's newest version must be this; nil means whatever it is
}

// DeleteRole deletes a role of the tenant's own.
func (c *Client) DeleteRole(ctx context.Context, name string, d RoleDelete) (*api.RoleResult, error) {
	r, err := c.request(http.MethodDelete, api.RouteRole, name)
	if err != nil {
		return nil, err
	}
	return call[api.RoleResult](ctx, c, r.set("message", d.Message).setVersion("if_version", d.IfVersion))
}

// RoleHistory is one page of the versions of a role, newest first.
func (c *Client) RoleHistory(ctx context.Context, name string, page Page) (*api.PolicyHistory, error) {
	return list[api.PolicyHistory](ctx, c, page, api.RouteRoleHistory, name)
}

// AllRoleHistory goes through the versions of a role, newest first.
func (c *Client) AllRoleHistory(ctx context.Context, name string, page Page) iter.Seq2[api.Policy, error] {
	return allVersions(page, func(p Page) (*api.PolicyHistory, error) { return c.RoleHistory(ctx, name, p) })
}
