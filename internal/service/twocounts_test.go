package service_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// ledger is what a test expects on the chains: how often, by what.
type ledger struct {
	mu     sync.Mutex
	counts map[string]int64
}

func (l *ledger) add(n int64, chain config.TenantID, event, actor string, outcome audit.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[fmt.Sprintf("%s: %s by %s %s", chainOf(chain), event, actor, outcome)] += n
}

// onRecord are the verbs of which what they do is on record, once, on the tenant's
// chain.
var onRecord = map[string]string{
	"Change": "config.change", "SetTag": "tag.set", "PutSecret": "secret.set", "RotateSecret": "secret.rotate",
	"CreateToken": "token.create", "PutRole": "role.put", "PutPolicy": "policy.put", "PutEnvironment": "environment.change",
	"Promote": "config.promote", "PutQuota": "quota.set", "RotateTenantKey": "key.rotate", "DeleteTag": "tag.delete",
	"Audit": "audit.read", "AuditCounts": "audit.read", "ExportAudit": "audit.export", "TailAudit": "audit.tail",
	"VerifyAudit": "audit.verify", "Compliance": "compliance.report", "RevealSecret": "secret.read",
}

// saying are verbs that say how much they did: nothing, where all is as it was
// to be.
var saying = map[string]func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) (int64, error){
	"Change": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) (int64, error) {
		edit := service.Edit{Op: service.Delete, Environment: in.environment, Path: in.path}
		result, err := s.Change(ctx, who, tenant, service.ChangeRequest{Message: in.message, Edits: []service.Edit{edit}})
		return done(result.Status), err
	},
	"Promote": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) (int64, error) {
		result, err := s.Promote(ctx, who, tenant, service.PromoteRequest{From: in.environment, To: "edge", All: true, Message: in.message})
		return done(result.Status), err
	},
	"PutEnvironment": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) (int64, error) {
		result, err := s.PutEnvironment(ctx, who, tenant, "new-"+in.environment, service.EnvironmentRequest{Message: in.message})
		return done(result.Status), err
	},
	"RevealSecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) (int64, error) {
		r, err := s.RevealSecret(ctx, who, tenant, in.environment, in.path, service.RevealRequest{})
		if err != nil {
			return 0, err
		}
		defer r.Wipe()
		if r.Previous != nil { // which is the value of another version
			return 2, nil
		}
		return 1, nil
	},
}

func done(status service.Status) int64 {
	if status == service.Unchanged {
		return 0
	}
	return 1
}

// countedReads are the verbs of which permitted ones are counted.
var countedReads = []string{"Config", "Layer", "List", "Bundle", "Explain", "History", "Diff", "Watch", "Log", "LogEntry"}

// tells are the verbs on which nothing is on record where they are permitted.
var tells = []string{"Tags", "Tag", "Environments", "Secret", "Secrets", "Roles", "Policies", "Tokens", "AuditStatus", "AuditCheckpoints", "Tenant", "Quota"}

