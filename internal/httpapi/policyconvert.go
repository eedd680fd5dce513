package httpapi

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func policyFile(f service.PolicyFile) api.Policy {
	out := rule(f.Rule)
	out.Text, out.Policies, out.Tests = f.Text, f.Policies, f.Tests
	return out
}

// rule is what is known of a version of a rule, but for what it says.
func rule(r store.Rule) api.Policy {
	return api.Policy{
		Name: r.Name, Version: int64(r.Version), Revision: int64(r.Revision),
		Time: r.Time.UTC(), Author: r.Author, Deleted: r.Deleted,
	}
}

// sideName names a version of a file in a diff, as diff and patch name what is
// not there.
func sideName(f service.PolicyFile) string {
	if f.Version == 0 || f.Deleted {
		return "/dev/null"
	}
	return fmt.Sprintf("%s@%d", f.Name, f.Version)
}

func finding(f policy.Finding) api.Finding {
	out := api.Finding{
		File: f.Ref.File, Policy: f.Ref.ID, Line: f.Ref.Line, Column: f.Ref.Column,
		Kind: f.Kind, Certainty: f.Certainty, Refused: f.Refused, Message: f.Message,
	}
	if f.Other != nil {
		out.Other = fmt.Sprintf("%s/%s:%d", f.Other.File, f.Other.ID, f.Other.Line)
	}
	return out
}

// testRun sums up test cases, and holds those that failed, or all of them.
func testRun(results []policy.TestResult, all bool) (run api.TestRun) {
	for _, r := range results {
		if r.Passed {
			run.Passed++
		} else {
			run.Failed++
		}
		if all || !r.Passed {
			run.Cases = append(run.Cases, api.TestResult{
				File: r.File, Line: r.Line, Text: r.Text, Want: r.Want, Got: r.Got, Passed: r.Passed, Reasons: r.Reasons,
			})
		}
	}
	return run
}

func simulatedChange(c service.SimulatedChange) api.SimulatedChange {
	return api.SimulatedChange{
		Principal: principalName(c.Principal), Name: c.Principal.Author(), Action: string(c.Request.Action), Resource: resourceName(c.Request.Resource),
		Last: c.Last.UTC(), Before: allowOrDeny(c.Before), After: allowOrDeny(c.After), Reasons: texts(c.After.Reasons),
	}
}

func allowOrDeny(d access.Decision) string {
	if d.Allowed {
		return "allow"
	}
	return "deny"
}

// texts is a list that is [] when it is empty.
func texts(list []string) []string { return append([]string{}, list...) }

// principalTypes are the types that principals have in policies, by how they
// proved who they are.
var principalTypes = map[string]string{
	access.MethodToken: "Token", access.MethodIdentity: "Identity", access.MethodCertificate: "Workload",
}

// principalName is a principal as policies name it.
func principalName(p access.Principal) string {
	if kind, known := principalTypes[p.Method]; known {
		return kind + "::" + strconv.Quote(p.ID)
	}
	return p.Actor()
}

// resourceName is a resource as policies name it.
func resourceName(r access.Resource) string {
	kind, name := "Server", "server"
	switch {
	case r.Tenant == config.TenantID{}:
	case r.Environment == "":
		kind, name = "Tenant", r.TenantName
	case r.Path.IsZero() && r.Prefix == config.Prefix{}:
		kind, name = "Environment", r.Environment
	case r.Path.IsZero():
		kind, name = "Folder", r.Environment+"/"+r.Prefix.String()
	case r.Secret:
		kind, name = "Secret", r.Environment+"/"+r.Path.String()
	default:
		kind, name = "Document", r.Environment+"/"+r.Path.String()
	}
	return kind + "::" + strconv.Quote(name)
}

func explainedDecision(e service.ExplainedDecision) api.ExplainedDecision {
	decidedBy := func(ref policy.Ref) api.DecidedBy {
		return api.DecidedBy{File: ref.File, Policy: ref.ID, Line: ref.Line, Column: ref.Column, Effect: ref.Effect, Text: e.Texts[ref]}
	}
	reasons := texts(e.Decision.Reasons)
	if e.Narrowing != "" && !slices.Contains(reasons, e.Narrowing) {
		reasons = slices.Insert(reasons, 0, e.Narrowing)
	}
	return api.ExplainedDecision{
		Decision: allowOrDeny(e.Decision), Principal: principalName(e.Request.Principal), Roles: texts(e.Request.Principal.Roles),
		Action: string(e.Request.Action), Resource: resourceName(e.Request.Resource), Reasons: reasons,
		Deciding: convert(e.Deciding, decidedBy),
		Failed: some(e.Failed, func(f policy.Failure) api.FailedPolicy {
			return api.FailedPolicy{DecidedBy: decidedBy(f.Ref), Message: f.Message}
		}),
		Missing: e.Missing,
		Needed: some(e.Needed, func(n policy.Need) api.NeededPermits {
			return api.NeededPermits{DecidedBy: decidedBy(n.Ref), Lacking: texts(n.Lacking)}
		}),
	}
}
