package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// policyBody is what is sealed of a file of policies.
type policyBody struct {
	Text string `json:"text"`
}

// PolicyFile is a version of a file of policies.
type PolicyFile struct {
	store.Rule
	Text     string
	Policies int
	Tests    int
}

// PolicyRequest writes a file of policies, or deletes it.
type PolicyRequest struct {
	Text      string
	Delete    bool
	Message   string
	IfVersion *config.Version
	DryRun    bool
}

// PolicyResult says what a write of policies did, and what was found in them.
type PolicyResult struct {
	Outcome
	Name    string
	Version config.Version
	Report  policy.Report
}

// Policies answers the files of a tenant's policies, without their texts, and
// the built-in ones.
func (s *Service) Policies(ctx context.Context, who Caller, tenant string) (own, builtin []PolicyFile, err error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: "policies"})
	if err != nil {
		return nil, nil, err
	}
	rules := state.rules.Load()
	for _, file := range rules.source.Files {
		seen := fileOf(rules.heads[ruleKey{store.RulePolicy, file.Name}], file.Text)
		seen.Text = ""
		own = append(own, seen)
	}
	for _, file := range policy.Builtin() {
		builtin = append(builtin, fileOf(store.Rule{Kind: store.RulePolicy, Name: file.Name}, file.Text))
	}
	return own, builtin, nil
}

func fileOf(row store.Rule, text string) PolicyFile {
	policies, tests := policy.Count(policy.File{Name: row.Name, Text: text})
	return PolicyFile{Rule: row, Text: text, Policies: policies, Tests: tests}
}

// Policy answers a version of a file of policies, 0 for the newest, or a built-in
// one, which has no versions.
func (s *Service) Policy(ctx context.Context, who Caller, tenant, name string, version config.Version) (PolicyFile, error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: "policies/" + name})
	if err != nil {
		return PolicyFile{}, err
	}
	if file, builtin := builtinFile(name); builtin && version == 0 {
		return file, nil
	}
	return s.policyFile(ctx, state, name, version)
}

func builtinFile(name string) (PolicyFile, bool) {
	for _, file := range policy.Builtin() {
		if file.Name == name {
			return fileOf(store.Rule{Kind: store.RulePolicy, Name: name}, file.Text), true
		}
	}
	return PolicyFile{}, false
}

func (s *Service) policyFile(ctx context.Context, state *tenantState, name string, version config.Version) (PolicyFile, error) {
	row, err := s.ruleVersion(ctx, state, store.RulePolicy, name, version)
	if err != nil || row.Deleted {
		return PolicyFile{Rule: row}, err
	}
	body, err := openRuleBody[policyBody](ctx, s, state.tenant.ID, row)
	return fileOf(row, body.Text), err
}

// ruleVersion finds a version of a rule; the newest of one that is deleted is
// not there.
func (s *Service) ruleVersion(ctx context.Context, state *tenantState, kind store.RuleKind, name string, version config.Version) (store.Rule, error) {
	row, err := s.store.Rule(ctx, state.tenant.ID, kind, name, version)
	if config.KindOf(err) == config.KindNotFound || err == nil && version == 0 && row.Deleted {
		return row, noRule(kind, name, version)
	}
	return row, err
}

func noRule(kind store.RuleKind, name string, version config.Version) error {
	if version != 0 {
		return config.Errorf(config.KindNotFound, "the %s %q has no version %d", kind, name, version).At("version").
			Hint("`llm-config %s history %s` lists its versions", kind, name)
	}
	return config.Errorf(config.KindNotFound, "there is no %s %q", kind, name).Hint("`llm-config %s ls` lists them", kind)
}

