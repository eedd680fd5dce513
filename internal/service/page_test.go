package service_test

import (
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// tagsFrom are the tags of a page, and the cursor of the next one.
func (a *actor) tagsFrom(cursor service.Cursor) ([]string, service.Cursor, error) {
	tags, next, err := a.s.Tags(a.t.Context(), a.who, a.tenant, service.Page{Limit: 1, Cursor: cursor})
	var names []string
	for _, tag := range tags {
		names = append(names, tag.Name)
	}
	return names, next, err
}

// Cursors are good at every instance and after a restart, for those they were
// given to.
func TestCursorsOutliveAProcess(t *testing.T) {
	a := newTenant(t)
	revision := a.set("base", "a", `{}`)
	a.tag("one", revision)
	a.tag("two", revision)
	_, next, err := a.tagsFrom("")
	must(t, err)
	keeper, err := seal.OpenFileKeeper(a.master)
	must(t, err)
	keyring, err := seal.OpenKeyring(t.Context(), seal.Keepers{Write: keeper}, a.keys, a.engine.Store, seal.Options{Clock: a.clock.read})
	must(t, err)
	restarted := service.New(service.Options{Store: a.engine, Keyring: keyring, Clock: a.clock.read})
	for name, s := range map[string]*service.Service{"itself": a.s, "another instance": a.start(), "after a restart": restarted} {
		names, end, err := a.over(s).tagsFrom(next)
		must(t, err)
		same(t, name, []string{"two"}, names)
		same(t, "the end", service.Cursor(""), end)
	}
	other := a.holder(a.issue(service.TokenRequest{Name: "bob"}))
	_, _, err = other.tagsFrom(next)
	mustBe(t, config.KindInvalidCursor, err)
	person := *a
	person.who.Principal = access.Principal{ID: a.who.Principal.ID, Method: access.MethodIdentity, Tenant: a.id, Roles: []string{access.RoleAdmin}}.Sealed()
	_, _, err = person.tagsFrom(next)
	mustBe(t, config.KindInvalidCursor, err)
}

// A cursor that the store would take is none, plain or sealed for another list:
// whoever could write one would read names off where pages begin.
func TestCursorsOfTheStoreAreNone(t *testing.T) {
	a := newTenant(t)
	revision := a.set("base", "a", `{}`)
	a.tag("one", revision)
	a.tag("two", revision)
	_, plain, err := a.engine.Tags(t.Context(), a.id, store.Page{Limit: 1})
	must(t, err)
	_, _, err = a.engine.Tags(t.Context(), a.id, store.Page{Limit: 1, Cursor: plain})
	must(t, err)
	_, _, err = a.tagsFrom(service.Cursor(plain))
	mustBe(t, config.KindInvalidCursor, err)
	for list, kind := range map[string]config.Kind{"tags": "", "tokens": config.KindInvalidCursor} {
		sealed, err := service.SealCursor(t.Context(), a.s, a.who, a.id, list, plain)
		must(t, err)
		if _, _, err = a.tagsFrom(sealed); config.KindOf(err) != kind {
			t.Errorf("tags from a cursor of %s: %v, want %q", list, err, kind)
		}
	}
}

// The length of a cursor is bounded, also that of the longest path, and does not
// tell how long a name is.
func TestCursorsDoNotMeasureNames(t *testing.T) {
	a := newTenant(t)
	longest := strings.Repeat("p", config.MaxPathBytes-1)
	for _, at := range []string{"a", strings.Repeat("b", 60), longest + "a", longest + "z"} {
		a.set("base", at, `{}`)
	}
	var lengths []int
	in := service.ListRequest{Environment: "base", Page: page(1)}
	for rows := 1; ; rows++ {
		list, err := a.s.List(t.Context(), a.who, a.tenant, in)
		must(t, err)
		if in.Page.Cursor = list.Next; list.Next == "" {
			same(t, "rows", 4, rows)
			break
		}
		lengths = append(lengths, len(list.Next))
	}
	if len(lengths) != 3 || lengths[0] != lengths[1] || lengths[2] > 1200 {
		t.Errorf("cursors of names of 1, 60 and %d bytes have %v", config.MaxPathBytes, lengths)
	}
}
