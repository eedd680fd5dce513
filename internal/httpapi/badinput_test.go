package httpapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
)

// bad is a request that must be refused.
type bad struct {
	name         string
	method, path string // path is below the tenant
	body         any
	headers      []string
	code         api.Code
	pointer      string
	limit        int64 // 0 for none
	actual       int64
}

func nested(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }

func manyKeys(n int) string {
	var b strings.Builder
	b.WriteString(`{"0":0`)
	for i := 1; i < n; i++ {
		b.WriteString(`,"`)
		for v := i; v > 0; v /= 36 {
			b.WriteByte("0123456789abcdefghijklmnopqrstuvwxyz"[v%36])
		}
		b.WriteString(`":0`)
	}
	return b.String() + "}"
}

const yamlBomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
	"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n" +
	"g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"

var (
	asYAML = []string{"Content-Type", api.TypeYAML}
	asTOML = []string{"Content-Type", api.TypeTOML}
)

// badDocuments are documents by every way in which one comes.
var badDocuments = []bad{
	{name: "nothing", body: "", code: api.CodeInvalidDocument},
	{name: "an array", body: "[]", code: api.CodeInvalidDocument},
	{name: "null", body: "null", code: api.CodeInvalidDocument},
	{name: "a string", body: `"x"`, code: api.CodeInvalidDocument},
	{name: "cut short", body: `{"a":{"b":`, code: api.CodeInvalidDocument, pointer: "/a/b"},
	{name: "two documents", body: `{} {}`, code: api.CodeInvalidDocument},
	{name: "a comment", body: `{} // x`, code: api.CodeInvalidDocument},
	{name: "nesting 65", body: nested(65), code: api.CodeTooLarge, limit: 64, actual: 65},
	{name: "NaN", body: `{"a":NaN}`, code: api.CodeInvalidDocument, pointer: "/a"},
	{name: "Infinity", body: `{"a":-Infinity}`, code: api.CodeInvalidDocument, pointer: "/a"},
	{name: "1e400", body: `{"a":[1e400]}`, code: api.CodeInvalidDocument, pointer: "/a/0"},
	{name: "2^53+1", body: `{"a":9007199254740993}`, code: api.CodeInvalidDocument, pointer: "/a"},
	{name: "a duplicate key", body: `{"a":{"b":1,"b":2}}`, code: api.CodeInvalidDocument, pointer: "/a/b"},
	{name: "a duplicate key in escapes", body: `{"a":1,"\u0061":2}`, code: api.CodeInvalidDocument, pointer: "/a"},
	{name: "a lone surrogate", body: `{"a":"\ud800"}`, code: api.CodeInvalidDocument, pointer: "/a"},
	{name: "a lone surrogate in a key", body: `{"\udc00":1}`, code: api.CodeInvalidDocument},
	{name: "invalid UTF-8", body: "{\"a\":\"\xff\"}", code: api.CodeInvalidDocument, pointer: "/a"},
	{name: "a BOM", body: "\xef\xbb\xbf{}", code: api.CodeInvalidDocument},
	{name: "UTF-16", body: "\xff\xfe{\x00}\x00", code: api.CodeInvalidDocument},
	{name: "a cyclic reference", body: `{"a":"${config:p}"}`, code: api.CodeInvalidReference, pointer: "/a"},
	{name: "a cycle of two", body: `{"a":"${config:r#/b}"}`, code: api.CodeInvalidReference},
	{name: "a dangling reference", body: `{"a":["${config:nowhere}"]}`, code: api.CodeInvalidReference, pointer: "/a/0"},
	{name: "a malformed reference", body: `{"a":"${config:../p}"}`, code: api.CodeInvalidReference, pointer: "/a"},
	{name: "an open reference", body: `{"a":"${secret:p"}`, code: api.CodeInvalidReference, pointer: "/a"},
}

