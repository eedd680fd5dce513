package service_test

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

func (a *actor) put(environment, at, text string) service.Edit {
	a.t.Helper()
	return service.Edit{Op: service.Put, Environment: environment, Path: path(at), Document: doc(a.t, text)}
}

func (a *actor) patch(environment, at, mergePatch string) service.Edit {
	return service.Edit{Op: service.Patch, Environment: environment, Path: path(at), Patch: func(now config.Document) (config.Document, error) {
		return config.MergePatch(now, []byte(mergePatch), config.Limits{})
	}}
}

func (a *actor) del(environment, at string) service.Edit {
	return service.Edit{Op: service.Delete, Environment: environment, Path: path(at)}
}

// ifVersion is the edit on condition that the layer is at a version.
func ifVersion(version config.Version, edit service.Edit) service.Edit {
	edit.IfVersion = &version
	return edit
}

func (a *actor) try(edits ...service.Edit) (service.ChangeResult, error) {
	return a.s.Change(a.t.Context(), a.who, a.tenant, service.ChangeRequest{Message: "because", Edits: edits})
}

// write commits edits, which must change something.
func (a *actor) write(edits ...service.Edit) service.ChangeResult {
	a.t.Helper()
	result, err := a.try(edits...)
	must(a.t, err)
	if result.Status != service.Committed {
		a.t.Fatalf("the change is %s", result.Status)
	}
	return result
}

// set is a put of one layer.
func (a *actor) set(environment, at, text string) config.Revision {
	a.t.Helper()
	return a.write(a.put(environment, at, text)).Revision
}

// refused is how edits are refused, which must change nothing.
func (a *actor) refused(kind config.Kind, edits ...service.Edit) *config.Error {
	a.t.Helper()
	before := a.revision()
	_, err := a.try(edits...)
	if after := a.revision(); after != before {
		a.t.Errorf("a refused change made revision %d", after)
	}
	return mustBe(a.t, kind, err)
}

// revision is the tenant's newest, as the store has it.
func (a *actor) revision() config.Revision {
	a.t.Helper()
	r, err := a.engine.Revision(a.t.Context(), a.id)
	must(a.t, err)
	return r
}

// absent is how a document that is not there is written in these tests.
const absent = ""

// get is an effective document now.
func (a *actor) get(environment, at string) string {
	a.t.Helper()
	return a.getAt(environment, at, "")
}

func (a *actor) getAt(environment, where, when string) string {
	a.t.Helper()
	read, err := a.s.Config(a.t.Context(), a.who, a.tenant, environment, path(where), service.ReadOptions{At: at(a.t, when)})
	if config.KindOf(err) == config.KindNotFound {
		return absent
	}
	must(a.t, err)
	return string(read.Document.Document.Canonical())
}

// layer is what an environment itself says now.
func (a *actor) layer(environment, where string) string {
	a.t.Helper()
	read, err := a.s.Layer(a.t.Context(), a.who, a.tenant, environment, path(where), service.ReadOptions{})
	if config.KindOf(err) == config.KindNotFound {
		return absent
	}
	must(a.t, err)
	return string(read.Document.Canonical())
}

// reads checks what an environment says in all.
func (a *actor) reads(environment, where, want string) {
	a.t.Helper()
	if got := a.get(environment, where); got != want {
		a.t.Errorf("%s in %s is %s, want %s", where, environment, got, want)
	}
}

func (a *actor) readsAt(when, environment, where, want string) {
	a.t.Helper()
	if got := a.getAt(environment, where, when); got != want {
		a.t.Errorf("%s in %s at %s is %s, want %s", where, environment, when, got, want)
	}
}

// says checks what an environment itself says.
func (a *actor) says(environment, where, want string) {
	a.t.Helper()
	if got := a.layer(environment, where); got != want {
		a.t.Errorf("the layer of %s at %s is %s, want %s", environment, where, got, want)
	}
}

// logged is a revision as the log has it.
func (a *actor) logged(revision config.Revision) service.LogEntry {
	a.t.Helper()
	entry, err := a.s.LogEntry(a.t.Context(), a.who, a.tenant, revision)
	must(a.t, err)
	return entry
}

func (a *actor) move(environment, parent string) (service.EnvironmentResult, error) {
	return a.s.PutEnvironment(a.t.Context(), a.who, a.tenant, environment, service.EnvironmentRequest{Parent: &parent})
}

func (a *actor) mustMove(environment, parent string) config.Revision {
	a.t.Helper()
	result, err := a.move(environment, parent)
	must(a.t, err)
	return result.Revision
}

func (a *actor) tag(name string, revision config.Revision) service.TagResult {
	a.t.Helper()
	result, err := a.s.SetTag(a.t.Context(), a.who, a.tenant, name, revision, "")
	must(a.t, err)
	return result
}

func (a *actor) rollback(environment, where, to string) (service.ChangeResult, error) {
	in := service.RollbackRequest{Environment: environment, To: at(a.t, to), Message: "back"}
	if where != "" {
		in.Path = path(where)
	}
	return a.s.Rollback(a.t.Context(), a.who, a.tenant, in)
}

func (a *actor) revert(revision config.Revision, force bool) (service.ChangeResult, error) {
	return a.s.Revert(a.t.Context(), a.who, a.tenant, service.RevertRequest{Revision: revision, Force: force})
}

func (a *actor) promote(in service.PromoteRequest) (service.ChangeResult, error) {
	return a.s.Promote(a.t.Context(), a.who, a.tenant, in)
}

func (a *actor) destroy(environment, where string, version config.Version) (service.Destroyed, error) {
	return a.s.Destroy(a.t.Context(), a.who, a.tenant, environment, path(where), version, "pasted key")
}

// bundle is everything an environment says, by path.
func (a *actor) bundle(environment, prefix, when string) (map[string]string, service.Bundle) {
	a.t.Helper()
	p, err := config.ParsePrefix(prefix)
	must(a.t, err)
	b, err := a.s.Bundle(a.t.Context(), a.who, a.tenant, environment, p, service.ReadOptions{At: at(a.t, when)})
	must(a.t, err)
	documents := map[string]string{}
	for _, d := range b.Documents {
		documents[d.Path.String()] = string(d.Document.Canonical())
	}
	return documents, b
}

// chain is a tenant's audit chain, or the server's for the zero id, verified.
func (w *world) chain(t testing.TB, tenant config.TenantID) []string {
	t.Helper()
	var records []string
	head := audit.Head{}
	for {
		links, err := w.engine.Audit(t.Context(), tenant, head.Sequence, 1000)
		must(t, err)
		if len(links) == 0 {
			return records
		}
		head, err = audit.Verify(head, func(yield func(audit.Link, error) bool) {
			for _, l := range links {
				records = append(records, string(l.Record))
				if !yield(l, nil) {
					return
				}
			}
		})
		must(t, err)
	}
}

// alike compares what hides its fields.
var alike = cmp.Options{
	cmp.Comparer(func(a, b config.Path) bool { return a == b }),
	cmp.Comparer(func(a, b config.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b config.Document) bool {
		return a.Exists() == b.Exists() && string(a.Canonical()) == string(b.Canonical())
	}),
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, alike); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func text(revision config.Revision) string { return strconv.FormatInt(int64(revision), 10) }

func page(limit int) service.Page { return service.Page{Limit: limit} }

func atoi(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}
