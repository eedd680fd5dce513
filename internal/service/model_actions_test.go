package service_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// twin is a tenant and its model, to which the same is done.
type twin struct {
	*actor
	*model
	w        *service.Watcher
	watched  int      // the environment watched; 0 when it was deleted
	told     []string // by the watcher
	expected []string // to be told
}

// machine drives two tenants of one service.
type machine struct {
	*world
	twins []*twin
}

var founded int // tenants of this test so far, for their names

func newMachine(w *world, t *testing.T, rt *rapid.T) *machine {
	m := &machine{world: w}
	for range 2 {
		founded++
		a := w.found(t, "tenant-"+text(config.Revision(founded)))
		tw := &twin{actor: a, model: newModel(w.clock.read()), watched: 4}
		tw.follow(rt, 1)
		m.twins = append(m.twins, tw)
	}
	return m
}

// generators of documents with numbers, texts, arrays, objects, removal marks
// and references.
var (
	modelName  = rapid.SampledFrom([]string{"a", "b", "c"})
	modelRef   = rapid.SampledFrom([]string{"", "#/a", "#/b", "#/c", "#/b/a"})
	modelValue = rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 12).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return "text"
		case 2:
			return []any{1.0, nil}
		case 3:
			return "${config:" + rapid.SampledFrom(modelPaths).Draw(t, "path") + modelRef.Draw(t, "pointer") + "}"
		case 4:
			return "at ${config:" + rapid.SampledFrom(modelPaths).Draw(t, "path") + "#/" + modelName.Draw(t, "name") + "}"
		}
		return float64(rapid.IntRange(0, 3).Draw(t, "number"))
	})
	modelDocument = rapid.Custom(func(t *rapid.T) map[string]any {
		doc := rapid.MapOfN(modelName, modelValue, 0, 3).Draw(t, "members")
		if rapid.IntRange(0, 3).Draw(t, "nested") == 0 {
			doc["b"] = rapid.MapOfN(modelName, modelValue, 0, 2).Draw(t, "object")
		}
		return doc
	})
	modelEnv = rapid.SampledFrom([]string{"base", "base", "development", "staging", "production", "production", "edge", "t1", "t2"})
)

func (m *machine) twin(t *rapid.T) *twin {
	m.clock.move(time.Second)
	return m.twins[rapid.IntRange(0, 1).Draw(t, "tenant")]
}

// agree compares what the service did with what the model did.
func (tw *twin) agree(t *rapid.T, what string, want service.Status, got service.Status, revision config.Revision, err error) {
	if err != nil {
		got = refusedStatus
		if kind := config.KindOf(err); kind == config.KindInternal || kind == config.KindUnavailable || kind == config.KindConflict {
			t.Fatalf("%s: %s", what, describe(err))
		}
	}
	if got != want {
		t.Fatalf("%s: the service %s, the model %s", what, outcomeText(got, err), want)
	}
	if err == nil && int(revision) != tw.newest() {
		t.Fatalf("%s: the service is at revision %d, the model at %d", what, revision, tw.newest())
	}
	tw.expect(want)
}

func outcomeText(status service.Status, err error) string {
	if err != nil {
		return describe(err)
	}
	return string(status)
}

func (m *machine) change(t *rapid.T) {
	tw := m.twin(t)
	want, fits := wanted{}, true
	var edits []service.Edit
	for range rapid.IntRange(1, 3).Draw(t, "edits") {
		env, where := modelEnv.Draw(t, "environment"), rapid.SampledFrom(modelPaths).Draw(t, "path")
		at := slot{tw.now().named(env), where}
		if _, twice := want[at]; twice || at.env == 0 {
			fits = false
		}
		edit, doc := tw.draw(t, env, at)
		want[at] = doc
		if edit.IfVersion != nil {
			c := tw.now().layers[at]
			current := config.Version(c.version)
			if c.doc == nil {
				current = 0
			}
			fits = fits && current == *edit.IfVersion
		}
		edits = append(edits, edit)
	}
	status := refusedStatus
	if fits {
		status = tw.model.change(want, m.clock.read())
	}
	got, err := tw.try(edits...)
	tw.agree(t, "change", status, got.Status, got.Revision, err)
}

// draw is an edit of a layer and what it makes of it.
func (tw *twin) draw(t *rapid.T, env string, at slot) (edit service.Edit, doc map[string]any) {
	edit = service.Edit{Environment: env, Path: path(at.path)}
	drawn := modelDocument.Draw(t, "document")
	switch rapid.IntRange(0, 5).Draw(t, "op") {
	case 0:
		edit.Op = service.Delete
	case 1, 2:
		edit.Op = service.Patch
		edit.Patch = func(now config.Document) (config.Document, error) {
			return config.MergePatch(now, []byte(encode(drawn)), config.Limits{})
		}
		doc = overlay(orEmpty(tw.now().layers[at].doc), drawn)
	default:
		edit.Op, edit.Document, doc = service.Put, config.NewDocument(drawn), drawn
	}
	if rapid.IntRange(0, 4).Draw(t, "condition") == 0 {
		version := config.Version(tw.now().layers[at].version)
		if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
			version = config.Version(rapid.IntRange(0, 3).Draw(t, "version"))
		}
		edit.IfVersion = &version
	}
	return edit, doc
}

