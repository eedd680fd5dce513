package service_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	readsStaging    = `permit (principal in Role::"r", action == Action::"config.read", resource in Environment::"staging");`
	readsProduction = `permit (principal in Role::"r", action == Action::"config.read", resource in Environment::"production");`
)

// ruled is a tenant with somebody who has nothing but a role of his own.
func ruled(t *testing.T) (a, r *actor) {
	t.Helper()
	a = newTenant(t)
	a.set("base", "a", `{"v":1}`)
	a.putRole("r")
	return a, a.as(access.Grants{Roles: []string{"r"}})
}

func (a *actor) tryPolicy(name string, in service.PolicyRequest) (service.PolicyResult, error) {
	return a.s.PutPolicy(a.t.Context(), a.who, a.tenant, name, in)
}

func (a *actor) policyText(name string, version config.Version) string {
	a.t.Helper()
	file, err := a.s.Policy(a.t.Context(), a.who, a.tenant, name, version)
	must(a.t, err)
	if file.Deleted {
		return "deleted"
	}
	return file.Text
}

func TestAPolicyGoesThroughItsVersions(t *testing.T) {
	a, r := ruled(t)
	r.may(false, "a read before", r.reading("staging", "a"))
	first := a.putPolicy("p", readsStaging)
	same(t, "version", fmt.Sprint(1, service.Committed), fmt.Sprint(first.Version, first.Status))
	must(t, r.reading("staging", "a")) // at once
	entry := a.logged(first.Revision)
	same(t, "the log", fmt.Sprint(store.EntryRule, " policy p was written as version 1"), fmt.Sprint(entry.Kind, " ", entry.Summary))

	revision := a.revision()
	again := a.putPolicy("p", readsStaging)
	same(t, "written again", fmt.Sprint(1, service.Unchanged, revision), fmt.Sprint(again.Version, again.Status, a.revision()))
	dry, err := a.tryPolicy("p", service.PolicyRequest{Text: readsProduction, DryRun: true})
	must(t, err)
	same(t, "a dry run", fmt.Sprint(2, service.Planned, revision), fmt.Sprint(dry.Version, dry.Status, a.revision()))
	r.may(false, "a read after a dry run", r.reading("production", "a"))

	for _, version := range []config.Version{0, 2, 1} {
		_, err := a.tryPolicy("p", service.PolicyRequest{Text: readsProduction, IfVersion: &version})
		if version == 1 {
			must(t, err)
			continue
		}
		mustBe(t, config.KindPreconditionFailed, err)
	}
	must(t, r.reading("production", "a"))
	r.may(false, "a read of before", r.reading("staging", "a"))

	deleted, err := a.tryPolicy("p", service.PolicyRequest{Delete: true})
	must(t, err)
	same(t, "version of the deletion", config.Version(3), deleted.Version)
	r.may(false, "a read after it was deleted", r.reading("production", "a"))
	_, err = a.s.Policy(t.Context(), a.who, a.tenant, "p", 0)
	mustBe(t, config.KindNotFound, err)
	_, err = a.tryPolicy("p", service.PolicyRequest{Delete: true})
	mustBe(t, config.KindNotFound, err)
	same(t, "what was", readsStaging, a.policyText("p", 1))
	same(t, "what is gone", "deleted", a.policyText("p", 3))

	back, err := a.s.RollbackPolicy(t.Context(), a.who, a.tenant, "p", 1, "back", false)
	must(t, err)
	same(t, "version of the rollback", config.Version(4), back.Version) // it goes on
	must(t, r.reading("staging", "a"))
	gone, err := a.s.RollbackPolicy(t.Context(), a.who, a.tenant, "p", 3, "gone again", false)
	must(t, err)
	same(t, "version of the rollback to nothing", config.Version(5), gone.Version)
	r.may(false, "a read after that", r.reading("staging", "a"))
	for _, version := range []config.Version{0, -1, 99} {
		if _, err := a.s.RollbackPolicy(t.Context(), a.who, a.tenant, "p", version, "", false); err == nil {
			t.Errorf("there is a rollback to %d", version)
		}
	}
	history, _, err := a.s.RuleHistory(t.Context(), a.who, a.tenant, store.RulePolicy, "p", page(10))
	must(t, err)
	var versions []string
	for _, row := range history {
		versions = append(versions, fmt.Sprint(row.Version, row.Deleted, len(row.Sealed)))
	}
	same(t, "history", []string{"5 true 0", "4 false 0", "3 true 0", "2 false 0", "1 false 0"}, versions)
	var recorded []string
	for _, r := range a.eventsOn(t, a.id, "policy.put", "policy.delete", "policy.rollback") {
		recorded = append(recorded, strings.TrimSpace(r.Event+" "+r.Details["version"]+" "+r.Details["deleted"]))
	}
	same(t, "on record", []string{"policy.put 1", "policy.put 2", "policy.delete 3 true", "policy.rollback 4", "policy.rollback 5 true"}, recorded)
	diff := func(from, to *config.Version) string {
		t.Helper()
		before, after, err := a.s.PolicyDiff(t.Context(), a.who, a.tenant, "p", from, to)
		must(t, err)
		return before.Text + "→" + after.Text
	}
	v0, v1, v2 := config.Version(0), config.Version(1), config.Version(2)
	same(t, "the newest and the one before", readsStaging+"→", diff(nil, nil))
	same(t, "two versions", readsStaging+"→"+readsProduction, diff(&v1, &v2))
	same(t, "nothing and the first", "→"+readsStaging, diff(&v0, &v1))
	_, _, err = a.s.PolicyDiff(t.Context(), a.who, a.tenant, "q", nil, nil)
	mustBe(t, config.KindNotFound, err)
}

