package service

import (
	"context"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// checkerID is the id of the made-up principals that checks ask as.
const checkerID = "compliance-check"

// stranger is a made-up token of a tenant without any role.
func (x *examination) stranger(tenant config.TenantID) Caller {
	p := access.Principal{ID: checkerID, Name: checkerID, Method: access.MethodToken, Tenant: tenant}
	return Caller{Principal: p.Sealed(), RequestID: x.who.RequestID, Source: x.who.Source, UserAgent: "compliance check"}
}

func (x *examination) denyByDefault(context.Context) (finding, error) {
	asked := 0
	for _, info := range access.Actions {
		for _, r := range x.placesOf(info) {
			request := access.Request{Principal: x.stranger(x.chain.Tenant).Principal, Action: info.Action, Resource: r, Time: x.now, Source: x.who.Source}
			set := x.s.builtin
			if x.state != nil {
				set = x.state.rules.Load().set
				request.Labels = func() (map[string]string, error) { return nil, nil }
			}
			if asked++; set.Decide(&request).Allowed {
				return fails("%s on %s is allowed to a token without roles", info.Action, resourceName(r)), nil
			}
		}
	}
	return holds("%d questions about %d actions, all denied", asked, len(access.Actions)), nil
}

// placesOf are things that an action may be asked about.
func (x *examination) placesOf(info access.ActionInfo) []access.Resource {
	if x.state == nil {
		return []access.Resource{{}}
	}
	places := []access.Resource{{Tenant: x.chain.Tenant, TenantName: x.state.tenant.Name}}
	if !info.Path {
		return places
	}
	path, err := config.ParsePath(checkerID)
	if err != nil {
		return places
	}
	for _, e := range x.state.tree.Load().All() {
		places = append(places, access.Resource{
			Tenant: x.chain.Tenant, TenantName: x.state.tenant.Name, Environment: e.Name, Path: path,
			Secret: strings.HasPrefix(string(info.Action), "secret."),
		})
	}
	return places
}

func (x *examination) strangersRefused(ctx context.Context) (finding, error) {
	made, err := access.NewToken(x.s.random)
	if err != nil {
		return finding{}, unavailable(err, "no random numbers can be had")
	}
	for what, bearer := range map[string]string{"no credentials": "", "a made-up token": made.Reveal(), "what is no token": "Bearer"} {
		who, err := x.s.authenticated(ctx, Credentials{Bearer: bearer}, Caller{Source: x.who.Source})
		if kind := config.KindOf(err); kind != config.KindUnauthenticated {
			if err != nil {
				return finding{}, err
			}
			return fails("with %s one is %s", what, who.Principal.Actor()), nil
		}
	}
	return holds("3 of 3 were refused"), nil
}

func (x *examination) tenantIsolation(ctx context.Context) (finding, error) {
	var name string
	if x.state != nil {
		name = x.state.tenant.Name
	} else {
		tenants, _, err := x.s.store.ListTenants(ctx, store.Page{Limit: 1})
		if err != nil {
			return finding{}, err
		}
		if len(tenants) == 0 {
			return holds("there is no tenant yet"), nil
		}
		name = tenants[0].Name
	}
	foreign := x.stranger(config.TenantID{0: 0xff, 15: 0xff})
	foreign.Principal.Roles = []string{access.RoleAdmin}
	foreign.Principal = foreign.Principal.Sealed()
	absent := checkerID + "-absent"
	_, there := x.s.guard(ctx, foreign, access.ConfigRead, name, access.Resource{})
	_, gone := x.s.guard(ctx, foreign, access.ConfigRead, absent, access.Resource{})
	for _, err := range []error{there, gone} {
		if kind := config.KindOf(err); kind == config.KindUnavailable || kind == config.KindRateLimited {
			return finding{}, err
		}
	}
	switch {
	case config.KindOf(there) != config.KindNotFound:
		return fails("another tenant's administrator is answered %q about %s", config.KindOf(there), name), nil
	case strings.ReplaceAll(there.Error(), strconv.Quote(name), strconv.Quote(absent)) != gone.Error():
		return fails("the answer about %s is another than about a tenant that is not there", name), nil
	}
	return holds("asked about %s and about a tenant that is not there, and answered the same", name), nil
}

// eachToken goes through the tokens that are good now.
func (x *examination) eachToken(ctx context.Context, visit func(store.Token)) (n int, err error) {
	page := store.Page{Limit: MaxPage}
	for {
		tokens, next, err := x.s.store.Tokens(ctx, x.chain.Tenant, page)
		if err != nil {
			return n, err
		}
		for _, t := range tokens {
			if t.Revoked.IsZero() && (t.Expires.IsZero() || x.now.Before(t.Expires)) {
				n++
				visit(t)
			}
		}
		if page.Cursor = next; next == "" {
			return n, ctx.Err()
		}
	}
}

func (x *examination) adminsFew(ctx context.Context) (finding, error) {
	admins := 0
	n, err := x.eachToken(ctx, func(t store.Token) {
		grants, err := access.ParseGrants(t.Grants)
		if (t.TenantAdmin || t.ServerAdmin) && (err != nil || grants.Scope() == nil) {
			admins++
		}
	})
	if admins > compliance.MostAdmins {
		return fails("%d of %d valid tokens are administrators with all rights; %d are enough", admins, n, compliance.MostAdmins), err
	}
	return holds("%d of %d valid tokens are administrators with all rights", admins, n), err
}

func (x *examination) tokensExpire(ctx context.Context) (finding, error) {
	endless, idle := 0, 0
	n, err := x.eachToken(ctx, func(t store.Token) {
		used := t.Created
		if t.LastUsed.After(used) {
			used = t.LastUsed
		}
		switch {
		case t.Expires.IsZero():
			endless++
		case x.now.Sub(used) > compliance.LongestIdle:
			idle++
		}
	})
	if endless+idle > 0 {
		return fails("of %d valid tokens %d have no end and %d were not used for a long time; revoke them", n, endless, idle), err
	}
	return holds("%d valid tokens, all with an end and in use", n), err
}

func (x *examination) breakGlassBounded(context.Context) (finding, error) {
	active := 0
	for _, g := range x.state.rules.Load().grants {
		at := g.at(x.now)
		if at.State != GrantActive {
			continue
		}
		active++
		if g.Reason == "" || g.Approver == "" || g.Approver == g.Requester || at.Expires.Sub(g.Approved) > compliance.LongestGrant {
			return fails("the grant %s has no reason, no second person or no near end", g.ID), nil
		}
	}
	return holds("%d grants in force", active), nil
}

func (x *examination) policiesTested(ctx context.Context) (finding, error) {
	end, err := x.s.policyTurn(ctx, x.state)
	if err != nil {
		return finding{}, err
	}
	defer end()
	src := x.state.rules.Load().source
	report, err := tried(ctx, func(ctx context.Context) (policy.Report, error) {
		return policy.CheckContext(ctx, withEnvironments(x.state, src), "")
	})
	if err != nil {
		return finding{}, err
	}
	tested := map[string]int{}
	for _, result := range report.Tests {
		tested[result.File]++
		if !result.Passed {
			return fails("the test case at %s:%d fails", result.File, result.Line), nil
		}
	}
	for _, file := range src.Files {
		if tested[file.Name] == 0 {
			return fails("the policies of the file %s have no test case", file.Name), nil
		}
	}
	return holds("%d files of policies, %d test cases, all passed", len(src.Files), len(report.Tests)), nil
}