func orEmpty(doc map[string]any) map[string]any {
	if doc == nil {
		return map[string]any{}
	}
	return doc
}

// written draws the place of a layer that was written at least some times, if
// there is any, and the name of its environment.
func (tw *twin) written(t *rapid.T, times int) (env string, at slot) {
	var slots []slot
	for at, versions := range tw.history {
		if len(versions) >= times && tw.now().has(at.env) {
			slots = append(slots, at)
		}
	}
	if len(slots) == 0 || rapid.IntRange(0, 5).Draw(t, "anywhere") == 0 {
		env = modelEnv.Draw(t, "environment")
		return env, slot{tw.now().named(env), rapid.SampledFrom(modelPaths).Draw(t, "path")}
	}
	slices.SortFunc(slots, func(a, b slot) int { return cmp.Or(a.env-b.env, strings.Compare(a.path, b.path)) })
	at = rapid.SampledFrom(slots).Draw(t, "layer")
	return tw.now().envs[at.env].name, at
}

// past draws a point in history and the revision that it means, 0 for none.
func (tw *twin) past(t *rapid.T, at slot) (config.At, int) {
	revision := rapid.IntRange(1, tw.newest()).Draw(t, "revision")
	switch rapid.IntRange(0, 3).Draw(t, "point") {
	case 0:
		when := tw.times[revision]
		for revision < tw.newest() && !tw.times[revision+1].After(when) {
			revision++
		}
		return config.At{Time: when}, revision
	case 1:
		for _, name := range []string{"x", "y"} {
			if target, ok := tw.tags[name]; ok {
				return config.At{Tag: name}, target
			}
		}
	case 2:
		if versions := tw.history[at]; at.path != "" && len(versions) > 0 {
			v := rapid.IntRange(1, len(versions)).Draw(t, "version")
			return config.At{Version: config.Version(v)}, versions[v-1].rev
		}
	}
	return config.At{Revision: config.Revision(revision)}, revision
}

func (m *machine) rollback(t *rapid.T) {
	tw := m.twin(t)
	env, of := tw.written(t, 1)
	in := service.RollbackRequest{Environment: env}
	id, where := of.env, ""
	if rapid.Bool().Draw(t, "of a path") {
		where = of.path
		in.Path = path(where)
	}
	at, revision := tw.past(t, slot{id, where})
	in.To = at
	then, want, fits := tw.states[revision], wanted{}, id != 0
	fits = fits && then.has(id)
	for _, p := range modelPaths {
		if where != "" && p != where {
			continue
		}
		fits = fits && !tw.destroyed(then, slot{id, p})
		want[slot{id, p}] = then.layers[slot{id, p}].doc
	}
	status := refusedStatus
	if fits {
		status = tw.model.change(want, m.clock.read())
	}
	got, err := tw.s.Rollback(tw.t.Context(), tw.who, tw.tenant, in)
	tw.agree(t, "rollback", status, got.Status, got.Revision, err)
}

func (m *machine) revert(t *rapid.T) {
	tw := m.twin(t)
	revision := rapid.IntRange(1, tw.newest()).Draw(t, "revision")
	force := rapid.Bool().Draw(t, "force")
	edits := tw.edits[revision]
	want, fits := wanted{}, len(edits) > 0
	for _, at := range edits {
		version := tw.states[revision].layers[at].version
		fits = fits && tw.now().has(at.env) && (force || tw.now().layers[at].version == version)
		want[at] = nil
		if version > 1 {
			before := tw.history[at][version-2]
			fits = fits && !before.destroyed
			want[at] = before.doc
		}
	}
	status := refusedStatus
	if fits {
		status = tw.model.change(want, m.clock.read())
	}
	got, err := tw.actor.revert(config.Revision(revision), force)
	tw.agree(t, "revert", status, got.Status, got.Revision, err)
}

