package service_test

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// hostile is a store that answers other rules than were written.
type hostile struct {
	store.Store
	alter atomic.Pointer[func([]store.Rule) []store.Rule]
}

func (h *hostile) Rules(ctx context.Context, tenant config.TenantID) ([]store.Rule, error) {
	rows, err := h.Store.Rules(ctx, tenant)
	if alter := h.alter.Load(); alter != nil && err == nil {
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].Sealed = bytes.Clone(rows[i].Sealed)
		}
		rows = (*alter)(rows)
	}
	return rows, err
}

// governed is a tenant with a rule of every kind in its second version, whose
// store can be made hostile.
type governed struct {
	*stage
	reader *actor // may read, unless the policy forbids it
	store  *hostile
	before []store.Rule // as they were in the versions before
	other  []store.Rule // of another tenant, of the same names
}

func newGoverned(t *testing.T) *governed {
	t.Helper()
	w := newWorld(t)
	g := &governed{stage: w.stage(t, "acme")}
	g.reader = g.as(access.Grants{Roles: []string{"release"}})
	write := func(a *actor) {
		a.putPolicy("open", `permit (principal in Role::"release", action == Action::"config.read", resource);`)
		_, err := a.s.PutQuota(t.Context(), a.root, a.tenant, service.QuotaRequest{})
		must(t, err)
	}
	write(g.actor)
	stranger := g.stranger
	stranger.putRole("release")
	stranger.putRole("deployer")
	stranger.putPolicy("release", somePolicy)
	stranger.putPolicy("shut", `forbid (principal in Role::"release", action, resource);`)
	write(stranger)
	var err error
	g.other, err = g.engine.Rules(t.Context(), stranger.id)
	must(t, err)

	id := g.askForAccess(t, g.root)
	g.before, err = g.engine.Rules(t.Context(), g.id)
	must(t, err)
	g.putPolicy("open", `permit (principal in Role::"release", action == Action::"config.read", resource in Path::"x");`)
	g.putPolicy("shut", `forbid (principal in Role::"release", action, resource);`)
	_, err = g.s.PutRole(t.Context(), g.who, g.tenant, "release", service.RoleRequest{Description: "second"})
	must(t, err)
	limit := int64(1000)
	_, err = g.s.PutQuota(t.Context(), g.root, g.tenant, service.QuotaRequest{Limits: service.QuotaLimits{Documents: &limit}})
	must(t, err)
	_, err = g.s.EndGrant(t.Context(), g.who, g.tenant, id, "")
	must(t, err)
	g.store = &hostile{Store: g.engine}
	return g
}

// process is one that has just started over the hostile store.
func (g *governed) process() *service.Service {
	return service.New(service.Options{Store: g.store, Keyring: g.keyring, Clock: g.clock.read})
}

func pick(rows []store.Rule, kind store.RuleKind, name string) *store.Rule {
	for i := range rows {
		if rows[i].Kind == kind && (name == "" || rows[i].Name == name) {
			return &rows[i]
		}
	}
	panic("there is no " + string(kind) + " " + name)
}

func without(rows []store.Rule, kind store.RuleKind, name string) []store.Rule {
	gone := *pick(rows, kind, name)
	return slices.DeleteFunc(rows, func(r store.Rule) bool { return r.Kind == gone.Kind && r.Name == gone.Name })
}

