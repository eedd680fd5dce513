package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// The small world in which everything that shows documents is compared with
// what a plain read shows.
var (
	visibleEnvironments = []string{"base", "production", "staging"}
	visiblePaths        = []string{"a", "a/b", "a/b/c", "b", "refers"}
	visibleKinds        = []struct{ actions, heads []string }{
		{
			[]string{"config.read", "config.read", "config.read", "config.write"},
			[]string{
				"resource", `resource in Environment::"production"`, `resource in Environment::"base"`, `resource in Path::"a"`,
				`resource in Path::"a/b"`, `resource in Folder::"production/a"`, `resource in Folder::"staging/a/b"`, `resource in Path::"refers"`,
				`resource == Document::"production/a/b"`, `resource is Document in Path::"b"`, `resource == Environment::"production"`,
				`resource is Document`,
			},
		},
		{
			[]string{"secret.list", "secret.read"},
			[]string{"resource", `resource in Environment::"production"`, `resource in Path::"a"`, `resource == Secret::"production/a"`, `resource is Secret`},
		},
		{[]string{"environment.read"}, []string{"resource", `resource in Environment::"production"`}},
	}
)

// somePolicies draws a file whose policies are about one role.
func somePolicies(t *rapid.T) string {
	var b strings.Builder
	for i := range rapid.IntRange(1, 6).Draw(t, "policies") {
		effect := rapid.SampledFrom([]string{"permit", "permit", "forbid"}).Draw(t, "effect")
		kind := visibleKinds[rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2}).Draw(t, "kind")]
		action := rapid.SampledFrom(kind.actions).Draw(t, "action")
		head := rapid.SampledFrom(kind.heads).Draw(t, "head")
		condition := ""
		if head == "resource is Document" {
			condition = ` when { resource.path like "*b*" }`
		}
		fmt.Fprintf(&b, "@id(\"p%d\")\n%s (principal in Role::\"r\", action == Action::%q, %s)%s;\n", i, effect, action, head, condition)
	}
	return b.String()
}

// visible is a tenant with something everywhere, and somebody with the role r.
type visible struct {
	*actor
	r *actor
}

func newVisible(t *testing.T) *visible {
	a := newTenant(t)
	for _, environment := range visibleEnvironments {
		for _, at := range visiblePaths[:4] {
			a.set(environment, at, `{"`+environment+`":"`+at+`","same":"`+environment+`"}`)
		}
		a.putSecret(environment, "a", "of "+environment)
		a.putSecret(environment, "b", "of "+environment)
	}
	a.set("base", "refers", `{"to":"${config:a/b#/same}"}`)
	a.putRole("r")
	v := &visible{actor: a, r: a.as(access.Grants{Roles: []string{"r"}})}
	return v
}

// gets says whether a plain read gives the document, and whether its path may be
// read at all: what refers to something else can be refused for that.
func (v *visible) gets(environment, at string) (whole, own bool) {
	v.t.Helper()
	_, err := v.s.Config(v.t.Context(), v.r.who, v.tenant, environment, path(at), service.ReadOptions{})
	switch config.KindOf(err) {
	case "", config.KindNotFound:
		return true, true
	case config.KindForbidden:
		return false, strings.Contains(err.Error(), "reference")
	}
	v.t.Fatalf("a read answers %v", err)
	return false, false
}

// lists compares what a verb shows with what it must.
func (v *visible) lists(what string, shown, must []string) {
	v.t.Helper()
	slices.Sort(shown)
	slices.Sort(must)
	if !slices.Equal(slices.Compact(shown), slices.Compact(must)) {
		v.t.Errorf("%s shows %v, and a plain read %v", what, shown, must)
	}
}

// forbiddenOr drops an error that says that nothing at all may be seen.
func (v *visible) forbiddenOr(err error) (denied bool) {
	v.t.Helper()
	if config.KindOf(err) == config.KindForbidden {
		return true
	}
	must(v.t, err)
	return false
}

// Whatever shows documents and secrets shows what a plain read of each would
// show, no more and no less, whatever the policies are.
func TestNothingShowsMoreThanAPlainRead(t *testing.T) {
	v := newVisible(t)
	rapid.Check(t, func(rt *rapid.T) {
		text := somePolicies(rt)
		v.putPolicy("drawn", text)
		for _, environment := range visibleEnvironments {
			v.compare(environment)
		}
		if t.Failed() {
			rt.Fatalf("with the policies\n%s", text)
		}
	})
}

