package httpapi_test

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
)

// document reads an effective document.
func (n *tenant) document(t *testing.T, environment, path, want string) {
	t.Helper()
	n.call(t, "GET", n.path(api.RouteConfig, environment, path), nil).want(t, 200).wantBody(t, want)
}

// write makes a write that lands.
func (n *tenant) write(t *testing.T, target string, body any, headers ...string) (result api.ChangeResult) {
	t.Helper()
	n.call(t, "POST", target, body, headers...).want(t, 200).into(t, &result)
	return result
}

// A change lands as a whole or not at all.
func TestChanges(t *testing.T) {
	n := newWorld(t).newTenant(t)
	target := n.path(api.RouteChanges)
	n.put(t, "base", "old", `{"x":1}`)
	result := n.write(t, target, `{"message":"first","edits":[
		{"op":"put","environment":"base","path":"a","document":{"x":1,"n":null},"if_version":0},
		{"op":"put","environment":"production","path":"a","document":{"y":"${config:b#/v}"}},
		{"op":"put","environment":"base","path":"b","document":{"v":7}},
		{"op":"patch","environment":"base","path":"old","patch":{"x":2}},
		{"op":"patch","environment":"edge","path":"old","patch":[{"op":"add","path":"/z","value":3}]}]}`)
	if result.Status != api.StatusCommitted || result.Revision != 3 || len(result.Edits) != 5 || result.Message != "first" || result.Time == nil {
		t.Errorf("%+v", result)
	}
	n.document(t, "production", "a", `{"x":1,"y":7}`)
	n.document(t, "edge", "old", `{"x":2,"z":3}`)
	before := n.state(t)
	p := n.call(t, "POST", target, `{"edits":[{"op":"delete","environment":"edge","path":"old"},{"op":"put","environment":"base","path":"a","document":{},"if_version":9}]}`).refused(t, api.CodePreconditionFailed)
	if !strings.HasPrefix(p.Detail, "a in base is at version 1, not 9") || p.Next == "" {
		t.Errorf("%+v", p)
	}
	p = n.call(t, "POST", target, `{"edits":[{"op":"delete","environment":"base","path":"b"}]}`).refused(t, api.CodeReferenced)
	if len(p.Errors) == 0 || p.Errors[0].Path != "a" {
		t.Errorf("%+v", p)
	}
	if after := n.state(t); after != before {
		t.Errorf("something changed\n%s", cmp.Diff(before, after))
	}
	plan := n.write(t, target, `{"dry_run":true,"edits":[{"op":"delete","environment":"edge","path":"old"}]}`)
	if plan.Status != api.StatusPlanned || len(plan.Effective) != 1 || len(plan.Effective[0].Differences) != 1 || string(plan.Effective[0].Differences[0].From) != "3" {
		t.Errorf("%+v", plan)
	}
	if same := n.write(t, target, `{"edits":[{"op":"put","environment":"base","path":"b","document":{"v":7}}]}`); same.Status != api.StatusUnchanged || same.Revision != 3 {
		t.Errorf("%+v", same)
	}
	var entry api.LogEntry
	n.call(t, "GET", n.path(api.RouteChange, "3"), nil).want(t, 200).into(t, &entry)
	if entry.Message != "first" || len(entry.Edits) != 5 || len(entry.Effective) == 0 || entry.Effective[0].Cause == nil {
		t.Errorf("%+v", entry)
	}
}

// Requests come as YAML and TOML as well, and are the same.
func TestRequestsInOtherFormats(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.write(t, n.path(api.RouteChanges), "message: in YAML\nedits:\n- op: put\n  environment: base\n  path: a\n  document: {x: 1, \"yes\": [on, 0x10]}\n", asYAML...)
	n.document(t, "base", "a", `{"x":1,"yes":["on",16]}`)
	n.write(t, n.path(api.RouteChanges), "[[edits]]\nop = \"put\"\nenvironment = \"base\"\npath = \"b\"\ndocument = { x = 1 }\n", asTOML...)
	n.document(t, "base", "b", `{"x":1}`)
	n.write(t, n.path(api.RouteRollback), "environment: base\nto: '1'\n", "Content-Type", "Application/YAML; charset=utf-8")
	n.call(t, "GET", n.path(api.RouteConfig, "base", "a"), nil).refused(t, api.CodeNotFound)
	n.call(t, "PUT", n.path(api.RouteTag, "in-yaml"), "revision: 2", asYAML...).want(t, 200)
	n.call(t, "PUT", n.path(api.RouteEnvironment, "canary"), nil).want(t, 200)
	n.call(t, "POST", n.path(api.RouteChanges), `{"edits":[]}`, "Content-Type", "").want(t, 200)
}