func TestPoliciesThatAreRefused(t *testing.T) {
	a, _ := ruled(t)
	a.putPolicy("p", readsStaging+"\n//test allow role:r config.read document staging/a\n//test deny role:r config.read document production/a\n")
	for name, c := range map[string]struct {
		name, text string
		kind       config.Kind
		at         string // the file that the first detail is of
	}{
		"what does not parse":              {"q", "permit (", config.KindInvalidPolicy, "q"},
		"what does not fit":                {"q", `permit (principal, action == Action::"config.reed", resource);`, config.KindInvalidPolicy, "q"},
		"a test case of its own":           {"q", "//test allow role:r config.read document production/a\n", config.KindInvalidPolicy, "q"},
		"a test case of another file":      {"q", readsProduction, config.KindInvalidPolicy, "p"},
		"a forbid that another is against": {"q", `forbid (principal in Role::"r", action, resource);`, config.KindInvalidPolicy, "p"},
		"a name that is none":              {"Q q", readsStaging, config.KindInvalidName, ""},
		"a text that is too long":          {"q", "// " + strings.Repeat("x", 64<<10), config.KindInvalidPolicy, "q"},
	} {
		t.Run(name, func(t *testing.T) {
			revision := a.revision()
			_, err := a.tryPolicy(c.name, service.PolicyRequest{Text: c.text})
			kind := config.KindOf(err)
			if kind != c.kind && (name != "a text that is too long" || kind != config.KindTooLarge) && c.at != "" || err == nil {
				t.Fatalf("it is answered by %v", err)
			}
			if c.at != "" && kind == config.KindInvalidPolicy {
				e := mustBe(t, kind, err)
				same(t, "the file at fault", c.at, e.Details[0].Path)
			}
			same(t, "revision", revision, a.revision())
			if c.at == "" || kind == config.KindTooLarge {
				return
			}
			dry, err := a.tryPolicy(c.name, service.PolicyRequest{Text: c.text, DryRun: true})
			if err != nil || !dry.Report.Refused() {
				t.Errorf("a dry run answers %+v, %v", dry.Report, err)
			}
		})
	}
	_, err := a.tryPolicy("p", service.PolicyRequest{Delete: true})
	must(t, err) // with its test cases
}

// Nobody gives by a policy what he does not have; and nobody who may not write
// policies learns more than that.
func TestPoliciesGiveNoMoreThanTheirAuthorHas(t *testing.T) {
	a, r := ruled(t)
	a.putRole("author")
	a.putPolicy("authors", `permit (principal in Role::"author", action in [Action::"policy.write", Action::"policy.read"], resource);
permit (principal in Role::"author", action == Action::"config.read", resource in Environment::"staging");`)
	author := a.as(access.Grants{Roles: []string{"author"}})
	_, err := author.tryPolicy("p", service.PolicyRequest{Text: readsStaging})
	must(t, err)
	revision := a.revision()
	_, err = author.tryPolicy("p", service.PolicyRequest{Text: readsProduction})
	mustBe(t, config.KindForbidden, err)
	_, err = author.s.RollbackPolicy(t.Context(), author.who, a.tenant, "authors", 99, "", false)
	mustBe(t, config.KindNotFound, err)
	dry, err := author.tryPolicy("p", service.PolicyRequest{Text: readsProduction, DryRun: true})
	if err != nil || !dry.Report.Refused() {
		t.Errorf("a dry run answers %+v, %v", dry.Report, err)
	}
	same(t, "revision", revision, a.revision())
	_, err = r.tryPolicy("p", service.PolicyRequest{Text: "permit ("})
	mustBe(t, config.KindForbidden, err)
	// An admin wrote more once; whoever rolls back to it gives it.
	a.putPolicy("wide", readsProduction)
	a.putPolicy("wide", readsStaging)
	_, err = author.s.RollbackPolicy(t.Context(), author.who, a.tenant, "wide", 1, "", false)
	mustBe(t, config.KindForbidden, err)
	// Nor does he lift what forbids him.
	a.putPolicy("shut", `forbid (principal, action == Action::"config.read", resource in Environment::"production");`)
	_, err = author.tryPolicy("shut", service.PolicyRequest{Delete: true})
	mustBe(t, config.KindForbidden, err)
}

