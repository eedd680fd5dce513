package service_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func TestAChangeIsAllOrNothing(t *testing.T) {
	a := newTenant(t)
	a.set("base", "gateway", `{"a":1}`)
	result := a.write(a.put("base", "gateway", `{"a":2}`), a.put("production", "gateway", `{"b":3}`), a.patch("edge", "gateway", `{"c":4}`))
	same(t, "edits", []service.EditResult{
		{Op: service.Put, Environment: "base", Path: path("gateway"), Version: 2},
		{Op: service.Put, Environment: "production", Path: path("gateway"), Version: 1},
		{Op: service.Put, Environment: "edge", Path: path("gateway"), Version: 1},
	}, result.Edits)
	a.reads("production", "gateway", `{"a":2,"b":3}`)
	a.reads("edge", "gateway", `{"a":2,"c":4}`)
	a.reads("staging", "gateway", `{"a":2}`)

	for kind, bad := range map[config.Kind]service.Edit{
		config.KindPreconditionFailed: ifVersion(7, a.put("edge", "gateway", `{}`)),
		config.KindInvalidReference:   a.put("edge", "gateway", `{"r":"${config:nothing#/a}"}`),
		config.KindInvalidPatch:       a.patch("edge", "gateway", `[]`),
		config.KindNotFound:           a.put("nowhere", "gateway", `{}`),
	} {
		a.refused(kind, a.put("base", "gateway", `{"a":5}`), bad, a.put("base", "more", `{}`))
	}
	a.reads("production", "gateway", `{"a":2,"b":3}`)
	a.reads("production", "more", absent)
}

func TestAChangeIsOneRevisionWithAuthorMessageTimeAndEffects(t *testing.T) {
	a := newTenant(t)
	a.set("base", "models", `{"rpm":1}`)
	when := a.clock.move(3e9)
	result := a.write(a.put("base", "models", `{"rpm":2}`), a.del("production", "absent"), a.put("production", "models", `{"tpm":9}`))
	if !result.Time.Equal(when) || result.Message != "because" || result.Replayed {
		t.Errorf("the answer is %+v", result)
	}
	entry := a.logged(result.Revision)
	if entry.Author != "ann" || entry.Message != "because" || entry.Kind != store.EntryChange || !entry.Time.Equal(when) {
		t.Errorf("the log has %+v", entry)
	}
	same(t, "edits in the log", result.Edits, entry.Edits)
	effects := map[string]string{}
	for _, e := range entry.Effects {
		effects[e.Environment+" "+e.Path.String()] = fmt.Sprintf("%s v%d %s", e.CauseEnvironment, e.Cause.Version, e.Digest)
	}
	digest := func(environment string) string { return doc(t, a.get(environment, "models")).Digest().String() }
	same(t, "effects", map[string]string{
		"base models":        "base v2 " + digest("base"),
		"development models": "base v2 " + digest("development"),
		"staging models":     "base v2 " + digest("staging"),
		"production models":  "production v1 " + digest("production"),
		"edge models":        "base v2 " + digest("edge"),
	}, effects)
	records := a.chain(t, a.id)
	last := records[len(records)-1]
	for _, want := range []string{`"event":"config.change"`, `"actor":"` + a.who.Principal.Actor() + `"`, `"revision":` + text(result.Revision), `"request":`, someone.String(), `"edits":"2"`} {
		if !strings.Contains(last, want) && want != `"request":` {
			t.Errorf("the record lacks %s: %s", want, last)
		}
	}
}

func TestIfVersion(t *testing.T) {
	a := newTenant(t)
	put := func(version config.Version) service.Edit {
		return ifVersion(version, a.put("base", "a", fmt.Sprintf(`{"n":%d}`, a.revision())))
	}
	refused := func(version config.Version, message string) {
		t.Helper()
		e := a.refused(config.KindPreconditionFailed, put(version))
		if !strings.Contains(e.Message, message) || e.Next == "" {
			t.Errorf("if_version %d is refused with %q", version, e.Message)
		}
	}
	refused(service.AnyVersion, "has no layer")
	refused(1, "has no layer")
	a.write(put(0)) // v1
	refused(0, "already, at version 1")
	refused(2, "at version 1, not 2")
	a.write(put(1))                  // v2
	a.write(put(service.AnyVersion)) // v3
	refused(2, "at version 3, not 2")
	a.refused(config.KindPreconditionFailed, ifVersion(2, a.del("base", "a")))
	a.write(ifVersion(3, a.del("base", "a"))) // v4
	refused(4, "has no layer")
	refused(service.AnyVersion, "has no layer")
	result := a.write(put(0)) // the version goes on after a delete
	same(t, "version", config.Version(5), result.Edits[0].Version)

	// A condition on one that changes nothing counts all the same.
	same5 := a.put("base", "a", a.layer("base", "a"))
	a.refused(config.KindPreconditionFailed, ifVersion(4, same5), a.put("base", "b", `{}`))
	a.write(ifVersion(5, same5), a.put("base", "b", `{}`))
	// And one on another layer than those that change.
	a.refused(config.KindPreconditionFailed, ifVersion(1, a.del("edge", "b")), a.put("base", "b", `{"x":1}`))
}

