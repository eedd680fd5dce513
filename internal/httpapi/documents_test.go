package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

var long = strings.Repeat("You answer briefly. ", 100)

// one document in its three formats.
const (
	inJSON = `{"limits":{"rpm":60},"models":["a","b"],"name":"gw <&>","rate":1.5}`
	inYAML = "# a comment\nname: gw <&>\nrate: 1.5\nlimits: {rpm: 60}\nmodels:\n  - a\n  - b\n"
	inTOML = "name = \"gw <&>\"\nrate = 1.5\nmodels = [\"a\", \"b\"]\n[limits]\nrpm = 60\n"
)

var contentTypes = map[string]string{"json": api.TypeJSON, "yaml": api.TypeYAML, "toml": api.TypeTOML}

// A document written in any format is read back in all of them, the same.
func TestFormats(t *testing.T) {
	n := newWorld(t).newTenant(t)
	for format, text := range map[string]string{"json": inJSON, "yaml": inYAML, "toml": inTOML} {
		path := "gateway/" + format
		n.call(t, "PUT", n.path(api.RouteLayer, "base", path), text, "Content-Type", contentTypes[format]+"; charset=UTF-8").want(t, 200)
		for _, route := range []string{api.RouteConfig, api.RouteLayer} {
			target := n.path(route, "base", path)
			for asked, contentType := range contentTypes {
				byAccept := n.call(t, "GET", target, nil, "Accept", contentType).want(t, 200)
				byQuery := n.call(t, "GET", target+"?format="+asked, nil, "Accept", api.TypeJSON).want(t, 200).wantBody(t, string(byAccept.body))
				byQuery.wantHeaders(t, "Content-Type", contentType, "Vary", "Accept, Accept-Encoding")
				doc, err := config.Decode(config.Format(asked), byAccept.body, config.Limits{})
				if err != nil || string(doc.Canonical()) != inJSON {
					t.Errorf("%s as %s: %s, %v", format, asked, byAccept.body, err)
				}
				byAccept.wantHeaders(t, "Content-Type", contentType, api.HeaderDigest, digest(inJSON), "Cache-Control", "no-cache")
			}
		}
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// decoded is the body without its encoding.
func (a *answer) decoded(t testing.TB) []byte {
	t.Helper()
	var in io.Reader = bytes.NewReader(a.body)
	var err error
	switch a.header.Get("Content-Encoding") {
	case "gzip":
		in, err = gzip.NewReader(in)
	case "br":
		in = brotli.NewReader(in)
	case "zstd":
		in, err = zstd.NewReader(in)
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Each representation of an effective document has an ETag of its own, which is
// all it takes to be told that nothing changed.
func TestETags(t *testing.T) {
	n := newWorld(t).newTenant(t)
	text := `{"prompt":"` + long + `"}`
	n.put(t, "base", "p", text)
	target := n.path(api.RouteConfig, "production", "p")
	seen := map[string]string{}
	for format, contentType := range contentTypes {
		var plain []byte
		for _, encoding := range []string{"", "gzip", "br", "zstd"} {
			headers := []string{"Accept", contentType, "Accept-Encoding", encoding}
			got := n.call(t, "GET", target, nil, headers...).want(t, 200)
			tag := got.header.Get("ETag")
			if before := seen[tag]; tag == "" || before != "" {
				t.Errorf("%s in %q has the ETag %s of %q", format, encoding, tag, before)
			}
			seen[tag] = format + " in " + encoding
			if encoding == "" {
				plain = got.body
			} else if got.header.Get("Content-Encoding") != encoding || !bytes.Equal(got.decoded(t), plain) || len(got.body) >= len(plain) {
				t.Errorf("%s in %q is not what it is without: %d bytes", format, encoding, len(got.body))
			}
			got.wantHeaders(t, "Content-Length", strconv.Itoa(len(got.body)), api.HeaderDigest, digest(text))
			for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
				same := n.call(t, "GET", target, nil, append(headers, "If-None-Match", match)...).want(t, 304).wantBody(t, "")
				same.wantHeaders(t, "ETag", tag, "Vary", "Accept, Accept-Encoding", "Cache-Control", "no-cache", api.HeaderDigest, digest(text))
			}
			n.call(t, "GET", target, nil, append(headers, "If-None-Match", `"x", "`+tag)...).want(t, 200)
		}
	}
	for tag, of := range seen {
		if p := n.call(t, "PUT", n.path(api.RouteLayer, "base", "p"), `{}`, "If-Match", tag).refused(t, api.CodeWrongETag); p.Next == "" {
			t.Errorf("the ETag of %s as a precondition: %+v", of, p)
		}
	}
	n.put(t, "base", "p", text[:len(text)-1]+`,"more":1}`)
	for tag := range seen {
		n.call(t, "GET", target, nil, "If-None-Match", tag).want(t, 200)
	}
}

// A layer's ETag is its version, in every representation.
func TestLayerETags(t *testing.T) {
	n := newWorld(t).newTenant(t)
	target := n.path(api.RouteLayer, "base", "p")
	n.call(t, "PUT", target, `{"x":1}`, "If-None-Match", "*").want(t, 200).wantHeaders(t, "ETag", `"v1"`, api.HeaderRevision, "2")
	n.call(t, "PUT", target, `{"x":2}`, "If-Match", `"v1"`).want(t, 200).wantHeaders(t, "ETag", `"v2"`, api.HeaderRevision, "3")
	n.call(t, "PUT", target, `{"x":2}`, "If-Match", `"v2"`).want(t, 200).wantHeaders(t, "ETag", "", api.HeaderRevision, "3")
	n.call(t, "PUT", target, `{"x":3}`, "If-Match", `"v1"`).refused(t, api.CodePreconditionFailed)
	n.call(t, "PUT", target, `{"x":3}`, "If-Match", "*").want(t, 200).wantHeaders(t, "ETag", `"v3"`)
	for _, contentType := range contentTypes {
		got := n.call(t, "GET", target, nil, "Accept", contentType).want(t, 200)
		got.wantHeaders(t, "ETag", `"v3"`, api.HeaderVersion, "3", api.HeaderRevision, "4", api.HeaderDigest, digest(`{"x":3}`))
		n.call(t, "GET", target, nil, "Accept", contentType, "If-None-Match", `"v3"`).want(t, 304).wantBody(t, "")
	}
	n.call(t, "GET", target+"?at=v1", nil).want(t, 200).wantBody(t, `{"x":1}`).wantHeaders(t, "ETag", `"v1"`)
	n.call(t, "GET", target+"?at=3", nil).want(t, 200).wantBody(t, `{"x":2}`).wantHeaders(t, "ETag", `"v2"`, api.HeaderRevision, "3")
	n.call(t, "DELETE", target, nil, "If-Match", `"v2"`).refused(t, api.CodePreconditionFailed)
	n.call(t, "DELETE", target, nil, "If-Match", `"v3"`).want(t, 200).wantHeaders(t, "ETag", "")
	n.call(t, "GET", target, nil).refused(t, api.CodeNotFound)
	n.call(t, "PUT", target, `{"x":4}`, "If-None-Match", "*").want(t, 200).wantHeaders(t, "ETag", `"v5"`)
}

// The revision of a read is the one its answer holds for, not the one that
// changed the document last.
func TestRevisionOfAReadGoesOn(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "p", `{"x":1}`)
	target := n.path(api.RouteConfig, "base", "p")
	n.call(t, "GET", target, nil).want(t, 200).wantHeaders(t, api.HeaderRevision, "2")
	tag := n.call(t, "GET", target, nil).header.Get("ETag")
	at := n.put(t, "base", "q", `{"x":1}`)
	n.call(t, "GET", target, nil).want(t, 200).wantHeaders(t, api.HeaderRevision, strconv.FormatInt(at, 10), "ETag", tag)
	n.call(t, "GET", target, nil, "If-None-Match", tag).want(t, 304).wantHeaders(t, api.HeaderRevision, strconv.FormatInt(at, 10))
	n.call(t, "GET", fmt.Sprintf("%s?min_revision=%d", target, at), nil).want(t, 200)
	n.call(t, "GET", target+"?at=2", nil).want(t, 200).wantHeaders(t, api.HeaderRevision, "2", "ETag", tag)
	n.call(t, "GET", target+"?at=1", nil).refused(t, api.CodeNotFound)
	n.call(t, "GET", n.path(api.RouteConfig, "base", "q")+"?at=2", nil).refused(t, api.CodeNotFound)
}

// TOML has no null, so a layer with a removal mark cannot be written in it, nor
// can an answer with one in it.
func TestTOMLHasNoNull(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "p", `{"gone":null,"list":[1,null]}`)
	for _, target := range []string{
		n.path(api.RouteLayer, "base", "p"), n.path(api.RouteConfig, "base", "p"), n.path(api.RouteConfig, "base", "p") + "?explain=true",
		n.path(api.RouteBundle, "base"), n.path(api.RouteDiff, "base", "p") + "?from=1",
	} {
		n.call(t, "GET", target, nil, "Accept", api.TypeTOML).refused(t, api.CodeNotAcceptable)
		n.call(t, "GET", target, nil, "Accept", api.TypeYAML).want(t, 200).wantHeaders(t, "Content-Type", api.TypeYAML)
	}
	n.call(t, "GET", n.path(api.RouteLayer, "base", "p"), nil).want(t, 200).wantBody(t, `{"gone":null,"list":[1,null]}`)
	n.call(t, "GET", n.path(api.RouteConfig, "base", "p"), nil).want(t, 200).wantBody(t, `{"list":[1,null]}`)
}

func TestPatches(t *testing.T) {
	n := newWorld(t).newTenant(t)
	target := n.path(api.RouteLayer, "base", "p")
	layer := func(want string) {
		t.Helper()
		n.call(t, "GET", target, nil).want(t, 200).wantBody(t, want)
	}
	n.call(t, "PATCH", target, `{"a":{"b":1},"c":null}`, "Content-Type", api.TypeMergePatch).want(t, 200).wantHeaders(t, "ETag", `"v1"`)
	layer(`{"a":{"b":1}}`)
	n.call(t, "PATCH", target, `{"a":{"b":null,"d":2}}`, "Content-Type", api.TypeMergePatch, "If-Match", `"v1"`).want(t, 200)
	layer(`{"a":{"d":2}}`)
	patch := `[{"op":"test","path":"/a/d","value":2},{"op":"add","path":"/a/e","value":null},{"op":"copy","from":"/a/d","path":"/f"}]`
	n.call(t, "PATCH", target, patch, "Content-Type", api.TypeJSONPatch, "If-Match", `"v2"`).want(t, 200).wantHeaders(t, "ETag", `"v3"`)
	layer(`{"a":{"d":2,"e":null},"f":2}`)
	n.call(t, "PATCH", target, patch, "Content-Type", api.TypeJSONPatch, "If-Match", `"v2"`).refused(t, api.CodePreconditionFailed)
	var result api.ChangeResult
	n.call(t, "PATCH", target, `{}`, "Content-Type", api.TypeMergePatch).want(t, 200).into(t, &result)
	if result.Status != api.StatusUnchanged {
		t.Errorf("%+v", result)
	}
}

// A dry run says what would happen, and it does not.
func TestDryRun(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "p", `{"x":1,"y":2}`)
	before := n.state(t)
	target := n.path(api.RouteLayer, "base", "p") + "?dry_run=true"
	for method, body := range map[string]any{"PUT": `{"x":3,"y":2}`, "PATCH": `{"x":3}`, "DELETE": nil} {
		headers := []string{api.HeaderMessage, "a%20plan", api.HeaderIdempotent, "key"}
		if method == "PATCH" {
			headers = append(headers, "Content-Type", api.TypeMergePatch)
		}
		var plan api.ChangeResult
		got := n.call(t, method, target, body, headers...).want(t, 200).wantHeaders(t, "ETag", "")
		got.into(t, &plan)
		if plan.Status != api.StatusPlanned || plan.Revision != 2 || plan.Message != "a plan" || len(plan.Edits) != 1 || len(plan.Effective) != 5 || plan.Time != nil {
			t.Errorf("%s: %s", method, got.body)
		}
	}
	if after := n.state(t); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	n.call(t, "PUT", target, `{"x":3}`, "If-Match", `"v7"`).refused(t, api.CodePreconditionFailed)
}

