package service_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func TestReadingADocument(t *testing.T) {
	a := newTenant(t)
	revision := a.set("base", "a", `{"b":1,"a":[null,"é"]}`)
	for range 2 { // the second is from memory
		read, err := a.s.Config(t.Context(), a.who, a.tenant, "edge", path("a"), service.ReadOptions{})
		must(t, err)
		same(t, "revision", revision, read.Revision)
		same(t, "digest", canon.Sum([]byte(`{"a":[null,"é"],"b":1}`)), read.Document.Digest)
	}
	later := a.set("edge", "other", `{}`)
	read, err := a.s.Config(t.Context(), a.who, a.tenant, "edge", path("a"), service.ReadOptions{})
	must(t, err)
	same(t, "revision that it holds for", later, read.Revision)
	for environment, where := range map[string]string{"nowhere": "a", "edge": "nothing"} {
		_, err := a.s.Config(t.Context(), a.who, a.tenant, environment, path(where), service.ReadOptions{})
		if e := mustBe(t, config.KindNotFound, err); e.Next == "" {
			t.Error("no next step")
		}
		for _, when := range []config.At{{}, {Revision: later}} {
			_, err = a.s.Layer(t.Context(), a.who, a.tenant, environment, path(where), service.ReadOptions{At: when})
			mustBe(t, config.KindNotFound, err)
			_, err = a.s.Explain(t.Context(), a.who, a.tenant, environment, path(where), service.ReadOptions{At: when})
			mustBe(t, config.KindNotFound, err)
		}
	}
}

