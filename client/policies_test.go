package client

import (
	"errors"
	"net/http"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

func TestPolicySchema(t *testing.T) {
	r := newRecording(t)
	r.header.Set("Content-Type", "text/plain; charset=utf-8")
	r.answer = "entity Role in [Role];\n"
	schema, err := r.PolicySchema(t.Context())
	if err != nil || schema != r.answer || r.last.line != "GET /api/v1/policy-schema" || r.last.header.Get("Accept") != "text/plain" {
		t.Errorf("%q, %v after %+v", schema, err, r.last)
	}
	r.header.Set("Content-Type", "text/html")
	_, err = r.PolicySchema(t.Context())
	wantError(t, err, "not plain text")
	r.status = http.StatusNotFound
	r.header.Set("Content-Type", api.ProblemType)
	r.answer = `{"code":"not_found","detail":"no such route"}`
	if _, err = r.PolicySchema(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("a server that has none: %v", err)
	}
}

func TestRefusedPolicyTellsItsFindings(t *testing.T) {
	c := answering(t, http.StatusUnprocessableEntity, map[string]string{"Content-Type": api.ProblemType},
		`{"code":"invalid_policy","detail":"2 things are wrong","errors":[{"path":"night","pointer":"3:5","message":"there is no action config.raed"},{"message":"a case failed"}]}`)
	_, err := c.PutPolicy(t.Context(), "night", api.PutPolicy{Text: "x"})
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || !errors.Is(err, ErrInvalidPolicy) || len(p.Errors) != 2 || p.Errors[0].Pointer != "3:5" {
		t.Errorf("%+v", err)
	}
}

// A tenant must be named for every verb below it.
func TestAccessVerbsNeedATenant(t *testing.T) {
	c, ctx := newRecording(t).ForTenant(""), t.Context()
	for name, call := range map[string]func() (any, error){
		"policies": func() (any, error) { return c.Policies(ctx) },
		"policy":   func() (any, error) { return c.Policy(ctx, "a", 0) },
		"put":      func() (any, error) { return c.PutPolicy(ctx, "a", api.PutPolicy{}) },
		"delete":   func() (any, error) { return c.DeletePolicy(ctx, "a", PolicyDelete{}) },
		"history":  func() (any, error) { return c.PolicyHistory(ctx, "a", Page{}) },
		"diff":     func() (any, error) { return c.DiffPolicy(ctx, "a", PolicyDiffQuery{}) },
		"role":     func() (any, error) { return c.Role(ctx, "a", 0) },
		"unrole":   func() (any, error) { return c.DeleteRole(ctx, "a", RoleDelete{}) },
		"explain":  func() (any, error) { return c.ExplainDecision(ctx, api.ExplainDecision{}) },
		"quota":    func() (any, error) { return c.Quota(ctx) },
		"approve":  func() (any, error) { return c.ApproveGrant(ctx, "g") },
		"end":      func() (any, error) { return c.EndGrant(ctx, "g", "") },
	} {
		if _, err := call(); err == nil {
			t.Errorf("%s was sent without a tenant", name)
		} else {
			wantError(t, err, "no tenant is given")
		}
	}
}
