package client

import (
	"context"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// Ack tells the server what this program runs, for 90 seconds. A Store does it
// by itself. It is tried once: the next one says all that this one does.
func (c *Client) Ack(ctx context.Context, environment string, ack api.Ack) (*api.AckResult, error) {
	r, err := c.request(http.MethodPost, api.RouteAcks, environment)
	if err != nil {
		return nil, err
	}
	if r, err = r.json(ack); err != nil {
		return nil, err
	}
	r.once = true
	return call[api.AckResult](ctx, c, r)
}

// Acks is what the live clients of an environment run.
func (c *Client) Acks(ctx context.Context, environment string) (*api.AckList, error) {
	return get[api.AckList](ctx, c, api.RouteAcks, environment)
}
