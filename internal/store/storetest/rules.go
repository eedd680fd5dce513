package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// rule is a write of one rule; "" deletes it.
func rule(kind store.RuleKind, name string, version config.Version, text string) store.RuleWrite {
	r := store.RuleWrite{Kind: kind, Name: name, Version: version, Sealed: []byte(text)}
	if text == "" {
		r.Deleted, r.Sealed = true, nil
	}
	return r
}

// writeRules is a write of some rules.
func writeRules(rules ...store.RuleWrite) store.Write {
	w := write()
	w.Entry.Kind, w.Audit.Event, w.Rules = store.EntryRule, "rule.set", rules
	return w
}

func (n *tenant) rules(t tb) []store.Rule {
	t.Helper()
	rules, err := n.Rules(n.ctx, n.ID)
	ok(t, err)
	return rules
}

// ruleAt must find a version.
func (n *tenant) ruleAt(t tb, kind store.RuleKind, name string, version config.Version) store.Rule {
	t.Helper()
	found, err := n.Rule(n.ctx, n.ID, kind, name, version)
	ok(t, err)
	return found
}

// saidRules is what rules say, in short: "policy main@2 text".
func saidRules(rules []store.Rule) []string {
	var lines []string
	for _, r := range rules {
		text := string(r.Sealed)
		if r.Deleted {
			text = "deleted"
		}
		lines = append(lines, fmt.Sprintf("%s %s@%d %s", r.Kind, r.Name, r.Version, text))
	}
	return lines
}

// fillRules is the part of fill that governs the tenant.
func fillRules(t tb, n *tenant) {
	t.Helper()
	for version := range config.Version(2) {
		change := writeRules(rule(store.RulePolicy, "main", version+1, "policy of "+n.Name), rule(store.RuleRole, "main", version+1, "role of "+n.Name))
		change.Uses = store.Usage{Documents: 1, Bytes: 100, Secrets: 3}
		n.commit(t, change)
	}
	var decisions []store.PastDecision
	for i := range uint64(2) {
		decisions = append(decisions, store.PastDecision{Key: digest(i), Time: n.clock.read(), Sealed: []byte("of " + n.Name)})
	}
	ok(t, n.PutDecisions(n.ctx, n.ID, decisions, 10))
	ok(t, n.TouchTokens(n.ctx, n.ID, []store.TokenUse{{ID: tokenID(n.ID), Time: n.clock.read()}}))
}

// takeRules has one tenant write over what it knows of another's rules, tokens
// and decisions.
func takeRules(t tb, of, by *tenant) {
	t.Helper()
	change := writeRules(rule(store.RulePolicy, "main", 3, ""))
	change.Uses = store.Usage{Documents: -1000, Bytes: 1 << 40, Secrets: 7}
	by.commit(t, change)
	ok(t, by.TouchTokens(by.ctx, by.ID, []store.TokenUse{{ID: tokenID(of.ID), Time: by.clock.read().AddDate(1, 0, 0)}}))
	token, err := by.Token(by.ctx, tokenID(of.ID))
	ok(t, err)
	same(t, token.LastUsed, by.clock.read())
	ok(t, by.PutDecisions(by.ctx, by.ID, []store.PastDecision{{Key: digest(0), Time: by.clock.read(), Sealed: []byte("other")}}, 0))
}

