package service_test

import (
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const pasted = `{"key":"sk-swordfish"}`

// leaked is a tenant with a key in version 1 of a layer, and in all that was
// made of it; the version is in every cache.
func leaked(t *testing.T) (a *actor, revision config.Revision) {
	t.Helper()
	a = newTenant(t)
	a.set("base", "copies", `{}`)
	revision = a.write(a.put("base", "gateway", pasted), a.put("edge", "copies", `{"of":"${config:gateway#/key}"}`)).Revision
	a.reads("edge", "gateway", pasted)
	a.readsAt(text(revision), "edge", "gateway", pasted)
	a.write(a.put("base", "gateway", `{"key":"${secret:gateway#key}"}`))
	return a, revision
}

func TestADestroyedVersionIsGoneFromEveryRead(t *testing.T) {
	a, leak := leaked(t)
	layer, err := a.engine.LayerVersion(t.Context(), a.id, 1, path("gateway"), 1)
	must(t, err)
	result, err := a.destroy("base", "gateway", 1)
	must(t, err)
	want := service.Destroyed{Outcome: result.Outcome, Environment: "base", Path: path("gateway"), Version: 1}
	same(t, "answer", want, result)
	same(t, "status", service.Committed, result.Status)

	then := service.ReadOptions{At: config.At{Revision: leak}}
	ctx := t.Context()
	gone := func(what string, err error) {
		t.Helper()
		if config.KindOf(err) != config.KindGone || !strings.Contains(err.Error(), "version 1 of gateway in base was destroyed") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = a.s.Config(ctx, a.who, a.tenant, "edge", path("gateway"), then)
	gone("get of the revision", err)
	_, err = a.s.Config(ctx, a.who, a.tenant, "edge", path("copies"), then)
	gone("get of what refers to it", err)
	_, err = a.s.Config(ctx, a.who, a.tenant, "base", path("gateway"), service.ReadOptions{At: config.At{Version: 1}})
	gone("get of the version", err)
	_, err = a.s.Layer(ctx, a.who, a.tenant, "base", path("gateway"), service.ReadOptions{At: config.At{Version: 1}})
	gone("layer", err)
	_, err = a.s.Explain(ctx, a.who, a.tenant, "edge", path("gateway"), then)
	gone("explain", err)
	for _, layers := range []bool{true, false} {
		_, err = a.s.Diff(ctx, a.who, a.tenant, path("gateway"), service.DiffPoint{Environment: "base", At: then.At}, service.DiffPoint{Environment: "base"}, layers)
		gone("diff from", err)
		_, err = a.s.Diff(ctx, a.who, a.tenant, path("gateway"), service.DiffPoint{Environment: "base"}, service.DiffPoint{Environment: "base", At: then.At}, layers)
		gone("diff to", err)
	}
	_, err = a.rollback("base", "gateway", text(leak))
	gone("rollback", err)
	_, err = a.rollback("base", "", text(leak))
	gone("rollback of the environment", err)
	_, err = a.revert(result.Revision-1, false)
	gone("revert", err)
	_, err = a.promote(service.PromoteRequest{From: "base", To: "staging", Paths: paths("gateway"), At: then.At})
	gone("promote", err)

	documents, bundle := a.bundle("edge", "", text(leak))
	same(t, "documents of the bundle", 0, len(documents))
	same(t, "errors of the bundle", 2, len(bundle.Errors))
	for _, e := range bundle.Errors {
		gone("bundle", e.Err)
	}
	a.reads("edge", "gateway", `{"key":"${secret:gateway#key}"}`)
	a.reads("edge", "copies", `{"of":"${secret:gateway#key}"}`)

	// The sealed body is of no use any more even to who kept it aside, and was in no other row.
	row, err := a.engine.LayerVersion(ctx, a.id, 1, path("gateway"), 1)
	must(t, err)
	if row.State != store.Destroyed || string(row.Sealed) == string(layer.Sealed) {
		t.Errorf("the row is in state %d", row.State)
	}
}

func TestTheRowAndTheDigestOfADestroyedVersionStay(t *testing.T) {
	a, leak := leaked(t)
	_, err := a.destroy("base", "gateway", 1)
	must(t, err)
	history, err := a.s.History(t.Context(), a.who, a.tenant, "base", path("gateway"), false, page(10))
	must(t, err)
	same(t, "versions", 2, len(history.Versions))
	old := history.Versions[1]
	if old.Version != 1 || old.State != store.Destroyed || old.Revision != leak || old.Author != "ann" || old.Message != "because" {
		t.Errorf("the history has %+v", old)
	}
	row, err := a.engine.LayerVersion(t.Context(), a.id, 1, path("gateway"), 1)
	must(t, err)
	digest, err := a.keyring.Open(t.Context(), seal.Place{Kind: seal.LayerDigest, Tenant: a.id, Environment: 1, Path: "gateway", Version: 1}, row.Sealed)
	must(t, err)
	same(t, "digest", doc(t, pasted).Digest(), canon.Digest(digest))
	records := a.chain(t, a.id)
	last := records[len(records)-1]
	for _, part := range []string{`"event":"config.destroy"`, `"version":"1"`, "/gateway"} {
		if !strings.Contains(last, part) {
			t.Errorf("the record lacks %s: %s", part, last)
		}
	}
	entry := a.logged(a.revision())
	if entry.Kind != store.EntryDestroy || entry.Message != "pasted key" || entry.Summary != "version 1 of gateway in base was destroyed" {
		t.Errorf("the log has %+v", entry)
	}
	result, err := a.destroy("base", "gateway", 1)
	must(t, err)
	same(t, "status of the second time", service.Unchanged, result.Status)
}

func TestVersionsThatCannotBeDestroyed(t *testing.T) {
	a, _ := leaked(t)
	refused := func(kind config.Kind, environment, where string, version config.Version) {
		t.Helper()
		before := a.revision()
		_, err := a.destroy(environment, where, version)
		mustBe(t, kind, err)
		same(t, "revision", before, a.revision())
	}
	refused(config.KindInUse, "base", "gateway", 2) // the newest
	refused(config.KindNotFound, "base", "gateway", 3)
	refused(config.KindNotFound, "base", "nothing", 1)
	refused(config.KindNotFound, "edge", "gateway", 1)
	refused(config.KindNotFound, "nowhere", "gateway", 1)
	a.write(a.del("edge", "copies"))
	refused(config.KindInUse, "edge", "copies", 2) // the delete itself
	_, err := a.destroy("edge", "copies", 1)
	must(t, err)
	a.set("edge", "copies", `{}`)
	refused(config.KindNotFound, "edge", "copies", 2) // a delete has nothing to destroy
	_, err = a.s.Destroy(t.Context(), a.who, a.tenant, "base", path("gateway"), 1, strings.Repeat("x", service.MaxMessageBytes+1))
	mustBe(t, config.KindTooLarge, err)
}

// A watcher that resumes from before the destroyed version was written is told
// that the document changed, and not what it was.
func TestWatchersAreNotHandedADestroyedVersion(t *testing.T) {
	a := newTenant(t)
	begin := a.revision()
	w := a.watch(service.WatchRequest{Environment: "edge", Data: true})
	a.set("base", "gateway", pasted)
	a.set("base", "gateway", `{"key":"new"}`)
	_, err := a.destroy("base", "gateway", 1)
	must(t, err)
	for name, watcher := range map[string]*service.Watcher{
		"one that fell behind": w,
		"one that resumes":     a.watch(service.WatchRequest{Environment: "edge", Data: true, Resume: true, After: begin}),
	} {
		notices, err := watcher.Take(t.Context())
		must(t, err)
		var seen []string
		for _, n := range notices {
			seen = append(seen, string(n.Changes[0].Effective.Document.Canonical()))
		}
		same(t, name, []string{"", `{"key":"new"}`}, seen)
	}
}