// RuleHistory answers a page of the versions of a policy file or a role, newest first.
func (s *Service) RuleHistory(ctx context.Context, who Caller, tenant string, kind store.RuleKind, name string, page Page) ([]store.Rule, Cursor, error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: string(kind) + "/" + name})
	if err != nil {
		return nil, "", err
	}
	pages := s.pagesOf(who, state.tenant.ID, "rules")
	asked, err := pages.open(ctx, page)
	if err != nil {
		return nil, "", err
	}
	rows, next, err := s.store.RuleVersions(ctx, state.tenant.ID, kind, name, asked)
	if err == nil && len(rows) == 0 && page.Cursor == "" {
		err = noRule(kind, name, 0)
	}
	if err != nil {
		return nil, "", err
	}
	cursor, err := pages.seal(ctx, next)
	return rows, cursor, err
}

// PolicyDiff answers two versions of a file of policies, to be compared; from nil
// is the one before, 0 nothing at all.
func (s *Service) PolicyDiff(ctx context.Context, who Caller, tenant, name string, from, to *config.Version) (before, after PolicyFile, err error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: "policies/" + name})
	if err != nil {
		return before, after, err
	}
	newest, err := s.store.Rule(ctx, state.tenant.ID, store.RulePolicy, name, 0)
	if err != nil {
		if config.KindOf(err) == config.KindNotFound {
			err = noRule(store.RulePolicy, name, 0)
		}
		return before, after, err
	}
	if to == nil {
		to = &newest.Version
	}
	if from == nil {
		older := max(*to-1, 0)
		from = &older
	}
	if before, err = s.diffedFile(ctx, state, name, *from); err != nil {
		return before, after, err
	}
	after, err = s.diffedFile(ctx, state, name, *to)
	return before, after, err
}

func (s *Service) diffedFile(ctx context.Context, state *tenantState, name string, version config.Version) (PolicyFile, error) {
	if version == 0 {
		return PolicyFile{Rule: store.Rule{Kind: store.RulePolicy, Name: name}}, nil
	}
	return s.policyFile(ctx, state, name, version)
}

// PutPolicy checks a file of policies and writes it. It is refused when it does
// not parse or fit the schema, when a test case of any file fails with it, and
// when it gives what its author does not have.
func (s *Service) PutPolicy(ctx context.Context, who Caller, tenant, name string, in PolicyRequest) (PolicyResult, error) {
	state, err := s.guard(ctx, who, access.PolicyWrite, tenant, access.Resource{Name: "policies/" + name})
	if err != nil {
		return PolicyResult{}, err
	}
	event := "policy.put"
	if in.Delete {
		event = "policy.delete"
	}
	return s.putPolicy(ctx, who, state, name, in, event)
}

// RollbackPolicy writes an older version of a file of policies anew, with the
// same checks. Where that version is a deletion, the file is deleted again.
func (s *Service) RollbackPolicy(ctx context.Context, who Caller, tenant, name string, to config.Version, message string, dryRun bool) (PolicyResult, error) {
	state, err := s.guard(ctx, who, access.PolicyWrite, tenant, access.Resource{Name: "policies/" + name})
	if err != nil {
		return PolicyResult{}, err
	}
	if to < 1 {
		return PolicyResult{}, config.Errorf(config.KindBadRequest, "a rollback needs the version to go back to").At("/to")
	}
	file, err := s.policyFile(ctx, state, name, to)
	if err != nil {
		return PolicyResult{}, err
	}
	return s.putPolicy(ctx, who, state, name, PolicyRequest{Text: file.Text, Delete: file.Deleted, Message: message, DryRun: dryRun}, "policy.rollback")
}