// Of two who write at once neither is lost, and each is checked against what the
// other wrote.
func TestPoliciesThatAreWrittenAtOnce(t *testing.T) {
	a, r := ruled(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := a.tryPolicy(fmt.Sprintf("p%d", i), service.PolicyRequest{Text: fmt.Sprintf("// %d\n", i)}); err != nil {
				t.Error(describe(err))
			}
		})
		all.Go(func() {
			if _, err := a.s.PutRole(t.Context(), a.who, a.tenant, fmt.Sprintf("role%d", i), service.RoleRequest{}); err != nil {
				t.Error(describe(err))
			}
		})
	}
	all.Wait()
	for _, s := range []*service.Service{a.s, a.start()} {
		own, _, err := s.Policies(t.Context(), a.who, a.tenant)
		must(t, err)
		same(t, "policies", 8, len(own))
		roles, err := s.Roles(t.Context(), a.who, a.tenant)
		must(t, err)
		same(t, "roles", 4+1+8, len(roles))
	}
	// One wins whose test case the other breaks, whichever it is.
	texts := []string{readsStaging, "//test deny role:r config.read document staging/a\n"}
	errs := make([]error, 2)
	for i, text := range texts {
		all.Go(func() { _, errs[i] = a.tryPolicy(fmt.Sprintf("at-odds-%d", i), service.PolicyRequest{Text: text}) })
	}
	all.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("they are answered by %v and %v", errs[0], errs[1])
	}
	r.may(errs[0] == nil, "a read", r.reading("staging", "a"))
}

func TestPoliciesWrittenTwiceWithOneKey(t *testing.T) {
	a, _ := ruled(t)
	who := keyed(a.who, "k", "put p")
	put := func() service.PolicyResult {
		t.Helper()
		result, err := a.s.PutPolicy(t.Context(), who, a.tenant, "p", service.PolicyRequest{Text: readsStaging})
		must(t, err)
		return result
	}
	first := put()
	_, err := a.tryPolicy("p", service.PolicyRequest{Delete: true})
	must(t, err)
	again := put()
	if !again.Replayed || again.Revision != first.Revision || again.Version != first.Version {
		t.Errorf("it is answered by %+v, and was by %+v", again, first)
	}
	_, err = a.s.Policy(t.Context(), a.who, a.tenant, "p", 0)
	mustBe(t, config.KindNotFound, err)
}

// Another process over the same store goes by what it read when it first heard of
// the tenant, until it writes rules itself; it never mixes the two.
func TestPoliciesInAnotherProcess(t *testing.T) {
	a, r := ruled(t)
	a.putPolicy("p", readsStaging)
	other := r.over(a.start())
	must(t, other.reading("staging", "a"))
	a.putPolicy("p", readsProduction)
	must(t, other.reading("staging", "a")) // as it was
	other.may(false, "a read of what it has not heard of", other.reading("production", "a"))
	must(t, r.over(a.start()).reading("production", "a"))

	result, err := other.s.PutPolicy(t.Context(), a.who, a.tenant, "q", service.PolicyRequest{Text: "// of another process\n"})
	must(t, err)
	same(t, "version", config.Version(1), result.Version)
	must(t, other.reading("production", "a"))
	other.may(false, "a read of before", other.reading("staging", "a"))
	third, err := other.s.PutPolicy(t.Context(), a.who, a.tenant, "p", service.PolicyRequest{Text: readsStaging})
	must(t, err)
	same(t, "version", config.Version(3), third.Version)
	a.putPolicy("z", "// nothing\n")
	must(t, r.reading("staging", "a"))
}
