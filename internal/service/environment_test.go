package service_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (a *actor) create(name string) service.EnvironmentResult {
	a.t.Helper()
	result, err := a.s.PutEnvironment(a.t.Context(), a.who, a.tenant, name, service.EnvironmentRequest{Message: "needed"})
	must(a.t, err)
	return result
}

func (a *actor) deleteEnvironment(name string) error {
	_, err := a.s.DeleteEnvironment(a.t.Context(), a.who, a.tenant, name, "")
	return err
}

// tree is a tenant's environments, each with its parent.
func (a *actor) tree() string {
	a.t.Helper()
	all, revision, err := a.s.Environments(a.t.Context(), a.who, a.tenant)
	must(a.t, err)
	same(a.t, "revision of the environments", a.revision(), revision)
	var names []string
	for _, e := range all {
		one, err := a.s.Environment(a.t.Context(), a.who, a.tenant, e.Name)
		must(a.t, err)
		same(a.t, e.Name, e, one)
		names = append(names, e.Name+"<"+e.Parent)
	}
	return strings.Join(names, " ")
}

const firstTree = "base< development<base staging<base production<base edge<base"

func TestEnvironmentsAreCreatedBelowBaseAndMove(t *testing.T) {
	a := newTenant(t)
	same(t, "the first tree", firstTree, a.tree())
	created := a.create("team")
	same(t, "answer", service.EnvironmentInfo{Name: "team", Parent: "base", Version: 1}, created.Environment)
	entry := a.logged(created.Revision)
	if entry.Kind != store.EntryEnvironment || entry.Message != "needed" || entry.Summary != "environment team inherits from base" {
		t.Errorf("the log has %+v", entry)
	}
	a.write(a.put("base", "a", `{"of":"base"}`), a.put("staging", "a", `{"of":"staging","s":1}`))
	a.reads("team", "a", `{"of":"base"}`)

	before := a.revision()
	moved := a.mustMove("team", "staging")
	a.reads("team", "a", `{"of":"staging","s":1}`)
	a.readsAt(text(before), "team", "a", `{"of":"base"}`)
	same(t, "tree", firstTree+" team<staging", a.tree())
	a.mustMove("staging", "edge") // a whole branch moves
	a.set("edge", "a", `{"e":1}`)
	a.reads("team", "a", `{"e":1,"of":"staging","s":1}`)
	a.readsAt(text(moved), "team", "a", `{"of":"staging","s":1}`)
	root := a.mustMove("staging", "")
	a.reads("team", "a", `{"of":"staging","s":1}`)
	same(t, "summary", "environment staging has no parent", a.logged(root).Summary)

	for _, unchanged := range []func() (service.EnvironmentResult, error){
		func() (service.EnvironmentResult, error) { return a.move("team", "staging") },
		func() (service.EnvironmentResult, error) { return a.create("team"), nil },
		func() (service.EnvironmentResult, error) { return a.create("base"), nil },
	} {
		result, err := unchanged()
		must(t, err)
		if result.Status != service.Unchanged || result.Revision != root || result.Environment.Name == "" {
			t.Errorf("what changes nothing answers %+v", result)
		}
	}
}

func TestTreesThatAreRefused(t *testing.T) {
	a := newTenant(t)
	a.mustMove("team", "staging")
	refused := func(kind config.Kind, environment, parent string) {
		t.Helper()
		before := a.revision()
		_, err := a.move(environment, parent)
		mustBe(t, kind, err)
		same(t, "revision", before, a.revision())
	}
	refused(config.KindInvalidTree, "staging", "team")
	refused(config.KindInvalidTree, "base", "team")
	refused(config.KindInvalidTree, "team", "team")
	refused(config.KindInvalidTree, "new", "new")
	refused(config.KindInvalidTree, "new", "nowhere")
	refused(config.KindInvalidTree, "team", "nowhere")
	refused(config.KindInvalidName, "No Good", "base")
	_, err := a.s.PutEnvironment(t.Context(), a.who, a.tenant, "new", service.EnvironmentRequest{Message: strings.Repeat("x", service.MaxMessageBytes+1)})
	mustBe(t, config.KindTooLarge, err)
	parent := "base"
	for i := range config.MaxTreeDepth - 1 {
		name := fmt.Sprintf("deep-%d", i)
		a.mustMove(name, parent)
		parent = name
	}
	refused(config.KindTooLarge, "deeper", parent)
	refused(config.KindTooLarge, "staging", parent)
	_, err = a.s.Environment(t.Context(), a.who, a.tenant, "nowhere")
	mustBe(t, config.KindNotFound, err)
}