func (s *Service) putPolicy(ctx context.Context, who Caller, state *tenantState, name string, in PolicyRequest, event string) (PolicyResult, error) {
	if err := policy.CheckName(name); err != nil {
		return PolicyResult{}, err
	}
	if _, builtin := builtinFile(name); builtin {
		return PolicyResult{}, config.Errorf(config.KindAlreadyExists, "the policies %s are built in", name).Hint("choose another name")
	}
	if err := checkMessage(in.Message); err != nil {
		return PolicyResult{}, err
	}
	if err := checkPolicyText(in.Text); err != nil {
		return PolicyResult{}, err
	}
	end, err := s.policyTurn(ctx, state)
	if err != nil {
		return PolicyResult{}, err
	}
	defer end()
	if in.DryRun {
		n, err := s.newest(ctx, state)
		if err != nil {
			return PolicyResult{}, err
		}
		result, _, err := s.plannedPolicy(ctx, who, state, name, in)
		result.Outcome = Outcome{Status: Planned, Revision: n.at}
		return result, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (PolicyResult, error) {
		var result PolicyResult
		outcome, err := s.commit(ctx, state, rulesQueue, func(ctx context.Context, n *snapshot) (*proposal, error) {
			var now *rules
			var err error
			if result, now, err = s.plannedPolicy(ctx, who, state, name, in); err != nil || result.Status == Unchanged {
				return nil, err
			}
			record := s.record(who, event, access.PolicyWrite, resourceName(access.Resource{Tenant: n.tenant, Name: "policies/" + name}))
			record.Details = map[string]string{"version": versionText(result.Version)}
			if in.Delete {
				record.Details["deleted"] = "true"
			}
			p, err := s.proposeEntry(who, n, store.EntryRule, name, in.Message, policyText(name, in, result.Version), record)
			if err != nil {
				return nil, err
			}
			write := ruleWrite{kind: store.RulePolicy, name: name, body: policyBody{in.Text}, deleted: in.Delete}
			if err := s.proposeRules(ctx, state, now, p, write); err != nil {
				return nil, err
			}
			answer := result
			answer.Status = Committed
			return p, s.keep(ctx, who, n.tenant, &p.write, answer)
		})
		result.Outcome = outcome
		return result, err
	})
}

func checkPolicyText(text string) error {
	if len(text) > policy.MaxFileBytes {
		return config.Errorf(config.KindTooLarge, "the policy file is too large").At("/text").Hint("split it").
			Over(policy.MaxFileBytes, int64(len(text)))
	}
	return nil
}

func policyText(name string, in PolicyRequest, version config.Version) string {
	if in.Delete {
		return "policy " + name + " was deleted"
	}
	return fmt.Sprintf("policy %s was written as version %d", name, version)
}

// plannedPolicy checks what a write of a file would come to. What is refused is
// an error, but for a dry run.
func (s *Service) plannedPolicy(ctx context.Context, who Caller, state *tenantState, name string, in PolicyRequest) (PolicyResult, *rules, error) {
	result := PolicyResult{Name: name}
	now, err := s.rulesNow(ctx, state)
	if err != nil {
		return result, nil, err
	}
	key := ruleKey{store.RulePolicy, name}
	head, there := now.heads[key]
	if err := ruleUnmoved(head, in.IfVersion, "the policy "+name); err != nil {
		return result, nil, err
	}
	result.Version = head.Version
	if in.Delete && !there {
		return result, nil, noRule(store.RulePolicy, name, 0)
	}
	if there && !in.Delete && fileNamed(now.source, name).Text == in.Text {
		result.Status = Unchanged
		result.Report, err = policy.CheckContext(ctx, withEnvironments(state, now.source), name)
		return result, now, err
	}
	if result.Version, err = s.nextRuleVersion(ctx, state.tenant.ID, now.heads, key); err != nil {
		return result, nil, err
	}
	next := withFile(now.source, name, in.Text, in.Delete)
	if result.Report, err = policy.CheckContext(ctx, withEnvironments(state, next), name); err != nil {
		return result, nil, err
	}
	if !unreadable(result.Report) {
		result.Report.Findings = append(result.Report.Findings, policy.Delegate(now.source, next, name, s.principalIn(who, state))...)
		result.Report.Findings = append(result.Report.Findings, s.lockedOut(ctx, who, state, next, name)...)
	}
	if in.DryRun {
		return result, now, nil
	}
	return result, now, s.refused(ctx, who, access.PolicyWrite, state.tenant.ID, access.Resource{Name: "policies/" + name}, refusedPolicy(result.Report))
}

