package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
)

// taggers lets applications set tags, and says in a test case that it does.
const taggers = `// Applications mark what they run.
@id("taggers")
permit (
  principal in Role::"application",
  action == Action::"tag.write",
  resource
);
//test allow role:application tag.write tenant
//test deny role:viewer tag.write tenant
`

// as is a token of the tenant with these roles.
func (n *tenant) as(t testing.TB, roles ...string) string {
	t.Helper()
	var issued api.IssuedToken
	n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "as", TokenRights: api.TokenRights{Roles: roles}}).want(t, 201).into(t, &issued)
	return issued.Value
}

func (n *tenant) putPolicy(t testing.TB, name, text string) (result api.PolicyResult) {
	t.Helper()
	n.call(t, "PUT", n.path(api.RoutePolicy, name), api.PutPolicy{Text: text}).want(t, 200).into(t, &result)
	return result
}

// A file of policies counts from the moment it is written, has versions like a
// document, and its text is nowhere in the log.
func TestPolicies(t *testing.T) {
	n := newWorld(t).newTenant(t)
	application := n.as(t, access.RoleApplication)
	tag := func(status int) {
		t.Helper()
		n.world.call(t, application, "PUT", n.path(api.RouteTag, "running"), `{}`).want(t, status)
	}
	tag(403)
	first := n.putPolicy(t, "tags", taggers)
	want := api.PolicyResult{Status: "committed", Revision: first.Revision, Name: "tags", Version: 1, Findings: []api.Finding{}, Tests: api.TestRun{Passed: 2}}
	if diff := cmp.Diff(want, first); diff != "" || first.Revision == 0 {
		t.Error(diff)
	}
	tag(200)
	if again := n.putPolicy(t, "tags", taggers); again.Status != "unchanged" || again.Version != 1 {
		t.Errorf("%+v", again)
	}

	var list api.PolicyList
	n.call(t, "GET", n.path(api.RoutePolicies), nil).want(t, 200).into(t, &list)
	if len(list.Policies) != 1 || list.Policies[0].Text != "" || list.Policies[0].Policies != 1 || list.Policies[0].Tests != 2 || list.Policies[0].Author != "admin" || len(list.Builtin) < 4 || list.Builtin[0].Text == "" {
		t.Errorf("%+v", list)
	}
	second := strings.Replace(taggers, "what they run", "what runs", 1)
	n.call(t, "PUT", n.path(api.RoutePolicy, "tags"), api.PutPolicy{Text: second, IfVersion: new(int64(0))}).refused(t, api.CodePreconditionFailed)
	n.call(t, "PUT", n.path(api.RoutePolicy, "tags"), api.PutPolicy{Text: second, IfVersion: new(int64(1)), Message: "shorter"}).want(t, 200)

	var file api.Policy
	n.call(t, "GET", n.path(api.RoutePolicy, "tags"), nil).want(t, 200).into(t, &file)
	if file.Version != 2 || file.Text != second {
		t.Errorf("%+v", file)
	}
	n.call(t, "GET", n.path(api.RoutePolicy, "tags")+"?version=1", nil).want(t, 200).into(t, &file)
	if file.Version != 1 || file.Text != taggers {
		t.Errorf("%+v", file)
	}
	n.call(t, "GET", n.path(api.RoutePolicy, "tags")+"?version=3", nil).refused(t, api.CodeNotFound)

	n.call(t, "DELETE", n.path(api.RoutePolicy, "tags")+"?if_version=1", nil).refused(t, api.CodePreconditionFailed)
	n.call(t, "DELETE", n.path(api.RoutePolicy, "tags")+"?dry_run=true", nil).want(t, 200)
	tag(200)
	n.call(t, "DELETE", n.path(api.RoutePolicy, "tags")+"?if_version=2&message=not%20needed", nil).want(t, 200)
	tag(403)
	n.call(t, "GET", n.path(api.RoutePolicy, "tags"), nil).refused(t, api.CodeNotFound)

	var back api.PolicyResult
	n.call(t, "POST", n.path(api.RoutePolicyUndo, "tags"), `{"to":1,"message":"it is"}`).want(t, 200).into(t, &back)
	if back.Version != 4 || back.Status != "committed" || back.Tests.Passed != 2 {
		t.Errorf("%+v", back)
	}
	tag(200)
	var history api.PolicyHistory
	n.call(t, "GET", n.path(api.RoutePolicyHistory, "tags")+"?limit=3", nil).want(t, 200).into(t, &history)
	if len(history.Versions) != 3 || history.Versions[0].Version != 4 || !history.Versions[1].Deleted || history.Versions[0].Text != "" || history.Next == "" {
		t.Errorf("%+v", history)
	}
	var log api.LogList
	n.call(t, "GET", n.path(api.RouteChanges)+"?kind=rule", nil).want(t, 200).into(t, &log)
	if len(log.Changes) != 4 || log.Changes[0].Message != "it is" {
		t.Errorf("%+v", log)
	}
	if strings.Contains(n.log.String(), "what they run") {
		t.Error("the text of a policy is in the log")
	}
}