// A key that comes again is answered as before, and stands for one request.
func TestIdempotency(t *testing.T) {
	n := newWorld(t).newTenant(t)
	target := n.path(api.RouteLayer, "base", "p")
	key := []string{api.HeaderIdempotent, "key-1"}
	first := n.call(t, "PUT", target, `{"x":1}`, key...).want(t, 200).wantHeaders(t, api.HeaderReplayed, "")
	n.put(t, "base", "p", `{"x":2}`)
	again := n.call(t, "PUT", target, `{"x":1}`, key...).want(t, 200).wantBody(t, string(first.body))
	again.wantHeaders(t, api.HeaderReplayed, "true", "ETag", first.header.Get("ETag"), api.HeaderRevision, first.header.Get(api.HeaderRevision))
	n.document(t, "base", "p", `{"x":2}`)
	before := n.state(t)
	for name, other := range map[string]*answer{
		"body":         n.call(t, "PUT", target, `{"x":3}`, key...),
		"method":       n.call(t, "DELETE", target, nil, key...),
		"path":         n.call(t, "PUT", target+"q", `{"x":1}`, key...),
		"query":        n.call(t, "PUT", target+"?dry_run=false", `{"x":1}`, key...),
		"precondition": n.call(t, "PUT", target, `{"x":1}`, append(key, "If-Match", "*")...),
		"content type": n.call(t, "PUT", target, `{"x":1}`, append(key, "Content-Type", api.TypeYAML)...),
		"message":      n.call(t, "PUT", target, `{"x":1}`, append(key, api.HeaderMessage, "other")...),
	} {
		if p := other.refused(t, api.CodeIdempotencyMismatch); p.Next == "" || p.Pointer != api.HeaderIdempotent {
			t.Errorf("another %s: %+v", name, p)
		}
	}
	if after := n.state(t); after != before {
		t.Errorf("something changed\n%s", cmp.Diff(before, after))
	}
	stranger := n.newTenant(t)
	stranger.call(t, "PUT", stranger.path(api.RouteLayer, "base", "p"), `{"x":1}`, key...).want(t, 200).wantHeaders(t, api.HeaderReplayed, "")
	var issued, replayed api.IssuedToken
	n.call(t, "POST", n.path(api.RouteTokens), `{"name":"x"}`, api.HeaderIdempotent, "key-2").want(t, 201).into(t, &issued)
	got := n.call(t, "POST", n.path(api.RouteTokens), `{"name":"x"}`, api.HeaderIdempotent, "key-2").want(t, 201).wantHeaders(t, api.HeaderReplayed, "true")
	got.into(t, &replayed)
	if issued.Value == "" || replayed.Value != "" || replayed.ID != issued.ID {
		t.Errorf("%+v\n%s", issued, got.body)
	}
	n.call(t, "PUT", n.path(api.RouteLayer, "base", "q"), `{`, api.HeaderIdempotent, "key-3").refused(t, api.CodeInvalidDocument)
	n.call(t, "PUT", n.path(api.RouteLayer, "base", "q"), `{}`, api.HeaderIdempotent, "key-3").want(t, 200) // a refusal is not kept
}

func TestHistoryAndDiff(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "p", `{"a":1}`)
	n.put(t, "base", "p", `{"a":2}`)
	n.put(t, "production", "p", `{"b":"<x>"}`)
	n.call(t, "DELETE", n.path(api.RouteLayer, "production", "p"), nil).want(t, 200)
	versions := func(target string) (states []string) {
		t.Helper()
		var h api.History
		n.call(t, "GET", target, nil).want(t, 200).into(t, &h)
		for _, e := range h.Entries {
			states = append(states, fmt.Sprintf("%s v%d %s", e.Environment, e.Version, e.State))
		}
		return states
	}
	own, all := n.path(api.RouteHistory, "production", "p"), n.path(api.RouteHistory, "production", "p")+"?effective=true"
	if diff := cmp.Diff([]string{"production v2 deleted", "production v1 live"}, versions(own)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"production v2 deleted", "production v1 live", "base v2 live", "base v1 live"}, versions(all)); diff != "" {
		t.Error(diff)
	}
	n.call(t, "POST", n.path(api.RouteDestroy, "base", "p")+"?version=1", nil, api.HeaderMessage, "a%20leak").want(t, 200)
	n.call(t, "GET", n.path(api.RouteLayer, "base", "p")+"?at=v1", nil).refused(t, api.CodeGone)
	if got := versions(n.path(api.RouteHistory, "base", "p")); got[1] != "base v1 destroyed" {
		t.Errorf("%v", got)
	}
	compare := func(environment, query string) api.Diff {
		t.Helper()
		var d api.Diff
		n.call(t, "GET", n.path(api.RouteDiff, environment, "p")+query, nil).want(t, 200).into(t, &d)
		return d
	}
	d := compare("production", "?from="+url.QueryEscape("base@3")+"&to=4")
	if len(d.Differences) != 1 || d.Differences[0].Pointer != "/b" || string(d.Differences[0].To) != `"<x>"` || d.From.Environment != "base" || d.To.Revision != 4 {
		t.Errorf("%+v", d)
	}
	if d = compare("production", "?from=v1&to=v2&layer=true"); d.Before != true || d.After != false || d.From.Version != 1 {
		t.Errorf("%+v", d)
	}
	if d = compare("production", ""); len(d.Differences) != 1 || d.Differences[0].Op != "remove" {
		t.Errorf("%+v", d)
	}
	if d = compare("production", "?from=base@&to=staging@"); len(d.Differences) != 0 {
		t.Errorf("%+v", d)
	}
}