// lockedOut finds that whoever writes a change could not take it back: by mistake
// a tenant is forbidden to everybody in one line.
func (s *Service) lockedOut(ctx context.Context, who Caller, state *tenantState, next policy.Source, file string) []policy.Finding {
	set, err := policy.Compile(next)
	if err != nil {
		return nil // which is found elsewhere
	}
	request := s.question(ctx, who, access.PolicyWrite, state, access.Resource{Name: "policies/" + file}, state.rules.Load())
	message := "you could not change policies any more, nor take this back"
	decision := set.Decide(&request)
	if decision.Allowed && !request.Principal.HasRole(access.RoleAdmin) {
		request.Principal = access.Principal{ID: "anybody", Method: access.MethodToken, Tenant: state.tenant.ID, Roles: []string{access.RoleAdmin}}.Sealed()
		decision, message = set.Decide(&request), "admins could not change policies any more, and you are none"
	}
	if decision.Allowed {
		return nil
	}
	return []policy.Finding{{
		Ref: policy.Ref{File: file, Line: 1, Column: 1}, Kind: policy.FindingDelegation, Refused: true,
		Message: message + " (" + strings.Join(decision.Reasons, "; ") + ")",
	}}
}

// withEnvironments is a source that says which environments there are.
func withEnvironments(state *tenantState, src policy.Source) policy.Source {
	src.Environments = []string{}
	for _, e := range state.tree.Load().All() {
		src.Environments = append(src.Environments, e.Name)
	}
	return src
}

// unreadable says whether nothing can be said of the policies themselves.
func unreadable(report policy.Report) bool {
	return slices.ContainsFunc(report.Findings, func(f policy.Finding) bool { return f.Kind == policy.FindingSyntax })
}

// principalIn is the caller as he is in a tenant: what he is in another does not
// count there.
func (s *Service) principalIn(who Caller, state *tenantState) access.Principal {
	p, _ := state.rules.Load().granted(who.Principal, state.tenant.ID, s.clock())
	if p.Tenant != state.tenant.ID {
		p.Tenant, p.Roles = config.TenantID{}, nil
	}
	return p.Sealed()
}

func fileNamed(src policy.Source, name string) policy.File {
	for _, file := range src.Files {
		if file.Name == name {
			return file
		}
	}
	return policy.File{}
}

// withFile is a source with a file put, or deleted.
func withFile(src policy.Source, name, text string, deleted bool) policy.Source {
	src.Files = slices.DeleteFunc(slices.Clone(src.Files), func(f policy.File) bool { return f.Name == name })
	if !deleted {
		src.Files = append(src.Files, policy.File{Name: name, Text: text})
		slices.SortFunc(src.Files, func(a, b policy.File) int { return strings.Compare(a.Name, b.Name) })
	}
	return src
}

// refusedPolicy is the error of policies that cannot be written, with all that
// stands against them.
func refusedPolicy(report policy.Report) error {
	var details []config.Problem
	kind := config.KindInvalidPolicy
	for _, f := range report.Findings {
		if !f.Refused {
			continue
		}
		if f.Kind == policy.FindingDelegation && len(details) == 0 {
			kind = config.KindForbidden
		} else if f.Kind != policy.FindingDelegation {
			kind = config.KindInvalidPolicy
		}
		details = append(details, config.Problem{Path: f.Ref.File, Pointer: fmt.Sprintf("%d:%d", f.Ref.Line, f.Ref.Column), Message: f.Message})
	}
	for _, t := range report.Tests {
		if !t.Passed {
			kind = config.KindInvalidPolicy
			details = append(details, config.Problem{Path: t.File, Pointer: fmt.Sprintf("%d:1", t.Line), Message: failedTest(t)})
		}
	}
	if len(details) == 0 {
		return nil
	}
	e := config.Errorf(kind, "the policies cannot be written: %s", details[0].Message).At(details[0].Pointer).
		Hint("`llm-config policy check` shows all that was found, and writes nothing")
	e.Details = details[:min(len(details), 100)]
	return e
}

