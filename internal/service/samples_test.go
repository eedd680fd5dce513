package service_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

func (a *actor) simulated(name, text string) service.Simulation {
	a.t.Helper()
	result, err := a.s.SimulatePolicies(a.t.Context(), a.who, a.tenant, name, &text, 0)
	must(a.t, err)
	return result
}

// changes are those of a simulation, as who may do what to what no more, or newly.
func changes(s service.Simulation) (all []string) {
	for _, c := range s.Changed {
		all = append(all, fmt.Sprintf("%s %s %s/%s %v", c.Principal.ID, c.Request.Action, c.Request.Resource.Environment, c.Request.Resource.Path, c.After.Allowed))
	}
	return all
}

func TestWhatOtherPoliciesWouldHaveDecided(t *testing.T) {
	a, r := ruled(t)
	a.putPolicy("p", readsStaging)
	for range 3 { // and is sampled once
		must(t, r.reading("staging", "a"))
		r.may(false, "a read", r.reading("production", "a"))
	}
	id := r.who.Principal.ID
	same(t, "with what is there", 0, len(a.simulated("p", readsStaging).Changed))
	same(t, "with another", 2, len(a.simulated("p", readsProduction).Changed))
	for _, want := range []string{id + " config.read staging/a false", id + " config.read production/a true"} {
		if got := changes(a.simulated("p", readsProduction)); !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("the changes are %q, without %q", got, want)
		}
	}
	same(t, "with one more", []string{id + " config.read production/a true"}, changes(a.simulated("q", readsProduction)))
	none, err := a.s.SimulatePolicies(t.Context(), a.who, a.tenant, "p", nil, 0)
	must(t, err)
	same(t, "with none", []string{id + " config.read staging/a false"}, changes(none))
	must(t, r.reading("staging", "a")) // nothing was done
	if _, err := a.s.SimulatePolicies(t.Context(), a.who, a.tenant, "", nil, 2001); config.KindOf(err) != config.KindBadRequest {
		t.Errorf("a limit that is too large is answered by %v", err)
	}
	few, err := a.s.SimulatePolicies(t.Context(), a.who, a.tenant, "p", nil, 2)
	must(t, err)
	same(t, "of two", 2, few.Tried)
	// Another process finds them, and keeps none twice.
	before, err := a.engine.Decisions(t.Context(), a.id, 1000)
	must(t, err)
	other := r.over(a.start())
	must(t, other.reading("staging", "a"))
	must(t, other.s.FlushCounts(t.Context()))
	after, err := a.engine.Decisions(t.Context(), a.id, 1000)
	must(t, err)
	same(t, "decisions that are kept", len(before), len(after))
}

// What is kept of decisions tells whoever reads the database nothing but when and
// how many; and it is about the tenant's own people.
func TestWhatIsKeptOfDecisions(t *testing.T) {
	a, r := ruled(t)
	a.set("production", "hush/deeply", `{"labels":{"team":"whisperers"}}`)
	a.putPolicy("p", `permit (principal in Role::"r", action == Action::"config.read", resource) when { resource.hasTag("team") };`)
	must(t, r.reading("production", "hush/deeply"))
	other := a.found(t, "other")
	mustBe(t, config.KindNotFound, func() error {
		_, err := a.s.Config(t.Context(), other.who, a.tenant, "production", path("hush/deeply"), service.ReadOptions{})
		return err
	}())
	_, _, err := a.s.Tenants(t.Context(), a.who, page(1))
	mustBe(t, config.KindForbidden, err)
	must(t, a.s.FlushCounts(t.Context()))
	rows, err := a.engine.Decisions(t.Context(), a.id, 1000)
	must(t, err)
	for _, row := range rows {
		for _, text := range []string{"hush", "deeply", "whisperers", "somebody", r.who.Principal.ID, "config.read", someone.String()} {
			if bytes.Contains(row.Sealed, []byte(text)) || bytes.Contains(row.Key[:], []byte(text)) {
				t.Errorf("a row holds %q", text)
			}
		}
	}
	past, err := a.s.SimulatePolicies(t.Context(), a.who, a.tenant, "p", nil, 0)
	must(t, err)
	same(t, "the change", []string{r.who.Principal.ID + " config.read production/hush/deeply false"}, changes(past))
	if past.Tried != len(rows) && past.Tried != len(rows)+1 { // with the question of the simulation itself
		t.Errorf("%d were tried of %d", past.Tried, len(rows))
	}
	server, err := a.engine.Decisions(t.Context(), config.TenantID{}, 10)
	if err == nil && len(server) > 0 {
		t.Error("decisions on the server are kept")
	}
}

// question is one that is put to a verb and to the explanation of it.
type question struct {
	who    *actor
	action access.Action
	env    string
	at     string
	secret bool
	ask    func(b *actor) error
}