// What a bundle cannot hold is listed in it, and the digest is of the rest.
func TestBundleListsWhatItLeavesOut(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "kept", `{"x":1}`)
	at := n.put(t, "base", "p", `{"key":"pasted"}`)
	n.put(t, "base", "p", `{}`)
	n.call(t, "POST", n.path(api.RouteDestroy, "base", "p")+"?version=1", nil).want(t, 200)
	target := n.path(api.RouteBundle, "base") + "?at=" + strconv.FormatInt(at, 10)
	var then, kept api.Bundle
	n.call(t, "GET", target, nil).want(t, 200).into(t, &then)
	n.call(t, "GET", target+"&prefix=kept", nil).want(t, 200).into(t, &kept)
	if len(then.Configs) != 1 || len(then.Errors) != 1 || then.Errors[0].Path != "p" || then.Errors[0].Code != api.CodeGone || then.Errors[0].Detail == "" || then.Digest != kept.Digest {
		t.Errorf("%+v\n%+v", then, kept)
	}
	n.call(t, "GET", n.path(api.RouteConfig, "base", "p")+"?at="+strconv.FormatInt(at, 10), nil).refused(t, api.CodeGone)
}

func TestRollbackRevertPromote(t *testing.T) {
	n := newWorld(t).newTenant(t)
	good := n.put(t, "production", "p", `{"a":1}`)
	bad := n.put(t, "production", "p", `{"a":2}`)
	n.put(t, "production", "q", `{"a":2}`)
	plan := n.write(t, n.path(api.RouteRollback), api.Rollback{Environment: "production", To: strconv.FormatInt(good, 10), DryRun: true})
	if plan.Status != api.StatusPlanned || len(plan.Effective) != 2 {
		t.Errorf("%+v", plan)
	}
	n.write(t, n.path(api.RouteRollback), api.Rollback{Environment: "production", Path: "p", To: "v1", Message: "back"})
	n.document(t, "production", "p", `{"a":1}`)
	n.document(t, "production", "q", `{"a":2}`)
	p := n.call(t, "POST", n.path(api.RouteRevert), api.Revert{Revision: bad}).refused(t, api.CodeChangedSince)
	if len(p.Errors) != 1 || p.Errors[0].Path != "p" || p.Next == "" {
		t.Errorf("%+v", p)
	}
	forced := n.write(t, n.path(api.RouteRevert), api.Revert{Revision: bad, Force: true})
	if forced.Status != api.StatusUnchanged { // it is what it was already
		t.Errorf("%+v", forced)
	}
	n.put(t, "staging", "p", `{"b":1}`)
	n.put(t, "staging", "r", `{"c":1}`)
	n.put(t, "production", "gone", `{}`)
	plan = n.write(t, n.path(api.RoutePromote), api.Promote{From: "staging", To: "production", All: true, Prune: true, DryRun: true})
	if plan.Status != api.StatusPlanned || len(plan.Edits) != 4 || len(plan.Lost) == 0 || string(plan.Lost[0].Value) == "" {
		t.Errorf("%+v", plan)
	}
	n.write(t, n.path(api.RoutePromote), api.Promote{From: "staging", To: "production", Paths: []string{"p"}})
	n.document(t, "production", "p", `{"b":1}`)
	n.call(t, "GET", n.path(api.RouteConfig, "production", "r"), nil).refused(t, api.CodeNotFound)
	n.write(t, n.path(api.RoutePromote), api.Promote{From: "staging", To: "production", All: true, Prune: true, Message: "all"})
	n.document(t, "production", "r", `{"c":1}`)
	n.call(t, "GET", n.path(api.RouteConfig, "production", "gone"), nil).refused(t, api.CodeNotFound)
}

