package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

func TestReferencesAreResolvedWhereTheyAreRead(t *testing.T) {
	a := newTenant(t)
	a.write(
		a.put("base", "limits", `{"rpm":60,"all":{"a":1}}`), a.put("production", "limits", `{"rpm":600}`),
		a.put("base", "gateway", `{"rpm":"${config:limits#/rpm}","text":"at ${config:limits#/rpm}","all":"${config:limits#/all}","secret":"${secret:keys#api}","plain":"$${config:x} ${HOME}"}`),
	)
	const rest = `"plain":"${config:x} ${HOME}","rpm":%[1]d,"secret":"${secret:keys#api}","text":"at %[1]d"}`
	a.reads("staging", "gateway", fmt.Sprintf(`{"all":{"a":1},`+rest, 60))
	a.reads("production", "gateway", fmt.Sprintf(`{"all":{"a":1},`+rest, 600))
	revision := a.revision()
	a.write(a.patch("base", "limits", `{"rpm":61,"all":{"b":2}}`))
	a.reads("staging", "gateway", fmt.Sprintf(`{"all":{"a":1,"b":2},`+rest, 61))
	a.reads("production", "gateway", fmt.Sprintf(`{"all":{"a":1,"b":2},`+rest, 600))
	a.readsAt(text(revision), "staging", "gateway", fmt.Sprintf(`{"all":{"a":1},`+rest, 60))
}

func TestAReferenceNeedsItsTargetInEveryEnvironmentThatInheritsIt(t *testing.T) {
	a := newTenant(t)
	a.set("production", "target", `{"x":1}`)
	refers := `{"r":"${config:target#/x}"}`
	e := a.refused(config.KindInvalidReference, a.put("base", "referrer", refers))
	same(t, "where it would break", "base referrer development referrer edge referrer staging referrer", places(e))
	for _, d := range e.Details {
		same(t, "pointer", "/r", d.Pointer)
	}
	a.set("production", "referrer", refers)
	a.reads("production", "referrer", `{"r":1}`)

	// An heir that does not inherit the target any more breaks what it inherits.
	a.write(a.put("base", "target", `{"x":2}`), a.put("base", "referrer", refers))
	for _, gone := range []string{`{"x":null}`, `{"x":[1],"y":{"x":2}}`} {
		if gone == `{"x":null}` {
			e = a.refused(config.KindReferenced, a.put("edge", "target", gone))
			same(t, "who refers", "edge referrer", places(e))
			continue
		}
		a.set("edge", "target", gone)
		a.reads("edge", "referrer", `{"r":[1]}`)
	}
}

// places are where the details of an error say it is.
func places(e *config.Error) string {
	var all []string
	for _, d := range e.Details {
		all = append(all, d.Environment+" "+d.Path)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestCyclesAreRefused(t *testing.T) {
	a := newTenant(t)
	a.refused(config.KindInvalidReference, a.put("base", "a", `{"x":"${config:a#/x}"}`))
	a.refused(config.KindInvalidReference, a.put("base", "a", `{"x":"${config:b#/x}"}`), a.put("base", "b", `{"x":"${config:a#/x}"}`))
	a.refused(config.KindInvalidReference, a.put("base", "a", `{"x":"${config:a}"}`))
	// To itself elsewhere, and to each other without a circle, is well.
	a.write(a.put("base", "a", `{"x":1,"y":"${config:a#/x}","z":"${config:b#/z}"}`), a.put("base", "b", `{"z":2,"w":"${config:a#/y}"}`))
	a.reads("edge", "a", `{"x":1,"y":1,"z":2}`)
	a.reads("edge", "b", `{"w":1,"z":2}`)
	// A circle that would close in an heir alone.
	e := a.refused(config.KindInvalidReference, a.put("edge", "b", `{"z":"${config:a#/z}"}`))
	if got := places(e); !strings.Contains(got, "edge b") {
		t.Errorf("the circle is said to be in %s", got)
	}
	// Deep ones.
	depth := config.MaxReferenceDepth
	for i := range depth {
		a.set("base", fmt.Sprintf("deep/%d", i+1), map[bool]string{true: `{"v":0}`, false: fmt.Sprintf(`{"v":"${config:deep/%d#/v}"}`, i)}[i == 0])
	}
	a.set("base", "eight", fmt.Sprintf(`{"v":"${config:deep/%d#/v}"}`, depth))
	a.reads("base", "eight", `{"v":0}`)
	a.refused(config.KindInvalidReference, a.put("base", "nine", `{"v":"${config:eight#/v}"}`))
	a.refused(config.KindReferenced, a.put("edge", "deep/1", `{"v":"${config:more#/v}"}`), a.put("edge", "more", `{"v":1}`))
}

func TestMalformedReferencesAreRefused(t *testing.T) {
	a := newTenant(t)
	for _, text := range []string{"${config:}", "${config:a b}", "${config:../x}", "${secret:}", "${config:a#x}", "${config:a"} {
		a.refused(config.KindInvalidReference, a.put("base", "a", `{"r":"`+text+`"}`))
	}
}

func TestADeleteThatLeavesAReferenceDanglingIsRefused(t *testing.T) {
	a := newTenant(t)
	a.write(
		a.put("base", "target", `{"x":1,"y":2}`),
		a.put("production", "one", `{"r":"${config:target#/x}"}`),
		a.put("base", "two", `{"r":"${config:target#/x}"}`), a.put("edge", "two", `{"r":null}`),
		a.put("staging", "far", `{"r":"${config:two#/r}"}`),
	)
	e := a.refused(config.KindReferenced, a.del("base", "target"))
	same(t, "who refers", "base two development two production one production two staging far staging two", places(e))
	if e.Next == "" {
		t.Error("no next step")
	}
	a.refused(config.KindReferenced, a.put("base", "target", `{"y":2}`))
	a.refused(config.KindReferenced, a.patch("base", "target", `{"x":null}`))
	a.refused(config.KindReferenced, a.put("staging", "target", `{"x":null}`))
	a.write(a.put("base", "target", `{"x":1}`)) // nobody refers to y
	a.write(a.put("edge", "target", `{"x":null}`))

	// With all that refers to it, in any order, it may go.
	a.write(a.del("base", "target"), a.del("edge", "target"), a.del("production", "one"), a.del("base", "two"), a.del("edge", "two"), a.del("staging", "far"))
	a.reads("staging", "far", absent)
}

func TestTargetAndReferrerInOneChange(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("base", "referrer", `{"r":"${config:target#/x}"}`), a.put("base", "target", `{"x":1}`))
	a.write(a.put("base", "referrer", `{"r":"${config:other#/x}"}`), a.del("base", "target"), a.put("base", "other", `{"x":2}`))
	a.reads("production", "referrer", `{"r":2}`)
	// Renaming a target and its member at once.
	a.write(a.put("base", "other", `{"renamed":3}`), a.put("base", "referrer", `{"r":"${config:other#/renamed}"}`))
	a.reads("production", "referrer", `{"r":3}`)
}

// A layer that is sent along unchanged is read like any other.
func TestReferencesOfAnEditThatChangesNothing(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("base", "far", `{"x":1}`), a.put("base", "near", `{"x":"${config:far#/x}"}`), a.put("base", "old", `{"x":"${config:near#/x}"}`))
	unchanged := a.put("base", "near", `{"x":"${config:far#/x}"}`)
	a.write(unchanged, a.put("base", "new", `{"x":"${config:near#/x}"}`))
	a.reads("edge", "new", `{"x":1}`)
	a.write(unchanged, a.patch("base", "old", `{"y":2}`))
	a.reads("edge", "old", `{"x":1,"y":2}`)
}