func TestAMoveThatWouldBreakAReferenceIsRefused(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("staging", "target", `{"x":1}`), a.put("production", "target", `{"y":1}`))
	a.mustMove("team", "staging")
	a.mustMove("member", "team")
	a.set("team", "referrer", `{"r":"${config:target#/x}"}`)
	for _, parent := range []string{"production", "base", ""} {
		_, err := a.move("team", parent)
		e := mustBe(t, config.KindInvalidReference, err)
		same(t, "where", "team referrer", places(e))
	}
	a.reads("member", "referrer", `{"r":1}`)
	// A heir that has what its new ancestors lack does not break, the one in between does.
	a.set("member", "target", `{"x":2}`)
	_, err := a.move("team", "base")
	mustBe(t, config.KindInvalidReference, err)
	a.set("team", "target", `{"x":3}`)
	a.mustMove("team", "base")
	a.reads("member", "referrer", `{"r":2}`)
	a.reads("team", "referrer", `{"r":3}`)
}

func TestDeletingAnEnvironment(t *testing.T) {
	a := newTenant(t)
	a.mustMove("team", "staging")
	e := mustBe(t, config.KindInUse, a.deleteEnvironment("staging"))
	same(t, "heirs named", "team ", places(e))
	full := a.write(a.put("team", "a", `{"team":1}`), a.put("team", "b", `{}`)).Revision
	e = mustBe(t, config.KindInUse, a.deleteEnvironment("team"))
	same(t, "layers named", "team a team b", places(e))
	a.write(a.del("team", "a"), a.del("team", "b"))
	must(t, a.deleteEnvironment("team"))
	mustBe(t, config.KindNotFound, a.deleteEnvironment("team"))
	same(t, "tree", firstTree, a.tree())
	_, err := a.try(a.put("team", "a", `{}`))
	mustBe(t, config.KindNotFound, err)
	a.reads("team", "a", absent)

	// Its history stays, and its name begins anew.
	a.readsAt(text(full), "team", "a", `{"team":1}`)
	documents, _ := a.bundle("team", "", text(full))
	same(t, "bundle of then", map[string]string{"a": `{"team":1}`, "b": `{}`}, documents)
	same(t, "version of a new one", config.Version(1), a.create("team").Environment.Version)
	a.reads("team", "a", absent)
	_, err = a.s.History(t.Context(), a.who, a.tenant, "team", path("a"), false, page(10))
	mustBe(t, config.KindNotFound, err)
	a.set("team", "a", `{"team":2}`)
	a.readsAt("v1", "team", "a", `{"team":2}`)
	a.readsAt(text(full), "team", "a", `{"team":1}`)
	same(t, "environment in the log", "team", a.logged(full).Edits[0].Environment)
	_, err = a.s.DeleteEnvironment(t.Context(), a.who, a.tenant, "team", strings.Repeat("x", service.MaxMessageBytes+1))
	mustBe(t, config.KindTooLarge, err)
}

// A change that was planned on the tree before is planned anew.
func TestAChangeAndAMoveNeverCommitTogetherWhatNeitherWouldAlone(t *testing.T) {
	a := newTenant(t)
	intruder := a.over(a.s)
	a.write(a.put("staging", "target", `{"x":1}`))
	a.mustMove("team", "staging")
	moved := false
	remove := a.engine.onCommit(func(w *store.Write) {
		if len(w.Layers) > 0 && !moved {
			moved = true
			intruder.mustMove("team", "base")
		}
	})
	_, err := a.try(a.put("team", "referrer", `{"r":"${config:target#/x}"}`))
	remove()
	mustBe(t, config.KindInvalidReference, err)
	a.mustMove("team", "staging")
	written := false
	remove = a.engine.onCommit(func(w *store.Write) {
		if len(w.Environments) > 0 && !written {
			written = true
			intruder.set("team", "referrer", `{"r":"${config:target#/x}"}`)
		}
	})
	_, err = a.move("team", "base")
	remove()
	mustBe(t, config.KindInvalidReference, err)
	a.reads("team", "referrer", `{"r":1}`)
}