// A write that landed is not answered by a refusal because its answer cannot be
// written in the format that was asked for.
func TestWritesAreAnsweredInSomeFormat(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "staging", "p", `{"x":1}`)
	n.put(t, "production", "p", `{"lost":null,"list":[null]}`)
	got := n.call(t, "POST", n.path(api.RoutePromote), api.Promote{From: "staging", To: "production", All: true}, "Accept", api.TypeTOML).want(t, 200)
	n.document(t, "production", "p", `{"x":1}`)
	var result api.ChangeResult
	if got.wantHeaders(t, "Content-Type", api.TypeJSON).into(t, &result); len(result.Lost) == 0 {
		t.Errorf("%+v", result)
	}
	for method, body := range map[string]any{"PUT": `{"x":2}`, "DELETE": nil} {
		target := n.path(api.RouteLayer, "production", "p")
		n.call(t, method, target, body, "Accept", "text/html").refused(t, api.CodeNotAcceptable)
		n.call(t, method, target, body, "Accept", api.TypeYAML).want(t, 200).wantHeaders(t, "Content-Type", api.TypeYAML)
	}
	n.call(t, "PUT", n.path(api.RouteLayer, "production", "p")+"?dry_run=true", `{"list":[null]}`, "Accept", api.TypeTOML).want(t, 200).wantHeaders(t, "Content-Type", api.TypeJSON)
}

// Lists come in pages that follow each other without a gap or a repeat.
func TestPages(t *testing.T) {
	n := newWorld(t).newTenant(t)
	other := n.newTenant(t)
	for i := range 7 {
		for _, who := range []*tenant{n, other} {
			who.put(t, "base", fmt.Sprintf("p/%d", i), `{}`)
			who.call(t, "PUT", who.path(api.RouteTag, fmt.Sprintf("t%d", i)+"x"), `{}`).want(t, 200)
			who.call(t, "POST", who.path(api.RouteTokens), api.NewToken{Name: "x"}).want(t, 201)
			who.call(t, "PUT", who.path(api.RouteLayer, "base", "h"), fmt.Sprintf(`{"x":%d}`, i)).want(t, 200)
		}
	}
	lists := map[string]struct {
		list string
		want int
	}{
		n.path(api.RouteConfigs, "production"):                    {"configs", 8},
		n.path(api.RouteConfigs, "production") + "?prefix=p":      {"configs", 7},
		n.path(api.RouteConfigs, "base") + "?glob=p/*":            {"configs", 7},
		n.path(api.RouteConfigs, "base") + "?at=10":               {"configs", 4},
		n.path(api.RouteTags):                                     {"tags", 7},
		n.path(api.RouteTokens):                                   {"tokens", 8},
		n.path(api.RouteChanges):                                  {"changes", 29},
		n.path(api.RouteChanges) + "?kind=tag&kind=token":         {"changes", 14},
		n.path(api.RouteHistory, "base", "h"):                     {"entries", 7},
		n.path(api.RouteHistory, "staging", "h") + "?effective=1": {"entries", 7},
	}
	for target, c := range lists {
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		page := func(limit int, cursor string) (rows []any, next string) {
			t.Helper()
			var body map[string]any
			n.call(t, "GET", target+separator+"limit="+strconv.Itoa(limit)+"&cursor="+url.QueryEscape(cursor), nil).want(t, 200).into(t, &body)
			next, _ = body["next_cursor"].(string)
			return body[c.list].([]any), next
		}
		whole, next := page(1000, "")
		if len(whole) != c.want || next != "" {
			t.Errorf("%s has %d rows, want %d", target, len(whole), c.want)
		}
		var joined []any
		for rows, cursor := page(3, ""); ; rows, cursor = page(3, cursor) {
			joined = append(joined, rows...)
			if cursor == "" {
				break
			}
			if len(rows) != 3 {
				t.Errorf("%s has a page of %d", target, len(rows))
			}
			if len(joined) == 3 {
				n.cursorIsBound(t, other, target, separator+"limit=3&cursor="+url.QueryEscape(cursor))
			}
		}
		if diff := cmp.Diff(whole, joined); diff != "" {
			t.Errorf("%s by pages differs\n%s", target, diff)
		}
	}
}

// cursorIsBound checks that a cursor is of no use to another tenant or query.
func (n *tenant) cursorIsBound(t *testing.T, other *tenant, target, page string) {
	t.Helper()
	other.call(t, "GET", strings.Replace(target, n.name, other.name, 1)+page, nil).refused(t, api.CodeInvalidCursor)
	elsewhere := n.path(api.RouteTags)
	if target == elsewhere {
		elsewhere = n.path(api.RouteTokens)
	}
	_, query, _ := strings.Cut(page, "limit")
	n.call(t, "GET", elsewhere+"?limit"+query, nil).refused(t, api.CodeInvalidCursor)
	p := n.call(t, "GET", strings.Replace(target+page, "cursor=", "cursor=AAAA", 1), nil).refused(t, api.CodeInvalidCursor)
	if p.Pointer != "cursor" || p.Next == "" {
		t.Errorf("%+v", p)
	}
}
