package service_test

import (
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// committed expects a verb that writes layers to have done so.
func (a *actor) committed(result service.ChangeResult, err error) service.ChangeResult {
	a.t.Helper()
	must(a.t, err)
	if result.Status != service.Committed {
		a.t.Fatalf("the status is %s", result.Status)
	}
	return result
}

func TestRollbackOfOneLayer(t *testing.T) {
	a := newTenant(t)
	good := a.set("production", "a", `{"v":1}`)
	a.set("production", "b", `{"v":1}`)
	a.set("production", "a", `{"v":2}`)
	a.tag("bad", 0)
	a.write(a.del("production", "a"), a.put("production", "b", `{"v":2}`))

	result := a.committed(a.rollback("production", "a", "v1"))
	same(t, "edits", []service.EditResult{{Op: service.Put, Environment: "production", Path: path("a"), Version: 4}}, result.Edits)
	same(t, "message", "back", a.logged(result.Revision).Message)
	a.says("production", "a", `{"v":1}`)
	a.says("production", "b", `{"v":2}`)
	a.committed(a.rollback("production", "a", "bad"))
	a.says("production", "a", `{"v":2}`)
	a.committed(a.rollback("production", "a", text(good-1))) // before there was one
	a.says("production", "a", absent)

	result, err := a.rollback("production", "a", text(good-1))
	must(t, err)
	same(t, "status of what is there already", service.Unchanged, result.Status)
	_, err = a.rollback("production", "a", "")
	same(t, "pointer", "to", mustBe(t, config.KindBadRequest, err).Pointer)
	_, err = a.rollback("nowhere", "a", "v1")
	mustBe(t, config.KindNotFound, err)
}

func TestRollbackOfAWholeEnvironment(t *testing.T) {
	a := newTenant(t)
	good := a.write(a.put("production", "a", `{"v":1}`), a.put("production", "b", `{"v":1}`), a.put("base", "a", `{"base":1}`), a.put("edge", "a", `{"v":1}`)).Revision
	a.write(a.put("production", "a", `{"v":2}`), a.del("production", "b"), a.put("production", "c", `{"v":2}`), a.put("base", "a", `{"base":2}`), a.put("edge", "a", `{"v":2}`))
	plan, err := a.s.Rollback(t.Context(), a.who, a.tenant, service.RollbackRequest{Environment: "production", To: config.At{Revision: good}, DryRun: true})
	must(t, err)
	same(t, "documents planned", 3, len(plan.Effective))
	result := a.committed(a.rollback("production", "", text(good)))
	same(t, "edits", []service.EditResult{
		{Op: service.Put, Environment: "production", Path: path("a"), Version: 3},
		{Op: service.Put, Environment: "production", Path: path("b"), Version: 3},
		{Op: service.Delete, Environment: "production", Path: path("c"), Version: 2},
	}, result.Edits)
	a.reads("production", "a", `{"base":2,"v":1}`) // what it inherits stays
	a.reads("edge", "a", `{"base":2,"v":2}`)
	if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "a still differs in production: it inherits from base, which changed it at revision "+text(good+1)) {
		t.Errorf("the notes are %q", result.Notes)
	}
	same(t, "notes of the plan", plan.Notes, result.Notes)
}

func TestRollbackSaysWhenTheBadValueIsInherited(t *testing.T) {
	a := newTenant(t)
	good := a.write(a.put("base", "a", `{"x":1,"y":1}`), a.put("production", "a", `{"y":2}`)).Revision
	a.set("base", "a", `{"x":666,"y":1}`)
	result, err := a.rollback("production", "a", text(good))
	must(t, err)
	if result.Status != service.Unchanged || len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "roll back base too") {
		t.Errorf("%s with the notes %q", result.Status, result.Notes)
	}
	// Of the ancestors only the one that changed is named.
	a.mustMove("team", "staging")
	a.set("staging", "b", `{"s":1}`)
	good = a.set("base", "b", `{"b":1}`)
	a.set("staging", "b", `{"s":2}`)
	result, err = a.rollback("team", "b", text(good))
	must(t, err)
	if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "it inherits from staging") {
		t.Errorf("the notes are %q", result.Notes)
	}
	// Nothing is said where the environment hides what changed.
	good = a.write(a.put("base", "a", `{"x":1,"y":1}`)).Revision
	a.write(a.put("base", "a", `{"x":1,"y":666}`))
	a.set("production", "a", `{"y":3}`)
	same(t, "notes", 0, len(a.committed(a.rollback("production", "a", text(good))).Notes))
	a.reads("production", "a", `{"x":1,"y":2}`)
}