var badElsewhere = []bad{
	{name: "over the document's bound", method: "PUT", path: "/environments/base/layers/p", body: `{"a":"` + strings.Repeat("x", 1<<20-7) + `"}`,
		code: api.CodeTooLarge, limit: 1 << 20, actual: 1<<20 + 1},
	{name: "a million keys", method: "PUT", path: "/environments/base/layers/p", body: manyKeys(1_000_000), code: api.CodeTooLarge, limit: 1 << 20},
	{name: "a million keys in a change", method: "POST", path: "/changes",
		body: `{"edits":[{"op":"put","environment":"base","path":"p","document":` + manyKeys(1_000_000) + `}]}`, code: api.CodeTooLarge, limit: 1 << 20},
	{name: "nesting 65 in a change", method: "POST", path: "/changes",
		body: `{"edits":[{"op":"put","environment":"base","path":"p","document":` + nested(65) + `}]}`, code: api.CodeTooLarge, limit: 64, actual: 65},
	{name: "nesting without an end", method: "POST", path: "/changes", body: strings.Repeat("[", 5<<20), code: api.CodeTooLarge, limit: 72},
	{name: "a YAML bomb", method: "PUT", path: "/environments/base/layers/p", body: yamlBomb, headers: asYAML, code: api.CodeTooLarge, limit: 1 << 18, actual: 1<<18 + 1},
	{name: "a YAML bomb in a change", method: "POST", path: "/changes", body: yamlBomb, headers: asYAML, code: api.CodeTooLarge, limit: 1 << 18, actual: 1<<18 + 1},
	{name: "a YAML alias of itself", method: "PUT", path: "/environments/base/layers/p", body: "a: &a [*a]\n", headers: asYAML, code: api.CodeInvalidDocument},
	{name: ".nan in YAML", method: "PUT", path: "/environments/base/layers/p", body: "a: .nan\n", headers: asYAML, code: api.CodeInvalidDocument, pointer: "/a"},
	{name: ".inf in YAML", method: "PUT", path: "/environments/base/layers/p", body: "a: [-.inf]\n", headers: asYAML, code: api.CodeInvalidDocument, pointer: "/a/0"},
	{name: "a duplicate key in YAML", method: "PUT", path: "/environments/base/layers/p", body: "a: 1\na: 2\n", headers: asYAML, code: api.CodeInvalidDocument, pointer: "/a"},
	{name: "a tag in YAML", method: "PUT", path: "/environments/base/layers/p", body: "a: !!python/object:os.system x\n", headers: asYAML, code: api.CodeInvalidDocument},
	{name: "two YAML documents", method: "PUT", path: "/environments/base/layers/p", body: "a: 1\n---\nb: 1\n", headers: asYAML, code: api.CodeInvalidDocument},
	{name: "nan in TOML", method: "PUT", path: "/environments/base/layers/p", body: "a = nan\n", headers: asTOML, code: api.CodeInvalidDocument},
	{name: "2^53+1 in TOML", method: "PUT", path: "/environments/base/layers/p", body: "a = 9007199254740993\n", headers: asTOML, code: api.CodeInvalidDocument},
	{name: "a duplicate key in TOML", method: "PUT", path: "/environments/base/layers/p", body: "a = 1\na = 2\n", headers: asTOML, code: api.CodeInvalidDocument},

	{name: "no such content type", method: "PUT", path: "/environments/base/layers/p", body: `{}`, headers: []string{"Content-Type", "application/xml"}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "text/plain", method: "POST", path: "/changes", body: `{"edits":[]}`, headers: []string{"Content-Type", "text/plain"}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "some other JSON", method: "POST", path: "/changes", body: `{"edits":[]}`, headers: []string{"Content-Type", "application/vnd.x+json"}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "a form", method: "POST", path: "/changes", body: `edits=1`, headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "no content type that parses", method: "PUT", path: "/environments/base/layers/p", body: `{}`, headers: []string{"Content-Type", "application/json; charset"}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "UTF-16 by charset", method: "POST", path: "/changes", body: `{}`, headers: []string{"Content-Type", "application/json; charset=utf-16"}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "a document as a patch", method: "PATCH", path: "/environments/base/layers/p", body: `{}`, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "a patch of no kind", method: "PATCH", path: "/environments/base/layers/p", body: `{}`, headers: []string{"Content-Type", ""}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "a compressed body", method: "PUT", path: "/environments/base/layers/p", body: "\x1f\x8b", headers: []string{"Content-Encoding", "gzip"}, code: api.CodeUnsupportedMediaType, pointer: "Content-Encoding"},
	{name: "a merge patch that is an array", method: "PATCH", path: "/environments/base/layers/p", body: `[]`, headers: []string{"Content-Type", api.TypeMergePatch}, code: api.CodeInvalidPatch},
	{name: "a JSON patch that does not apply", method: "PATCH", path: "/environments/base/layers/p", body: `[{"op":"remove","path":"/nothing"}]`, headers: []string{"Content-Type", api.TypeJSONPatch}, code: api.CodeInvalidPatch},
	{name: "a JSON patch with a failing test", method: "PATCH", path: "/environments/base/layers/p", body: `[{"op":"test","path":"/x","value":2}]`, headers: []string{"Content-Type", api.TypeJSONPatch}, code: api.CodeInvalidPatch, pointer: "/x"},

	{name: "a duplicate member", method: "POST", path: "/changes", body: `{"message":"a","message":"b","edits":[]}`, code: api.CodeBadRequest, pointer: "/message"},
	{name: "a duplicate member in escapes", method: "POST", path: "/rollback", body: `{"to":"1","\u0074o":"2","environment":"base"}`, code: api.CodeBadRequest, pointer: "/to"},
	{name: "a member in other letters", method: "POST", path: "/rollback", body: `{"environment":"base","to":"1","TO":"2"}`, code: api.CodeBadRequest, pointer: "/TO"},
	{name: "an unknown member", method: "POST", path: "/changes", body: `{"edits":[],"force":true}`, code: api.CodeBadRequest, pointer: "/force"},
	{name: "an unknown member of an edit", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"base","path":"p","x":1}]}`, code: api.CodeBadRequest, pointer: "/edits/0/x"},
	{name: "no such op", method: "POST", path: "/changes", body: `{"edits":[{"op":"move","environment":"base","path":"p"}]}`, code: api.CodeBadRequest, pointer: "/edits/0/op"},
	{name: "a wrong type", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":5,"path":"p"}]}`, code: api.CodeBadRequest, pointer: "/edits/0/environment"},
	{name: "a fraction", method: "POST", path: "/revert", body: `{"revision":1.5}`, code: api.CodeBadRequest, pointer: "/revision"},
	{name: "a number out of range", method: "POST", path: "/revert", body: `{"revision":1e300}`, code: api.CodeBadRequest},
	{name: "2^53+1 in a request", method: "POST", path: "/revert", body: `{"revision":9007199254740993}`, code: api.CodeBadRequest, pointer: "/revision"},
	{name: "a lone surrogate in a request", method: "POST", path: "/changes", body: `{"message":"\ud800","edits":[]}`, code: api.CodeBadRequest, pointer: "/message"},
	{name: "invalid UTF-8 in a request", method: "POST", path: "/changes", body: "{\"message\":\"\xff\",\"edits\":[]}", code: api.CodeBadRequest, pointer: "/message"},
	{name: "a BOM in a request", method: "POST", path: "/changes", body: "\xef\xbb\xbf{\"edits\":[]}", code: api.CodeBadRequest},
	{name: "no body", method: "POST", path: "/changes", body: "", code: api.CodeBadRequest},
	{name: "null as a request", method: "POST", path: "/changes", body: "null", code: api.CodeBadRequest},
	{name: "null as edits", method: "POST", path: "/changes", body: `{"edits":null}`, code: api.CodeBadRequest},
	{name: "null as an edit", method: "POST", path: "/changes", body: `{"edits":[null]}`, code: api.CodeBadRequest, pointer: "/edits/0"},
	{name: "no edits", method: "POST", path: "/changes", body: `{}`, code: api.CodeBadRequest},
	{name: "a put of null", method: "POST", path: "/changes", body: `{"edits":[{"op":"put","environment":"base","path":"p","document":null}]}`, code: api.CodeInvalidDocument, pointer: "/edits/0"},
	{name: "a duplicate key in a document of a change", method: "POST", path: "/changes", body: `{"edits":[{"op":"put","environment":"base","path":"p","document":{"a":1,"a":2}}]}`, code: api.CodeBadRequest, pointer: "/edits/0/document/a"},
	{name: "a put without a document", method: "POST", path: "/changes", body: `{"edits":[{"op":"put","environment":"base","path":"p"}]}`, code: api.CodeBadRequest, pointer: "/edits/0"},
	{name: "a delete with a document", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"base","path":"p","document":{}}]}`, code: api.CodeBadRequest, pointer: "/edits/0"},
	{name: "the same layer twice", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"base","path":"p"},{"op":"delete","environment":"base","path":"p"}]}`, code: api.CodeBadRequest},
	{name: "too many edits", method: "POST", path: "/changes", body: `{"edits":[` + strings.Repeat(`{"op":"delete","environment":"base","path":"p"},`, 1000) + `{"op":"delete","environment":"base","path":"p"}]}`, code: api.CodeTooLarge, limit: 1000, actual: 1001},
	{name: "a long message", method: "POST", path: "/changes", body: `{"message":"` + strings.Repeat("x", 4097) + `","edits":[{"op":"delete","environment":"base","path":"p"}]}`, code: api.CodeTooLarge, limit: 4096, actual: 4097},
	{name: "a bad path in an edit", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"base","path":"../p"}]}`, code: api.CodeInvalidPath, pointer: "/edits/0"},
	{name: "a long path in an edit", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"base","path":"` + strings.Repeat("é", 1<<18) + `"}]}`, code: api.CodeInvalidPath, pointer: "/edits/0", limit: 512, actual: 1 << 19},
	{name: "a long environment in an edit", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"` + strings.Repeat("é", 1<<18) + `","path":"p"}]}`, code: api.CodeNotFound},
	{name: "a long name of a tag", method: "POST", path: "/rollback", body: `{"environment":"base","to":"` + strings.Repeat("t", 1<<18) + `"}`, code: api.CodeInvalidAt},
	{name: "a long member", method: "POST", path: "/rollback", body: `{"environment":"base","` + strings.Repeat("t", 1<<18) + `":1}`, code: api.CodeBadRequest},
	{name: "an unknown environment in an edit", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"nowhere","path":"p"}]}`, code: api.CodeNotFound},
	{name: "a rollback to nowhere", method: "POST", path: "/rollback", body: `{"environment":"base","to":""}`, code: api.CodeBadRequest},
	{name: "a rollback into the future", method: "POST", path: "/rollback", body: `{"environment":"base","to":"999"}`, code: api.CodeNotFound},
	{name: "a revert of the future", method: "POST", path: "/revert", body: `{"revision":999}`, code: api.CodeNotFound},
	{name: "a promotion of nothing", method: "POST", path: "/promote", body: `{"from":"base","to":"staging"}`, code: api.CodeBadRequest},
	{name: "a promotion of a bad path", method: "POST", path: "/promote", body: `{"from":"base","to":"staging","paths":["p","p//q"]}`, code: api.CodeInvalidPath, pointer: "/paths/1"},
	{name: "a tag that looks like a version", method: "PUT", path: "/tags/v3", body: `{}`, code: api.CodeInvalidName},
	{name: "a tag of the future", method: "PUT", path: "/tags/next", body: `{"revision":999}`, code: api.CodeNotFound},
	{name: "an environment that is its own parent", method: "PUT", path: "/environments/staging", body: `{"parent":"staging"}`, code: api.CodeInvalidTree},
	{name: "an environment with no such parent", method: "PUT", path: "/environments/mine", body: `{"parent":"nowhere"}`, code: api.CodeInvalidTree},
	{name: "an environment of a bad name", method: "PUT", path: "/environments/Mine", body: `{}`, code: api.CodeInvalidName},
	{name: "a token without a name", method: "POST", path: "/tokens", body: `{"name":""}`, code: api.CodeBadRequest},
	{name: "a token for ever", method: "POST", path: "/tokens", body: `{"name":"x","ttl_seconds":31622401}`, code: api.CodeBadRequest, limit: 31622400, actual: 31622401},
	{name: "a token of the past", method: "POST", path: "/tokens", body: `{"name":"x","ttl_seconds":-1}`, code: api.CodeBadRequest, pointer: "/ttl_seconds"},
	{name: "a token whose time overflows", method: "POST", path: "/tokens", body: `{"name":"x","ttl_seconds":-18446744072}`, code: api.CodeBadRequest, pointer: "/ttl_seconds"},

	{name: "an unknown environment", method: "GET", path: "/environments/nowhere/configs/p", code: api.CodeNotFound},
	{name: "an unknown environment to write", method: "PUT", path: "/environments/nowhere/layers/p", body: "{}", code: api.CodeNotFound},
	{name: "an unknown environment to watch", method: "GET", path: "/environments/nowhere/watch", code: api.CodeNotFound},
	{name: "limit 0", method: "GET", path: "/environments/base/configs?limit=0", code: api.CodeBadRequest, pointer: "limit"},
	{name: "limit -1", method: "GET", path: "/changes?limit=-1", code: api.CodeBadRequest, pointer: "limit"},
	{name: "limit 1001", method: "GET", path: "/tags?limit=1001", code: api.CodeBadRequest, pointer: "limit", limit: 1000, actual: 1001},
	{name: "limit abc", method: "GET", path: "/tokens?limit=abc", code: api.CodeBadRequest, pointer: "limit"},
	{name: "limit over 64 bits", method: "GET", path: "/tokens?limit=99999999999999999999", code: api.CodeBadRequest, pointer: "limit"},
	{name: "a limit twice", method: "GET", path: "/environments/base/configs?limit=1&limit=2", code: api.CodeBadRequest, pointer: "limit"},
	{name: "an unknown parameter", method: "GET", path: "/environments/base/configs?page=2", code: api.CodeBadRequest, pointer: "page"},
	{name: "an unknown parameter of a document", method: "GET", path: "/environments/base/configs/p?version=2", code: api.CodeBadRequest, pointer: "version"},
	{name: "an unknown parameter of a layer", method: "GET", path: "/environments/base/layers/p?explain=true", code: api.CodeBadRequest, pointer: "explain"},
	{name: "an unknown parameter of a write", method: "PUT", path: "/environments/base/layers/p?dryrun=true", body: "{}", code: api.CodeBadRequest, pointer: "dryrun"},
	{name: "an unknown parameter of a watch", method: "GET", path: "/environments/base/watch?path=p", code: api.CodeBadRequest, pointer: "path"},
	{name: "a parameter in other letters", method: "PUT", path: "/environments/base/layers/p?Dry_Run=true", body: "{}", code: api.CodeBadRequest, pointer: "Dry_Run"},
	{name: "a parameter twice", method: "GET", path: "/environments/base/configs/p?at=1&at=2", code: api.CodeBadRequest, pointer: "at"},
	{name: "dry_run twice", method: "PUT", path: "/environments/base/layers/p?dry_run=true&dry_run=false", body: "{}", code: api.CodeBadRequest, pointer: "dry_run"},
	{name: "dry_run maybe", method: "PUT", path: "/environments/base/layers/p?dry_run=maybe", body: "{}", code: api.CodeBadRequest, pointer: "dry_run"},
	{name: "explain maybe", method: "GET", path: "/environments/base/configs/p?explain=maybe", code: api.CodeBadRequest, pointer: "explain"},
	{name: "a watch's prefix twice", method: "GET", path: "/environments/base/watch?prefix=a&prefix=b", code: api.CodeBadRequest, pointer: "prefix"},
	{name: "a query that does not parse", method: "GET", path: "/environments/base/configs/p?at=%zz", code: api.CodeBadRequest},
	{name: "a list's query that does not parse", method: "GET", path: "/environments/base/configs?limit=%zz", code: api.CodeBadRequest},
	{name: "a query with semicolons", method: "GET", path: "/environments/base/configs?limit=1;prefix=a", code: api.CodeBadRequest},
	{name: "a watch's query that does not parse", method: "GET", path: "/environments/base/watch?prefix=%zz", code: api.CodeBadRequest},
	{name: "min_revision of the future", method: "GET", path: "/environments/base/configs/p?min_revision=999", code: api.CodeRevisionInFuture, pointer: "min_revision"},
	{name: "min_revision of the future for a bundle", method: "GET", path: "/environments/base/bundle?min_revision=999", code: api.CodeRevisionInFuture, pointer: "min_revision"},
	{name: "a negative min_revision", method: "GET", path: "/environments/base/layers/p?min_revision=-1", code: api.CodeBadRequest, pointer: "min_revision"},
	{name: "a negative min_revision for a bundle", method: "GET", path: "/environments/base/bundle?min_revision=-1", code: api.CodeBadRequest, pointer: "min_revision"},
	{name: "an at that is none", method: "GET", path: "/environments/base/configs/p?at=-1", code: api.CodeInvalidAt, pointer: "at"},
	{name: "an at of the future", method: "GET", path: "/environments/base/configs/p?at=999", code: api.CodeNotFound, pointer: "at"},
	{name: "an at that is no tag", method: "GET", path: "/environments/base/configs/p?at=nothing", code: api.CodeNotFound, pointer: "at"},
	{name: "a version of a list", method: "GET", path: "/environments/base/configs?at=v1", code: api.CodeBadRequest, pointer: "at"},
	{name: "a bad at of a list", method: "GET", path: "/environments/base/configs?at=2026-13-01", code: api.CodeInvalidAt, pointer: "at"},
	{name: "a bad prefix", method: "GET", path: "/environments/base/configs?prefix=../a", code: api.CodeInvalidPath, pointer: "prefix"},
	{name: "a watch's bad prefix", method: "GET", path: "/environments/base/watch?prefix=../a", code: api.CodeInvalidPath, pointer: "prefix"},
	{name: "a bad glob", method: "GET", path: "/environments/base/configs?glob=a**b", code: api.CodeInvalidPath, pointer: "glob"},
	{name: "a bad format", method: "GET", path: "/environments/base/configs/p?format=xml", code: api.CodeBadRequest, pointer: "format"},
	{name: "a bad kind", method: "GET", path: "/changes?kind=everything", code: api.CodeBadRequest},
	{name: "a bad diff", method: "GET", path: "/environments/base/diff/p?from=@@", code: api.CodeInvalidAt, pointer: "from"},
	{name: "no version to destroy", method: "POST", path: "/environments/base/destroy/p", code: api.CodeBadRequest, pointer: "version"},
	{name: "version 0 to destroy", method: "POST", path: "/environments/base/destroy/p?version=0", code: api.CodeBadRequest, pointer: "version"},
	{name: "the newest version to destroy", method: "POST", path: "/environments/base/destroy/p?version=1", code: api.CodeInUse, pointer: "version"},
	{name: "a message of a destruction that is no text", method: "POST", path: "/environments/base/destroy/p?version=1", headers: []string{api.HeaderMessage, "%ff"}, code: api.CodeBadRequest, pointer: api.HeaderMessage},
	{name: "a parameter that is no text", method: "GET", path: "/environments/base/configs?glob=%ff", code: api.CodeBadRequest, pointer: "glob"},
	{name: "a revision that is no number", method: "GET", path: "/changes/abc", code: api.CodeBadRequest, pointer: "revision"},
	{name: "revision 0", method: "GET", path: "/changes/0", code: api.CodeBadRequest, pointer: "revision"},
	{name: "a revision of the future", method: "GET", path: "/changes/999", code: api.CodeNotFound},
	{name: "a cursor that is none", method: "GET", path: "/environments/base/configs?cursor=garbage", code: api.CodeInvalidCursor, pointer: "cursor"},
	{name: "a cursor of spaces", method: "GET", path: "/tags?cursor=%20%0a", code: api.CodeInvalidCursor, pointer: "cursor"},
	{name: "include of something", method: "GET", path: "/environments/base/watch?include=secrets", code: api.CodeBadRequest, pointer: "include"},
	{name: "a Last-Event-ID that is none", method: "GET", path: "/environments/base/watch", headers: []string{"Last-Event-ID", "abc"}, code: api.CodeBadRequest, pointer: "Last-Event-ID"},
	{name: "a negative Last-Event-ID", method: "GET", path: "/environments/base/watch", headers: []string{"Last-Event-ID", "-1"}, code: api.CodeBadRequest, pointer: "Last-Event-ID"},

	{name: "a stale If-Match", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{"If-Match", `"v7"`}, code: api.CodePreconditionFailed},
	{name: "a weak If-Match", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{"If-Match", `W/"v1"`}, code: api.CodeWrongETag, pointer: "If-Match"},
	{name: "a list in If-Match", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{"If-Match", `"v1", "v2"`}, code: api.CodeWrongETag, pointer: "If-Match"},
	{name: "no ETag in If-Match", method: "DELETE", path: "/environments/base/layers/p", headers: []string{"If-Match", `v1`}, code: api.CodeWrongETag, pointer: "If-Match"},
	{name: "version 01 in If-Match", method: "DELETE", path: "/environments/base/layers/p", headers: []string{"If-Match", `"v01"`}, code: api.CodeWrongETag, pointer: "If-Match"},
	{name: "a version over 64 bits in If-Match", method: "DELETE", path: "/environments/base/layers/p", headers: []string{"If-Match", `"v99999999999999999999"`}, code: api.CodeWrongETag, pointer: "If-Match"},
	{name: "any layer where there is none", method: "PUT", path: "/environments/base/layers/none", body: "{}", headers: []string{"If-Match", "*"}, code: api.CodePreconditionFailed},
	{name: "no layer where there is one", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{"If-None-Match", "*"}, code: api.CodePreconditionFailed},
	{name: "an ETag in If-None-Match", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{"If-None-Match", `"v1"`}, code: api.CodeBadRequest, pointer: "If-None-Match"},
	{name: "both preconditions", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{"If-None-Match", "*", "If-Match", "*"}, code: api.CodeBadRequest},
	{name: "a stale if_version", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"base","path":"p","if_version":7}]}`, code: api.CodePreconditionFailed},
	{name: "a negative if_version", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"base","path":"p","if_version":-1}]}`, code: api.CodeBadRequest, pointer: "/edits/0/if_version"},
	{name: "a message that is not encoded", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{api.HeaderMessage, "100%"}, code: api.CodeBadRequest, pointer: api.HeaderMessage},
	{name: "a message that is no text", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{api.HeaderMessage, "%ff"}, code: api.CodeBadRequest, pointer: api.HeaderMessage},
	{name: "an idempotency key with a space", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{api.HeaderIdempotent, "a b"}, code: api.CodeBadRequest, pointer: api.HeaderIdempotent},
	{name: "a long idempotency key", method: "POST", path: "/changes", body: `{"edits":[{"op":"delete","environment":"base","path":"p"}]}`, headers: []string{api.HeaderIdempotent, strings.Repeat("x", 256)}, code: api.CodeBadRequest, pointer: api.HeaderIdempotent},
}