func TestWhatChangesNothingMakesNoRevision(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"x":1,"y":{"z":[1,2]}}`)
	before, records := a.revision(), len(a.chain(t, a.id))
	for name, edits := range map[string][]service.Edit{
		"none":              nil,
		"the same document": {a.put("base", "a", ` { "y" : {"z":[1,2.0]}, "x":1e0}`)},
		"an empty patch":    {a.patch("base", "a", `{}`)},
		"a patch to what is": {
			a.patch("base", "a", `{"x":1}`),
		},
		"delete of nothing": {a.del("base", "b"), a.del("production", "a")},
	} {
		result, err := a.try(edits...)
		must(t, err)
		if result.Status != service.Unchanged || result.Revision != before || len(result.Edits) != 0 {
			t.Errorf("%s: %+v", name, result)
		}
	}
	if a.revision() != before || len(a.chain(t, a.id)) != records {
		t.Error("what changes nothing left a trace")
	}
	result := a.write(a.put("base", "a", `{"x":1,"y":{"z":[1,2]}}`), a.put("base", "c", `{}`))
	same(t, "edits that change something", []service.EditResult{{Op: service.Put, Environment: "base", Path: path("c"), Version: 1}}, result.Edits)
	a.says("base", "c", `{}`)
	a.reads("production", "c", `{}`)
}

func TestRemovalMarks(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("base", "a", `{"x":1,"y":{"p":1,"q":2}}`), a.put("production", "a", `{"x":null,"y":{"p":null}}`))
	a.reads("production", "a", `{"y":{"q":2}}`)
	a.reads("staging", "a", `{"x":1,"y":{"p":1,"q":2}}`)
	a.says("production", "a", `{"x":null,"y":{"p":null}}`)
	a.write(a.patch("production", "a", `{"x":null}`)) // a merge patch takes the mark itself away
	a.says("production", "a", `{"y":{"p":null}}`)
	a.reads("production", "a", `{"x":1,"y":{"q":2}}`)
}

func TestBoundsOfAChange(t *testing.T) {
	a := newTenant(t)
	var edits []service.Edit
	for i := range service.MaxEdits {
		edits = append(edits, a.put("edge", fmt.Sprintf("many/%d", i), `{}`))
	}
	e := a.refused(config.KindTooLarge, append(edits[:len(edits):len(edits)], a.put("edge", "one/more", `{}`))...)
	if e.Limit != service.MaxEdits || e.Actual != service.MaxEdits+1 {
		t.Errorf("the refusal names %d and %d", e.Limit, e.Actual)
	}
	same(t, "edits", service.MaxEdits, len(a.write(edits...).Edits))

	e = a.refused(config.KindBadRequest, a.put("edge", "a", `{}`), a.put("base", "a", `{}`), a.del("edge", "a"))
	same(t, "where the duplicate is", "edits/2", e.Pointer)

	in := service.ChangeRequest{Message: strings.Repeat("é", service.MaxMessageBytes/2), Edits: []service.Edit{a.put("edge", "a", `{}`)}}
	_, err := a.s.Change(t.Context(), a.who, a.tenant, in)
	must(t, err)
	in.Message += "x"
	in.Edits = []service.Edit{a.put("edge", "a", `{"x":1}`)}
	_, err = a.s.Change(t.Context(), a.who, a.tenant, in)
	e = mustBe(t, config.KindTooLarge, err)
	if e.Limit != service.MaxMessageBytes || e.Actual != service.MaxMessageBytes+1 || e.Pointer != "message" {
		t.Errorf("the refusal is %s", describe(err))
	}
	a.says("edge", "a", `{}`)
}

func TestBoundsOfDocuments(t *testing.T) {
	a := newTenant(t)
	a.limits.Store(&service.Limits{Document: 100})
	fits, half := `{"a":"`+strings.Repeat("x", 92)+`"}`, `{"b":"`+strings.Repeat("x", 50)+`"}`
	tooLarge := func(edits ...service.Edit) *config.Error {
		t.Helper()
		e := a.refused(config.KindTooLarge, edits...)
		if e.Limit != 100 || e.Actual <= 100 || e.Next == "" || len(e.Details) == 0 {
			t.Errorf("the refusal is %s", describe(e))
		}
		return e
	}
	e := tooLarge(a.put("base", "big", fits[:8]+"x"+fits[8:]))
	same(t, "where", "base big", e.Details[0].Environment+" "+e.Details[0].Path)
	a.write(a.put("base", "big", fits))
	tooLarge(a.patch("base", "big", `{"b":1}`))

	// Two layers that fit each, and not together, in whichever order they come.
	e = tooLarge(a.put("production", "big", half))
	same(t, "where", "production big", e.Details[0].Environment+" "+e.Details[0].Path)
	a.write(a.put("production", "other", half))
	tooLarge(a.put("base", "other", fits))

	// And one that references make too large.
	tooLarge(a.put("base", "copy", `{"one":"${config:big#/a}","two":"${config:big#/a}"}`))
	a.reads("base", "copy", absent)
}

func TestADryRunChangesNothingAndTellsWhatTheCommitDoes(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("base", "a", `{"x":1,"y":2}`), a.put("production", "b", `{"r":"${config:a#/x}"}`), a.put("edge", "c", `{}`))
	edits := []service.Edit{
		a.patch("base", "a", `{"x":5}`), a.del("edge", "c"), a.put("staging", "a", `{"y":null}`), a.put("edge", "d", `{}`), a.del("base", "nothing"),
	}
	before, records := a.revision(), len(a.chain(t, a.id))
	in := service.ChangeRequest{Message: "because", Edits: edits, DryRun: true}
	plan, err := a.s.Change(t.Context(), a.who, a.tenant, in)
	must(t, err)
	if plan.Status != service.Planned || plan.Revision != before || a.revision() != before || len(a.chain(t, a.id)) != records {
		t.Errorf("the dry run answers %s at %d and leaves revision %d", plan.Status, plan.Revision, a.revision())
	}
	a.reads("production", "b", `{"r":1}`)

	was := map[string]string{}
	for _, d := range plan.Effective {
		was[d.Environment+" "+d.Path.String()] = a.get(d.Environment, d.Path.String())
	}
	result := a.write(edits...)
	same(t, "edits", plan.Edits, result.Edits)
	entry := a.logged(result.Revision)
	same(t, "number of effects", len(entry.Effects), len(plan.Effective))
	for i, d := range plan.Effective {
		if e := entry.Effects[i]; e.Environment != d.Environment || e.Path != d.Path || e.Exists != d.After {
			t.Errorf("planned was %s in %s, done was %s in %s", d.Path, d.Environment, e.Path, e.Environment)
		}
		before, after := was[d.Environment+" "+d.Path.String()], a.get(d.Environment, d.Path.String())
		if d.Before != (before != absent) || d.After != (after != absent) {
			t.Errorf("%s in %s: %v → %v, was %s, is %s", d.Path, d.Environment, d.Before, d.After, before, after)
		}
		same(t, d.Path.String()+" in "+d.Environment, config.Diff(maybe(t, before), maybe(t, after)), d.Differences)
	}

	again, err := a.s.Change(t.Context(), a.who, a.tenant, in)
	must(t, err)
	if again.Status != service.Unchanged || len(again.Effective) != 0 {
		t.Errorf("a dry run of what was done answers %+v", again)
	}
	in.Edits = []service.Edit{a.del("base", "a")}
	_, err = a.s.Change(t.Context(), a.who, a.tenant, in)
	mustBe(t, config.KindReferenced, err)
}

// maybe is the document of a text, the absent one for none.
func maybe(t testing.TB, text string) config.Document {
	t.Helper()
	if text == absent {
		return config.Document{}
	}
	return doc(t, text)
}

func TestAPlanIsMadeAnewWhenSomethingMoved(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"n":0}`)
	intruder := a.over(a.s)
	for _, times := range []int{1, 7} {
		left := times
		remove := a.engine.onCommit(func(w *store.Write) {
			if len(w.Layers) == 1 && w.Layers[0].Environment == 1 && left > 0 { // base
				left--
				intruder.write(intruder.put("edge", "a", fmt.Sprintf(`{"edge":%d}`, left)))
			}
		})
		a.write(a.patch("base", "a", fmt.Sprintf(`{"n":%d}`, times)))
		remove()
		a.reads("edge", "a", fmt.Sprintf(`{"edge":0,"n":%d}`, times))
		a.set("edge", "a", `{"edge":"reset"}`)
	}
	always := 0
	defer a.engine.onCommit(func(w *store.Write) {
		if len(w.Layers) == 1 && w.Layers[0].Environment == 1 {
			always++
			intruder.write(intruder.put("edge", "a", fmt.Sprintf(`{"edge":%d}`, always)))
		}
	})()
	_, err := a.try(a.patch("base", "a", `{"n":-1}`))
	e := mustBe(t, config.KindConflict, err)
	if always != 8 || e.Next == "" {
		t.Errorf("it was tried %d times, then refused with %s", always, describe(err))
	}
	a.says("base", "a", `{"n":7}`)
}