func rules(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	same(t, len(n.rules(t)), 0)
	w.clock.advance(time.Second)
	n.commit(t, writeRules(
		rule(store.RuleRole, "main", 1, "r1"), rule(store.RulePolicy, "zeta", 1, "z1"),
		rule(store.RulePolicy, "main", 1, "p1"), rule("", "", 1, "no name"),
	)) // 2
	w.clock.advance(time.Second)
	change := writeRules(rule(store.RulePolicy, "main", 2, "p2"), rule(store.RulePolicy, "zeta", 2, ""))
	change.Entry.Author = "Ünï ' \" % _ \\ 漢字"
	receipt := n.commit(t, change)                                      // 3
	n.commit(t, writeRules(rule(store.RulePolicy, "gamma", 1, "g1")))   // 4
	n.commit(t, write(layer(base, "main", 1, "a layer is not a rule"))) // 5
	same(t, saidRules(n.rules(t)), []string{" @1 no name", "policy gamma@1 g1", "policy main@2 p2", "role main@1 r1"})
	same(t, n.rules(t)[2], store.Rule{
		Kind: store.RulePolicy, Name: "main", Version: 2, Revision: receipt.Revision,
		Time: receipt.Time, Author: change.Entry.Author, Sealed: []byte("p2"),
	})
	gone := n.ruleAt(t, store.RulePolicy, "zeta", 0) // one that is deleted can be read
	same(t, gone, n.ruleAt(t, store.RulePolicy, "zeta", 2))
	same(t, gone, store.Rule{
		Kind: store.RulePolicy, Name: "zeta", Version: 2, Revision: receipt.Revision,
		Time: receipt.Time, Author: change.Entry.Author, Deleted: true,
	})
	same(t, n.ruleAt(t, store.RulePolicy, "main", 0), n.rules(t)[2])
	same(t, saidRules([]store.Rule{n.ruleAt(t, store.RulePolicy, "zeta", 1), n.ruleAt(t, store.RulePolicy, "main", 1)}),
		[]string{"policy zeta@1 z1", "policy main@1 p1"})

	n.commit(t, writeRules(rule(store.RulePolicy, "zeta", 3, "back"))) // versions go on after a delete
	same(t, saidRules(n.rules(t)), []string{" @1 no name", "policy gamma@1 g1", "policy main@2 p2", "policy zeta@3 back", "role main@1 r1"})
	for _, absent := range []store.Rule{
		{Kind: store.RulePolicy, Name: "main", Version: 3}, {Kind: store.RulePolicy, Name: "main", Version: -1},
		{Kind: store.RuleGrant, Name: "main"}, {Kind: store.RuleRole, Name: "main", Version: 2}, {Kind: store.RulePolicy}, {Name: "main"},
	} {
		_, err := w.Rule(w.ctx, n.ID, absent.Kind, absent.Name, absent.Version)
		refused(t, err, config.KindNotFound)
	}
	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	n.commit(t, writeRules(rule(store.RuleManifest, "", 1, string(body))))
	same(t, n.ruleAt(t, store.RuleManifest, "", 0).Sealed, body)
	entries, err := w.EntriesOf(w.ctx, n.ID, []config.Revision{receipt.Revision})
	ok(t, err)
	same(t, entries[0].Kind, store.EntryRule)
	same(t, len(auditOf(t, w, n.ID)), 7)
}

// ruleNames are told apart to the byte, and kinds from names.
func ruleNames(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	names := []string{"", " ", "%", "A", "a", "a ", "a%", "a'b", "a_", "aa", "e\u0301", "ä", "é", "ﬁ", "漢字", "\U0001f600"}
	slices.Sort(names) // which is bytewise
	change := writeRules(rule("policya", "", 1, "a"), rule("Policy", "a", 1, "a"))
	for _, name := range names {
		change.Rules = append(change.Rules, rule(store.RulePolicy, name, 1, "of "+name))
	}
	n.commit(t, change)
	want := []string{"Policy a@1 a"}
	for _, name := range names {
		want = append(want, fmt.Sprintf("policy %s@1 of %s", name, name))
		same(t, string(n.ruleAt(t, store.RulePolicy, name, 0).Sealed), "of "+name)
		versions, _, err := w.RuleVersions(w.ctx, n.ID, store.RulePolicy, name, store.Page{Limit: 2})
		ok(t, err)
		same(t, len(versions), 1)
		same(t, versions[0].Name, name)
	}
	same(t, saidRules(n.rules(t)), append(want, "policya @1 a"))
}

func ruleVersionsPages(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	var want []store.Rule
	for version := range config.Version(12) { // 10 sorts before 9 as text
		text := fmt.Sprint("text ", version+1)
		if version == 5 {
			text = ""
		}
		receipt := n.commit(t, writeRules(rule(store.RulePolicy, "main", version+1, text)))
		n.commit(t, writeRules(rule(store.RuleRole, "main", version+1, text), rule(store.RulePolicy, "main2", version+1, text)))
		want = append([]store.Rule{{
			Kind: store.RulePolicy, Name: "main", Version: version + 1, Revision: receipt.Revision,
			Time: receipt.Time, Author: "ann", Deleted: text == "",
		}}, want...)
		w.clock.advance(time.Second)
	}
	read := func(p store.Page) ([]store.Rule, store.Cursor, error) {
		return w.RuleVersions(w.ctx, n.ID, store.RulePolicy, "main", p)
	}
	for limit := 1; limit <= 13; limit++ {
		same(t, pages(t, limit, read), want)
	}
	_, cursor, err := read(store.Page{Limit: 3})
	ok(t, err)
	n.commit(t, writeRules(rule(store.RulePolicy, "main", 13, "newer"))) // does not shift what comes behind
	rest, _, err := read(store.Page{Limit: 100, Cursor: cursor})
	ok(t, err)
	same(t, rest, want[3:])
	none, cursor, err := w.RuleVersions(w.ctx, n.ID, store.RulePolicy, "absent", store.Page{Limit: 1})
	ok(t, err)
	same(t, len(none), 0)
	same(t, cursor, store.Cursor(""))
}

