package client

import (
	"context"
	"iter"
	"net/http"
	"strconv"

	"github.com/llm-devops/llm-config-manager/api"
)

// PostChange makes a set of edits: all of them land, or none.
func (c *Client) PostChange(ctx context.Context, change api.Change) (*api.ChangeResult, error) {
	return write[api.ChangeResult](ctx, c, http.MethodPost, change, api.RouteChanges)
}

// Rollback restores an environment's own layers as they were at a point.
func (c *Client) Rollback(ctx context.Context, rollback api.Rollback) (*api.ChangeResult, error) {
	return write[api.ChangeResult](ctx, c, http.MethodPost, rollback, api.RouteRollback)
}

// Revert undoes one change everywhere it touched.
func (c *Client) Revert(ctx context.Context, revert api.Revert) (*api.ChangeResult, error) {
	return write[api.ChangeResult](ctx, c, http.MethodPost, revert, api.RouteRevert)
}

// Promote replaces an environment's own layers by another's.
func (c *Client) Promote(ctx context.Context, promote api.Promote) (*api.ChangeResult, error) {
	return write[api.ChangeResult](ctx, c, http.MethodPost, promote, api.RoutePromote)
}

// Change is one revision, with the effective documents it changed.
func (c *Client) Change(ctx context.Context, revision int64) (*api.LogEntry, error) {
	return get[api.LogEntry](ctx, c, api.RouteChange, strconv.FormatInt(revision, 10))
}

// Changes is one page of the tenant's revisions, newest first.
func (c *Client) Changes(ctx context.Context, page Page) (*api.LogList, error) {
	return list[api.LogList](ctx, c, page, api.RouteChanges)
}

// AllChanges goes through the tenant's revisions, newest first.
func (c *Client) AllChanges(ctx context.Context, page Page) iter.Seq2[api.LogEntry, error] {
	return all(page, func(p Page) ([]api.LogEntry, string, error) {
		found, err := c.Changes(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return found.Changes, found.Next, nil
	})
}

// list is one page of a list of the tenant's.
func list[T any](ctx context.Context, c *Client, page Page, route string, values ...string) (*T, error) {
	r, err := c.request(http.MethodGet, route, values...)
	if err != nil {
		return nil, err
	}
	page.apply(r)
	return call[T](ctx, c, r)
}
