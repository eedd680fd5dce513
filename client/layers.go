package client

import (
	"context"
	"errors"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// Write says on what condition a layer is to be written, and why.
type Write struct {
	Message   string
	IfVersion *int64 // the layer's version must be this, and 0 that there is none; nil means whatever it is
	Format    string // of the body, a media type; empty means JSON, or for a patch a merge patch
	DryRun    bool   // answer what it would do, and change nothing
}

// IfVersion is a pointer to a version, for Write and api.Edit.
func IfVersion(version int64) *int64 { return &version }

// PutLayer makes the document what the environment itself says at the path.
func (c *Client) PutLayer(ctx context.Context, environment, path string, document []byte, w Write) (*api.ChangeResult, error) {
	if w.Format == "" {
		w.Format = api.TypeJSON
	}
	return c.writeLayer(ctx, http.MethodPut, environment, path, document, w)
}

// PatchLayer changes a layer by a merge patch, or by a JSON Patch with the
// format api.TypeJSONPatch.
func (c *Client) PatchLayer(ctx context.Context, environment, path string, patch []byte, w Write) (*api.ChangeResult, error) {
	if w.Format == "" {
		w.Format = api.TypeMergePatch
	}
	return c.writeLayer(ctx, http.MethodPatch, environment, path, patch, w)
}

// DeleteLayer deletes a layer; what the environment inherits shows again.
func (c *Client) DeleteLayer(ctx context.Context, environment, path string, w Write) (*api.ChangeResult, error) {
	w.Format = ""
	return c.writeLayer(ctx, http.MethodDelete, environment, path, nil, w)
}

func (c *Client) writeLayer(ctx context.Context, method, environment, path string, body []byte, w Write) (*api.ChangeResult, error) {
	r, err := c.request(method, api.RouteLayer, environment, path)
	if err != nil {
		return nil, err
	}
	r.body = body
	if w.Format != "" {
		r.header.Set("Content-Type", w.Format)
	}
	switch {
	case w.IfVersion == nil:
	case *w.IfVersion == 0 && method == http.MethodDelete:
		return nil, errors.New("a layer that is not there (IfVersion 0) cannot be deleted")
	case *w.IfVersion == 0:
		r.header.Set("If-None-Match", "*")
	default:
		r.header.Set("If-Match", api.LayerETag(*w.IfVersion))
	}
	return call[api.ChangeResult](ctx, c, r.setBool("dry_run", w.DryRun).message(w.Message))
}

// Destroy makes one version of a layer unreadable for good, for the key that
// somebody pasted into a document. Its place in the history stays.
func (c *Client) Destroy(ctx context.Context, environment, path string, version int64, message string) (*api.Destroyed, error) {
	r, err := c.request(http.MethodPost, api.RouteDestroy, environment, path)
	if err != nil {
		return nil, err
	}
	return call[api.Destroyed](ctx, c, r.setInt("version", version).message(message))
}
