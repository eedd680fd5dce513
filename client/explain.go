package client

import (
	"context"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// ExplainDecision says what would be decided about an action, and why: about
// the caller, or about whoever is named.
func (c *Client) ExplainDecision(ctx context.Context, in api.ExplainDecision) (*api.ExplainedDecision, error) {
	return write[api.ExplainedDecision](ctx, c, http.MethodPost, in, api.RouteExplain)
}
