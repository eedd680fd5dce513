package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/api"
)

// Condition is what must hold of a secret for it to be put, updated or deleted;
// else that fails with ErrPreconditionFailed.
type Condition func(*request)

// IfRecord asks that the secret's record be at this number, as api.Secret tells
// it, and 0 that there be no secret.
func IfRecord(record int64) Condition {
	return func(r *request) {
		if record == 0 {
			r.header.Set("If-None-Match", "*")
			return
		}
		r.header.Set("If-Match", api.SecretETag(record))
	}
}

// TextFields are fields of texts, for api.SecretInput. Bytes that are no text go
// in as base64, with their field's name in its Base64.
func TextFields(texts map[string]string) (map[string]json.RawMessage, error) {
	fields := make(map[string]json.RawMessage, len(texts))
	for name, text := range texts {
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("the field %q is not UTF-8; give it in base64, and its name in Base64", name)
		}
		fields[name], _ = json.Marshal(text) // a text always has a JSON form
	}
	return fields, nil
}

// Secret is what may be known of the secret that counts in an environment. It
// holds no value.
func (c *Client) Secret(ctx context.Context, environment, path string) (*api.Secret, error) {
	return get[api.Secret](ctx, c, api.RouteSecret, environment, path)
}

// DeletedSecret is what may be known of an environment's own secret, though it
// is deleted.
func (c *Client) DeletedSecret(ctx context.Context, environment, path string) (*api.Secret, error) {
	r, err := c.request(http.MethodGet, api.RouteSecret, environment, path)
	if err != nil {
		return nil, err
	}
	return call[api.Secret](ctx, c, r.setBool("deleted", true))
}

// PutSecret writes a new version of a secret, and makes it the one in use
// unless it is to be staged.
func (c *Client) PutSecret(ctx context.Context, environment, path string, in api.SecretInput, conditions ...Condition) (*api.SecretResult, error) {
	for name, value := range in.Fields {
		// What json.Marshal says of it would show a part of the value.
		if !json.Valid(value) {
			return nil, fmt.Errorf("the field %q is not JSON; a text has quotes around it, as TextFields makes them", name)
		}
	}
	return c.writeSecret(ctx, http.MethodPut, environment, path, in, conditions)
}

// UpdateSecret changes what is said about a secret, and no value.
func (c *Client) UpdateSecret(ctx context.Context, environment, path string, in api.SecretUpdate, conditions ...Condition) (*api.SecretResult, error) {
	return c.writeSecret(ctx, http.MethodPatch, environment, path, in, conditions)
}

func (c *Client) writeSecret(ctx context.Context, method, environment, path string, in any, conditions []Condition) (*api.SecretResult, error) {
	r, err := c.request(method, api.RouteSecret, environment, path)
	if err != nil {
		return nil, err
	}
	if r, err = r.json(in); err != nil {
		return nil, err
	}
	for _, condition := range conditions {
		condition(r)
	}
	return call[api.SecretResult](ctx, c, r)
}

// SecretDelete says how a secret is to be deleted.
type SecretDelete struct {
	Message string
	Force   bool // also when documents refer to it
}

// DeleteSecret hides a secret; what the environment inherits counts again. Its
// versions stay until they are destroyed, and UndeleteSecret brings them back.
func (c *Client) DeleteSecret(ctx context.Context, environment, path string, d SecretDelete, conditions ...Condition) (*api.SecretResult, error) {
	r, err := c.request(http.MethodDelete, api.RouteSecret, environment, path)
	if err != nil {
		return nil, err
	}
	for _, condition := range conditions {
		condition(r)
	}
	if r.header.Get("If-None-Match") != "" {
		return nil, errors.New("a secret that is not there (IfRecord 0) cannot be deleted")
	}
	return call[api.SecretResult](ctx, c, r.setBool("force", d.Force).message(d.Message))
}

// UndeleteSecret brings a deleted secret back.
func (c *Client) UndeleteSecret(ctx context.Context, environment, path string, in api.SecretUndelete) (*api.SecretResult, error) {
	return write[api.SecretResult](ctx, c, http.MethodPost, in, api.RouteSecretUndo, environment, path)
}

// DestroySecret makes versions unreadable for good.
func (c *Client) DestroySecret(ctx context.Context, environment, path string, in api.SecretDestroy) (*api.SecretResult, error) {
	return write[api.SecretResult](ctx, c, http.MethodPost, in, api.RouteSecretDestroy, environment, path)
}