// ruleCompareAndSet writes wrong versions: nothing of them may remain.
func ruleCompareAndSet(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.commit(t, writeRules(rule(store.RulePolicy, "main", 1, "1")))
	n.commit(t, writeRules(rule(store.RulePolicy, "main", 2, "")))
	chain := auditOf(t, w, n.ID)
	for _, wrong := range []store.RuleWrite{
		rule(store.RulePolicy, "main", -1, "x"), rule(store.RulePolicy, "main", 0, "x"),
		rule(store.RulePolicy, "main", 1, "x"), // it goes on after a delete
		rule(store.RulePolicy, "main", 2, "x"), rule(store.RulePolicy, "main", 4, "x"),
		rule(store.RuleRole, "main", 3, "x"), // another kind's counts for itself
		rule(store.RulePolicy, "Main", 3, "x"), rule(store.RulePolicy, "new", 0, "x"), rule(store.RulePolicy, "new", 2, ""),
	} {
		change := writeRules(rule(store.RulePolicy, "other", 1, "text"), wrong)
		change.Layers = []store.LayerWrite{layer(base, "gateway", 1, "text")}
		change.Uses = store.Usage{Documents: 1}
		change.Committed = func(store.Receipt) { t.Error("Committed was called for a write that was refused") }
		_, err := w.Commit(w.ctx, n.ID, change)
		refused(t, err, config.KindConflict)
	}
	for _, version := range []config.Version{3, 4} {
		twice := writeRules(rule(store.RulePolicy, "main", 3, "a"), rule(store.RulePolicy, "main", version, "b"))
		_, err := w.Commit(w.ctx, n.ID, twice)
		refused(t, err, config.KindInternal) // whoever plans so is at fault
	}
	same(t, len(n.rules(t)), 0)
	same(t, len(n.at(t, 0, "gateway")), 0)
	same(t, n.usage(t), store.Usage{})
	same(t, n.revision(t), config.Revision(3))
	same(t, auditOf(t, w, n.ID), chain)
	n.commit(t, writeRules(rule(store.RulePolicy, "main", 3, "3"), rule(store.RuleRole, "main", 1, "1")))
	_, err := w.Commit(w.ctx, config.TenantID{15: 99}, writeRules(rule(store.RulePolicy, "main", 1, "1")))
	refused(t, err, config.KindNotFound)
	_, err = w.Commit(w.ctx, config.TenantID{}, writeRules(rule(store.RuleGrant, "main", 1, "the server's own")))
	ok(t, err)
	same(t, saidRules(n.rules(t)), []string{"policy main@3 3", "role main@1 1"})
}

func expectRules(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	w.createTenant(t, "beta").commit(t, writeRules(rule(store.RulePolicy, "main", 1, "other")))
	n.put(t, layer(base, "gateway", 0, "1")) // 2
	same(t, n.holds(t, store.Expect{Revision: 1, Rules: true}), true)
	n.commit(t, writeRules(rule(store.RulePolicy, "main", 1, "1"))) // 3
	same(t, n.holds(t, store.Expect{Revision: 2, Rules: true}), false)
	same(t, n.holds(t, store.Expect{Revision: 2, Environments: true}), true)
	same(t, n.holds(t, store.Expect{Revision: 2}), true)
	n.put(t, layer(base, "gateway", 0, "2")) // 4
	same(t, n.holds(t, store.Expect{Revision: 3, Rules: true}), true)
	n.commit(t, writeRules(rule(store.RulePolicy, "main", 2, ""))) // 5; a deletion counts
	same(t, n.holds(t, store.Expect{Revision: 4, Rules: true}), false)
	change := writeRules(rule(store.RulePolicy, "main", 3, "3")) // what it writes itself is not in its way
	change.Expect = store.Expect{Revision: 5, Rules: true}
	n.commit(t, change)
	_, err := w.Commit(w.ctx, n.ID, change)
	refused(t, err, config.KindConflict)
}