func (m *machine) promote(t *rapid.T) {
	tw := m.twin(t)
	env, of := tw.written(t, 1)
	in := service.PromoteRequest{From: env, To: modelEnv.Draw(t, "to"), Prune: rapid.Bool().Draw(t, "prune")}
	chosen := modelPaths
	if in.All = rapid.Bool().Draw(t, "all"); !in.All {
		chosen = []string{of.path}
		if more := rapid.SampledFrom(modelPaths).Draw(t, "path"); more != of.path {
			chosen = append(chosen, more)
		}
		in.Paths = paths(chosen...)
	}
	then := tw.now()
	source := then.named(in.From)
	if rapid.Bool().Draw(t, "of the past") {
		var revision int
		in.At, revision = tw.past(t, slot{})
		then = tw.states[revision]
		source = then.named(in.From)
	}
	target := tw.now().named(in.To)
	want, fits := wanted{}, source != 0 && target != 0 && in.From != in.To
	for _, p := range chosen {
		from, to := then.layers[slot{source, p}], slot{target, p}
		fits = fits && !tw.destroyed(then, slot{source, p})
		switch {
		case from.doc != nil, in.Prune:
			want[to] = from.doc
		case !in.All:
			fits = false
		}
	}
	status := refusedStatus
	if fits {
		status = tw.model.change(want, m.clock.read())
	}
	got, err := tw.actor.promote(in)
	tw.agree(t, "promote", status, got.Status, got.Revision, err)
}

func (m *machine) tag(t *rapid.T) {
	tw := m.twin(t)
	name, revision := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"), rapid.IntRange(1, tw.newest()+1).Draw(t, "revision")
	status := refusedStatus
	switch {
	case tw.tags[name] == revision:
		status = service.Unchanged
	case revision <= tw.newest():
		tw.tags[name] = revision
		tw.mark(m.clock.read())
		status = service.Committed
	}
	got, err := tw.s.SetTag(tw.t.Context(), tw.who, tw.tenant, name, config.Revision(revision), "")
	tw.agree(t, "tag", status, got.Status, got.Revision, err)
}

func (m *machine) deleteTag(t *rapid.T) {
	tw := m.twin(t)
	name, status := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"), refusedStatus
	if _, there := tw.tags[name]; there {
		delete(tw.tags, name)
		tw.mark(m.clock.read())
		status = service.Committed
	}
	got, err := tw.s.DeleteTag(tw.t.Context(), tw.who, tw.tenant, name, "")
	tw.agree(t, "delete of a tag", status, got.Status, got.Revision, err)
}

func (m *machine) moveEnvironment(t *rapid.T) {
	tw := m.twin(t)
	name, parent := modelEnv.Draw(t, "environment"), rapid.OneOf(modelEnv, rapid.Just("")).Draw(t, "parent")
	status := tw.model.move(name, parent, m.clock.read())
	got, err := tw.actor.move(name, parent)
	tw.agree(t, "move of "+name+" below "+parent, status, got.Status, got.Revision, err)
}

func (m *machine) deleteEnvironment(t *rapid.T) {
	tw := m.twin(t)
	name := modelEnv.Draw(t, "environment")
	status := tw.model.remove(name, m.clock.read())
	got, err := tw.s.DeleteEnvironment(tw.t.Context(), tw.who, tw.tenant, name, "")
	tw.agree(t, "delete of "+name, status, got.Status, got.Revision, err)
}

func (m *machine) destroy(t *rapid.T) {
	tw := m.twin(t)
	env, at := tw.written(t, 2)
	versions := tw.history[at]
	version := rapid.IntRange(1, len(versions)+1).Draw(t, "version")
	status := refusedStatus
	if at.env != 0 && version < len(versions) {
		switch v := versions[version-1]; {
		case v.destroyed:
			status = service.Unchanged
		case v.doc != nil:
			v.destroyed = true
			tw.mark(m.clock.read())
			status = service.Committed
		}
	}
	got, err := tw.actor.destroy(env, at.path, config.Version(version))
	tw.agree(t, "destroy", status, got.Status, got.Revision, err)
}

// restart forgets all that is in memory.
func (m *machine) restart(t *rapid.T) {
	m.s = m.world.start()
	for _, tw := range m.twins {
		position := tw.unfollow()
		if !tw.now().has(tw.watched) { // which the watcher was perhaps not told
			tw.watched = 0
			continue
		}
		tw.follow(t, position)
	}
}

func TestSoakModel(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(w, t, rt)
		rt.Repeat(map[string]func(*rapid.T){
			"change": m.change, "change again": m.change, "and again": m.change, "rollback": m.rollback, "revert": m.revert, "promote": m.promote,
			"tag": m.tag, "delete tag": m.deleteTag, "move": m.moveEnvironment, "delete environment": m.deleteEnvironment, "destroy": m.destroy,
			"restart": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "really") == 0 {
					m.restart(t)
				}
			},
			"": func(t *rapid.T) {
				for _, tw := range m.twins {
					tw.checkNow(t)
					tw.checkSample(t)
					tw.checkWatch(t)
				}
			},
		})
		for _, tw := range m.twins {
			tw.checkEverything(rt)
			tw.unfollow()
			_, err := w.s.DeleteTenant(t.Context(), w.root, tw.tenant)
			must(t, err)
		}
	})
	w.chain(t, config.TenantID{})
}