// alterations are what a store can do to rules, but for bringing back all that
// once was.
func (g *governed) alterations() map[string]func([]store.Rule) []store.Rule {
	kinds := []store.RuleKind{store.RulePolicy, store.RuleRole, store.RuleQuota, store.RuleGrant, store.RuleManifest}
	all := map[string]func([]store.Rule) []store.Rule{
		"the policy that forbids is gone": func(rows []store.Rule) []store.Rule { return without(rows, store.RulePolicy, "shut") },
		"a policy has the text of another": func(rows []store.Rule) []store.Rule {
			pick(rows, store.RulePolicy, "shut").Sealed = pick(rows, store.RulePolicy, "open").Sealed
			return rows
		},
		"two policies changed places": func(rows []store.Rule) []store.Rule {
			a, b := pick(rows, store.RulePolicy, "shut"), pick(rows, store.RulePolicy, "open")
			a.Sealed, b.Sealed = b.Sealed, a.Sealed
			return rows
		},
		"a policy is called otherwise": func(rows []store.Rule) []store.Rule {
			pick(rows, store.RulePolicy, "shut").Name = "shut2"
			return rows
		},
		"a policy is a role": func(rows []store.Rule) []store.Rule {
			pick(rows, store.RuleRole, "release").Sealed = pick(rows, store.RulePolicy, "release").Sealed
			return rows
		},
		"a policy became a role": func(rows []store.Rule) []store.Rule {
			pick(rows, store.RulePolicy, "shut").Kind = store.RuleRole
			return rows
		},
		"a rule more": func(rows []store.Rule) []store.Rule {
			more := *pick(rows, store.RulePolicy, "open")
			more.Name = "more"
			return append(rows, more)
		},
		"an unknown kind more": func(rows []store.Rule) []store.Rule {
			more := *pick(rows, store.RulePolicy, "open")
			more.Kind = "other"
			return append(rows, more)
		},
		"all policies are of before":   func(rows []store.Rule) []store.Rule { return g.older(rows, store.RulePolicy) },
		"an older one after the newer": func(rows []store.Rule) []store.Rule { return append(rows, *pick(g.before, store.RulePolicy, "open")) },
		"all but the manifest are of before": func(rows []store.Rule) []store.Rule {
			return append(without(slices.Clone(g.before), store.RuleManifest, ""), *pick(rows, store.RuleManifest, ""))
		},
		"all is another tenant's": func([]store.Rule) []store.Rule { return slices.Clone(g.other) },
		"all is gone but the manifest": func(rows []store.Rule) []store.Rule {
			return []store.Rule{*pick(rows, store.RuleManifest, "")}
		},
		"a deleted manifest": func(rows []store.Rule) []store.Rule {
			m := pick(rows, store.RuleManifest, "")
			m.Deleted, m.Sealed = true, nil
			return rows
		},
	}
	for _, kind := range kinds {
		all["a "+string(kind)+" is gone"] = func(rows []store.Rule) []store.Rule { return without(rows, kind, "") }
		all["a bit of a "+string(kind)] = func(rows []store.Rule) []store.Rule {
			sealed := pick(rows, kind, "").Sealed
			sealed[len(sealed)-1] ^= 1
			return rows
		}
		all["a "+string(kind)+" without a body"] = func(rows []store.Rule) []store.Rule { pick(rows, kind, "").Sealed = nil; return rows }
		all["a "+string(kind)+" of another version"] = func(rows []store.Rule) []store.Rule { pick(rows, kind, "").Version++; return rows }
		all["an older "+string(kind)] = func(rows []store.Rule) []store.Rule { return g.older(rows, kind) }
		all["an older "+string(kind)+" as the newest"] = func(rows []store.Rule) []store.Rule {
			for i := range rows {
				if rows[i].Kind == kind {
					rows[i].Sealed = oldOf(g.before, rows[i]).Sealed
				}
			}
			return rows
		}
		if kind != store.RuleGrant { // which have random names
			all["another tenant's "+string(kind)] = func(rows []store.Rule) []store.Rule {
				head := pick(rows, kind, "")
				head.Sealed, head.Version = pick(g.other, kind, head.Name).Sealed, pick(g.other, kind, head.Name).Version
				return rows
			}
		}
	}
	return all
}

// older are rules with those of a kind as they were before.
func (g *governed) older(rows []store.Rule, kind store.RuleKind) []store.Rule {
	for i := range rows {
		if rows[i].Kind == kind {
			rows[i] = oldOf(g.before, rows[i])
		}
	}
	return rows
}

func oldOf(before []store.Rule, row store.Rule) store.Rule {
	for _, old := range before {
		if old.Kind == row.Kind && old.Name == row.Name {
			return old
		}
	}
	return row
}

// mustBeShut expects that nobody is told anything, not even that he may not.
func (g *governed) mustBeShut(t *testing.T, s *service.Service) {
	t.Helper()
	for _, who := range []service.Caller{g.who, g.reader.who, g.stranger.who, g.root} {
		_, err := s.Config(t.Context(), who, g.tenant, "production", path("gateway"), service.ReadOptions{})
		mustBe(t, config.KindUnavailable, err)
	}
	_, err := s.Change(t.Context(), g.who, g.tenant, service.ChangeRequest{Edits: []service.Edit{g.put("base", "x", `{}`)}})
	mustBe(t, config.KindUnavailable, err)
	_, _, err = s.Policies(t.Context(), g.who, g.tenant)
	mustBe(t, config.KindUnavailable, err)
}

// writes are all verbs that write rules.
func (g *governed) writes(s *service.Service) map[string]error {
	ctx, errs := g.t.Context(), map[string]error{}
	_, errs["a policy"] = s.PutPolicy(ctx, g.who, g.tenant, "new", service.PolicyRequest{Text: "// nothing\n"})
	_, errs["a dry run"] = s.PutPolicy(ctx, g.who, g.tenant, "new", service.PolicyRequest{Text: "// nothing\n", DryRun: true})
	_, errs["a role"] = s.PutRole(ctx, g.who, g.tenant, "new", service.RoleRequest{})
	_, errs["a quota"] = s.PutQuota(ctx, g.root, g.tenant, service.QuotaRequest{})
	_, errs["a grant"] = s.RequestGrant(ctx, g.root, g.tenant, service.GrantRequest{Reason: "ticket", For: time.Hour})
	return errs
}