// An explanation says what the verb itself answers, leaves no denial on record,
// and is for those who may read policies.
func TestAnExplanationIsWhatTheVerbAnswers(t *testing.T) {
	a, r := ruled(t)
	a.putSecret("production", "a", "one")
	a.putPolicy("p", readsStaging+"\n"+`forbid (principal, action == Action::"config.write", resource in Folder::"production/a") unless { context has source && context.source.isInRange(ip("10.0.0.0/8")) };`)
	narrow := a.as(access.Grants{Environments: []string{"staging"}})
	viewer := a.as(access.Grants{Roles: []string{access.RoleViewer}})
	reads := func(environment string) func(*actor) error {
		return func(b *actor) error { return b.reading(environment, "a") }
	}
	writes := func(environment string) func(*actor) error {
		return func(b *actor) error {
			_, err := b.s.Change(t.Context(), b.who, b.tenant, service.ChangeRequest{Edits: []service.Edit{b.put(environment, "a", `{"n":1}`)}, DryRun: true})
			return err
		}
	}
	reveals := func(b *actor) error { _, err := b.reveal("production", "a"); return err }
	for _, who := range []*actor{a, r, narrow, viewer} {
		for _, q := range []question{
			{who, access.ConfigRead, "staging", "a", false, reads("staging")}, {who, access.ConfigRead, "production", "a", false, reads("production")},
			{who, access.ConfigWrite, "staging", "a", false, writes("staging")}, {who, access.ConfigWrite, "production", "a", false, writes("production")},
			{who, access.SecretRead, "production", "a", true, reveals},
		} {
			answered := config.KindOf(q.ask(q.who)) != config.KindForbidden
			in := service.DecisionQuestion{
				Action: q.action, Resource: access.Resource{Environment: q.env, Path: path(q.at), Secret: q.secret},
				Token: q.who.who.Principal.ID, Source: someone,
			}
			records := len(a.chain(t, a.id))
			e, err := a.s.ExplainDecision(t.Context(), a.who, a.tenant, in)
			must(t, err)
			if e.Decision.Allowed != answered {
				t.Errorf("%s of %s in %s by %s is explained as %v", q.action, q.at, q.env, q.who.who.Principal.Name, e.Decision.Allowed)
			}
			if q.who == a {
				in.Token = ""
				own, err := a.s.ExplainDecision(t.Context(), a.who, a.tenant, in)
				must(t, err)
				same(t, "the caller's own", answered, own.Decision.Allowed)
			}
			same(t, "records", records, len(a.chain(t, a.id)))
		}
	}
	in := service.DecisionQuestion{Action: access.ConfigRead, Resource: access.Resource{Environment: "staging", Path: path("a")}, Roles: []string{"r"}}
	for principal, allowed := range map[string]bool{"": true, "identity:ci:x": true, "workload:spiffe://acme/x": true} {
		in.Principal = principal
		e, err := a.s.ExplainDecision(t.Context(), a.who, a.tenant, in)
		must(t, err)
		same(t, "for "+principal, allowed, e.Decision.Allowed)
	}
	in.Roles = []string{access.RoleServerAdmin}
	e, err := a.s.ExplainDecision(t.Context(), a.who, a.tenant, in)
	must(t, err)
	same(t, "for a role that no tenant gives", false, e.Decision.Allowed)

	for _, q := range []service.DecisionQuestion{
		{Action: "config.reads"}, {Action: access.ConfigRead, Claims: map[string][]string{"a": {"b"}}}, {Action: access.ConfigRead, Certificate: "dns:x"},
		{Action: access.ConfigRead, Token: a.who.Principal.ID, Roles: []string{"r"}}, {Action: access.ConfigRead, Principal: "token:x"},
		{Action: access.ConfigRead, Principal: "identity:ci"}, {Action: access.ConfigRead, Principal: "identity::x"}, {Action: access.ConfigRead, Roles: []string{"r"}, Certificate: "x"},
	} {
		_, err := a.s.ExplainDecision(t.Context(), a.who, a.tenant, q)
		mustBe(t, config.KindBadRequest, err)
		// Who may not read policies is told the same, whatever he asks.
		_, err = r.s.ExplainDecision(t.Context(), r.who, a.tenant, q)
		same(t, "the answer", "your credentials do not allow policy.read here", mustBe(t, config.KindForbidden, err).Message)
	}
	for _, id := range []string{a.root.Principal.ID, a.found(t, "other").who.Principal.ID, "aaaaaaaaaaaaaaaa", "x"} {
		_, err := a.s.ExplainDecision(t.Context(), a.who, a.tenant, service.DecisionQuestion{Action: access.ConfigRead, Token: id})
		mustBe(t, config.KindNotFound, err)
	}
}
