package storetest

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

type rulePlace struct {
	kind store.RuleKind
	name string
}

var (
	referenceKinds = []store.RuleKind{store.RulePolicy, store.RuleRole}
	referenceNames = []string{"a", "B", "é"}
)

// changeRules commits a random change of rules and of what is used. It must be
// refused exactly when rules moved that it expected to stand still, when one has
// a wrong version, or else when something grows over its quota.
func (r *reference) changeRules(t *rapid.T, n *tenant) {
	change := writeRules()
	places := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) rulePlace {
		return rulePlace{rapid.SampledFrom(referenceKinds).Draw(t, "kind"), rapid.SampledFrom(referenceNames).Draw(t, "name")}
	}), 0, 2, rapid.ID[rulePlace]).Draw(t, "rules")
	wrong := len(places) > 0 && rapid.IntRange(0, 5).Draw(t, "wrong") == 0
	for i, at := range places {
		version := config.Version(len(r.rules[at]) + 1)
		if wrong && i == len(places)-1 {
			version += config.Version(rapid.SampledFrom([]int{-1, 1}).Draw(t, "off"))
		}
		change.Rules = append(change.Rules, rule(at.kind, at.name, version, rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "text")))
	}
	since := config.Revision(rapid.Int64Range(max(1, int64(r.revision)-4), int64(r.revision)).Draw(t, "since"))
	change.Expect = store.Expect{Revision: since, Rules: rapid.Bool().Draw(t, "expects rules")}
	change.Uses = drawUsage(-3, 4).Draw(t, "uses")
	change.Quota = drawUsage(0, 6).Draw(t, "quota")
	after, over := r.use(change.Uses, change.Quota)

	receipt, err := n.Commit(n.ctx, n.ID, change)
	switch {
	case wrong || change.Expect.Rules && r.rulesMoved(since):
		if config.KindOf(err) != config.KindConflict {
			t.Fatalf("rules that moved were answered with %v", err)
		}
		return
	case over:
		if config.KindOf(err) != config.KindQuotaExceeded {
			t.Fatalf("using %v over %v by %v was answered with %v", r.usage, change.Quota, change.Uses, err)
		}
		return
	}
	ok(t, err)
	r.revision, r.usage = r.revision+1, after
	same(t, receipt.Revision, r.revision)
	for i, at := range places {
		w := &change.Rules[i]
		r.rules[at] = append(r.rules[at], store.Rule{
			Kind: w.Kind, Name: w.Name, Version: w.Version, Revision: receipt.Revision,
			Time: receipt.Time, Author: change.Entry.Author, Deleted: w.Deleted, Sealed: w.Sealed,
		})
	}
}

func drawUsage(low, high int64) *rapid.Generator[store.Usage] {
	return rapid.Custom(func(t *rapid.T) store.Usage {
		figure := rapid.Int64Range(low, high)
		return store.Usage{Documents: figure.Draw(t, "documents"), Bytes: figure.Draw(t, "bytes"), Secrets: figure.Draw(t, "secrets")}
	})
}

// use is what is used after a write, and whether that is too much.
func (r *reference) use(more, quota store.Usage) (after store.Usage, over bool) {
	one := func(now, more, quota int64) int64 {
		now = max(now+more, 0)
		over = over || more > 0 && quota > 0 && now > quota
		return now
	}
	after = store.Usage{
		Documents: one(r.usage.Documents, more.Documents, quota.Documents),
		Bytes:     one(r.usage.Bytes, more.Bytes, quota.Bytes),
		Secrets:   one(r.usage.Secrets, more.Secrets, quota.Secrets),
	}
	return after, over
}

func (r *reference) rulesMoved(since config.Revision) bool {
	for _, versions := range r.rules {
		if len(versions) > 0 && versions[len(versions)-1].Revision > since {
			return true
		}
	}
	return false
}

// compareRules reads every version of every rule, and what is used.
func (r *reference) compareRules(t *rapid.T, n *tenant) {
	limit := rapid.IntRange(1, 4).Draw(t, "rules' limit")
	var newest []store.Rule
	for _, kind := range referenceKinds {
		for _, name := range slices.Sorted(slices.Values(referenceNames)) {
			versions := r.rules[rulePlace{kind, name}]
			listed := pages(t, limit, func(p store.Page) ([]store.Rule, store.Cursor, error) {
				return n.RuleVersions(n.ctx, n.ID, kind, name, p)
			})
			same(t, len(listed), len(versions))
			for i, want := range versions {
				same(t, n.ruleAt(t, kind, name, want.Version), want)
				want.Sealed = nil
				same(t, listed[len(listed)-1-i], want)
			}
			if len(versions) > 0 && !versions[len(versions)-1].Deleted {
				newest = append(newest, versions[len(versions)-1])
			}
		}
	}
	same(t, n.rules(t), newest)
	same(t, n.usage(t), r.usage)
}

// decide keeps random decisions, and compares which are left.
func (r *reference) decide(t *rapid.T, n *tenant) {
	most := rapid.IntRange(0, 5).Draw(t, "most")
	var some []store.PastDecision
	for range rapid.IntRange(0, 4).Draw(t, "decisions") {
		r.decided++ // no two are of one time, so that it is certain which stay
		d := store.PastDecision{
			Key:    digest(rapid.Uint64Range(1, 8).Draw(t, "key")),
			Time:   dueAround.AddDate(0, 0, rapid.IntRange(-9, 9).Draw(t, "days")).Add(r.decided),
			Sealed: []byte(r.decided.String()),
		}
		some, r.decisions[d.Key] = append(some, d), d
	}
	ok(t, n.PutDecisions(n.ctx, n.ID, some, most))
	want := slices.SortedFunc(maps.Values(r.decisions), func(a, b store.PastDecision) int { return b.Time.Compare(a.Time) })
	for _, d := range want[min(most, len(want)):] {
		delete(r.decisions, d.Key)
	}
	want = want[:min(most, len(want))]
	limit := rapid.IntRange(1, 6).Draw(t, "decisions' limit")
	same(t, n.decisions(t, limit), append([]store.PastDecision(nil), want[:min(limit, len(want))]...))
	same(t, n.revision(t), r.revision)
}