// Whatever is asked for, by whom, with and without the right, at once, is on
// record as often as it happened: no more and no less.
func TestTwoCountsAgree(t *testing.T) {
	w := newWorld(t)
	l := &ledger{counts: map[string]int64{}}
	stages := []*stage{w.stage(t, "acme"), w.stage(t, "other")}
	people := map[*stage][]service.Caller{}
	for _, s := range stages {
		for _, role := range []string{access.RoleViewer, access.RoleOperator, access.RoleApplication, "deployer"} {
			people[s] = append(people[s], s.as(access.Grants{Roles: []string{role}}).who)
		}
		people[s] = append(people[s], s.who, s.stranger.who, w.root, service.Caller{Source: someone})
	}
	_, err := w.s.AuditKeys(t.Context()) // of a server that runs for a while
	must(t, err)
	must(t, w.s.FlushCounts(t.Context()))
	chains := []config.TenantID{{}, stages[0].id, stages[1].id}
	begun := map[config.TenantID]int{}
	for _, id := range chains {
		begun[id] = len(w.chain(t, id))
	}
	all := together(inside, about)
	verbs := slices.Sorted(maps.Keys(onRecord))
	verbs = append(append(verbs, countedReads...), tells...)
	const workers = 4
	each := soakOr(5000, 250)
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(worker)))
			for n := range each {
				s := stages[random.IntN(len(stages))]
				who := people[s][random.IntN(len(people[s]))]
				name := verbs[random.IntN(len(verbs))]
				in := s.fit
				in.at = config.At{}
				in.name = fmt.Sprintf("n%d-%d", worker, n)
				in.environment = []string{"production", "staging"}[random.IntN(2)]
				switch {
				case random.IntN(4) == 0:
					in = unfit
				case name == "DeleteTag" || name == "Tag":
					in.name = "release"
				}
				l.expect(t, s, who, name, all[name], in)
			}
		})
	}
	for range 10 {
		must(t, w.s.FlushCounts(t.Context())) // while they work
	}
	wait.Wait()
	l.strangers(t, w)
	w.clock.move(time.Minute)
	must(t, w.s.FlushCounts(t.Context()))

	got := map[string]int64{}
	for _, id := range chains {
		for _, text := range w.chain(t, id)[begun[id]:] {
			r, err := audit.ParseRecord([]byte(text))
			must(t, err)
			if r.UserAgent == "compliance check" || r.Event == "key.rewrapped" {
				continue // what a report has denied, and what the server does by itself once a key is rotated
			}
			if (r.Revision != 0) != (r.Outcome == audit.Success && revising(r.Event)) {
				t.Errorf("the revision is wrong: %s", text)
			}
			if id != (config.TenantID{}) && r.Outcome == audit.Success && r.Tenant != "" && r.Tenant != id.String() {
				t.Errorf("the tenant is wrong: %s", text)
			}
			got[fmt.Sprintf("%s: %s by %s %s", chainOf(id), r.Event, r.Actor, r.Outcome)] += r.Weight()
		}
	}
	maps.DeleteFunc(l.counts, func(_ string, n int64) bool { return n == 0 })
	same(t, "what is on record", l.counts, got)
	if len(got) < 50 {
		t.Errorf("there are %d kinds of records only", len(got))
	}
}

// revising says whether an event is of a mutation that makes a revision.
func revising(event string) bool {
	family, _, _ := strings.Cut(event, ".")
	return !slices.Contains([]string{"audit", "compliance", "authentication", "authorization"}, family) &&
		event != "secret.read" && event != "config.reads"
}

// expect calls a verb, and notes what is to be on record of it, going by how it
// was answered.
func (l *ledger) expect(t *testing.T, s *stage, who service.Caller, name string, v verb, in arguments) {
	n := int64(1)
	var err error
	if count := saying[name]; count != nil {
		n, err = count(t.Context(), s.s, who, s.tenant, in)
	} else {
		err = v(t.Context(), s.s, who, s.tenant, in)
	}
	actor, kind := who.Principal.Actor(), config.KindOf(err)
	foreign := who.Principal.Tenant != s.id && !who.Principal.ServerAdmin
	switch {
	case kind == config.KindForbidden:
		l.add(1, s.id, "authorization.denied", actor, audit.Denied)
	case kind == config.KindNotFound && foreign:
		l.add(1, config.TenantID{}, "authorization.denied", actor, audit.Denied)
	case slices.Contains(countedReads, name):
		if kind == "" || kind == config.KindNotFound || kind == config.KindBadRequest || kind == config.KindGone { // it was permitted
			if name == "Diff" && in.environment != unfit.environment {
				n = 2 // both sides are read, whether there is anything or not
			}
			l.add(n, s.id, "config.reads", actor, audit.Success)
		} else {
			t.Errorf("%s by %s: %s", name, actor, describe(err))
		}
	case err == nil && onRecord[name] != "":
		l.add(n, s.id, onRecord[name], actor, audit.Success)
	}
}

// strangers fail to authenticate, which is on record once and then counted.
func (l *ledger) strangers(t *testing.T, w *world) {
	t.Helper()
	for n := range 17 {
		_, err := w.s.Authenticate(t.Context(), service.Credentials{Bearer: fmt.Sprint("wrong ", n)}, service.Caller{Source: someone})
		mustBe(t, config.KindUnauthenticated, err)
	}
	l.add(1, config.TenantID{}, "authentication.failed", service.Caller{}.Principal.Actor(), audit.Denied)
	l.add(16, config.TenantID{}, "authentication.failures", "anonymous", audit.Denied)
}
