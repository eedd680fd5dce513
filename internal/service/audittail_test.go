package service_test

import (
	"slices"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// A tail has every record once and in order, wherever it lies and whatever is
// moved meanwhile.
func TestATailHasAll(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(900, 0)...)
	a.clock.move(9 * oneDay)
	a.append(a.id, made(700, 900)...)
	a.retain()
	tail, err := a.s.TailAudit(t.Context(), a.who, a.chain(), audit.Filter{}, new(uint64))
	must(t, err)
	defer tail.Close()
	secrets, err := a.s.TailAudit(t.Context(), a.who, a.chain(), audit.Filter{Events: []string{"secret.read"}}, new(uint64))
	must(t, err)
	defer secrets.Close()
	var all, some []uint64
	for round := 0; tail.Position() < a.stands(a.id).Head.Sequence; round++ {
		links, err := tail.Next(t.Context())
		must(t, err)
		for _, l := range links {
			all = append(all, l.Sequence)
		}
		if round == 1 { // what is hot is packed, and what comes is hot
			a.append(a.id, made(300, 1600)...)
			a.clock.move(9 * oneDay)
			a.retain()
		}
	}
	if n := len(all); n != int(a.stands(a.id).Head.Sequence) || all[0] != 1 || !slices.IsSorted(all) || len(slices.Compact(all)) != n {
		t.Errorf("%d records of %d, from %v on", n, a.stands(a.id).Head.Sequence, all[:1])
	}
	for secrets.Position() < a.stands(a.id).Head.Sequence {
		links, err := secrets.Next(t.Context())
		must(t, err)
		for _, l := range links {
			r, err := audit.ParseRecord(l.Record)
			must(t, err)
			if r.Event != "secret.read" {
				t.Errorf("record %d is %s", l.Sequence, r.Event)
			}
			some = append(some, l.Sequence)
		}
	}
	if len(some) == 0 || len(some) == len(all) {
		t.Errorf("%d of %d records are of secrets that were read", len(some), len(all))
	}
	beyond := a.stands(a.id).Head.Sequence + 1
	_, err = a.s.TailAudit(t.Context(), a.who, a.chain(), audit.Filter{}, &beyond)
	mustBe(t, config.KindNotFound, err)
}

// A tail ends when its reader may not read any more, or the tenant is gone.
func TestATailEndsWithTheRight(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(a *auditor, reader string) error
		want config.Kind
	}{
		"a token that is revoked": {func(a *auditor, reader string) error {
			_, err := a.s.RevokeToken(t.Context(), a.who, a.tenant, reader)
			return err
		}, config.KindTokenRevoked},
		"a policy that forbids it": {func(a *auditor, _ string) error {
			_, err := a.tryPolicy("p", service.PolicyRequest{Text: `forbid (principal, action == Action::"audit.read", resource);`})
			return err
		}, config.KindForbidden},
		"a tenant that is deleted": {func(a *auditor, _ string) error {
			_, err := a.s.DeleteTenant(t.Context(), a.root, a.tenant)
			return err
		}, config.KindTokenRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuditor(t)
			reader := a.as(access.Grants{Roles: []string{access.RoleAdmin}})
			tail, err := a.s.TailAudit(t.Context(), reader.who, a.chain(), audit.Filter{}, nil)
			must(t, err)
			defer tail.Close()
			_, err = tail.Next(t.Context())
			must(t, err)
			must(t, c.end(a, reader.who.Principal.ID))
			a.clock.move(2 * time.Second)
			_, err = tail.Next(t.Context())
			mustBe(t, c.want, err)
		})
	}
}

// What can select or count nothing is refused, and not answered with nothing.
func TestWhatCannotBeAskedOfAChain(t *testing.T) {
	a := newAuditor(t)
	for pointer, filters := range map[string][]audit.Filter{
		"action":   {{Actions: []string{"config.devour"}}, {Actions: []string{"nothing.*"}}},
		"actor":    {{Actors: []string{"ann"}}},
		"resource": {{Resource: "environments/*"}, {Resource: "environments/prod?"}},
		"event":    {{Events: []string{"config.devour"}}},
		"to":       {{From: a.clock.read(), To: a.clock.read()}},
	} {
		for _, filter := range filters {
			_, err := a.s.Audit(t.Context(), a.who, a.chain(), filter, page(10))
			same(t, pointer, pointer, mustBe(t, config.KindBadRequest, err).Pointer)
			_, err = a.s.ExportAudit(t.Context(), a.who, a.chain(), service.ExportRequest{Form: service.ExportNDJSON, Filter: filter})
			same(t, pointer+" of an export", pointer, mustBe(t, config.KindBadRequest, err).Pointer)
			_, err = a.s.TailAudit(t.Context(), a.who, a.chain(), filter, nil)
			same(t, pointer+" of a tail", pointer, mustBe(t, config.KindBadRequest, err).Pointer)
		}
	}
	for name, c := range map[string]struct {
		by      []audit.Dimension
		window  time.Duration
		pointer string
	}{
		"by weather":      {[]audit.Dimension{"weather"}, 0, "by"},
		"by one twice":    {[]audit.Dimension{audit.ByEvent, audit.ByEvent}, 0, "by"},
		"by three":        {[]audit.Dimension{audit.ByEvent, audit.ByActor, audit.ByOutcome}, 0, "by"},
		"in half seconds": {nil, 1500 * time.Millisecond, "window"},
		"in years":        {nil, 2 * oneYear, "window"},
	} {
		_, err := a.s.AuditCounts(t.Context(), a.who, a.chain(), audit.Filter{}, c.by, c.window)
		same(t, name, c.pointer, mustBe(t, config.KindBadRequest, err).Pointer)
	}
}

// Whoever has the machine gets back into a tenant whose policies forbid
// everything, and it is on record.
func TestRecoverTenant(t *testing.T) {
	a := newAuditor(t)
	a.putPolicy("gone", `forbid (principal, action == Action::"config.read", resource);`)
	_, err := a.s.RecoverTenant(t.Context(), "no-such-tenant", false)
	mustBe(t, config.KindNotFound, err)
	token, err := a.s.RecoverTenant(t.Context(), a.tenant, false)
	must(t, err)
	mustBe(t, config.KindForbidden, a.holder(token).reading("base", "a"))
	_, err = a.s.RecoverTenant(t.Context(), "no-such-tenant", true)
	mustBe(t, config.KindNotFound, err)
	for _, drops := range []int{1, 0} { // there is nothing to drop the second time
		before := len(a.eventsOn(t, a.id, "policy.recover"))
		token, err = a.s.RecoverTenant(t.Context(), a.tenant, true)
		must(t, err)
		a.restart()
		mustBe(t, config.KindNotFound, a.holder(token).reading("base", "a"))
		same(t, "records", before+drops, len(a.eventsOn(t, a.id, "policy.recover")))
	}
}