// The message of a write of one layer is percent-encoded in a header.
func TestMessageHeader(t *testing.T) {
	n := newWorld(t).newTenant(t)
	message := "why: “100 %” of\nit"
	var result api.ChangeResult
	n.call(t, "PUT", n.path(api.RouteLayer, "base", "p"), `{}`, api.HeaderMessage, url.PathEscape(message)).want(t, 200).into(t, &result)
	var entry api.LogEntry
	n.call(t, "GET", n.path(api.RouteChange, strconv.FormatInt(result.Revision, 10)), nil).want(t, 200).into(t, &entry)
	if result.Message != message || entry.Message != message || entry.Author != "admin" {
		t.Errorf("%+v\n%+v", result, entry)
	}
}

// What the server handed out is what it takes back, as it is: documents keep
// their canonical bytes wherever they are part of something.
func TestBundleKeepsCanonicalBytes(t *testing.T) {
	n := newWorld(t).newTenant(t)
	documents := map[string]string{
		"a/html":    `{"text":"<b>&amp;</b>"}`,
		"a/lines":   "{\"text\":\"a\u2028b\u2029c\"}",
		"a/numbers": `{"n":[1e+21,1e-7,0.1,-1,100]}`,
	}
	for path, text := range documents {
		n.put(t, "base", path, text)
	}
	n.put(t, "base", "b", `{"ref":"${config:a/html#/text}"}`)
	documents["b"] = `{"ref":"<b>&amp;</b>"}`
	got := n.call(t, "GET", n.path(api.RouteBundle, "production"), nil).want(t, 200)
	var bundle api.Bundle
	got.into(t, &bundle)
	if len(bundle.Configs) != 4 || bundle.Revision != 5 || bundle.Environment != "production" || len(bundle.Errors) != 0 {
		t.Fatalf("%s", got.body)
	}
	for _, c := range bundle.Configs {
		if string(c.Document) != documents[c.Path] || c.Digest != digest(documents[c.Path]) {
			t.Errorf("%s: %q with digest %s", c.Path, c.Document, c.Digest)
		}
	}
	n.call(t, "GET", n.path(api.RouteBundle, "base")+"?prefix=a&min_revision=5", nil).want(t, 200).into(t, &bundle)
	if len(bundle.Configs) != 3 {
		t.Errorf("%d documents below a", len(bundle.Configs))
	}
}