// A write that comes again with its key is answered as before.
func TestPolicyWritesAreIdempotent(t *testing.T) {
	n := newWorld(t).newTenant(t)
	key := []string{api.HeaderIdempotent, "once"}
	first := n.call(t, "PUT", n.path(api.RoutePolicy, "tags"), api.PutPolicy{Text: taggers}, key...).want(t, 200)
	n.call(t, "DELETE", n.path(api.RoutePolicy, "tags"), nil).want(t, 200)
	n.call(t, "PUT", n.path(api.RoutePolicy, "tags"), api.PutPolicy{Text: taggers}, key...).want(t, 200).
		wantBody(t, string(first.body)).wantHeaders(t, api.HeaderReplayed, "true")
	n.call(t, "GET", n.path(api.RoutePolicy, "tags"), nil).refused(t, api.CodeNotFound)
}

// What is wrong with a file is told with its place, all of it at once, and
// nothing is written.
func TestRefusedPolicies(t *testing.T) {
	n := newWorld(t).newTenant(t)
	for name, test := range map[string]struct{ text, at string }{
		"no Cedar":            {"permit (principal, action", "1:"},
		"no action":           {"\npermit (principal, action == Action::\"nothing\", resource);", "2:"},
		"no such attribute":   {`permit (principal, action == Action::"tag.read", resource) when { resource.colour == "red" };`, "1:"},
		"a failing test case": {strings.Replace(taggers, "allow role:application", "deny role:application", 1), "8:1"},
		"no test case":        {"//test perhaps\n" + taggers, "1:"},
	} {
		p := n.call(t, "PUT", n.path(api.RoutePolicy, "tags"), api.PutPolicy{Text: test.text}).refused(t, api.CodeInvalidPolicy)
		if len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Pointer, test.at) || p.Errors[0].Path != "tags" || p.Next == "" {
			t.Errorf("%s: %+v", name, p)
		}
		n.call(t, "GET", n.path(api.RoutePolicy, "tags"), nil).refused(t, api.CodeNotFound)
	}
	n.call(t, "PUT", n.path(api.RoutePolicy, "Tags"), api.PutPolicy{Text: taggers}).refused(t, api.CodeInvalidName)
	if p := n.call(t, "PUT", n.path(api.RoutePolicy, "tags"), `{}`).refused(t, api.CodeBadRequest); p.Pointer != "/text" && p.Pointer != "" {
		t.Errorf("%+v", p)
	}
	var result api.PolicyResult
	n.call(t, "PUT", n.path(api.RoutePolicy, "tags"), api.PutPolicy{Text: strings.Replace(taggers, "allow role:application", "deny role:application", 1), DryRun: true}).want(t, 200).into(t, &result)
	if result.Status != "planned" || result.Tests.Failed != 1 || result.Tests.Passed != 1 || len(result.Tests.Cases) != 1 || result.Tests.Cases[0].Line != 8 || result.Tests.Cases[0].Got != "allow" {
		t.Errorf("%+v", result)
	}
	long := n.call(t, "PUT", n.path(api.RoutePolicy, "tags"), api.PutPolicy{Text: "//" + strings.Repeat("x", 64<<10)}).refused(t, api.CodeTooLarge)
	if long.Limit != 64<<10 || long.Pointer != "/text" {
		t.Errorf("a file that is too long: %+v", long)
	}
}