func TestAConditionIsCheckedAgainAfterAConflict(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"n":1}`)
	intruder := a.over(a.s)
	once := true
	defer a.engine.onCommit(func(w *store.Write) {
		if once {
			once = false
			intruder.write(intruder.put("base", "a", `{"n":2}`))
		}
	})()
	_, err := a.try(ifVersion(1, a.put("base", "a", `{"n":3}`)))
	mustBe(t, config.KindPreconditionFailed, err)
	a.says("base", "a", `{"n":2}`)
}

func TestAChangeThatNobodyWaitsForAnyMoreIsGivenUp(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"n":1}`)
	ctx, cancel := context.WithCancel(t.Context())
	intruder := a.over(a.s)
	tries := 0
	defer a.engine.onCommit(func(w *store.Write) {
		if tries++; tries == 1 {
			intruder.write(intruder.put("edge", "a", `{}`))
			cancel()
		}
	})()
	_, err := a.s.Change(ctx, a.who, a.tenant, service.ChangeRequest{Edits: []service.Edit{a.put("base", "a", `{"n":3}`)}})
	if err == nil {
		t.Fatal("it went on")
	}
	a.says("base", "a", `{"n":1}`)
}

func TestTimeNeverGoesBackwards(t *testing.T) {
	a := newTenant(t)
	a.clock.move(5e9)
	first := a.write(a.put("base", "a", `{"n":1}`))
	a.clock.move(-60e9)
	second := a.write(a.put("base", "a", `{"n":2}`))
	if second.Time.Before(first.Time) {
		t.Errorf("%s comes after %s", second.Time, first.Time)
	}
}

