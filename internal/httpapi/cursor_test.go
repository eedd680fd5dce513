package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// A cursor is of use to the one it was given to, in the list it was given for,
// and shows nobody the row that it points at. This holds of every list that has
// pages, also of those that are added.
func TestCursorsAreSealed(t *testing.T) {
	w, m := newWorld(t), newMarker()
	p := &pagers{newVictim(t, w, m.core), newVictim(t, w, "other"), map[string]string{}}
	p.fillLists(t, m.core)
	routes := pagedRoutes(t, w)
	for _, r := range routes {
		p.cursors[r.Pattern] = p.walk(t, r, m.core)
	}
	colleagues := map[bool]string{false: p.as(t, access.RoleAdmin), true: w.serverAdmin(t)}
	for _, r := range routes {
		target, own := p.target(t, r), p.cursors[r.Pattern]
		ask := func(token, cursor string) *answer {
			return w.call(t, token, http.MethodGet, target+"?limit=1&cursor="+url.QueryEscape(cursor), nil)
		}
		ask(p.owner(r), own).want(t, 200)
		colleague := colleagues[ofTheServer(r)]
		w.call(t, colleague, http.MethodGet, target+"?limit=1", nil).want(t, 200)
		refusedCursor(t, r.Pattern+" to a colleague", ask(colleague, own))
		for of, cursor := range p.cursors {
			if of != r.Pattern {
				refusedCursor(t, r.Pattern+" with one of "+of, ask(p.owner(r), cursor))
			}
		}
		for _, cursor := range tampered(own) {
			refusedCursor(t, fmt.Sprintf("%s with %q for %q", r.Pattern, cursor, own), ask(p.owner(r), cursor))
		}
		if !ofTheServer(r) {
			target, _, _ = anyRequest(t, r, p.other)
			refusedCursor(t, r.Pattern+" of another tenant", ask(p.other.token, own))
		}
	}
}

// pagers are two tenants with lists of which each has several pages.
type pagers struct {
	*victim
	other   *victim
	cursors map[string]string // pattern → one that its owner may use
}

func (p *pagers) owner(r httpapi.Route) string {
	if ofTheServer(r) {
		return p.root
	}
	return p.token
}

func (p *pagers) target(t *testing.T, r httpapi.Route) string {
	t.Helper()
	target, _, _ := anyRequest(t, r, p.victim)
	return target
}

// fillLists makes a second row in every list, and rows that have names.
func (p *pagers) fillLists(t *testing.T, name string) {
	t.Helper()
	for _, end := range []string{"", "-a", "-b"} {
		p.put(t, "base", name+end, `{}`)
		p.call(t, "PUT", p.path(api.RouteSecret, "base", name+end), `{"generate":{"kind":"hex"}}`).want(t, 200)
		p.call(t, "PUT", p.path(api.RouteTag, name+end), `{}`).want(t, 200)
	}
	p.call(t, "PUT", p.path(api.RouteRole, "canary"), api.PutRole{Description: "again"}).want(t, 200)
	for range 2 {
		p.call(t, "GET", p.path(api.RouteAudit), nil).want(t, 200)
		p.serverAdmin(t) // either is put on record
		p.sign(t)
	}
}

// sign makes a checkpoint of every chain that has something new.
func (b *backend) sign(t testing.TB) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = b.service.SignCheckpoints(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// walk reads a list row by row, for a while, and answers the first cursor. None
// of them has any of the name in it.
func (p *pagers) walk(t *testing.T, r httpapi.Route, name string) (first string) {
	t.Helper()
	cursor := ""
	for range 6 {
		var page struct {
			Next string `json:"next_cursor"`
		}
		p.world.call(t, p.owner(r), http.MethodGet, p.target(t, r)+"?limit=1&cursor="+cursor, nil).want(t, 200).into(t, &page)
		if cursor = page.Next; cursor == "" {
			break
		}
		if first == "" {
			first = cursor
		}
		if part := partIn(cursor, name, 3); part != "" {
			t.Errorf("%s: %q is in the cursor %s", r.Pattern, part, cursor)
		}
		if url.QueryEscape(cursor) != cursor {
			t.Errorf("%s: the cursor %q does not stand for itself in a URL", r.Pattern, cursor)
		}
	}
	if first == "" {
		t.Fatalf("%s: the test has one page of this list, and needs two", r.Pattern)
	}
	return first
}

// pagedRoutes are the lists that have pages.
func pagedRoutes(t *testing.T, w *world) (paged []httpapi.Route) {
	t.Helper()
	d := readDescription(t, w)
	for _, r := range w.server.Routes() {
		op := d.Paths[wildcard.ReplaceAllString(r.Pattern, "{$1}")][strings.ToLower(r.Method)]
		for _, parameter := range op.Parameters {
			if parameter.Name == "cursor" {
				paged = append(paged, r)
			}
		}
	}
	if len(paged) < 10 {
		t.Fatalf("only these lists are found to have pages: %v", paged)
	}
	return paged
}

func refusedCursor(t *testing.T, what string, got *answer) {
	t.Helper()
	if got.status != api.CodeInvalidCursor.Status() {
		t.Errorf("%s: %d %.300s", what, got.status, got.body)
		return
	}
	if p := got.refused(t, api.CodeInvalidCursor); p.Pointer != "cursor" || p.Next == "" {
		t.Errorf("%s: %+v", what, p)
	}
}

// tampered are cursors that are almost a given one.
func tampered(cursor string) []string {
	all := []string{cursor[1:], cursor[:len(cursor)-1], cursor + "A", cursor + "=", cursor + "\n", cursor[:9] + "\r\n" + cursor[9:], cursor + cursor, strings.ToLower(cursor)}
	for i := 0; i < len(cursor); i += 11 {
		all = append(all, cursor[:i]+otherThan(cursor[i])+cursor[i+1:])
	}
	last := len(cursor) - 1
	return append(all, cursor[:last]+otherThan(cursor[last]), strings.Repeat("A", 60), strings.Repeat("A", 5000))
}

func otherThan(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// partIn finds a part of a name in a text or in what it decodes to, as base64
// of any alphabet from any character on, also several times over.
func partIn(text, name string, depth int) string {
	for i := range len(name) - 5 {
		if part := name[i : i+6]; strings.Contains(text, part) {
			return part
		}
	}
	if depth == 0 {
		return ""
	}
	for from := range min(4, len(text)) {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			decoded := make([]byte, len(text))
			n, _ := encoding.Decode(decoded, []byte(text[from:])) // up to where it is none
			if part := partIn(string(decoded[:n]), name, depth-1); part != "" {
				return part
			}
		}
	}
	return ""
}

// A name is found in what would show it, or the test above would say nothing.
func TestNamesInCursorsAreFound(t *testing.T) {
	name := newMarker().core
	plain := string(store.EncodeCursor(store.Query{Tenant: config.TenantID{1}, Parts: []string{"layers"}}, name))
	for _, cursor := range []string{
		name, "x" + name, plain, base64.RawURLEncoding.EncodeToString([]byte(plain)), base64.StdEncoding.EncodeToString([]byte("xy" + plain)), "ab" + plain,
	} {
		if partIn(cursor, name, 3) == "" {
			t.Errorf("not found in %s", cursor)
		}
	}
}