const aSecret = "/environments/base/secrets/p"

// badSecrets are refusals of what concerns secrets, keys and tokens.
var badSecrets = []bad{
	{name: "no body of a secret", method: "PUT", path: aSecret, body: "", code: api.CodeBadRequest},
	{name: "an array as a secret", method: "PUT", path: aSecret, body: "[]", code: api.CodeBadRequest},
	{name: "null as a secret", method: "PUT", path: aSecret, body: "null", code: api.CodeBadRequest},
	{name: "a secret of nothing", method: "PUT", path: aSecret, body: `{"fields":{}}`, code: api.CodeBadRequest, pointer: "/fields"},
	{name: "null as fields", method: "PUT", path: aSecret, body: `{"fields":null}`, code: api.CodeBadRequest, pointer: "/fields"},
	{name: "an array of fields", method: "PUT", path: aSecret, body: `{"fields":["x"]}`, code: api.CodeBadRequest, pointer: "/fields"},
	{name: "null as a field", method: "PUT", path: aSecret, body: `{"fields":{"value":null}}`, code: api.CodeBadRequest, pointer: "/fields/value"},
	{name: "a field twice", method: "PUT", path: aSecret, body: `{"fields":{"value":"x","value":"y"}}`, code: api.CodeBadRequest, pointer: "/fields"},
	{name: "a bad name of a field", method: "PUT", path: aSecret, body: `{"fields":{"a/b":"x"}}`, code: api.CodeBadRequest, pointer: "/fields"},
	{name: "a long name of a field", method: "PUT", path: aSecret, body: `{"fields":{"` + strings.Repeat("a", 65) + `":"x"}}`, code: api.CodeBadRequest, pointer: "/fields"},
	{name: "too many fields", method: "PUT", path: aSecret, body: `{"fields":` + manyKeys(65) + `}`, code: api.CodeTooLarge, pointer: "/fields", limit: 64, actual: 65},
	{name: "a field too deep", method: "PUT", path: aSecret, body: `{"fields":{"value":` + nested(17) + `}}`, code: api.CodeTooLarge, pointer: "/fields/value", limit: 16, actual: 17},
	{name: "too large a secret", method: "PUT", path: aSecret, body: `{"fields":{"value":"` + strings.Repeat("x", 64<<10) + `"}}`, code: api.CodeTooLarge, pointer: "/fields", limit: 64 << 10},
	{name: "over the bound of a secret's body", method: "PUT", path: aSecret, body: `{"fields":{"value":"` + strings.Repeat("x", 1<<20) + `"}}`, code: api.CodeTooLarge, limit: 1 << 20, actual: 1<<20 + 23},
	{name: "base64 that is none", method: "PUT", path: aSecret, body: `{"fields":{"value":"x"},"base64":["value"]}`, code: api.CodeBadRequest, pointer: "/fields/value"},
	{name: "base64 of no field", method: "PUT", path: aSecret, body: `{"fields":{"value":"x"},"base64":["other"]}`, code: api.CodeBadRequest, pointer: "/base64"},
	{name: "a weak value", method: "PUT", path: aSecret, body: `{"fields":{"value":"password1"}}`, code: api.CodeWeakSecret, pointer: "/fields/value"},
	{name: "a value and a generator", method: "PUT", path: aSecret, body: `{"fields":{"value":"` + strong + `"},"generate":{"kind":"hex"}}`, code: api.CodeBadRequest, pointer: "/generate"},
	{name: "no such generator", method: "PUT", path: aSecret, body: `{"generate":{"kind":"dice"}}`, code: api.CodeBadRequest, pointer: "/generate/kind"},
	{name: "too short a generator", method: "PUT", path: aSecret, body: `{"generate":{"kind":"password","length":4}}`, code: api.CodeBadRequest},
	{name: "an unknown member of a secret", method: "PUT", path: aSecret, body: `{"value":"x"}`, code: api.CodeBadRequest, pointer: "/value"},
	{name: "a member of a secret twice", method: "PUT", path: aSecret, body: `{"stage":true,"st\u0061ge":false}`, code: api.CodeBadRequest, pointer: "/stage"},
	{name: "a member of a secret in other letters", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex","Kind":"uuid"}}`, code: api.CodeBadRequest, pointer: "/generate/Kind"},
	{name: "a member of a generator twice", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex","kind":"uuid"}}`, code: api.CodeBadRequest, pointer: "/generate"},
	{name: "a time that is none", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"expires_at":"tomorrow"}`, code: api.CodeBadRequest, pointer: "/expires_at"},
	{name: "a time that is past", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"expires_at":"2001-01-01T00:00:00Z"}`, code: api.CodeBadRequest, pointer: "/expires_at"},
	{name: "a negative grace", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"grace_seconds":-1}`, code: api.CodeBadRequest, pointer: "/grace_seconds"},
	{name: "a grace that overflows", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"grace_seconds":9000000000000000}`, code: api.CodeTooLarge, pointer: "/grace_seconds", limit: 90 * 24 * 3600},
	{name: "a grace of a fraction", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"grace_seconds":1.5}`, code: api.CodeBadRequest, pointer: "/grace_seconds"},
	{name: "a version of nothing", method: "PUT", path: aSecret, body: `{"description":"x","stage":true}`, code: api.CodeBadRequest, pointer: "/fields"},
	{name: "a stale if_version of a secret", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"if_version":7}`, code: api.CodePreconditionFailed, pointer: "/if_version"},
	{name: "a long description", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"description":"` + strings.Repeat("x", 1025) + `"}`, code: api.CodeTooLarge, limit: 1024, actual: 1025},
	{name: "a webhook without a path", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"rotation":{"webhook":{"url":"https://example.com","signing":"../x"}}}`, code: api.CodeInvalidPath, pointer: "/rotation/webhook/signing"},
	{name: "too frequent a rotation", method: "PUT", path: aSecret, body: `{"generate":{"kind":"hex"},"rotation":{"every_seconds":60,"generator":{"kind":"hex"}}}`, code: api.CodeBadRequest},
	{name: "a parameter of a secret's write", method: "PUT", path: aSecret + "?reveal=true", body: `{"generate":{"kind":"hex"}}`, code: api.CodeBadRequest, pointer: "reveal"},
	{name: "a secret as text", method: "PUT", path: aSecret, body: "x", headers: []string{"Content-Type", "text/plain"}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "a secret as a merge patch", method: "PATCH", path: aSecret, body: "{}", headers: []string{"Content-Type", api.TypeMergePatch}, code: api.CodeUnsupportedMediaType, pointer: "Content-Type"},
	{name: "a value in a patch", method: "PATCH", path: aSecret, body: `{"fields":{"value":"x"}}`, code: api.CodeBadRequest, pointer: "/fields"},
	{name: "a YAML bomb as a secret", method: "PUT", path: aSecret, body: yamlBomb, headers: asYAML, code: api.CodeTooLarge, limit: 1 << 18, actual: 1<<18 + 1},
	{name: "a secret's ETag for a layer", method: "PUT", path: "/environments/base/layers/p", body: "{}", headers: []string{"If-Match", `"r1"`}, code: api.CodeWrongETag, pointer: "If-Match"},
	{name: "a layer's ETag for a secret", method: "PUT", path: aSecret, body: "{}", headers: []string{"If-Match", `"v1"`}, code: api.CodeWrongETag, pointer: "If-Match"},
	{name: "force of a patch", method: "PATCH", path: aSecret + "?force=true", body: "{}", code: api.CodeBadRequest, pointer: "force"},
	{name: "force maybe", method: "DELETE", path: aSecret + "?force=maybe", code: api.CodeBadRequest, pointer: "force"},
	{name: "a secret that is referred to", method: "DELETE", path: aSecret, code: api.CodeReferenced},
	{name: "no secret to delete", method: "DELETE", path: "/environments/production/secrets/p", code: api.CodeNotFound},

	{name: "a version without reveal", method: "GET", path: aSecret + "?version=1", code: api.CodeBadRequest, pointer: "version"},
	{name: "a field without reveal", method: "GET", path: aSecret + "?field=value", code: api.CodeBadRequest, pointer: "field"},
	{name: "min_revision without reveal", method: "GET", path: aSecret + "?min_revision=1", code: api.CodeBadRequest, pointer: "min_revision"},
	{name: "a field when nothing is to be revealed", method: "GET", path: aSecret + "?field=value&reveal=false", code: api.CodeBadRequest, pointer: "field"},
	{name: "reveal maybe", method: "GET", path: aSecret + "?reveal=maybe", code: api.CodeBadRequest, pointer: "reveal"},
	{name: "reveal twice", method: "GET", path: aSecret + "?reveal=true&reveal=false", code: api.CodeBadRequest, pointer: "reveal"},
	{name: "values of what was deleted", method: "GET", path: aSecret + "?reveal=true&deleted=true", code: api.CodeBadRequest, pointer: "deleted"},
	{name: "version 0 of a secret", method: "GET", path: aSecret + "?reveal=true&version=0", code: api.CodeBadRequest, pointer: "version"},
	{name: "no such version of a secret", method: "GET", path: aSecret + "?reveal=true&version=9", code: api.CodeNotFound, pointer: "version"},
	{name: "no such field", method: "GET", path: aSecret + "?reveal=true&field=other", code: api.CodeNotFound, pointer: "field"},
	{name: "a field that is no name", method: "GET", path: aSecret + "?reveal=true&field=%2e%2e", code: api.CodeBadRequest, pointer: "field"},
	{name: "values of the future", method: "GET", path: aSecret + "?reveal=true&min_revision=999", code: api.CodeRevisionInFuture, pointer: "min_revision"},
	{name: "values of the past", method: "GET", path: aSecret + "?reveal=true&at=1", code: api.CodeBadRequest, pointer: "at"},
	{name: "values if they changed", method: "GET", path: aSecret + "?reveal=true", headers: []string{"If-None-Match", `"r1"`}, code: api.CodeBadRequest, pointer: "If-None-Match"},
	{name: "values if there are none", method: "GET", path: aSecret + "?reveal=true", headers: []string{"If-None-Match", "*"}, code: api.CodeBadRequest, pointer: "If-None-Match"},
	{name: "values in no format", method: "GET", path: aSecret + "?reveal=true&format=xml", code: api.CodeBadRequest, pointer: "format"},
	{name: "a revealed document of the past", method: "GET", path: "/environments/base/configs/p?reveal=true&at=1", code: api.CodeBadRequest, pointer: "at"},
	{name: "a revealed document of now", method: "GET", path: "/environments/base/configs/p?reveal=true&at=", code: api.CodeBadRequest, pointer: "at"},
	{name: "a revealed explanation", method: "GET", path: "/environments/base/configs/p?reveal=true&explain=true", code: api.CodeBadRequest, pointer: "explain"},
	{name: "a revealed document if it changed", method: "GET", path: "/environments/base/configs/p?reveal=true", headers: []string{"If-None-Match", `"x"`}, code: api.CodeBadRequest, pointer: "If-None-Match"},
	{name: "a revealed layer", method: "GET", path: "/environments/base/layers/p?reveal=true", code: api.CodeBadRequest, pointer: "reveal"},
	{name: "a revealed list", method: "GET", path: "/environments/base/secrets?reveal=true", code: api.CodeBadRequest, pointer: "reveal"},
	{name: "a revealed history", method: "GET", path: "/environments/base/secret-history/p?reveal=true", code: api.CodeBadRequest, pointer: "reveal"},
	{name: "a revealed bundle of the past", method: "GET", path: "/environments/base/bundle?reveal=true&at=1", code: api.CodeBadRequest, pointer: "at"},
	{name: "an explained bundle", method: "GET", path: "/environments/base/bundle?explain=true", code: api.CodeBadRequest, pointer: "explain"},
	{name: "a revealed watch", method: "GET", path: "/environments/base/watch?reveal=true", code: api.CodeBadRequest, pointer: "reveal"},
	{name: "a watch that is not to reveal", method: "GET", path: "/environments/base/watch?reveal=false", code: api.CodeBadRequest, pointer: "reveal"},

	{name: "a label without a name", method: "GET", path: "/environments/base/secrets?label==x", code: api.CodeBadRequest, pointer: "label"},
	{name: "a label twice", method: "GET", path: "/environments/base/secrets?label=a=1&label=a=2", code: api.CodeBadRequest, pointer: "label"},
	{name: "too many labels", method: "GET", path: "/environments/base/secrets?" + strings.Repeat("label=a&", 32) + "label=a", code: api.CodeTooLarge, pointer: "label", limit: 32, actual: 33},
	{name: "a bad prefix of secrets", method: "GET", path: "/environments/base/secrets?prefix=../a", code: api.CodeInvalidPath, pointer: "prefix"},
	{name: "a comparison of nothing", method: "GET", path: "/environments/base/secret-diff/p", code: api.CodeBadRequest, pointer: "from"},
	{name: "a comparison of version 0", method: "GET", path: "/environments/base/secret-diff/p?from=0", code: api.CodeBadRequest, pointer: "from"},
	{name: "a comparison of version 01", method: "GET", path: "/environments/base/secret-diff/p?from=1&to=01", code: api.CodeBadRequest, pointer: "to"},
	{name: "a comparison with no version", method: "GET", path: "/environments/base/secret-diff/p?from=1&to=9", code: api.CodeNotFound},
	{name: "an activation of nothing", method: "POST", path: "/environments/base/secret-activate/p", code: api.CodeNotFound, pointer: "/version"},
	{name: "an activation with two graces", method: "POST", path: "/environments/base/secret-activate/p", body: `{"version":1,"now":true,"grace_seconds":5}`, code: api.CodeBadRequest, pointer: "/grace_seconds"},
	{name: "a precondition of a step", method: "POST", path: "/environments/base/secret-revoke/p", body: `{"version":1}`, headers: []string{"If-Match", `"r1"`}, code: api.CodeBadRequest, pointer: "If-Match"},
	{name: "a revocation of nothing", method: "POST", path: "/environments/base/secret-revoke/p", code: api.CodeNotFound, pointer: "/version"},
	{name: "a rotation without a generator", method: "POST", path: "/environments/base/secret-rotate/p", code: api.CodeBadRequest},
	{name: "an undeletion of what is there", method: "POST", path: "/environments/base/secret-undelete/none", code: api.CodeNotFound},
	{name: "a destruction of nothing", method: "POST", path: "/environments/base/secret-destroy/p", body: `{}`, code: api.CodeBadRequest, pointer: "/versions"},
	{name: "a destruction of what is in use", method: "POST", path: "/environments/base/secret-destroy/p", body: `{"versions":[1]}`, code: api.CodeInUse},
	{name: "a destruction of all that is in use", method: "POST", path: "/environments/base/secret-destroy/p", body: `{"all":true}`, code: api.CodeInUse, pointer: "/all"},

	{name: "an ack of nobody", method: "POST", path: "/environments/base/acks", body: `{"client":"","revision":1}`, code: api.CodeBadRequest, pointer: "/client"},
	{name: "an ack of the future", method: "POST", path: "/environments/base/acks", body: `{"client":"x","revision":999}`, code: api.CodeRevisionInFuture, pointer: "/revision"},
	{name: "an ack of a bad path", method: "POST", path: "/environments/base/acks", body: `{"client":"x","revision":1,"secrets":{"../p":1}}`, code: api.CodeInvalidPath, pointer: "/secrets"},
	{name: "an ack of what was not given", method: "POST", path: "/environments/base/acks", body: `{"client":"x","revision":1,"secrets":{"p":7}}`, code: api.CodeBadRequest, pointer: "/secrets/p"},
	{name: "a retirement of version 0", method: "POST", path: "/keys/retire", body: `{"version":0}`, code: api.CodeBadRequest, pointer: "/version"},
	{name: "a retirement of a huge version", method: "POST", path: "/keys/retire", body: `{"version":4294967296}`, code: api.CodeBadRequest},
	{name: "a successor of no token", method: "POST", path: "/tokens/none/rotate", body: `{}`, code: api.CodeNotFound},
	{name: "a successor for ever", method: "POST", path: "/tokens/none/rotate", body: `{"ttl_seconds":0}`, code: api.CodeBadRequest, pointer: "/ttl_seconds"},
}