func TestRenderings(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"b":1,"a":{"x":true}}`)
	read, err := a.s.Config(t.Context(), a.who, a.tenant, "base", path("a"), service.ReadOptions{})
	must(t, err)
	digest := read.Document.Digest.String()
	compressed := 0
	compress := func(_ service.Render, body []byte) []byte { compressed++; return body[:3] }
	tags := map[string]bool{}
	for range 2 {
		for format, want := range map[config.Format]string{config.JSON: `{"a":{"x":true},"b":1}`, config.YAML: "a:\n  x: true\nb: 1\n", config.TOML: "b = 1.0\n\n[a]\nx = true\n"} {
			for _, encoding := range []service.Render{service.Plain, service.Gzip, service.Brotli, service.Zstd} {
				r, err := read.Document.Rendered(format, encoding, compress)
				must(t, err)
				body := want
				if encoding != service.Plain {
					body = want[:3]
				}
				if format != config.TOML || encoding != service.Plain { // how TOML writes it is not of this package
					same(t, string(format), body, string(r.Body))
				}
				same(t, "length", []string{fmt.Sprint(len(r.Body))}, r.Length)
				same(t, "digest", []string{digest}, r.Digest)
				tags[r.ETag[0]] = true
			}
		}
	}
	same(t, "representations told apart by their ETags", 12, len(tags))
	same(t, "compressions", 9, compressed)
	a.set("base", "null", `{"a":[null]}`)
	read, err = a.s.Config(t.Context(), a.who, a.tenant, "base", path("null"), service.ReadOptions{})
	must(t, err)
	_, err = read.Document.Rendered(config.TOML, service.Plain, compress)
	mustBe(t, config.KindNotAcceptable, err)
}

func TestLayer(t *testing.T) {
	a := newTenant(t)
	when := a.clock.move(time.Second)
	revision := a.set("edge", "a", `{"x":null}`)
	a.clock.move(time.Second)
	now := a.set("base", "a", `{"x":1}`)
	read, err := a.s.Layer(t.Context(), a.who, a.tenant, "edge", path("a"), service.ReadOptions{})
	must(t, err)
	same(t, "layer", service.LayerRead{
		Document: doc(t, `{"x":null}`), Read: now,
		Origin: service.Origin{Environment: "edge", Version: 1, Revision: revision, Author: "ann", Time: when},
	}, read)
}

func TestList(t *testing.T) {
	a := newTenant(t)
	first := a.write(a.put("base", "gw/a", `{}`), a.put("base", "gw/b", `{}`), a.put("base", "other", `{}`)).Revision
	second := a.set("production", "gw/a", `{}`)
	third := a.write(a.put("production", "own", `{}`), a.del("base", "other")).Revision
	list := func(in service.ListRequest) (texts []string, l service.List) {
		t.Helper()
		l, err := a.s.List(t.Context(), a.who, a.tenant, in)
		must(t, err)
		for _, e := range l.Entries {
			line := fmt.Sprintf("%s@%d", e.Path, e.Revision)
			for _, o := range e.Layers {
				line += fmt.Sprintf(" %s:v%d@%d", o.Environment, o.Version, o.Revision)
			}
			texts = append(texts, line)
		}
		return texts, l
	}
	all, l := list(service.ListRequest{Environment: "production"})
	same(t, "list", []string{
		fmt.Sprintf("gw/a@%d production:v1@%d base:v1@%d", second, second, first),
		fmt.Sprintf("gw/b@%d base:v1@%d", first, first),
		fmt.Sprintf("own@%d production:v1@%d", third, third),
	}, all)
	same(t, "revision", third, l.Revision)
	same(t, "author", "ann", l.Entries[0].Author)
	then, l := list(service.ListRequest{Environment: "production", At: config.At{Revision: first}})
	same(t, "list of then", []string{
		fmt.Sprintf("gw/a@%d base:v1@%d", first, first), fmt.Sprintf("gw/b@%d base:v1@%d", first, first), fmt.Sprintf("other@%d base:v1@%d", first, first),
	}, then)
	same(t, "revision of then", first, l.Revision)

	prefix, err := config.ParsePrefix("gw/")
	must(t, err)
	glob, err := config.ParseGlob("**/b")
	must(t, err)
	below, _ := list(service.ListRequest{Environment: "production", Prefix: prefix})
	same(t, "below a prefix", all[:2], below)
	globbed, _ := list(service.ListRequest{Environment: "production", Glob: glob})
	same(t, "by glob", all[1:2], globbed)

	var paged []string
	in := service.ListRequest{Environment: "production", Page: page(1)}
	for {
		lines, l := list(in)
		paged = append(paged, lines...)
		if in.Page.Cursor = l.Next; l.Next == "" {
			break
		}
	}
	same(t, "page by page", all, paged)
	for _, limit := range []int{-1, service.MaxPage + 1} {
		_, err := a.s.List(t.Context(), a.who, a.tenant, service.ListRequest{Environment: "base", Page: page(limit)})
		e := mustBe(t, config.KindBadRequest, err)
		if e.Pointer != "limit" || e.Limit != service.MaxPage || e.Actual != int64(limit) {
			t.Errorf("the refusal is %+v", e)
		}
	}
	_, err = a.s.List(t.Context(), a.who, a.tenant, service.ListRequest{Environment: "nowhere"})
	mustBe(t, config.KindNotFound, err)
}

func TestHistory(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	a.set("production", "a", `{"v":1}`)
	a.set("base", "a", `{"v":2}`)
	a.write(a.del("base", "a"))
	history := func(environment string, effective bool, p service.Page) ([]string, service.Cursor) {
		t.Helper()
		h, err := a.s.History(t.Context(), a.who, a.tenant, environment, path("a"), effective, p)
		must(t, err)
		lines := []string{}
		for _, v := range h.Versions {
			same(t, "author and message", "ann because", v.Author+" "+v.Message)
			lines = append(lines, fmt.Sprintf("%s v%d @%d state %d", v.Environment, v.Version, v.Revision, v.State))
		}
		return lines, h.Next
	}
	base := []string{"base v3 @5 state 2", "base v2 @4 state 1", "base v1 @2 state 1"}
	got, _ := history("base", false, page(0))
	same(t, "base", base, got)
	got, _ = history("production", true, page(10))
	whole := []string{base[0], base[1], "production v1 @3 state 1", base[2]}
	same(t, "production, effective", whole, got)
	first, next := history("production", true, page(3))
	rest, end := history("production", true, service.Page{Limit: 3, Cursor: next})
	same(t, "in pages", whole, append(first, rest...))
	same(t, "cursor after the last", service.Cursor(""), end)
	_, err := a.s.History(t.Context(), a.who, a.tenant, "production", path("a"), false, service.Page{Limit: 3, Cursor: next})
	mustBe(t, config.KindInvalidCursor, err)
	for _, environment := range []string{"edge", "nowhere"} {
		_, err = a.s.History(t.Context(), a.who, a.tenant, environment, path("a"), false, page(0))
		mustBe(t, config.KindNotFound, err)
	}
}

func TestLog(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	a.tag("one", 1)
	a.create("team")
	a.write(a.del("base", "a"))
	lines := func(kinds []store.EntryKind, p service.Page) (all []string, next service.Cursor) {
		t.Helper()
		entries, next, err := a.s.Log(t.Context(), a.who, a.tenant, kinds, p)
		must(t, err)
		for _, e := range entries {
			same(t, "effects in a list", 0, len(e.Effects))
			all = append(all, fmt.Sprintf("%d %s %s%s", e.Revision, e.Kind, e.Message, e.Summary))
			one := a.logged(e.Revision)
			one.Effects = nil
			same(t, "entry", one, e)
		}
		return all, next
	}
	whole := []string{"5 change because", "4 environment neededenvironment team inherits from base", "3 tag tag one names revision 1", "2 change because", "1 tenant tenant acme was created"}
	all, _ := lines(nil, page(0))
	same(t, "log", whole, all)
	first, next := lines(nil, page(3))
	rest, end := lines(nil, service.Page{Limit: 3, Cursor: next})
	same(t, "in pages", whole, append(first, rest...))
	same(t, "cursor after the last", service.Cursor(""), end)
	changes, _ := lines([]store.EntryKind{store.EntryChange, store.EntryTag}, page(0))
	same(t, "changes and tags", []string{whole[0], whole[2], whole[3]}, changes)
	same(t, "the delete", []service.EditResult{{Op: service.Delete, Environment: "base", Path: path("a"), Version: 2}}, a.logged(5).Edits)
	for _, e := range a.logged(5).Effects {
		same(t, "existence after the delete", false, e.Exists)
	}
	for _, revision := range []config.Revision{0, -1, 6} {
		_, err := a.s.LogEntry(t.Context(), a.who, a.tenant, revision)
		mustBe(t, config.KindNotFound, err)
	}
	_, _, err := a.s.Log(t.Context(), a.who, a.tenant, nil, page(-1))
	mustBe(t, config.KindBadRequest, err)
}

func TestExplain(t *testing.T) {
	a := newTenant(t)
	a.set("base", "limits", `{"rpm":60}`)
	one := a.set("base", "a", `{"x":1,"gone":1,"s":"plain","r":"${config:limits#/rpm}"}`)
	two := a.set("production", "a", `{"x":2,"gone":null}`)
	then := a.revision()
	a.set("base", "limits", `{"rpm":61}`)
	e, err := a.s.Explain(t.Context(), a.who, a.tenant, "production", path("a"), service.ReadOptions{})
	must(t, err)
	same(t, "explanation", service.Explanation{
		Explanation: config.Explanation{
			Leaves: []config.Leaf{
				{Pointer: "/r", Value: 61.0, Layer: 1, Shadows: []config.Said{}},
				{Pointer: "/s", Value: "plain", Layer: 1, Shadows: []config.Said{}},
				{Pointer: "/x", Value: 2.0, Layer: 0, Shadows: []config.Said{{Layer: 1, Value: 1.0}}},
			},
			Removals: []config.Removal{{Pointer: "/gone", Layer: 0, Removes: []config.Said{{Layer: 1, Value: 1.0}}}},
		},
		Environment: "production", Path: path("a"), Revision: a.revision(), Digest: doc(t, `{"r":61,"s":"plain","x":2}`).Digest(),
		Layers: []service.Origin{
			{Environment: "production", Version: 1, Revision: two, Author: "ann", Time: midnight, Message: "because"},
			{Environment: "base", Version: 1, Revision: one, Author: "ann", Time: midnight, Message: "because"},
		},
		References: map[string]string{"/r": "${config:limits#/rpm}"},
	}, e)
	e, err = a.s.Explain(t.Context(), a.who, a.tenant, "production", path("a"), service.ReadOptions{At: config.At{Revision: then}})
	must(t, err)
	same(t, "value then", any(60.0), e.Leaves[0].Value)
}

func TestDiff(t *testing.T) {
	a := newTenant(t)
	one := a.write(a.put("base", "a", `{"x":1,"y":1}`), a.put("production", "a", `{"x":5}`)).Revision
	two := a.set("base", "a", `{"x":2,"z":1}`)
	diff := func(from, to service.DiffPoint, layers bool) service.Diff {
		t.Helper()
		d, err := a.s.Diff(t.Context(), a.who, a.tenant, path("a"), from, to, layers)
		must(t, err)
		return d
	}
	point := func(environment, when string) service.DiffPoint {
		return service.DiffPoint{Environment: environment, At: at(t, when)}
	}
	same(t, "effective over time", service.Diff{
		DocumentDiff: service.DocumentDiff{Environment: "production", Path: path("a"), Before: true, After: true, Differences: []config.Difference{
			{Op: config.DiffRemove, Pointer: "/y", From: 1.0}, {Op: config.DiffAdd, Pointer: "/z", To: 1.0},
		}},
		From: service.DiffSide{Environment: "production", Revision: one}, To: service.DiffSide{Environment: "production", Revision: two},
	}, diff(point("production", text(one)), point("production", ""), false))
	d := diff(point("base", "v1"), point("base", ""), true)
	same(t, "versions compared", []config.Version{1, 2}, []config.Version{d.From.Version, d.To.Version})
	same(t, "layers over time", 3, len(d.Differences))
	d = diff(point("staging", ""), point("production", ""), false)
	same(t, "between environments", []config.Difference{{Op: config.DiffReplace, Pointer: "/x", From: 2.0, To: 5.0}}, d.Differences)
	d = diff(point("staging", ""), point("production", ""), true)
	if d.Before || !d.After {
		t.Errorf("a layer that is not there and one that is: %+v", d)
	}
	same(t, "nothing", 0, len(diff(point("edge", ""), point("staging", ""), false).Differences))

	// Before the newest change of any of its layers.
	d = diff(service.DiffPoint{Environment: "production", Before: true}, point("production", ""), false)
	same(t, "the newest change", []config.Revision{one, two}, []config.Revision{d.From.Revision, d.To.Revision})
	same(t, "what it changed", 2, len(d.Differences))

	for _, where := range []string{"nothing"} {
		for _, from := range []service.DiffPoint{point("base", ""), {Environment: "base", Before: true}} {
			_, err := a.s.Diff(t.Context(), a.who, a.tenant, path(where), from, point("base", ""), false)
			mustBe(t, config.KindNotFound, err)
		}
	}
	_, err := a.s.Diff(t.Context(), a.who, a.tenant, path("a"), point("nowhere", ""), point("base", ""), false)
	mustBe(t, config.KindNotFound, err)
	_, err = a.s.Diff(t.Context(), a.who, a.tenant, path("a"), service.DiffPoint{Environment: "nowhere", Before: true}, point("base", ""), false)
	mustBe(t, config.KindNotFound, err)
}

func TestBundle(t *testing.T) {
	a := newTenant(t)
	var edits []service.Edit
	want := map[string]string{}
	var members []canon.Named
	for i := range 250 { // more than are read at once
		where, says := fmt.Sprintf("many/%03d", i), fmt.Sprintf(`{"n":%d}`, i)
		edits = append(edits, a.put("base", where, says))
		want[where] = says
		members = append(members, canon.Named{Name: where, Digest: canon.Sum([]byte(says))})
	}
	then := a.write(edits...).Revision
	a.write(a.put("production", "many/000", `{"p":1}`), a.put("base", "other", `{}`), a.del("base", "many/001"))
	got, b := a.bundle("production", "many", text(then))
	same(t, "documents of then", want, got)
	if b.Digest != canon.SumSet(members) || b.Revision != then || b.Environment != "production" || len(b.Errors) != 0 {
		t.Errorf("the bundle is of %s at %d with digest %s", b.Environment, b.Revision, b.Digest)
	}
	want["many/000"] = `{"n":0,"p":1}`
	delete(want, "many/001")
	got, now := a.bundle("production", "many/", "")
	same(t, "documents now", want, got)
	want["other"] = `{}`
	got, all := a.bundle("production", "", "")
	same(t, "all documents", want, got)
	if now.Digest == b.Digest || now.Digest == all.Digest {
		t.Error("different sets have the same digest")
	}
	_, staging := a.bundle("staging", "other", "")
	_, edge := a.bundle("edge", "other", "")
	same(t, "digest of the same set", staging.Digest, edge.Digest)
	_, empty := a.bundle("staging", "nothing", "")
	same(t, "digest of nothing", canon.SumSet(nil), empty.Digest)
	_, err := a.s.Bundle(t.Context(), a.who, a.tenant, "nowhere", config.Prefix{}, service.ReadOptions{})
	mustBe(t, config.KindNotFound, err)
}

// Whatever the store cannot do reaches the caller, and nothing half done does.
func TestAStoreThatIsGone(t *testing.T) {
	s := newWorld(t).stage(t, "acme")
	must(t, s.s.Ping(t.Context()))
	w := s.watch(service.WatchRequest{Environment: "base", Resume: true, After: 1})
	must(t, s.engine.Close())
	for _, table := range []map[string]verb{inside, about, onServer} {
		for name, v := range table {
			who := s.who
			if onServer[name] != nil || servers[name] {
				who = s.root
			}
			switch name {
			case "Environments", "Environment", "Tenant", "Watch", "Policies", "Roles", "TestPolicies", "ExplainDecision", "Grants": // known without asking
				must(t, s.call(v, who, s.fit))
			default:
				if err := s.call(v, who, s.fit); err == nil || config.KindOf(err) == config.KindNotFound {
					t.Errorf("%s answers %v", name, err)
				}
			}
		}
	}
	if _, err := w.Take(t.Context()); err == nil {
		t.Error("a watcher is told nothing of it")
	}
	if err := s.s.Ping(t.Context()); err == nil {
		t.Error("the service says that it works")
	}
	if _, err := s.s.DevelopmentToken(t.Context(), ""); err == nil {
		t.Error("a development token is answered")
	}
	if err := s.s.FirstToken(t.Context(), func(string) error { return nil }); err == nil {
		t.Error("a first token is answered")
	}
	if err := s.s.FlushCounts(t.Context()); err == nil {
		t.Error("the counts are said to be on record")
	}
}

// noRandom has no random numbers.
type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

func TestWithoutRandomNumbersNothingIsMade(t *testing.T) {
	w := newWorld(t)
	a := w.found(t, "acme")
	s := service.New(service.Options{Store: w.engine, Keyring: w.keyring, Clock: w.clock.read, Random: noRandom{}})
	b := a.over(s)
	_, tenant := s.CreateTenant(t.Context(), w.root, "other", service.TokenRequest{})
	_, token := s.CreateToken(t.Context(), a.who, a.tenant, service.TokenRequest{Name: "x"})
	_, serverToken := s.CreateServerToken(t.Context(), w.root, service.TokenRequest{Name: "x"})
	_, tag := s.SetTag(t.Context(), a.who, a.tenant, "x", 0, "")
	_, environment := b.move("x", "base")
	for name, err := range map[string]error{"tenant": tenant, "token": token, "server token": serverToken, "tag": tag, "environment": environment} {
		t.Run(name, func(t *testing.T) { mustBe(t, config.KindUnavailable, err) })
	}
}

func TestAServiceNeedsAStoreAndAKeyring(t *testing.T) {
	w := newWorld(t)
	for _, o := range []service.Options{{}, {Store: w.engine}, {Keyring: w.keyring}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("there is a service of %+v", o)
				}
			}()
			service.New(o)
		}()
	}
	service.New(service.Options{Store: w.engine, Keyring: w.keyring}) // the rest has defaults
}
