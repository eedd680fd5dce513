package service_test

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// arguments are what a verb is called with besides the caller and the tenant.
type arguments struct {
	environment, name, message string
	path                       config.Path
	revision                   config.Revision
	version                    config.Version
	at                         config.At
	page                       service.Page
}

func (a arguments) read() service.ReadOptions { return service.ReadOptions{At: a.at} }

// unfit are arguments that every verb would refuse, had it not asked the guard before.
var unfit = arguments{
	environment: "No Such", name: "v1", message: strings.Repeat("x", service.MaxMessageBytes+1), path: path("nothing"),
	revision: 1 << 40, version: 1 << 40, at: config.At{Revision: 1 << 40}, page: service.Page{Limit: -1},
}

type verb func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error

// inside are the verbs that are for a tenant's own people alone.
var inside = together(chainVerbs, ruleVerbs, together(secretVerbs, map[string]verb{
	"Config": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Config(ctx, who, tenant, in.environment, in.path, in.read())
		return err
	},
	"Layer": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Layer(ctx, who, tenant, in.environment, in.path, in.read())
		return err
	},
	"List": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.List(ctx, who, tenant, service.ListRequest{Environment: in.environment, At: in.at, Page: in.page})
		return err
	},
	"Bundle": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Bundle(ctx, who, tenant, in.environment, config.Prefix{}, in.read())
		return err
	},
	"Explain": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Explain(ctx, who, tenant, in.environment, in.path, in.read())
		return err
	},
	"History": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.History(ctx, who, tenant, in.environment, in.path, true, in.page)
		return err
	},
	"Diff": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		point := service.DiffPoint{Environment: in.environment, At: in.at}
		_, err := s.Diff(ctx, who, tenant, in.path, point, point, false)
		return err
	},
	"Log": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, _, err := s.Log(ctx, who, tenant, nil, in.page)
		return err
	},
	"LogEntry": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.LogEntry(ctx, who, tenant, in.revision)
		return err
	},
	"Watch": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		w, err := s.Watch(ctx, who, tenant, service.WatchRequest{Environment: in.environment})
		if err == nil {
			w.Close()
		}
		return err
	},
	"Change": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		edit := service.Edit{Op: service.Delete, Environment: in.environment, Path: in.path}
		_, err := s.Change(ctx, who, tenant, service.ChangeRequest{Message: in.message, Edits: []service.Edit{edit}})
		return err
	},
	"Rollback": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Rollback(ctx, who, tenant, service.RollbackRequest{Environment: in.environment, To: in.at, Message: in.message})
		return err
	},
	"Revert": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Revert(ctx, who, tenant, service.RevertRequest{Revision: in.revision, Message: in.message})
		return err
	},
	"Promote": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Promote(ctx, who, tenant, service.PromoteRequest{From: in.environment, To: "edge", All: true, At: in.at, Message: in.message})
		return err
	},
	"Destroy": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Destroy(ctx, who, tenant, in.environment, in.path, in.version, in.message)
		return err
	},
	"Environments": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, _, err := s.Environments(ctx, who, tenant)
		return err
	},
	"Environment": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Environment(ctx, who, tenant, in.environment)
		return err
	},
	"PutEnvironment": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.PutEnvironment(ctx, who, tenant, "new-"+in.environment, service.EnvironmentRequest{Message: in.message})
		return err
	},
	"DeleteEnvironment": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.DeleteEnvironment(ctx, who, tenant, in.environment, in.message)
		return err
	},
	"SetTag": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.SetTag(ctx, who, tenant, in.name, in.revision, in.message)
		return err
	},
	"DeleteTag": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.DeleteTag(ctx, who, tenant, in.name, in.message)
		return err
	},
	"Tag": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Tag(ctx, who, tenant, in.name)
		return err
	},
	"Tags": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, _, err := s.Tags(ctx, who, tenant, in.page)
		return err
	},
	"CreateToken": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.CreateToken(ctx, who, tenant, service.TokenRequest{Name: in.name})
		return err
	},
	"RevokeToken": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RevokeToken(ctx, who, tenant, in.name)
		return err
	},
	"Tokens": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, _, err := s.Tokens(ctx, who, tenant, in.page)
		return err
	},
}))