func TestRollbackThatWouldBreakAReferenceIsRefused(t *testing.T) {
	a := newTenant(t)
	before := a.set("base", "target", `{}`)
	a.set("base", "target", `{"x":1}`)
	withTarget := a.set("base", "referrer", `{"r":"${config:target#/x}"}`)
	_, err := a.rollback("base", "target", text(before))
	mustBe(t, config.KindReferenced, err)
	a.write(a.del("base", "referrer"), a.del("base", "target"))
	_, err = a.rollback("base", "referrer", text(withTarget))
	mustBe(t, config.KindInvalidReference, err)
	a.committed(a.rollback("base", "", text(withTarget))) // together they stand
	a.reads("edge", "referrer", `{"r":1}`)
}

func TestRollbackOfAnEnvironmentThatWasNotThereYet(t *testing.T) {
	a := newTenant(t)
	before := a.set("base", "a", `{}`)
	a.mustMove("team", "base")
	a.set("team", "a", `{"team":1}`)
	_, err := a.rollback("team", "", text(before))
	same(t, "pointer", "to", mustBe(t, config.KindNotFound, err).Pointer)
}

func TestRevertUndoesOneChangeEverywhere(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("base", "a", `{"v":1}`), a.put("edge", "gone", `{"v":1}`))
	bad := a.write(a.put("base", "a", `{"v":2}`), a.put("production", "new", `{}`), a.del("edge", "gone")).Revision
	a.set("staging", "other", `{}`) // does not matter
	result := a.committed(a.revert(bad, false))
	same(t, "edits", []service.EditResult{
		{Op: service.Put, Environment: "base", Path: path("a"), Version: 3},
		{Op: service.Delete, Environment: "production", Path: path("new"), Version: 2},
		{Op: service.Put, Environment: "edge", Path: path("gone"), Version: 3},
	}, result.Edits)
	a.says("base", "a", `{"v":1}`)
	a.says("production", "new", absent)
	a.says("edge", "gone", `{"v":1}`)
	same(t, "message", "revert revision "+text(bad), a.logged(result.Revision).Message)

	again := a.committed(a.revert(result.Revision, false)) // a revert of the revert
	a.says("base", "a", `{"v":2}`)
	a.says("production", "new", `{}`)
	a.says("edge", "gone", absent)
	_, err := a.revert(bad, false) // it was done again since, by others
	mustBe(t, config.KindChangedSince, err)
	a.committed(a.revert(again.Revision, false))
	a.says("base", "a", `{"v":1}`)
}

func TestRevertOfWhatChangedSince(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	bad := a.write(a.put("base", "a", `{"v":2}`), a.put("base", "b", `{"v":2}`), a.put("edge", "c", `{}`)).Revision
	a.set("base", "b", `{"v":3}`)
	a.write(a.del("edge", "c"))
	_, err := a.revert(bad, false)
	e := mustBe(t, config.KindChangedSince, err)
	same(t, "layers that changed since", "base b edge c", places(e))
	for _, d := range e.Details {
		same(t, "message", "the change made version 1, it is at version 2 now", d.Message)
	}
	a.says("base", "a", `{"v":2}`)
	plan, err := a.s.Revert(t.Context(), a.who, a.tenant, service.RevertRequest{Revision: bad, Force: true, DryRun: true})
	must(t, err)
	result := a.committed(a.revert(bad, true))
	same(t, "edits as planned", plan.Edits, result.Edits)
	a.says("base", "a", `{"v":1}`)
	a.says("base", "b", absent)
	a.says("edge", "c", absent)
}

func TestWhatCannotBeReverted(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	tag := a.tag("one", 0).Revision
	for revision, kind := range map[config.Revision]config.Kind{
		1: config.KindBadRequest, tag: config.KindBadRequest, tag + 1: config.KindNotFound, 0: config.KindNotFound, -1: config.KindNotFound,
	} {
		_, err := a.revert(revision, true)
		same(t, "pointer", "revision", mustBe(t, kind, err).Pointer)
	}
	a.mustMove("team", "base")
	change := a.set("team", "a", `{"team":1}`)
	a.write(a.del("team", "a"))
	_, err := a.s.DeleteEnvironment(t.Context(), a.who, a.tenant, "team", "")
	must(t, err)
	_, err = a.revert(change, true)
	mustBe(t, config.KindNotFound, err)

	target := a.set("base", "target", `{"x":1}`)
	a.set("base", "referrer", `{"r":"${config:target#/x}"}`)
	_, err = a.revert(target, false)
	mustBe(t, config.KindReferenced, err)
	_, err = a.s.Revert(t.Context(), a.who, a.tenant, service.RevertRequest{Revision: target, Message: strings.Repeat("x", service.MaxMessageBytes+1)})
	mustBe(t, config.KindTooLarge, err)
}