// Bad input is refused by a clear problem document, and changes nothing.
func TestBadInput(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "p", `{"x":1}`)
	n.put(t, "base", "r", `{"b":"${config:p}"}`)
	n.setSecret(t, "base", "p", strong)
	n.put(t, "base", "s", `{"x":"${secret:p}"}`)
	before := n.state(t)
	cases := slices.Concat(badElsewhere, badSecrets)
	for _, c := range badDocuments {
		c.method, c.path = "PUT", "/environments/base/layers/p"
		cases = append(cases, c)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := n.call(t, c.method, "/api/v1/tenants/"+n.name+c.path, c.body, c.headers...)
			p := got.refused(t, c.code)
			switch {
			case len(got.body) > 4<<10:
				t.Errorf("the refusal has %d bytes", len(got.body))
			case c.pointer != "" && p.Pointer != c.pointer:
				t.Errorf("the pointer is %q, want %q: %+v", p.Pointer, c.pointer, p)
			case p.Limit != c.limit || c.actual != 0 && p.Actual != c.actual || c.limit != 0 && p.Actual <= p.Limit:
				t.Errorf("limit %d and actual %d, want %d and %d: %+v", p.Limit, p.Actual, c.limit, c.actual, p)
			case p.Next == "" && p.Limit == 0 && p.Pointer == "" && !strings.HasPrefix(p.Detail, "line ") && c.code != api.CodeInvalidName && c.code != api.CodeInvalidTree:
				t.Errorf("neither where it is nor a next step: %+v", p)
			}
			if after := n.state(t); after != before {
				t.Errorf("something changed (-before +after)\n%s", cmp.Diff(before, after))
			}
		})
	}
}
