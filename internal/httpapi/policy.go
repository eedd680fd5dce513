package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	textdiff "github.com/rogpeppe/go-internal/diff"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

type (
	// InPolicy is of a file of policies.
	InPolicy struct {
		InTenant
		Policy string `path:"policy" doc:"Name of the file of policies"`
	}
	// UnlessMoved deletes a rule, as the query says.
	UnlessMoved struct {
		Message   string          `query:"message" doc:"Why"`
		IfVersion optional[int64] `query:"if_version" minimum:"0" doc:"The newest version must be this"`
	}
)

// optional is a parameter that says something else when it is left out than
// when it is 0.
type optional[T any] struct {
	value T
	set   bool
}

var (
	_ huma.ParamWrapper   = (*optional[int64])(nil)
	_ huma.ParamReactor   = (*optional[int64])(nil)
	_ huma.SchemaProvider = optional[int64]{}
)

// Schema implements huma.SchemaProvider.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

// Receiver implements huma.ParamWrapper.
func (o *optional[T]) Receiver() reflect.Value { return reflect.ValueOf(&o.value).Elem() }

// OnParamSet implements huma.ParamReactor.
func (o *optional[T]) OnParamSet(set bool, _ any) { o.set = set }

// version is the version that a parameter names, nil for none.
func version(o optional[int64]) *config.Version {
	if !o.set {
		return nil
	}
	return new(config.Version(o.value))
}

// maybeVersion is version of a body's member.
func maybeVersion(n *int64) *config.Version {
	if n == nil {
		return nil
	}
	return new(config.Version(*n))
}

func (s *Server) listPolicies(ctx context.Context, in *InTenant) (*body[api.PolicyList], error) {
	own, builtin, err := s.service.Policies(ctx, callerOf(ctx), in.Tenant)
	if err != nil {
		return nil, err
	}
	return answerOf(api.PolicyList{Policies: convert(own, policyFile), Builtin: convert(builtin, policyFile)}), nil
}

type getPolicyIn struct {
	InPolicy
	Version int64 `query:"version" minimum:"1" doc:"This version; left out, the newest"`
}

func (s *Server) getPolicy(ctx context.Context, in *getPolicyIn) (*body[api.Policy], error) {
	file, err := s.service.Policy(ctx, callerOf(ctx), in.Tenant, in.Policy, config.Version(in.Version))
	if err != nil {
		return nil, err
	}
	return answerOf(policyFile(file)), nil
}

type putPolicyIn struct {
	InPolicy
	Idempotent
	Body api.PutPolicy
}

func (s *Server) putPolicy(ctx context.Context, in *putPolicyIn) (*written[api.PolicyResult], error) {
	return policyDone(s.service.PutPolicy(ctx, callerOf(ctx), in.Tenant, in.Policy, service.PolicyRequest{
		Text: in.Body.Text, Message: in.Body.Message, IfVersion: maybeVersion(in.Body.IfVersion), DryRun: in.Body.DryRun,
	}))
}

type deletePolicyIn struct {
	InPolicy
	Idempotent
	UnlessMoved
	DryRun bool `query:"dry_run" doc:"Answer what would be found, and delete nothing"`
}

func (s *Server) deletePolicy(ctx context.Context, in *deletePolicyIn) (*written[api.PolicyResult], error) {
	return policyDone(s.service.PutPolicy(ctx, callerOf(ctx), in.Tenant, in.Policy, service.PolicyRequest{
		Delete: true, Message: in.Message, IfVersion: version(in.IfVersion), DryRun: in.DryRun,
	}))
}

type rollbackPolicyIn struct {
	InPolicy
	Idempotent
	Body api.RollbackPolicy
}

func (s *Server) rollbackPolicy(ctx context.Context, in *rollbackPolicyIn) (*written[api.PolicyResult], error) {
	return policyDone(s.service.RollbackPolicy(ctx, callerOf(ctx), in.Tenant, in.Policy,
		config.Version(in.Body.To), in.Body.Message, in.Body.DryRun))
}

func policyDone(r service.PolicyResult, err error) (*written[api.PolicyResult], error) {
	if err != nil {
		return nil, err
	}
	return writtenOf(r.Outcome, api.PolicyResult{
		Status: string(r.Status), Revision: int64(r.Revision), Name: r.Name, Version: int64(r.Version),
		Findings: convert(r.Report.Findings, finding), Tests: testRun(r.Report.Tests, false),
	}), nil
}