// RotateSecret has a new value made, by a generator or by the secret's webhook.
// With ErrRotationFailed the version in use stays, and the failure is on record.
// A webhook takes its time: an error that is context.DeadlineExceeded leaves open
// what became of the rotation, and Secret tells it.
func (c *Client) RotateSecret(ctx context.Context, environment, path string, in api.SecretRotate) (*api.SecretResult, error) {
	r, err := c.request(http.MethodPost, api.RouteSecretRotate, environment, path)
	if err != nil {
		return nil, err
	}
	if r, err = r.json(in); err != nil {
		return nil, err
	}
	r.slow = true
	began := time.Now()
	result, err := call[api.SecretResult](ctx, c, r)
	if err != nil && late(err) {
		return nil, fmt.Errorf("%s has not answered within %s, and may still be rotating; `llm-config secret get -e %s %s` shows what became of it: %w",
			c.Address(), time.Since(began).Round(time.Second), environment, path, context.DeadlineExceeded)
	}
	return result, err
}

// ActivateSecret makes a version the one in use: the staged one, or an earlier one.
func (c *Client) ActivateSecret(ctx context.Context, environment, path string, in api.SecretActivate) (*api.SecretResult, error) {
	return write[api.SecretResult](ctx, c, http.MethodPost, in, api.RouteSecretActive, environment, path)
}

// RevokeSecret makes a version refused for ever.
func (c *Client) RevokeSecret(ctx context.Context, environment, path string, in api.SecretRevoke) (*api.SecretResult, error) {
	return write[api.SecretResult](ctx, c, http.MethodPost, in, api.RouteSecretRevoke, environment, path)
}

// SecretHistory is the versions of a secret, newest first, without their values.
func (c *Client) SecretHistory(ctx context.Context, environment, path string) (*api.SecretHistory, error) {
	return get[api.SecretHistory](ctx, c, api.RouteSecretHistory, environment, path)
}

// SecretDiffQuery names the two versions to compare, each a number, with
// "environment@" before it to name another environment; "environment@" alone is
// the version in use there.
type SecretDiffQuery struct {
	From string
	To   string // empty means the version in use
}

// SecretDiff says which fields of two versions differ, and shows no value.
func (c *Client) SecretDiff(ctx context.Context, environment, path string, query SecretDiffQuery) (*api.SecretDiff, error) {
	r, err := c.request(http.MethodGet, api.RouteSecretDiff, environment, path)
	if err != nil {
		return nil, err
	}
	return call[api.SecretDiff](ctx, c, r.set("from", query.From).set("to", query.To))
}

// SecretAdoption says which live clients use which version of a secret.
func (c *Client) SecretAdoption(ctx context.Context, environment, path string) (*api.SecretAdoption, error) {
	return get[api.SecretAdoption](ctx, c, api.RouteSecretAdopt, environment, path)
}

// SecretList selects secrets. The zero SecretList is all that count in the
// environment.
type SecretList struct {
	Prefix  string            // the path itself and all below it
	Glob    string            // * within a segment, ** across segments
	Labels  map[string]string // all of them; an empty value asks for the label alone
	Own     bool              // only what the environment itself says
	Deleted bool              // deleted ones too
	Page
}

// Secrets is one page of the secrets of an environment, by path, without their
// values and versions.
func (c *Client) Secrets(ctx context.Context, environment string, list SecretList) (*api.SecretList, error) {
	r, err := c.request(http.MethodGet, api.RouteSecrets, environment)
	if err != nil {
		return nil, err
	}
	list.apply(r)
	for _, name := range slices.Sorted(maps.Keys(list.Labels)) {
		r.query.Add("label", name+"="+list.Labels[name])
	}
	r.set("prefix", list.Prefix).set("glob", list.Glob).setBool("own", list.Own).setBool("deleted", list.Deleted)
	return call[api.SecretList](ctx, c, r)
}

// AllSecrets goes through the secrets of an environment, page by page.
func (c *Client) AllSecrets(ctx context.Context, environment string, list SecretList) iter.Seq2[api.Secret, error] {
	return all(list.Page, func(p Page) ([]api.Secret, string, error) {
		list.Page = p
		page, err := c.Secrets(ctx, environment, list)
		if err != nil {
			return nil, "", err
		}
		return page.Secrets, page.Next, nil
	})
}