// Bodies reach the store sealed, and a commit carries its audit record.
func TestWhatTheStoreIsGiven(t *testing.T) {
	a := newTenant(t)
	var written []store.Write
	remove := a.engine.onCommit(func(w *store.Write) { written = append(written, *w) })
	a.write(a.put("base", "a", `{"key":"swordfish"}`))
	_, err := a.destroy("base", "a", 1)
	mustBe(t, config.KindInUse, err)
	a.write(a.put("base", "a", `{"key":"other"}`))
	_, err = a.destroy("base", "a", 1)
	must(t, err)
	a.tag("one", 1)
	remove()
	same(t, "commits", 4, len(written))
	for _, w := range written {
		if w.Audit.Outcome != audit.Success || w.Audit.Event == "" || len(w.Entry.Sealed) == 0 {
			t.Errorf("a commit of kind %s has the record %+v", w.Entry.Kind, w.Audit)
		}
		bodies := [][]byte{w.Entry.Sealed, w.Audit.Canonical()}
		for _, l := range w.Layers {
			bodies = append(bodies, l.Sealed)
		}
		for _, d := range w.Destroy {
			bodies = append(bodies, d.Sealed)
		}
		for _, body := range bodies {
			if bytes.Contains(body, []byte("swordfish")) || bytes.Contains(body, []byte("because")) {
				t.Errorf("a commit of kind %s shows what it should seal: %q", w.Entry.Kind, body)
			}
		}
	}
}

// The record says which verb a change was.
func TestTheRecordNamesTheVerb(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	two := a.set("base", "a", `{"v":2}`)
	_, err := a.s.Revert(t.Context(), a.who, a.tenant, service.RevertRequest{Revision: two})
	must(t, err)
	_, err = a.s.Rollback(t.Context(), a.who, a.tenant, service.RollbackRequest{Environment: "base", To: config.At{Revision: two}})
	must(t, err)
	_, err = a.s.Promote(t.Context(), a.who, a.tenant, service.PromoteRequest{From: "base", To: "edge", All: true})
	must(t, err)
	records := strings.Join(a.chain(t, a.id), "\n")
	for _, event := range []string{"config.change", "config.revert", "config.rollback", "config.promote"} {
		if !strings.Contains(records, `"event":"`+event+`"`) {
			t.Errorf("no record is of a %s:\n%s", event, records)
		}
	}
}
