package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// CreateTenant creates a tenant with its environments and first token. With
// ErrTokenLost the tenant stands, and comes with the error.
func (c *Client) CreateTenant(ctx context.Context, in api.NewTenant) (*api.FoundedTenant, error) {
	r, err := newRequest(http.MethodPost, api.RouteTenants).json(in)
	if err != nil {
		return nil, err
	}
	founded, err := call[api.FoundedTenant](ctx, c, r)
	if err != nil {
		return nil, err
	}
	return founded, unlessLost(founded.Token)
}

// GetTenant is the tenant of that name.
func (c *Client) GetTenant(ctx context.Context, name string) (*api.Tenant, error) {
	return call[api.Tenant](ctx, c, newRequest(http.MethodGet, api.RouteTenant, name))
}

// DeleteTenant deletes a tenant, its keys and all it holds.
func (c *Client) DeleteTenant(ctx context.Context, name string) (*api.Deleted, error) {
	return call[api.Deleted](ctx, c, newRequest(http.MethodDelete, api.RouteTenant, name))
}

// Tenants is one page of the tenants, by name.
func (c *Client) Tenants(ctx context.Context, page Page) (*api.TenantList, error) {
	r := newRequest(http.MethodGet, api.RouteTenants)
	page.apply(r)
	return call[api.TenantList](ctx, c, r)
}

// AllTenants goes through the tenants, by name.
func (c *Client) AllTenants(ctx context.Context, page Page) iter.Seq2[api.Tenant, error] {
	return all(page, func(p Page) ([]api.Tenant, string, error) {
		found, err := c.Tenants(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return found.Tenants, found.Next, nil
	})
}

// unlessLost is ErrTokenLost for a token that came without its value.
func unlessLost(token api.IssuedToken) error {
	if token.Value != "" {
		return nil
	}
	return fmt.Errorf("token %s: %w", token.ID, ErrTokenLost)
}
