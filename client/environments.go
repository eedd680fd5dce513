package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// Environments is all environments of the tenant.
func (c *Client) Environments(ctx context.Context) (*api.EnvironmentList, error) {
	return get[api.EnvironmentList](ctx, c, api.RouteEnvironments)
}

// Environment is one environment of the tenant.
func (c *Client) Environment(ctx context.Context, name string) (*api.Environment, error) {
	return get[api.Environment](ctx, c, api.RouteEnvironment, name)
}

// PutEnvironment creates an environment, or changes its parent or whether it
// inherits secrets.
func (c *Client) PutEnvironment(ctx context.Context, name string, in api.EnvironmentInput) (*api.EnvironmentResult, error) {
	return write[api.EnvironmentResult](ctx, c, http.MethodPut, in, api.RouteEnvironment, name)
}

// DeleteEnvironment deletes an environment that nothing depends on.
func (c *Client) DeleteEnvironment(ctx context.Context, name, message string) (*api.Deleted, error) {
	return c.delete(ctx, message, api.RouteEnvironment, name)
}

// Tag is one tag of the tenant.
func (c *Client) Tag(ctx context.Context, name string) (*api.Tag, error) {
	return get[api.Tag](ctx, c, api.RouteTag, name)
}

// PutTag makes the tag name a revision.
func (c *Client) PutTag(ctx context.Context, name string, in api.TagInput) (*api.TagResult, error) {
	return write[api.TagResult](ctx, c, http.MethodPut, in, api.RouteTag, name)
}

// DeleteTag deletes the name; the revision it named stays.
func (c *Client) DeleteTag(ctx context.Context, name, message string) (*api.Deleted, error) {
	return c.delete(ctx, message, api.RouteTag, name)
}

// Tags is one page of the tenant's tags, by name.
func (c *Client) Tags(ctx context.Context, page Page) (*api.TagList, error) {
	return list[api.TagList](ctx, c, page, api.RouteTags)
}

// AllTags goes through the tenant's tags, by name.
func (c *Client) AllTags(ctx context.Context, page Page) iter.Seq2[api.Tag, error] {
	return all(page, func(p Page) ([]api.Tag, string, error) {
		found, err := c.Tags(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return found.Tags, found.Next, nil
	})
}

func (c *Client) delete(ctx context.Context, message, route string, values ...string) (*api.Deleted, error) {
	r, err := c.request(http.MethodDelete, route, values...)
	if err != nil {
		return nil, err
	}
	return call[api.Deleted](ctx, c, r.message(message))
}