// A document at the end of a long way of documents is read like any other,
// wherever on that way others ended that were read before.
func TestLongWaysOfDocuments(t *testing.T) {
	a := newTenant(t)
	const length = 3 * config.MaxReferenceDepth
	edits := []service.Edit{a.put("base", "way/00", `{"own":0}`)}
	for i := 1; i < length; i++ { // each refers to what the one before says itself
		edits = append(edits, a.put("base", fmt.Sprintf("way/%02d", i), fmt.Sprintf(`{"own":%d,"before":"${config:way/%02d#/own}"}`, i, i-1)))
	}
	a.write(edits...)
	refer := func(i int) string { return fmt.Sprintf(`{"r":"${config:way/%02d#/before}"}`, i) }
	const end = length - config.MaxReferenceDepth - 1 // as far as a is followed
	edits = []service.Edit{a.put("base", "a", refer(length-1)), a.put("base", "b", refer(end))}
	for i := range 200 { // so many that a bundle does not read a, b and the way together
		edits = append(edits, a.put("base", fmt.Sprintf("aa/%03d", i), `{}`), a.put("base", fmt.Sprintf("bb/%03d", i), `{}`))
	}
	a.write(edits...)
	documents, bundle := a.bundle("edge", "", "")
	if len(bundle.Errors) > 0 {
		t.Errorf("the bundle lacks %s: %v", bundle.Errors[0].Path, bundle.Errors[0].Err)
	}
	same(t, "a", fmt.Sprintf(`{"r":%d}`, length-2), documents["a"])
	same(t, "b", fmt.Sprintf(`{"r":%d}`, end-1), documents["b"])
	a.write(a.patch("base", "way/00", `{"own":-1}`))
	a.reads("edge", "way/01", `{"before":-1,"own":1}`)
}

// What changed through a reference names the layer that it refers to, not some
// other one of the same change.
func TestTheCauseOfAChangeThroughAReference(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("base", "target", `{"x":1}`), a.put("base", "referrer", `{"r":"${config:target#/x}"}`), a.put("base", "aaa", `{}`))
	a.set("base", "aaa", `{"n":1}`)
	a.set("base", "aaa", `{"n":2}`) // its version is 3
	result := a.write(a.put("base", "aaa", `{"n":3}`), a.put("base", "target", `{"x":2}`), a.put("edge", "aaa", `{}`))
	for _, e := range a.logged(result.Revision).Effects {
		if e.Path == path("referrer") && (e.CauseEnvironment != "base" || e.Cause.Version != 2) {
			t.Errorf("the cause in %s is version %d of %s, want version 2 of base", e.Environment, e.Cause.Version, e.CauseEnvironment)
		}
	}
}
