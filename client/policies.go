package client

import (
	"context"
	"iter"
	"net/http"
	"strconv"

	"github.com/llm-devops/llm-config-manager/api"
)

// Policies is all files of the tenant's policies, without their texts, and the
// built-in ones.
func (c *Client) Policies(ctx context.Context) (*api.PolicyList, error) {
	return get[api.PolicyList](ctx, c, api.RoutePolicies)
}

// Policy is a version of a policy file, 0 being the newest.
func (c *Client) Policy(ctx context.Context, name string, version int64) (*api.Policy, error) {
	r, err := c.request(http.MethodGet, api.RoutePolicy, name)
	if err != nil {
		return nil, err
	}
	return call[api.Policy](ctx, c, r.setInt("version", version))
}

// PutPolicy writes a policy file. One that is refused is ErrInvalidPolicy; its
// *api.Problem holds each finding and each test case that failed.
func (c *Client) PutPolicy(ctx context.Context, name string, in api.PutPolicy) (*api.PolicyResult, error) {
	return write[api.PolicyResult](ctx, c, http.MethodPut, in, api.RoutePolicy, name)
}

// PolicyDelete says how a policy file is to be deleted.
type PolicyDelete struct {
	Message   string
	IfVersion *int64 // the file's newest version must be this; nil means whatever it is
	DryRun    bool   // check what would be left, and delete nothing
}

// DeletePolicy deletes a policy file. Its versions stay, and RollbackPolicy
// brings one back.
func (c *Client) DeletePolicy(ctx context.Context, name string, d PolicyDelete) (*api.PolicyResult, error) {
	r, err := c.request(http.MethodDelete, api.RoutePolicy, name)
	if err != nil {
		return nil, err
	}
	return call[api.PolicyResult](ctx, c, r.set("message", d.Message).setVersion("if_version", d.IfVersion).setBool("dry_run", d.DryRun))
}

// setVersion adds a version, which may be 0, unless it is nil.
func (r *request) setVersion(name string, version *int64) *request {
	if version == nil {
		return r
	}
	return r.set(name, strconv.FormatInt(*version, 10))
}

// PolicyHistory is one page of the versions of a policy file, newest first,
// without their texts.
func (c *Client) PolicyHistory(ctx context.Context, name string, page Page) (*api.PolicyHistory, error) {
	return list[api.PolicyHistory](ctx, c, page, api.RoutePolicyHistory, name)
}

// AllPolicyHistory goes through the versions of a policy file, newest first.
func (c *Client) AllPolicyHistory(ctx context.Context, name string, page Page) iter.Seq2[api.Policy, error] {
	return allVersions(page, func(p Page) (*api.PolicyHistory, error) { return c.PolicyHistory(ctx, name, p) })
}

func allVersions(page Page, fetch func(Page) (*api.PolicyHistory, error)) iter.Seq2[api.Policy, error] {
	return all(page, func(p Page) ([]api.Policy, string, error) {
		found, err := fetch(p)
		if err != nil {
			return nil, "", err
		}
		return found.Versions, found.Next, nil
	})
}

// PolicyDiffQuery names the two versions to compare, 0 being no text at all.
// The zero PolicyDiffQuery is what the newest version changed.
type PolicyDiffQuery struct {
	From *int64 // nil means the version before To
	To   *int64 // nil means the newest
}

// DiffPolicy compares two versions of a policy file.
func (c *Client) DiffPolicy(ctx context.Context, name string, query PolicyDiffQuery) (*api.PolicyDiff, error) {
	r, err := c.request(http.MethodGet, api.RoutePolicyDiff, name)
	if err != nil {
		return nil, err
	}
	return call[api.PolicyDiff](ctx, c, r.setVersion("from", query.From).setVersion("to", query.To))
}

// RollbackPolicy writes an older version of a policy file anew.
func (c *Client) RollbackPolicy(ctx context.Context, name string, in api.RollbackPolicy) (*api.PolicyResult, error) {
	return write[api.PolicyResult](ctx, c, http.MethodPost, in, api.RoutePolicyUndo, name)
}

// TestPolicies runs the test cases of all policy files, as they stand or with
// one put or deleted in mind alone.
func (c *Client) TestPolicies(ctx context.Context, in api.TestPolicies) (*api.TestReport, error) {
	return write[api.TestReport](ctx, c, http.MethodPost, in, api.RoutePolicyTest)
}

// SimulatePolicies says which past decisions would have been others with a
// policy file put or deleted.
func (c *Client) SimulatePolicies(ctx context.Context, in api.SimulatePolicies) (*api.Simulation, error) {
	return write[api.Simulation](ctx, c, http.MethodPost, in, api.RoutePolicyTry)
}

// PolicySchema is the Cedar schema that policies are written against.
func (c *Client) PolicySchema(ctx context.Context) (string, error) {
	r := newRequest(http.MethodGet, api.RoutePolicySchema)
	r.header.Set("Accept", typeText)
	a, err := c.want(ctx, r, http.StatusOK)
	if err != nil {
		return "", err
	}
	if mediaType(a.header) != typeText {
		return "", c.unexpected(a, "it is not plain text")
	}
	return string(a.body), nil
}

const typeText = "text/plain"
