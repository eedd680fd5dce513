package service_test

import (
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func TestTagsNameRevisionsAndMove(t *testing.T) {
	a := newTenant(t)
	one := a.set("base", "a", `{"v":1}`)
	two := a.set("base", "a", `{"v":2}`)
	when := a.clock.move(time.Second)
	first := a.tag("release", one)
	want := store.Tag{Name: "release", Target: one, Set: first.Revision, Time: when, Author: "ann"}
	same(t, "answer", want, first.Tag)
	got, err := a.s.Tag(t.Context(), a.who, a.tenant, "release")
	must(t, err)
	same(t, "tag", want, got)

	again := a.tag("release", one)
	if again.Status != service.Unchanged || again.Revision != first.Revision {
		t.Errorf("setting it again answers %+v", again)
	}
	same(t, "answer", want, again.Tag)
	moved := a.tag("release", two)
	if moved.Status != service.Committed || moved.Tag.Target != two || moved.Tag.Set != moved.Revision {
		t.Errorf("moving it answers %+v", moved)
	}
	a.readsAt("release", "base", "a", `{"v":2}`)
	newest := a.tag("newest", 0)
	same(t, "target of a tag of now", moved.Revision, newest.Tag.Target)
	same(t, "summary", "tag newest names revision "+text(moved.Revision), a.logged(newest.Revision).Summary)

	tags, next, err := a.s.Tags(t.Context(), a.who, a.tenant, page(1))
	must(t, err)
	rest, end, err := a.s.Tags(t.Context(), a.who, a.tenant, service.Page{Limit: 10, Cursor: next})
	must(t, err)
	if len(tags) != 1 || tags[0].Name != "newest" || len(rest) != 1 || rest[0].Name != "release" || end != "" {
		t.Errorf("the pages are %v and %v", tags, rest)
	}
	deleted, err := a.s.DeleteTag(t.Context(), a.who, a.tenant, "release", "old")
	must(t, err)
	same(t, "deleted", service.Deleted{Outcome: service.Outcome{Status: service.Committed, Revision: newest.Revision + 1, Time: when}, Name: "release"}, deleted)
	same(t, "message", "old", a.logged(deleted.Revision).Message)
	_, err = a.s.Tag(t.Context(), a.who, a.tenant, "release")
	mustBe(t, config.KindNotFound, err)
	_, err = a.s.DeleteTag(t.Context(), a.who, a.tenant, "release", "")
	mustBe(t, config.KindNotFound, err)
	a.tag("release", one) // a name is free again
}

func TestTagsThatAreRefused(t *testing.T) {
	a := newTenant(t)
	long := strings.Repeat("x", service.MaxMessageBytes+1)
	set := func(name string, revision config.Revision, message string) error {
		_, err := a.s.SetTag(t.Context(), a.who, a.tenant, name, revision, message)
		return err
	}
	for name, kind := range map[string]config.Kind{"v1": config.KindInvalidName, "1": config.KindInvalidName, "": config.KindInvalidName, "a b": config.KindInvalidName, "v1.0": ""} {
		if err := set(name, 1, ""); config.KindOf(err) != kind {
			t.Errorf("%q: %v", name, err)
		}
	}
	mustBe(t, config.KindNotFound, set("future", a.revision()+1, ""))
	mustBe(t, config.KindNotFound, set("past", -1, ""))
	mustBe(t, config.KindTooLarge, set("talk", 1, long))
	_, err := a.s.DeleteTag(t.Context(), a.who, a.tenant, "v1.0", long)
	mustBe(t, config.KindTooLarge, err)
	_, _, err = a.s.Tags(t.Context(), a.who, a.tenant, page(service.MaxPage+1))
	mustBe(t, config.KindBadRequest, err)
	_, _, err = a.s.Tags(t.Context(), a.who, a.tenant, service.Page{Cursor: "nonsense"})
	mustBe(t, config.KindInvalidCursor, err)
}
