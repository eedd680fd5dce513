package service_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Names are as long as a URL may be. What is recorded and kept of them is short,
// and what nobody can have is asked about as one.
func TestNamesOfAnyLengthTakeNoRoom(t *testing.T) {
	a := newTenant(t)
	a.set("production", "db", `{}`)
	a.putRole("r")
	nobody, viewer := a.as(access.Grants{Roles: []string{"r"}}), a.as(access.Grants{Roles: []string{"viewer"}})
	kept := func() (rows, bytes int) {
		t.Helper()
		must(t, a.s.FlushCounts(t.Context()))
		all, err := a.engine.Decisions(t.Context(), a.id, 1000)
		must(t, err)
		for _, row := range all {
			bytes += len(row.Sealed)
		}
		return len(all), bytes
	}
	long := strings.Repeat("\u00e9", 30_000)
	begun, _ := kept()
	for _, name := range []string{long, "x" + long, "No Such", strings.Repeat("x", 65)} {
		nobody.may(false, "a read of what cannot be", nobody.reading(name, "db"))
		mustBe(t, config.KindNotFound, viewer.reading(name, "db"))
		_, err := nobody.s.Watch(t.Context(), nobody.who, a.tenant, service.WatchRequest{Environment: name})
		nobody.may(false, "a watch of what cannot be", err)
	}
	if rows, _ := kept(); rows != begun {
		t.Errorf("of names that nothing can have %d decisions are kept", rows-begun)
	}
	_, err := nobody.s.Policy(t.Context(), nobody.who, a.tenant, long, 0)
	nobody.may(false, "a file of policies", err)
	_, err = nobody.s.Config(t.Context(), nobody.who, long, "production", path("db"), service.ReadOptions{})
	mustBe(t, config.KindNotFound, err)
	_, bytes := kept()
	if bytes > 20_000 {
		t.Errorf("what is kept of decisions takes %d bytes", bytes)
	}
	for _, chain := range []config.TenantID{{}, a.id} {
		for _, record := range a.chain(t, chain) {
			if len(record) > 1000 || !utf8.ValidString(record) {
				t.Errorf("a record has %d bytes: %.200s", len(record), record)
			}
		}
	}
}

// Whoever is denied more than so often within a minute is told to wait, and fills
// no chain with it. Nobody else is, and what is allowed stays so.
func TestDenialsAreRecordedWithinBounds(t *testing.T) {
	a := newTenant(t)
	a.set("production", "db", `{}`)
	viewer, other := a.as(access.Grants{Roles: []string{"viewer"}}), a.as(access.Grants{Roles: []string{"viewer"}})
	denied := func(who *actor) error { return who.trying(who.put("production", "db", `{"v":1}`)) }
	before := len(a.chain(t, a.id))
	for range 600 {
		mustBe(t, config.KindForbidden, denied(viewer))
	}
	for range 50 {
		e := mustBe(t, config.KindRateLimited, denied(viewer))
		if e.RetryAfter != time.Minute || e.Limit != 600 {
			t.Errorf("the answer is %+v", e)
		}
	}
	_, err := viewer.s.Config(t.Context(), viewer.who, "elsewhere", "production", path("db"), service.ReadOptions{})
	mustBe(t, config.KindRateLimited, err)
	added := a.chain(t, a.id)[before:]
	if len(added) != 601 || !strings.Contains(added[600], "more denials within a minute") {
		t.Errorf("%d denials are on record, the last as %s", len(added), added[len(added)-1])
	}
	must(t, viewer.reading("production", "db"))
	mustBe(t, config.KindForbidden, denied(other))
	a.clock.move(time.Minute)
	mustBe(t, config.KindForbidden, denied(viewer))
}

// quitting is an engine whose callers leave as soon as they were told what there is.
type quitting struct {
	store.Store
	quit context.CancelFunc
}

func (q quitting) ScanLayers(ctx context.Context, tenant config.TenantID, scan store.Scan) ([]store.Layer, store.Cursor, error) {
	rows, next, err := q.Store.ScanLayers(ctx, tenant, scan)
	q.quit()
	return rows, next, err
}

// Whoever has left is decided about no more, neither in lists nor in bundles.
func TestNothingIsDecidedForWhoLeft(t *testing.T) {
	a := newTenant(t)
	for _, at := range []string{"a", "b", "c"} {
		a.set("production", at, `{}`)
	}
	a.putRole("r")
	a.putPolicy("p", `permit (principal in Role::"r", action == Action::"config.read", resource in Folder::"production/a");`)
	reader := a.as(access.Grants{Roles: []string{"r"}})
	for what, read := range map[string]func(context.Context, *service.Service) error{
		"a list": func(ctx context.Context, s *service.Service) error {
			_, err := s.List(ctx, reader.who, a.tenant, service.ListRequest{Environment: "production"})
			return err
		},
		"a bundle": func(ctx context.Context, s *service.Service) error {
			_, err := s.Bundle(ctx, reader.who, a.tenant, "production", config.Prefix{}, service.ReadOptions{})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s := service.New(service.Options{Store: quitting{a.engine, cancel}, Keyring: a.keyring, Clock: a.clock.read})
		if err := read(ctx, s); !errors.Is(err, context.Canceled) {
			t.Errorf("%s is answered by %v", what, err)
		}
		must(t, s.FlushCounts(t.Context()))
		rows, err := a.engine.Decisions(t.Context(), a.id, 1000)
		must(t, err)
		if len(rows) > 2 { // the guard's question of what is read, and that is all
			t.Errorf("%s: %d decisions were made", what, len(rows))
		}
	}
}