// about are the verbs on a tenant as such, which a server admin may use.
var about = together(tenantVerbs, map[string]verb{
	"Tenant": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, err := s.Tenant(ctx, who, tenant)
		return err
	},
	"DeleteTenant": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, err := s.DeleteTenant(ctx, who, tenant)
		return err
	},
})

// onServer are the verbs on the server itself.
var onServer = map[string]verb{
	"CreateTenant": func(ctx context.Context, s *service.Service, who service.Caller, _ string, in arguments) error {
		_, err := s.CreateTenant(ctx, who, in.name, service.TokenRequest{})
		return err
	},
	"Tenants": func(ctx context.Context, s *service.Service, who service.Caller, _ string, in arguments) error {
		_, _, err := s.Tenants(ctx, who, in.page)
		return err
	},
	"CreateServerToken": func(ctx context.Context, s *service.Service, who service.Caller, _ string, in arguments) error {
		_, err := s.CreateServerToken(ctx, who, service.TokenRequest{Name: in.name})
		return err
	},
	"RevokeServerToken": func(ctx context.Context, s *service.Service, who service.Caller, _ string, in arguments) error {
		_, err := s.RevokeServerToken(ctx, who, in.name)
		return err
	},
	"MasterKeys": func(ctx context.Context, s *service.Service, who service.Caller, _ string, _ arguments) error {
		_, _, err := s.MasterKeys(ctx, who)
		return err
	},
	"RotateMasterKey": func(ctx context.Context, s *service.Service, who service.Caller, _ string, in arguments) error {
		_, err := s.RotateMasterKey(ctx, who, in.message)
		return err
	},
	"RotateServerToken": func(ctx context.Context, s *service.Service, who service.Caller, _ string, in arguments) error {
		_, err := s.RotateServerToken(ctx, who, in.name, service.TokenStep{})
		return err
	},
	"RotateAuditKey": func(ctx context.Context, s *service.Service, who service.Caller, _ string, _ arguments) error {
		_, err := s.RotateAuditKey(ctx, who)
		return err
	},
	"ServerTokens": func(ctx context.Context, s *service.Service, who service.Caller, _ string, in arguments) error {
		_, _, err := s.ServerTokens(ctx, who, in.page)
		return err
	},
}

// unguarded are the methods that are no verbs, with the reason.
var unguarded = map[string]string{
	"Ping":             "says whether the service works, and nothing else",
	"Authenticate":     "finds out who the principal is",
	"Identity":         "tells callers who they are themselves",
	"DevelopmentToken": "called by the server's start alone",
	"FirstToken":       "called by the server's start alone",
	"RecoverTenant":    "called on the machine of the server alone, with the master key",
	"FlushCounts":      "called by the server's own clock",
	"FlushLastCounts":  "called by the server's end",
	"EndWatches":       "called by the server's end",
	"Failures":         "counts failed authentications, for the edge to slow them down",
	"TenantLimits":     "what the edge bounds requests by",
	"SettleSecrets":    "called by the server's own clock",
	"RewrapKeys":       "called by the server's own clock",
	"SignCheckpoints":  "called by the server's own clock, and at its end",
	"KeepCheckpoints":  "called by the server's own clock",
	"IndexAudit":       "called by the server's own clock",
	"RetainAudit":      "called by the server's own clock",
	"PatrolAudit":      "called by the server's own clock",
	"FollowAlerts":     "called by the server's own clock",
	"DeliverAudit":     "called by the server's own clock",
	"AuditKeys":        "public keys, for everybody",
}

func TestEveryVerbIsGuarded(t *testing.T) {
	methods := reflect.TypeFor[*service.Service]()
	for i := range methods.NumMethod() {
		name, times := methods.Method(i).Name, 0
		for _, table := range []map[string]verb{inside, about, onServer} {
			if table[name] != nil {
				times++
			}
		}
		if unguarded[name] != "" {
			times++
		}
		if times != 1 {
			t.Errorf("Service.%s stands in %d of the tables above; a verb belongs into one of them, which tests its guard", name, times)
		}
	}
}

// stage is a tenant with something of everything, a stranger, and arguments
// with which every verb works.
type stage struct {
	*actor
	stranger *actor
	fit      arguments
}