// Whoever can write to the database governs nothing: rules that are not exactly
// those that were written are none, and without rules nobody is let in.
func TestTheStoreIsNotTrustedWithRules(t *testing.T) {
	g := newGoverned(t)
	_, err := g.process().Config(t.Context(), g.who, g.tenant, "production", path("gateway"), service.ReadOptions{})
	must(t, err)
	_, err = g.process().Config(t.Context(), g.reader.who, g.tenant, "production", path("gateway"), service.ReadOptions{})
	mustBe(t, config.KindForbidden, err)
	for name, alter := range g.alterations() {
		t.Run(name, func(t *testing.T) {
			running := g.process()
			_, err := running.Tenant(t.Context(), g.who, g.tenant)
			must(t, err)
			g.store.alter.Store(&alter)
			defer g.store.alter.Store(nil)
			g.mustBeShut(t, g.process())

			// One that runs goes by what it knows, and writes nothing on top of the rest.
			revision := g.revision()
			for what, err := range g.writes(running) {
				if config.KindOf(err) != config.KindUnavailable {
					t.Errorf("a write of %s is answered by %v", what, err)
				}
			}
			same(t, "revision", revision, g.revision())
			_, err = running.Config(t.Context(), g.reader.who, g.tenant, "production", path("gateway"), service.ReadOptions{})
			mustBe(t, config.KindForbidden, err)
			g.store.alter.Store(nil)
			_, err = running.Config(t.Context(), g.who, g.tenant, "production", path("gateway"), service.ReadOptions{})
			must(t, err)
		})
	}
}

// All rules together as they once were, with the manifest of that time, are what
// a restored backup looks like to a process that starts. One that has seen newer
// ones, or any at all, is not taken in.
func TestRulesOfBeforeAreNotWrittenUpon(t *testing.T) {
	g := newGoverned(t)
	for name, alter := range map[string]func([]store.Rule) []store.Rule{
		"all of before": func([]store.Rule) []store.Rule { return slices.Clone(g.before) },
		"none at all":   func([]store.Rule) []store.Rule { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			running := g.process()
			_, err := running.Tenant(t.Context(), g.who, g.tenant)
			must(t, err)
			g.store.alter.Store(&alter)
			defer g.store.alter.Store(nil)
			revision := g.revision()
			for what, err := range g.writes(running) {
				if config.KindOf(err) != config.KindUnavailable {
					t.Errorf("a write of %s is answered by %v", what, err)
				}
			}
			same(t, "revision", revision, g.revision())
		})
	}
}

// A store that answers the same rule twice has said nothing new.
func TestARuleTwice(t *testing.T) {
	g := newGoverned(t)
	twice := func(rows []store.Rule) []store.Rule { return append(rows, rows...) }
	g.store.alter.Store(&twice)
	_, err := g.process().Config(t.Context(), g.reader.who, g.tenant, "production", path("gateway"), service.ReadOptions{})
	mustBe(t, config.KindForbidden, err)
}

// Sealed rules and kept decisions open where they belong and nowhere else.
func TestNoStoredRuleOpensElsewhere(t *testing.T) {
	g := newGoverned(t)
	must(t, g.s.FlushCounts(t.Context()))
	rows, err := g.engine.Rules(t.Context(), g.id)
	must(t, err)
	var places []seal.Place
	var sealed [][]byte
	for _, r := range rows {
		places = append(places, seal.Place{Kind: seal.Rule, Tenant: g.id, Path: string(r.Kind) + ":" + r.Name, Version: int64(r.Version)})
		sealed = append(sealed, r.Sealed)
	}
	decisions, err := g.engine.Decisions(t.Context(), g.id, 3)
	must(t, err)
	same(t, "decisions", 3, len(decisions))
	for _, d := range decisions {
		places = append(places, seal.Place{Kind: seal.Decision, Tenant: g.id, Path: string(d.Key[:])})
		sealed = append(sealed, d.Sealed)
	}
	for i, text := range sealed {
		for j, at := range places {
			_, err := g.keyring.Open(t.Context(), at, text)
			if opens := err == nil; opens != (i == j) {
				t.Errorf("the row of %s opens at %s: %v", places[i], at, opens)
			}
		}
		elsewhere := places[i]
		elsewhere.Tenant = g.stranger.id
		if _, err := g.keyring.Open(t.Context(), elsewhere, text); err == nil {
			t.Errorf("the row of %s opens in another tenant", places[i])
		}
		elsewhere = places[i]
		elsewhere.Version++
		if _, err := g.keyring.Open(t.Context(), elsewhere, text); err == nil {
			t.Errorf("the row of %s opens as another version", places[i])
		}
	}
}