func TestPolicyDiff(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.putPolicy(t, "tags", taggers)
	n.putPolicy(t, "tags", strings.Replace(taggers, "what they run", "what runs", 1))
	n.call(t, "DELETE", n.path(api.RoutePolicy, "tags"), nil).want(t, 200)
	diff := func(query string) (d api.PolicyDiff) {
		t.Helper()
		n.call(t, "GET", n.path(api.RoutePolicyDiff, "tags")+query, nil).want(t, 200).into(t, &d)
		return d
	}
	got := diff("?to=2")
	for _, line := range []string{"--- tags@1\n", "+++ tags@2\n", "\n-// Applications mark what they run.\n+// Applications mark what runs.\n @id(\"taggers\")\n"} {
		if !strings.Contains(got.Unified, line) {
			t.Errorf("%q is not in %s", line, got.Unified)
		}
	}
	if got.From != 1 || got.To != 2 || got.Name != "tags" {
		t.Errorf("%+v", got)
	}
	if got = diff("?from=0&to=1"); got.From != 0 || !strings.HasPrefix(got.Unified, "--- /dev/null\n+++ tags@1\n@@ ") || strings.Contains(got.Unified, "\n-") {
		t.Errorf("%+v", got)
	}
	if got = diff(""); got.From != 2 || got.To != 3 || !strings.Contains(got.Unified, "+++ /dev/null\n") {
		t.Errorf("%+v", got)
	}
	if got = diff("?from=1&to=1"); got.Unified != "" {
		t.Errorf("%+v", got)
	}
	for _, query := range []string{"?from=-1", "?to=x", "?to=1&to=2"} {
		n.call(t, "GET", n.path(api.RoutePolicyDiff, "tags")+query, nil).refused(t, api.CodeBadRequest)
	}
	n.call(t, "GET", n.path(api.RoutePolicyDiff, "tags")+"?to=9", nil).refused(t, api.CodeNotFound)
	n.call(t, "GET", n.path(api.RoutePolicyDiff, "none"), nil).refused(t, api.CodeNotFound)
}

// Test cases run in mind alone, and past decisions are tried with a file that
// nobody wrote.
func TestPoliciesInMind(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.putPolicy(t, "tags", taggers)
	run := func(in api.TestPolicies) (report api.TestReport) {
		t.Helper()
		n.call(t, "POST", n.path(api.RoutePolicyTest), in).want(t, 200).into(t, &report)
		return report
	}
	if report := run(api.TestPolicies{}); report.Tests.Passed != 2 || report.Tests.Cases != nil || len(report.Findings) != 0 {
		t.Errorf("%+v", report)
	}
	if report := run(api.TestPolicies{All: true}); len(report.Tests.Cases) != 2 || !report.Tests.Cases[0].Passed || report.Tests.Cases[0].File != "tags" {
		t.Errorf("%+v", report)
	}
	forbid := "//test deny role:application tag.write tenant\n" + `forbid (principal in Role::"application", action == Action::"tag.write", resource);`
	report := run(api.TestPolicies{Name: "no-tags", Text: &forbid})
	if report.Tests.Passed != 2 || report.Tests.Failed != 1 || report.Tests.Cases[0].File != "tags" || len(report.Findings) == 0 {
		t.Errorf("%+v", report)
	}
	for _, want := range []api.Finding{
		{File: "no-tags", Line: 2, Column: 1, Kind: "contradictory", Certainty: "certain", Other: "tags/taggers:2"},
		{File: "tags", Policy: "taggers", Line: 2, Column: 1, Kind: "unreachable", Certainty: "certain", Other: "no-tags/policy 1:2"},
	} {
		if !slices.ContainsFunc(report.Findings, func(f api.Finding) bool {
			same := f.Message != ""
			if f.Message = ""; want.Policy == "" {
				f.Policy = ""
			}
			return same && f == want
		}) {
			t.Errorf("%+v is not in %+v", want, report.Findings)
		}
	}
	n.call(t, "POST", n.path(api.RoutePolicyTest), `{"text":"x"}`).refused(t, api.CodeBadRequest)

	n.world.call(t, n.as(t, access.RoleApplication), "PUT", n.path(api.RouteTag, "running"), `{}`).want(t, 200)
	var simulated api.Simulation
	n.call(t, "POST", n.path(api.RoutePolicyTry), api.SimulatePolicies{Name: "no-tags", Text: &forbid}).want(t, 200).into(t, &simulated)
	if simulated.Decisions == 0 || len(simulated.Changed) != 1 {
		t.Fatalf("%+v", simulated)
	}
	c := simulated.Changed[0]
	if !strings.HasPrefix(c.Principal, `Token::"`) || c.Name != "as" || c.Action != "tag.write" || c.Resource != fmt.Sprintf("Tenant::%q", n.name) || c.Before != "allow" || c.After != "deny" || len(c.Reasons) == 0 || c.Last.IsZero() {
		t.Errorf("%+v", c)
	}
	n.call(t, "POST", n.path(api.RoutePolicyTry), `{"name":"x","limit":10001}`).refused(t, api.CodeBadRequest)
}