func (w *world) stage(t *testing.T, name string) *stage {
	t.Helper()
	a := w.found(t, name)
	a.set("production", "gateway", `{"key":"old"}`)
	revision := a.set("production", "gateway", `{"key":"new"}`)
	a.tag("release", revision)
	a.putSecret("production", "gateway", "old")
	a.putSecret("production", "gateway", "new")
	a.stageSecret("production", "gateway", "next")
	a.putRole("deployer")
	a.putRole("release")
	a.putPolicy("release", somePolicy)
	return &stage{a, w.found(t, name+"-stranger"), arguments{
		environment: "production", name: "release", message: "why", path: path("gateway"), revision: revision, version: 1,
		at: config.At{Revision: revision - 1}, page: page(10),
	}}
}

func (s *stage) call(v verb, who service.Caller, in arguments) error {
	return v(s.t.Context(), s.s, who, s.tenant, in)
}

// denied expects a verb to be refused, with a record on one chain, nothing on
// the other, and nothing changed; and to be refused before anything else is looked at.
func (s *stage) denied(t *testing.T, v verb, who service.Caller, kind config.Kind, chain config.TenantID) {
	t.Helper()
	for _, in := range []arguments{s.fit, unfit} {
		revision := s.revision()
		records := map[config.TenantID][]string{{}: s.chain(t, config.TenantID{}), s.id: s.chain(t, s.id)}
		mustBe(t, kind, s.call(v, who, in))
		if s.revision() != revision {
			t.Error("what was denied was done")
		}
		for id, before := range records {
			added := s.chain(t, id)[len(before):]
			if id != chain {
				same(t, "records of a chain that it is none of the business of", 0, len(added))
				continue
			}
			if len(added) != 1 || !strings.Contains(added[0], `"outcome":"denied"`) ||
				!strings.Contains(added[0], `"actor":"`+who.Principal.Actor()+`"`) || !strings.Contains(added[0], `"event":"authorization.denied"`) {
				t.Errorf("the denial is recorded as %s", added)
			}
		}
		s.engine.auditDown.Store(true)
		mustBe(t, config.KindUnavailable, s.call(v, who, in))
		s.engine.auditDown.Store(false)
	}
}

func TestDeniedWithoutTheRight(t *testing.T) {
	s := newWorld(t).stage(t, "acme")
	nobody := service.Caller{}
	member := service.Caller{Principal: access.Principal{ID: "mmmmmmmmmmmmmmmm", Method: access.MethodToken, Tenant: s.id}}
	server := config.TenantID{}
	for name, v := range inside {
		t.Run(name, func(t *testing.T) {
			s.denied(t, v, s.stranger.who, config.KindNotFound, server)
			s.denied(t, v, nobody, config.KindNotFound, server)
			s.denied(t, v, s.root, config.KindForbidden, s.id)
			s.denied(t, v, member, config.KindForbidden, s.id)
		})
	}
	for name, v := range about {
		t.Run(name, func(t *testing.T) {
			s.denied(t, v, s.stranger.who, config.KindNotFound, server)
			s.denied(t, v, nobody, config.KindNotFound, server)
			s.denied(t, v, member, config.KindForbidden, s.id)
		})
	}
	for name, v := range onServer {
		t.Run(name, func(t *testing.T) {
			s.denied(t, v, s.who, config.KindForbidden, server)
			s.denied(t, v, nobody, config.KindForbidden, server)
			s.denied(t, v, member, config.KindForbidden, server)
		})
	}
}

// ready makes what a verb needs to be done, and answers who may.
func (s *stage) ready(t *testing.T, name string) (who service.Caller) {
	t.Helper()
	who = s.who
	if onServer[name] != nil || servers[name] {
		who = s.root
	}
	switch name {
	case "DestroySecret":
		a := s.actor
		_, err := a.s.RevokeSecret(t.Context(), a.who, a.tenant, "production", path("gateway"), service.SecretStep{})
		must(t, err)
	case "ApproveGrant", "EndGrant":
		s.fit.name = s.askForAccess(t, s.rootToo(t))
	case "RotateMasterKey":
		must(t, seal.AddFileKey(s.master))
	case "RotateServerToken":
		s.fit.name = s.root.Principal.ID
	case "RotateToken":
		s.fit.name = who.Principal.ID
	case "UndeleteSecret":
		a := s.actor
		_, err := a.s.DeleteSecret(t.Context(), a.who, a.tenant, "production", path("gateway"), true, service.SecretStep{})
		must(t, err)
	case "RetireTenantKey":
		_, err := s.s.RotateTenantKey(t.Context(), who, s.tenant, "")
		must(t, err)
		for more := true; more; {
			more, err = s.s.RewrapKeys(t.Context())
			must(t, err)
		}
		s.clock.move(time.Hour)
	case "RevokeToken":
		s.fit.name = who.Principal.ID
	case "RevokeServerToken":
		token, err := s.s.CreateServerToken(t.Context(), s.root, service.TokenRequest{Name: "another"})
		must(t, err)
		s.fit.name = token.ID
	case "DeleteEnvironment":
		s.fit.environment = "edge" // which has no layers
	}
	return who
}