func failedTest(t policy.TestResult) string {
	got := "gets " + t.Got
	if t.Got == "" {
		got = "cannot be decided"
	}
	return fmt.Sprintf("the test case wants %s and %s (%s): %s", t.Want, got, strings.Join(t.Reasons, "; "), t.Text)
}

// TestPolicies runs the test cases of all files, as they stand or with one put,
// or deleted, in mind alone.
func (s *Service) TestPolicies(ctx context.Context, who Caller, tenant, name string, text *string) (policy.Report, error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: "policy-test"})
	if err != nil {
		return policy.Report{}, err
	}
	end, err := s.policyTurn(ctx, state)
	if err != nil {
		return policy.Report{}, err
	}
	defer end()
	src, err := minded(state.rules.Load().source, name, text)
	if err != nil {
		return policy.Report{}, err
	}
	return tried(ctx, func(ctx context.Context) (policy.Report, error) {
		return policy.CheckContext(ctx, withEnvironments(state, src), name)
	})
}

// minded is a source with a file put, or deleted, in mind.
func minded(src policy.Source, name string, text *string) (policy.Source, error) {
	switch {
	case name == "" && text == nil:
		return src, nil
	case name == "":
		return src, config.Errorf(config.KindBadRequest, "a text needs the name of its file").At("/name")
	case text == nil:
		return withFile(src, name, "", true), nil
	}
	if err := checkPolicyText(*text); err != nil {
		return src, err
	}
	return withFile(src, name, *text, false), policy.CheckName(name)
}

// Simulation says which past decisions would have been others.
type Simulation struct {
	Tried   int
	Changed []SimulatedChange
	Report  policy.Report
}

// SimulatedChange is one of them.
type SimulatedChange struct {
	Principal access.Principal
	Request   access.Request
	Before    access.Decision
	After     access.Decision
	Last      time.Time
}

// SimulatePolicies says what the newest past decisions would have been with a
// file put, or deleted, beside what they would be now.
func (s *Service) SimulatePolicies(ctx context.Context, who Caller, tenant, name string, text *string, limit int) (Simulation, error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: "policy-simulate"})
	if err != nil {
		return Simulation{}, err
	}
	if limit == 0 {
		limit = usualSimulated
	}
	if limit < 1 || limit > maxSimulated {
		return Simulation{}, config.Errorf(config.KindBadRequest, "limit is not between 1 and %d", maxSimulated).At("/limit").Over(maxSimulated, int64(limit))
	}
	end, err := s.policyTurn(ctx, state)
	if err != nil {
		return Simulation{}, err
	}
	defer end()
	now := state.rules.Load()
	src, err := minded(now.source, name, text)
	if err != nil {
		return Simulation{}, err
	}
	return tried(ctx, func(ctx context.Context) (Simulation, error) { return s.simulated(ctx, state, now, src, name, limit) })
}

// request is the question of a sample, as it was asked.
func (one sample) request(tenant config.Tenant) (access.Request, error) {
	r := access.Resource{
		Tenant: tenant.ID, TenantName: tenant.Name, Environment: one.Place.Environment,
		Prefix: one.Place.Prefix, Secret: one.Place.Secret, Name: one.Place.Name,
	}
	if one.Place.Path != "" {
		path, err := config.ParsePath(one.Place.Path)
		if err != nil {
			return access.Request{}, err
		}
		r.Path = path
	}
	labels := one.Labels
	return access.Request{
		Principal: one.Principal.principal(), Action: one.Action, Resource: r, Time: one.Time, Source: one.Source,
		Labels: func() (map[string]string, error) { return labels, nil },
	}, nil
}