func (v *visible) compare(environment string) {
	ctx := v.t.Context()
	var own, whole []string
	for _, at := range visiblePaths {
		w, o := v.gets(environment, at)
		if w {
			whole = append(whole, at)
		}
		if o {
			own = append(own, at)
		}
	}
	list, err := v.s.List(ctx, v.r.who, v.tenant, service.ListRequest{Environment: environment})
	if v.forbiddenOr(err) {
		v.lists("a list that is denied", nil, own)
	}
	v.lists("a list", names(list.Entries, func(e service.ListEntry) string { return e.Path.String() }), when(err == nil, own))

	bundle, err := v.s.Bundle(ctx, v.r.who, v.tenant, environment, config.Prefix{}, service.ReadOptions{})
	v.forbiddenOr(err)
	v.lists("a bundle", names(bundle.Documents, func(d service.BundleDocument) string { return d.Path.String() }), when(err == nil, whole))
	for _, e := range bundle.Errors {
		if !slices.Contains(own, e.Path.String()) {
			v.t.Errorf("a bundle names %s, which may not be read", e.Path)
		}
	}
	v.compareWatch(environment, whole)
	v.comparePast(environment)
	v.compareSecrets(environment)
	v.comparePlan(environment)
}

func (v *visible) compareWatch(environment string, whole []string) {
	w, err := v.s.Watch(v.t.Context(), v.r.who, v.tenant, service.WatchRequest{Environment: environment})
	if v.forbiddenOr(err) {
		return
	}
	defer w.Close()
	for _, at := range visiblePaths[:4] {
		v.set(environment, at, fmt.Sprintf(`{"same":"%d"}`, v.revision()))
	}
	notices, err := w.Take(v.t.Context())
	must(v.t, err)
	var told []string
	for _, notice := range notices {
		for _, c := range notice.Changes {
			told = append(told, c.Path.String())
		}
	}
	v.lists("a watch", told, whole)
}

// comparePast looks at what was: histories, explanations, differences, the log.
func (v *visible) comparePast(environment string) {
	ctx := v.t.Context()
	for _, at := range visiblePaths {
		whole, own := v.gets(environment, at)
		history, err := v.s.History(ctx, v.r.who, v.tenant, environment, path(at), true, service.Page{})
		if denied := v.forbiddenOr(ignoreMissing(err)); denied == own {
			v.t.Errorf("the history of %s in %s is answered by %v", at, environment, err)
		}
		for _, version := range history.Versions {
			if _, ok := v.gets(version.Environment, at); !ok {
				v.t.Errorf("the history of %s in %s shows a version of %s", at, environment, version.Environment)
			}
		}
		explained, err := v.s.Explain(ctx, v.r.who, v.tenant, environment, path(at), service.ReadOptions{})
		if denied := v.forbiddenOr(ignoreMissing(err)); denied == whole {
			v.t.Errorf("the explanation of %s in %s is answered by %v", at, environment, err)
		}
		for _, leaf := range explained.Leaves {
			for _, shadow := range leaf.Shadows {
				if from := explained.Layers[shadow.Layer].Environment; !v.readsIn(from, at) {
					v.t.Errorf("the explanation of %s in %s shows what %s says", at, environment, from)
				}
			}
		}
		point := service.DiffPoint{Environment: environment}
		_, err = v.s.Diff(ctx, v.r.who, v.tenant, path(at), point, point, false)
		if denied := v.forbiddenOr(ignoreMissing(err)); denied == whole {
			v.t.Errorf("a diff of %s in %s is answered by %v", at, environment, err)
		}
	}
	entries, _, err := v.s.Log(ctx, v.r.who, v.tenant, []store.EntryKind{store.EntryChange}, service.Page{Limit: 30})
	if v.forbiddenOr(err) {
		return
	}
	for _, entry := range entries {
		for _, e := range entry.Edits {
			if !v.readsIn(e.Environment, e.Path.String()) {
				v.t.Errorf("the log shows an edit of %s in %s", e.Path, e.Environment)
			}
		}
		full, err := v.s.LogEntry(ctx, v.r.who, v.tenant, entry.Revision)
		must(v.t, err)
		for _, e := range full.Effects {
			if !v.readsIn(e.Environment, e.Path.String()) {
				v.t.Errorf("revision %d shows an effect on %s in %s", entry.Revision, e.Path, e.Environment)
			}
		}
	}
}

func (v *visible) readsIn(environment, at string) bool {
	_, own := v.gets(environment, at)
	return own
}

func (v *visible) compareSecrets(environment string) {
	ctx := v.t.Context()
	var known []string
	for _, at := range []string{"a", "b"} {
		_, err := v.s.Secret(ctx, v.r.who, v.tenant, environment, path(at), false)
		if kind := config.KindOf(err); kind == "" {
			known = append(known, at)
		} else if kind != config.KindForbidden && kind != config.KindNotFound {
			v.t.Errorf("a secret is answered by %v", err)
		}
	}
	page, err := v.s.Secrets(ctx, v.r.who, v.tenant, service.SecretListRequest{Environment: environment})
	v.forbiddenOr(err)
	v.lists("a list of secrets", names(page.Secrets, func(i service.SecretInfo) string { return i.Path.String() }), when(err == nil, known))
	if err != nil && len(known) > 0 {
		v.t.Errorf("secrets %v may be known, and their list is denied", known)
	}
}