func TestAllowedWithTheRight(t *testing.T) {
	w := newWorld(t)
	for _, table := range []map[string]verb{inside, about, onServer} {
		for name, v := range table {
			t.Run(name, func(t *testing.T) {
				s := w.stage(t, strings.ToLower(name))
				who := s.ready(t, name)
				must(t, s.call(v, who, s.fit))
				for _, record := range s.chain(t, s.id) {
					checked := name == "Compliance" && strings.Contains(record, `"user_agent":"compliance check"`) // which has something denied
					if strings.Contains(record, `"outcome":"denied"`) && !checked {
						t.Errorf("a denial is on record: %s", record)
					}
				}
			})
		}
	}
}

// A tenant that is somebody else's and one that does not exist are answered
// alike, recorded alike, and fail alike when nothing can be recorded.
func TestAForeignTenantIsAsIfAbsent(t *testing.T) {
	s := newWorld(t).stage(t, "acme")
	ask := func(tenant string) (*config.Error, []string) {
		before := s.chain(t, config.TenantID{})
		_, err := s.s.Config(t.Context(), s.stranger.who, tenant, "production", path("gateway"), service.ReadOptions{})
		e := mustBe(t, config.KindNotFound, err)
		e.Message = strings.ReplaceAll(e.Message, tenant, "…")
		return e, s.chain(t, config.TenantID{})[len(before):]
	}
	foreign, foreignRecords := ask("acme")
	nowhere, nowhereRecords := ask("nowhere")
	same(t, "the answer", foreign, nowhere)
	same(t, "records", len(foreignRecords), len(nowhereRecords))
	s.engine.auditDown.Store(true)
	for _, tenant := range []string{"acme", "nowhere"} {
		_, err := s.s.Config(t.Context(), s.stranger.who, tenant, "production", path("gateway"), service.ReadOptions{})
		mustBe(t, config.KindUnavailable, err)
	}
}

func TestFailedAuthenticationIsRecordedOnceThenCounted(t *testing.T) {
	w := newWorld(t)
	failures := func(event string) (found []string) {
		for _, record := range w.chain(t, config.TenantID{}) {
			if strings.Contains(record, `"event":"`+event+`"`) {
				found = append(found, record)
			}
		}
		return found
	}
	try := func(from netip.Addr) error {
		_, err := w.s.Authenticate(t.Context(), service.Credentials{Bearer: "llmc_wrong"}, service.Caller{Source: from})
		return err
	}
	other := netip.MustParseAddr("192.0.2.2")
	for range 5 {
		mustBe(t, config.KindUnauthenticated, try(someone))
	}
	mustBe(t, config.KindUnauthenticated, try(other))
	if got := failures("authentication.failed"); len(got) != 2 || !strings.Contains(got[0], someone.String()) || !strings.Contains(got[1], other.String()) {
		t.Errorf("the first failures of two sources are on record as %s", got)
	}
	must(t, w.s.FlushCounts(t.Context()))
	same(t, "counts before the minute is over", 0, len(failures("authentication.failures")))
	w.clock.move(60e9)
	must(t, w.s.FlushCounts(t.Context()))
	if got := failures("authentication.failures"); len(got) != 1 || !strings.Contains(got[0], `"count":"5"`) || !strings.Contains(got[0], someone.String()) {
		t.Errorf("the other failures are on record as %s", got)
	}
	w.engine.auditDown.Store(true)
	mustBe(t, config.KindUnavailable, try(someone))
	w.engine.auditDown.Store(false)
	mustBe(t, config.KindUnauthenticated, try(someone))
}