func TestExplain(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "p", `{"a":1,"b":"<base>","c":{"d":1}}`)
	n.put(t, "production", "p", `{"b":"<production>","c":null}`)
	got := n.call(t, "GET", n.path(api.RouteConfig, "production", "p")+"?explain=true", nil).want(t, 200).wantHeaders(t, "ETag", "", "Cache-Control", "no-store")
	var e api.Explanation
	got.into(t, &e)
	if len(e.Leaves) != 2 || len(e.Layers) != 2 || len(e.Removals) != 1 || e.Digest != digest(`{"a":1,"b":"<production>"}`) {
		t.Fatalf("%s", got.body)
	}
	b := e.Leaves[1]
	if b.Pointer != "/b" || string(b.Value) != `"<production>"` || b.Origin.Environment != "production" || b.Origin.Author != "admin" ||
		len(b.Shadows) != 1 || string(b.Shadows[0].Value) != `"<base>"` || e.Removals[0].Pointer != "/c" {
		t.Errorf("%s", got.body)
	}
	n.call(t, "GET", n.path(api.RouteConfig, "production", "p")+"?explain=false", nil).want(t, 200).wantBody(t, `{"a":1,"b":"<production>"}`)
	n.call(t, "GET", n.path(api.RouteConfig, "production", "q")+"?explain=true", nil).refused(t, api.CodeNotFound)
}