// comparePlan looks at what a dry run tells.
func (v *visible) comparePlan(environment string) {
	for _, at := range visiblePaths[:4] {
		edit := v.put(environment, at, `{"same":"planned"}`)
		result, err := v.s.Change(v.t.Context(), v.r.who, v.tenant, service.ChangeRequest{Edits: []service.Edit{edit}, DryRun: true})
		if v.forbiddenOr(err) {
			continue
		}
		for _, d := range result.Effective {
			if whole, _ := v.gets(d.Environment, d.Path.String()); !whole {
				v.t.Errorf("a dry run on %s in %s shows %s in %s", at, environment, d.Path, d.Environment)
			}
		}
	}
}

func ignoreMissing(err error) error {
	if config.KindOf(err) == config.KindNotFound {
		return nil
	}
	return err
}

func names[T any](all []T, name func(T) string) []string {
	texts := make([]string, 0, len(all))
	for _, one := range all {
		texts = append(texts, name(one))
	}
	return texts
}

func when(so bool, all []string) []string {
	if so {
		return slices.Clone(all)
	}
	return nil
}

// A watcher from whom a right is taken hears nothing of it from the very
// revision on that takes it; one who keeps some of his rights hears of the rest.
func TestARightThatIsTakenAwayEndsWhatAWatcherHears(t *testing.T) {
	v := newVisible(t)
	v.putPolicy("drawn", `permit (principal in Role::"r", action == Action::"config.read", resource in Path::"a");
permit (principal in Role::"r", action == Action::"config.read", resource in Path::"b");`)
	w := v.r.watch(service.WatchRequest{Environment: "production", Data: true})
	hears := func(want ...string) {
		t.Helper()
		notices, err := w.Take(t.Context())
		must(t, err)
		var told []string
		for _, notice := range notices {
			for _, c := range notice.Changes {
				told = append(told, c.Path.String())
			}
		}
		same(t, "what the watcher hears of", want, told)
	}
	v.set("production", "a", `{"v":1}`)
	v.set("production", "b", `{"v":1}`)
	hears("a", "b")
	v.set("production", "a", `{"v":2}`)
	v.putPolicy("drawn", `permit (principal in Role::"r", action == Action::"config.read", resource in Path::"b");`)
	v.set("production", "a", `{"v":3}`)
	v.set("production", "b", `{"v":3}`)
	hears("b") // what was written before the right was taken is not told after it
	_, err := v.s.PutPolicy(t.Context(), v.who, v.tenant, "drawn", service.PolicyRequest{Delete: true})
	must(t, err)
	v.set("production", "b", `{"v":4}`)
	_, err = w.Take(t.Context())
	mustBe(t, config.KindForbidden, err)
	mustBe(t, config.KindForbidden, w.Recheck(t.Context()))
}

// A document that takes values from where the watcher may not look is not his to
// hear of, with its text or without.
func TestAWatcherHearsNothingThroughReferences(t *testing.T) {
	v := newVisible(t)
	v.putPolicy("drawn", `permit (principal in Role::"r", action == Action::"config.read", resource in Path::"refers");`)
	for _, data := range []bool{false, true} {
		w := v.r.watch(service.WatchRequest{Environment: "production", Data: data})
		v.set("production", "a/b", fmt.Sprintf(`{"same":"%v"}`, data))
		notices, err := w.Take(t.Context())
		must(t, err)
		same(t, "notices", 0, len(notices))
	}
}

// What a plan shows and what a list of secrets shows, where some may be seen and
// some may not.
func TestPlansAndListsLeaveOutWhatIsNotForTheCaller(t *testing.T) {
	v := newVisible(t)
	v.putPolicy("drawn", `permit (principal in Role::"r", action == Action::"config.write", resource in Path::"a");
permit (principal in Role::"r", action == Action::"config.read", resource in Path::"refers");
permit (principal in Role::"r", action == Action::"secret.list", resource in Path::"a");`)
	edit := v.put("base", "a/b", `{"same":"planned"}`)
	result, err := v.s.Change(t.Context(), v.r.who, v.tenant, service.ChangeRequest{Edits: []service.Edit{edit}, DryRun: true})
	must(t, err)
	same(t, "documents of the plan", 0, len(result.Effective))
	same(t, "notes", []string{"documents that you may not read would change as well"}, result.Notes)
	for _, environment := range visibleEnvironments {
		page, err := v.s.Secrets(t.Context(), v.r.who, v.tenant, service.SecretListRequest{Environment: environment})
		must(t, err)
		same(t, "secrets in "+environment, []string{"a"}, names(page.Secrets, func(i service.SecretInfo) string { return i.Path.String() }))
	}
}