func TestPolicySchema(t *testing.T) {
	w := newWorld(t)
	got := w.newTenant(t).call(t, "GET", api.RoutePolicySchema, nil).want(t, 200).wantHeaders(t, "Content-Type", "text/plain; charset=utf-8")
	if !strings.Contains(string(got.body), "entity Document") {
		t.Errorf("%.200s", got.body)
	}
	w.call(t, w.root, "GET", api.RoutePolicySchema, nil, "If-None-Match", got.header.Get("ETag")).want(t, 304)
	w.call(t, w.root, "GET", api.RoutePolicySchema+"?format=json", nil).refused(t, api.CodeBadRequest)
	w.call(t, "", "GET", api.RoutePolicySchema, nil).refused(t, api.CodeUnauthenticated)
}

func TestRoles(t *testing.T) {
	n := newWorld(t).newTenant(t)
	var list api.RoleList
	n.call(t, "GET", n.path(api.RouteRoles), nil).want(t, 200).into(t, &list)
	if len(list.Roles) != 4 || !list.Roles[0].Builtin || list.Roles[0].Time != nil {
		t.Errorf("%+v", list)
	}
	var put api.RoleResult
	n.call(t, "PUT", n.path(api.RouteRole, "deployer"), api.PutRole{Description: "deploys", Includes: []string{"viewer"}, IfVersion: new(int64(0))}).want(t, 200).into(t, &put)
	if put.Status != "committed" || put.Role.Version != 1 || put.Role.Builtin || put.Role.Author != "admin" || put.Role.Time == nil || put.Revision != put.Role.Revision || put.Findings == nil {
		t.Errorf("%+v", put)
	}
	deployer := n.as(t, "deployer")
	n.world.call(t, deployer, "GET", n.path(api.RouteTags), nil).want(t, 200)
	n.call(t, "PUT", n.path(api.RouteRole, "deployer"), `{"description":"deploys nothing","message":"for now"}`).want(t, 200)
	n.world.call(t, deployer, "GET", n.path(api.RouteTags), nil).refused(t, api.CodeForbidden)
	var one api.Role
	n.call(t, "GET", n.path(api.RouteRole, "deployer")+"?version=1", nil).want(t, 200).into(t, &one)
	if diff := cmp.Diff([]string{"viewer"}, one.Includes); diff != "" || one.Description != "deploys" {
		t.Errorf("%+v", one)
	}
	n.call(t, "DELETE", n.path(api.RouteRole, "deployer")+"?if_version=1", nil).refused(t, api.CodePreconditionFailed)
	n.call(t, "DELETE", n.path(api.RouteRole, "deployer")+"?if_version=2", nil).refused(t, api.CodeInUse)
	n.call(t, "DELETE", n.path(api.RouteToken, tokenID(deployer)), nil).want(t, 200)
	n.call(t, "DELETE", n.path(api.RouteRole, "deployer")+"?if_version=2&message=gone", nil).want(t, 200).into(t, &put)
	n.call(t, "GET", n.path(api.RouteRole, "deployer"), nil).refused(t, api.CodeNotFound)
	var history api.PolicyHistory
	n.call(t, "GET", n.path(api.RouteRoleHistory, "deployer"), nil).want(t, 200).into(t, &history)
	if len(history.Versions) != 3 || !history.Versions[0].Deleted || history.Versions[2].Version != 1 {
		t.Errorf("%+v", history)
	}
	n.call(t, "GET", n.path(api.RouteRole, "admin"), nil).want(t, 200).into(t, &one)
	for name, body := range map[string]string{"admin": `{}`, "Deployer": `{}`, "server-admin": `{}`, "own": `{"includes":["nobody"]}`, "two": `{"includes":["two"]}`, "three": `{"includes":["a b"]}`} {
		if got := n.call(t, "PUT", n.path(api.RouteRole, name), body); got.status < 400 || got.status >= 500 {
			t.Errorf("%s %s: %d %s", name, body, got.status, got.body)
		}
	}
}