type policyHistoryIn struct {
	InPolicy
	OnePage
}

func (s *Server) policyHistory(ctx context.Context, in *policyHistoryIn) (*body[api.PolicyHistory], error) {
	return ruleVersions(s.service.RuleHistory(ctx, callerOf(ctx), in.Tenant, store.RulePolicy, in.Policy, in.page()))
}

func ruleVersions(rows []store.Rule, next service.Cursor, err error) (*body[api.PolicyHistory], error) {
	if err != nil {
		return nil, err
	}
	return answerOf(api.PolicyHistory{Versions: convert(rows, rule), Next: string(next)}), nil
}

type policyDiffIn struct {
	InPolicy
	From optional[int64] `query:"from" minimum:"0" doc:"A version, 0 for nothing; left out, the one before the other"`
	To   optional[int64] `query:"to" minimum:"0" doc:"A version, 0 for nothing; left out, the newest"`
}

func (s *Server) policyDiff(ctx context.Context, in *policyDiffIn) (*body[api.PolicyDiff], error) {
	from, to, err := s.service.PolicyDiff(ctx, callerOf(ctx), in.Tenant, in.Policy, version(in.From), version(in.To))
	if err != nil {
		return nil, err
	}
	return answerOf(api.PolicyDiff{
		Name: in.Policy, From: int64(from.Version), To: int64(to.Version),
		Unified: unified(sideName(from), from.Text, sideName(to), to.Text),
	}), nil
}

// unified is how two texts differ, as patch reads it; "" when they do not.
func unified(from, before, to, after string) string {
	_, text, _ := strings.Cut(string(textdiff.Diff(from, []byte(before), to, []byte(after))), "\n") // the first line is a command
	return text
}

type testPoliciesIn struct {
	InTenant
	Body *api.TestPolicies
}

func (s *Server) testPolicies(ctx context.Context, in *testPoliciesIn) (*body[api.TestReport], error) {
	if in.Body == nil {
		in.Body = &api.TestPolicies{}
	}
	report, err := s.service.TestPolicies(ctx, callerOf(ctx), in.Tenant, in.Body.Name, in.Body.Text)
	if err != nil {
		return nil, err
	}
	return answerOf(api.TestReport{Findings: convert(report.Findings, finding), Tests: testRun(report.Tests, in.Body.All)}), nil
}

type simulatePoliciesIn struct {
	InTenant
	Body api.SimulatePolicies
}

func (s *Server) simulatePolicies(ctx context.Context, in *simulatePoliciesIn) (*body[api.Simulation], error) {
	simulated, err := s.service.SimulatePolicies(ctx, callerOf(ctx), in.Tenant, in.Body.Name, in.Body.Text, in.Body.Limit)
	if err != nil {
		return nil, err
	}
	return answerOf(api.Simulation{
		Decisions: simulated.Tried, Changed: convert(simulated.Changed, simulatedChange),
		Findings: convert(simulated.Report.Findings, finding),
	}), nil
}

var schemaHeader = http.Header{"Content-Type": {"text/plain; charset=utf-8"}}

// policySchema answers the Cedar schema of our entities, for editors and for who
// checks policies before they are sent.
func (s *Server) policySchema() http.HandlerFunc {
	text := newPage([]byte(policy.Schema()), schemaHeader)
	return func(w http.ResponseWriter, r *http.Request) {
		query, err := parseQuery(r)
		for name := range query {
			err = config.Errorf(config.KindBadRequest, "this route takes no parameters").At(plain(name))
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		text.ServeHTTP(w, r)
	}
}

func policySchemaOperation() *huma.Operation {
	return &huma.Operation{
		OperationID: "policy-schema", Tags: []string{"policies"}, Summary: "Read the Cedar schema that every policy must fit",
		Parameters: []*huma.Param{in("header", "If-None-Match", "string", "Answer 304 when the ETag is still this")},
		Responses: map[string]*huma.Response{
			"200": {Description: "The schema", Headers: headers("ETag", "Of the text and its encoding"),
				Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: "string"}}}},
			"304": {Description: "It is what you have"},
		},
	}
}
