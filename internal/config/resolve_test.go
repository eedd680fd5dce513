package config

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// library is merged documents by path, as JSON.
type library map[string]string

func (l library) merged(t testing.TB) func(Path) Document {
	t.Helper()
	docs := map[Path]Document{}
	for path, text := range l {
		docs[MustPath(path)] = mustJSON(t, text)
	}
	return func(path Path) Document { return docs[path] }
}

// resolves checks what the document "doc" comes to.
func (l library) resolves(t testing.TB, want string) Effective {
	t.Helper()
	effective, err := Resolve(MustPath("doc"), l.merged(t), MaxDocumentBytes)
	if err != nil {
		t.Errorf("%v: %v", l, err)
	} else if diff := cmp.Diff(want, string(effective.Document.Canonical())); diff != "" {
		t.Errorf("%v (-want +got)\n%s", l, diff)
	}
	return effective
}

// refuses checks how the document "doc" is refused.
func (l library) refuses(t testing.TB, kind Kind, pointer, message string) *Error {
	t.Helper()
	effective, err := Resolve(MustPath("doc"), l.merged(t), MaxDocumentBytes)
	var e *Error
	switch {
	case !errors.As(err, &e):
		t.Fatalf("%.200v: got %.200s, %v", l, effective.Document.Canonical(), err)
	case e.Kind != kind || e.Pointer != pointer || !strings.Contains(e.Message, message) || e.Next == "":
		t.Errorf("%.200v: got %s at %.100q: %.200s; %s", l, e.Kind, e.Pointer, e.Message, e.Next)
	case effective.Document.Exists() || effective.Targets != nil:
		t.Errorf("%.200v: it is refused and answered", l)
	}
	return e
}

func TestResolve(t *testing.T) {
	for name, c := range map[string]struct {
		docs library
		want string
	}{
		"nothing to resolve": {library{"doc": `{"a":[1,null,"${env:X}"],"b":{}}`}, `{"a":[1,null,"${env:X}"],"b":{}}`},
		"types are kept": {
			library{"doc": `{"n":"${config:t#/n}","b":"${config:t#/b}","s":"${config:t#/s}","a":"${config:t#/a}","o":"${config:t#/o}"}`, "t": `{"n":1.5,"b":true,"s":"1","a":[1,[null]],"o":{"x":{}}}`},
			`{"a":[1,[null]],"b":true,"n":1.5,"o":{"x":{}},"s":"1"}`,
		},
		"whole documents":      {library{"doc": `{"a":"${config:t}","b":"${config:t#}"}`, "t": `{"x":1}`}, `{"a":{"x":1},"b":{"x":1}}`},
		"within texts":         {library{"doc": `{"a":"<${config:t#/n}|${config:t#/b}|${config:t#/s}>"}`, "t": `{"n":1e-7,"b":false,"s":"x\"y"}`}, `{"a":"<1e-7|false|x\"y>"}`},
		"two make a text":      {library{"doc": `{"a":"${config:t#/n}${config:t#/n}"}`, "t": `{"n":1}`}, `{"a":"11"}`},
		"a blank makes a text": {library{"doc": `{"a":"${config:t#/n} "}`, "t": `{"n":1}`}, `{"a":"1 "}`},
		"in arrays":            {library{"doc": `{"a":["${config:t#/a}",{"b":"${config:t#/a/1}"}]}`, "t": `{"a":[1,"z"]}`}, `{"a":[[1,"z"],{"b":"z"}]}`},
		"null in an array":     {library{"doc": `{"a":["${config:t#/a/0}","${config:t#/a/1}"]}`, "t": `{"a":[null,{"b":null}]}`}, `{"a":[null,{"b":null}]}`},
		"names are no texts":   {library{"doc": `{"${config:t}":1}`}, `{"${config:t}":1}`},
		"itself":               {library{"doc": `{"a":{"x":1,"y":"${config:doc#/a/x}"},"b":"${config:doc#/a}"}`}, `{"a":{"x":1,"y":1},"b":{"x":1,"y":1}}`},
		"a chain":              {library{"doc": `{"a":"${config:b#/x}"}`, "b": `{"x":"[${config:c#/x}]"}`, "c": `{"x":"${config:d#/x}"}`, "d": `{"x":7}`}, `{"a":"[7]"}`},
		"odd names":            {library{"doc": `{"a":"${config:t#/a~1b/~0/}"}`, "t": `{"a/b":{"~":{"":5}}}`}, `{"a":5}`},
		"escapes":              {library{"doc": `{"a":"$${config:t}","b":"$$${config:t}"}`}, `{"a":"${config:t}","b":"$${config:t}"}`},
		"what others escaped":  {library{"doc": `{"a":"${config:t#/a}","b":"<${config:t#/a}>"}`, "t": `{"a":"$${config:doc}"}`}, `{"a":"${config:doc}","b":"<${config:doc}>"}`},

		// A pointer that leads through references.
		"through a reference":       {library{"doc": `{"a":"${config:b#/x/y/0}"}`, "b": `{"x":"${config:c#/z}"}`, "c": `{"z":{"y":[3]}}`}, `{"a":3}`},
		"through several":           {library{"doc": `{"a":"${config:b#/x/y/z}"}`, "b": `{"x":"${config:c}"}`, "c": `{"y":"${config:d#/o}"}`, "d": `{"o":{"z":4}}`}, `{"a":4}`},
		"to what others escaped":    {library{"doc": `{"a":"${config:b#/x/y}"}`, "b": `{"x":"${config:c}"}`, "c": `{"y":"$${config:none}"}`}, `{"a":"${config:none}"}`},
		"past what does not matter": {library{"doc": `{"a":"${config:b#/x/y}"}`, "b": `{"x":"${config:c}"}`, "c": `{"y":1,"z":"${config:none}","r":"${config:doc}"}`}, `{"a":1}`},

		// Secrets are for later, byte for byte.
		"secrets":                  {library{"doc": `{"a":"${secret:s#value}","b":"$${secret:s}","c":"x${secret:s#value}$${secret:s}"}`}, `{"a":"${secret:s#value}","b":"$${secret:s}","c":"x${secret:s#value}$${secret:s}"}`},
		"secrets beside documents": {library{"doc": `{"a":"${secret:s#value} ${config:t#/n} $${secret:s} $$${secret:s}"}`, "t": `{"n":1}`}, `{"a":"${secret:s#value} 1 $${secret:s} $$${secret:s}"}`},
		"secrets of others":        {library{"doc": `{"a":"${config:t#/s}","b":"Bearer ${config:t#/s} ${config:t#/e}"}`, "t": `{"s":"${secret:s#value}","e":"$${secret:s}"}`}, `{"a":"${secret:s#value}","b":"Bearer ${secret:s#value} $${secret:s}"}`},
	} {
		t.Run(name, func(t *testing.T) { c.docs.resolves(t, c.want) })
	}
}

func TestResolveOfNothing(t *testing.T) {
	effective, err := Resolve(MustPath("doc"), library{"other": `{}`}.merged(t), MaxDocumentBytes)
	if effective.Document.Exists() || effective.Targets != nil || err != nil {
		t.Errorf("got %+v, %v", effective, err)
	}
}

func TestTargets(t *testing.T) {
	for name, c := range map[string]struct {
		docs library
		want string
	}{
		"none":         {library{"doc": `{"a":"$${config:b}","s":"${secret:b}"}`}, "[]"},
		"the first":    {library{"doc": `{"b":["${config:t}"],"a":{"x":"${config:t}","y":"${config:t#/n}"}}`, "t": `{"n":1}`}, "[{/a/x t}]"},
		"a chain":      {library{"doc": `{"k":{"l/m":"x${config:b#/x}"}}`, "b": `{"x":"${config:c#/x}"}`, "c": `{"x":1}`}, "[{/k/l~1m b} {/k/l~1m c}]"},
		"on the way":   {library{"doc": `{"a":"${config:b#/x/y}"}`, "b": `{"x":"${config:c}"}`, "c": `{"y":1,"z":"${config:d}"}`, "d": `{}`}, "[{/a b} {/a c}]"},
		"only members": {library{"doc": `{"a":"${config:b#/x}"}`, "b": `{"x":1,"y":"${config:c}"}`, "c": `{}`}, "[{/a b}]"},
		"itself":       {library{"doc": `{"a":1,"b":"${config:doc#/a}"}`}, "[{/b doc}]"},
	} {
		effective, err := Resolve(MustPath("doc"), c.docs.merged(t), MaxDocumentBytes)
		if got := fmt.Sprint(effective.Targets); got != c.want || err != nil {
			t.Errorf("%s: want %s, got %s, %v", name, c.want, got, err)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	const nothing = "refers to nothing in this environment"
	for name, c := range map[string]struct {
		docs             library
		pointer, message string
	}{
		"no such document":       {library{"doc": `{"a":{"b/c":["${config:none}"]}}`}, "/a/b~1c/0", "${config:none} " + nothing},
		"no such member":         {library{"doc": `{"a":"${config:t#/x}"}`, "t": `{"y":1}`}, "/a", "${config:t#/x} " + nothing},
		"no such element":        {library{"doc": `{"a":"${config:t#/x/1}"}`, "t": `{"x":[0]}`}, "/a", nothing},
		"an index with a zero":   {library{"doc": `{"a":"${config:t#/x/00}"}`, "t": `{"x":[0]}`}, "/a", nothing},
		"an index from the end":  {library{"doc": `{"a":"${config:t#/x/-1}"}`, "t": `{"x":[0]}`}, "/a", nothing},
		"below a scalar":         {library{"doc": `{"a":"${config:t#/x/y}"}`, "t": `{"x":"y"}`}, "/a", nothing},
		"below a text":           {library{"doc": `{"a":"${config:t#/x/y}"}`, "t": `{"x":"a${config:u}"}`, "u": `{"y":1}`}, "/a", nothing},
		"below an escape":        {library{"doc": `{"a":"${config:t#/x/y}"}`, "t": `{"x":"$${config:u}"}`, "u": `{"y":1}`}, "/a", nothing},
		"missing further on":     {library{"doc": `{"a":"${config:t#/x}"}`, "t": `{"x":"${config:private#/member}"}`}, "/a", "${config:t#/x} leads to a reference that " + nothing},
		"missing on the way":     {library{"doc": `{"a":"${config:t#/x/y}"}`, "t": `{"x":"${config:private}"}`}, "/a", "${config:t#/x/y} leads to a reference that " + nothing},
		"missing within a text":  {library{"doc": `{"a":"x ${config:t}"}`, "t": `{"b":["${config:private}"]}`}, "/a", "${config:t} leads to a reference that " + nothing},
		"an object in a text":    {library{"doc": `{"a":["x ${config:t}"]}`, "t": `{}`}, "/a/0", "${config:t} is no text, number or boolean"},
		"an array in a text":     {library{"doc": `{"a":"x ${config:t#/a}"}`, "t": `{"a":[]}`}, "/a", "is no text, number or boolean"},
		"null in a text":         {library{"doc": `{"a":"x ${config:t#/a/0}"}`, "t": `{"a":[null]}`}, "/a", "is no text, number or boolean"},
		"an object further on":   {library{"doc": `{"a":"${config:t#/x}"}`, "t": `{"x":"x ${config:private#/o}"}`, "private": `{"o":{}}`}, "/a", "${config:t#/x} is no text"},
		"null as a member":       {library{"doc": `{"a":{"b":"${config:t#/a/0}"}}`, "t": `{"a":[null]}`}, "/a/b", "leads to null"},
		"null in a member":       {library{"doc": `{"a":"${config:t#/a/0}"}`, "t": `{"a":[{"b":{"c":null}}]}`}, "/a", "leads to null"},
		"null from further on":   {library{"doc": `{"a":"${config:t}"}`, "t": `{"b":{"c":"${config:u#/a/0}"}}`, "u": `{"a":[null]}`}, "/a", "${config:t} leads to null"},
		"an own unclosed one":    {library{"doc": `{"a":["${config:t"]}`}, "/a/0", "not closed"},
		"an unclosed further on": {library{"doc": `{"a":"${config:t}"}`, "t": `{"b":"${config:hunter2"}`}, "/a", "not closed"},
		"an unclosed on the way": {library{"doc": `{"a":"${config:t#/b/c}"}`, "t": `{"b":"${config:hunter2"}`}, "/a", "not closed"},
		"the first of several":   {library{"doc": `{"c":"${config:none}","a":"x","b":["${config:none}","${config:none}"]}`}, "/b/0", nothing},
	} {
		t.Run(name, func(t *testing.T) {
			e := c.docs.refuses(t, KindInvalidReference, c.pointer, c.message)
			if text := e.Message + e.Next; strings.Contains(text, "private") || strings.Contains(text, "hunter2") {
				t.Errorf("it quotes a document that was not asked for: %s", text)
			}
		})
	}
}

func TestResolveRefusesCircles(t *testing.T) {
	for name, c := range map[string]struct {
		docs    library
		pointer string
	}{
		"itself":                  {library{"doc": `{"a":"${config:doc}"}`}, "/a"},
		"its own place":           {library{"doc": `{"a":"${config:doc#/a}"}`}, "/a"},
		"its own place in a text": {library{"doc": `{"a":"x${config:doc#/a}"}`}, "/a"},
		"what it stands in":       {library{"doc": `{"a":{"b":[0,"${config:doc#/a}"]}}`}, "/a/b/1"},
		"two places":              {library{"doc": `{"a":"${config:doc#/b}","b":"${config:doc#/a}"}`}, "/a"},
		"two documents":           {library{"doc": `{"a":"${config:b#/x}"}`, "b": `{"x":"${config:doc#/a}"}`}, "/a"},
		"three documents":         {library{"doc": `{"a":"${config:b}"}`, "b": `{"x":"${config:c}"}`, "c": `{"x":"${config:doc}"}`}, "/a"},
		"others, further on":      {library{"doc": `{"a":"${config:b#/x}"}`, "b": `{"x":"${config:c#/x}"}`, "c": `{"x":"${config:d#/x}"}`, "d": `{"x":"${config:c#/x}"}`}, "/a"},
		"through a reference":     {library{"doc": `{"a":"${config:b#/x/x}"}`, "b": `{"x":"${config:c}"}`, "c": `{"x":"${config:b#/x/x}"}`}, "/a"},
		"the way to itself":       {library{"doc": `{"a":"${config:b#/x/x}"}`, "b": `{"x":"${config:b}"}`}, "/a"},
		"second of several":       {library{"doc": `{"a":"${config:b#/x}","b":["${config:b#/y}"]}`, "b": `{"x":1,"y":{"z":"${config:b}"}}`}, "/b/0"},
	} {
		t.Run(name, func(t *testing.T) { c.docs.refuses(t, KindInvalidReference, c.pointer, "leads back to itself") })
	}
	// The way grows longer on every round, so no place is ever come to twice.
	library{"doc": `{"a":"${config:doc#/a/a}"}`}.refuses(t, KindInvalidReference, "/a", "too far")
	library{"doc": `{"a":"${config:b#/x/y}"}`, "b": `{"x":"${config:b#/x/z}"}`}.refuses(t, KindInvalidReference, "/a", "too far")
}

func TestReferenceDepth(t *testing.T) {
	chain := func(length int) library {
		docs := library{"doc": `{"a":"${config:d1#/x}"}`, fmt.Sprintf("d%d", length): `{"x":{"y":1}}`}
		for i := 1; i < length; i++ {
			docs[fmt.Sprintf("d%d", i)] = fmt.Sprintf(`{"x":"${config:d%d#/x}"}`, i+1)
		}
		return docs
	}
	chain(8).resolves(t, `{"a":{"y":1}}`)
	e := chain(9).refuses(t, KindInvalidReference, "/a", "${config:d1#/x} leads on too far")
	if e.Limit != 8 || e.Actual != 9 {
		t.Errorf("got the limit %d and the figure %d", e.Limit, e.Actual)
	}
	for length, docs := range map[int]library{8: chain(8), 9: chain(9)} {
		docs["doc"] = `{"a":"${config:d1#/x/y}"}` // the same way, with something to find at its end
		if length == 8 {
			docs.resolves(t, `{"a":1}`)
		} else {
			docs.refuses(t, KindInvalidReference, "/a", "too far")
		}
	}
	// One after the other is not one through the other.
	library{"doc": `{"a":["${config:t#/0}","${config:t#/1}","${config:t#/2}","${config:t#/3}","${config:t#/4}","${config:t#/5}","${config:t#/6}","${config:t#/7}","${config:t#/8}"]}`,
		"t": `{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0}`}.resolves(t, `{"a":[0,0,0,0,0,0,0,0,0]}`)
}

// Whoever may write one text, but not refer to a secret, must not be able to
// put a reference to it together, nor to make text of one.
func TestReferencesToSecretsAreNotPutTogether(t *testing.T) {
	const message = "would read as a reference to a secret"
	others := library{"t": `{"d":"$","o":"${","s":"${secret:s}","h":"${sec","e":"$${secret:s}","w":"secret:s}","empty":""}`}
	for _, text := range []string{
		"${config:t#/d}{secret:s}", "${config:t#/o}secret:s}", "${config:t#/h}ret:s}", "${${config:t#/w}",
		"${config:t#/o}${config:t#/w}", "${config:t#/d}${config:t#/empty}{${config:t#/w}", "${config:t#/d}${config:t#/s}", "${config:t#/d}{secret:s",
	} {
		docs := library{"doc": fmt.Sprintf(`{"a":["$ %s"]}`, text), "t": others["t"]}
		docs.refuses(t, KindInvalidReference, "/a/0", message)
	}
	for text, want := range map[string]string{
		"${config:t#/s}${config:t#/s}":    "${secret:s}${secret:s}",
		"$ ${config:t#/s}":                "$ ${secret:s}",
		"${config:t#/d}${config:t#/e}":    "$$${secret:s}",
		"${config:t#/d}${config:t#/w}":    "$secret:s}",
		"${config:t#/d} {secret:s}":       "$ {secret:s}",
		"${config:t#/o}${secret:s}":       "${${secret:s}",
		"{secret:s}${config:t#/d}":        "{secret:s}$",
		"$${config:t#/s} ${config:t#/d}!": "${config:t#/s} $!",
	} {
		library{"doc": fmt.Sprintf(`{"a":%q}`, text), "t": others["t"]}.resolves(t, fmt.Sprintf(`{"a":%q}`, want))
	}
}

// weigh answers how many bytes were allocated meanwhile.
func weigh(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A few bytes that would come to gigabytes are refused before they do.
func TestResolveIsBounded(t *testing.T) {
	list := func(text string, n int) string { return "[" + strings.Repeat(`"`+text+`",`, n-1) + `"` + text + `"]` }
	object := func(name, value string) string { return fmt.Sprintf(`{%q:%s}`, name, value) }
	laughs := func(bottom string, repeated func(target string) string) library {
		docs := library{"l7": bottom}
		for i := range 7 {
			docs[fmt.Sprintf("l%d", i)] = object("x", repeated(fmt.Sprintf("${config:l%d#/x}", i+1)))
		}
		docs["doc"] = docs["l0"]
		return docs
	}
	long := strings.Repeat("n", MaxDocumentBytes/2)
	for name, docs := range map[string]library{
		"arrays":               laughs(`{"x":"ha"}`, func(target string) string { return list(target, 20) }),
		"empty texts":          laughs(`{"x":""}`, func(target string) string { return list(target, 20) }),
		"empty objects":        laughs(`{"x":{}}`, func(target string) string { return list(target, 20) }),
		"nulls":                laughs(`{"x":[null]}`, func(target string) string { return list(target, 20) }),
		"texts":                laughs(`{"x":"ha"}`, func(target string) string { return `"` + strings.Repeat(target, 20) + `"` }),
		"empty texts in texts": laughs(`{"x":""}`, func(target string) string { return `"` + strings.Repeat(target, 20) + `"` }),
		"long texts":           {"doc": object("x", list("${config:t#/x}", 10_000)), "t": object("x", `"`+long+`"`)},
		"long names":           {"doc": object("x", list("${config:t}", 10_000)), "t": object(long, "1")},
		"long pointers":        {"doc": object("x", list("${config:t#/x}", 10_000)), "t": object("x", `"${config:u#/`+long+`}"`), "u": object(long, `""`)},
		"long ways":            {"doc": object("x", list("${config:t#/x/"+long[:100]+"}", 8_000)), "t": object("x", `"${config:u#/`+long[:MaxDocumentBytes/4]+`}"`), "u": object(long[:MaxDocumentBytes/4], object(long[:100], `""`))},
		"under long names":     {"doc": object(long, list("${config:t}", 10_000)), "t": object(long, "1")},
	} {
		t.Run(name, func(t *testing.T) {
			merged := docs.merged(t)
			var err error
			weight := weigh(func() { _, err = Resolve(MustPath("doc"), merged, MaxDocumentBytes) })
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindTooLarge || e.Limit == 0 || e.Actual <= e.Limit || e.Pointer == "" || e.Next == "" {
				t.Errorf("got %.300v", err)
			}
			if weight > 200<<20 {
				t.Errorf("%d MiB were allocated", weight>>20)
			}
		})
	}
}

func TestTargetsAreBounded(t *testing.T) {
	var references []string
	for i := range 10_000 {
		references = append(references, fmt.Sprintf(`"${config:t/%d#/n}"`, i))
	}
	doc := mustJSON(t, `{"`+strings.Repeat("x", MaxDocumentBytes/2)+`":[`+strings.Join(references, ",")+`]}`)
	target := mustJSON(t, `{"n":1}`)
	merged := func(path Path) Document {
		if path == MustPath("doc") {
			return doc
		}
		return target
	}
	var err error
	weight := weigh(func() { _, err = Resolve(MustPath("doc"), merged, MaxDocumentBytes) })
	if KindOf(err) != KindTooLarge || weight > 200<<20 {
		t.Errorf("%d MiB were allocated: %.100v", weight>>20, err)
	}
}

// Of an effective document the same is refused as of one that is written.
func TestResolveRefusesWhatNobodyCouldRead(t *testing.T) {
	nested := func(depth int, innermost string) string {
		return strings.Repeat(`{"a":`, depth) + innermost + strings.Repeat("}", depth)
	}
	bounds := func(err error) (limit, actual int64) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindTooLarge || e.Next == "" {
			t.Fatalf("got %v", err)
		}
		return e.Limit, e.Actual
	}
	t.Run("depth", func(t *testing.T) {
		deep := library{"doc": nested(32, `"${config:t}"`), "t": nested(32, "1")}
		deep.resolves(t, nested(64, "1"))
		deep["t"] = nested(33, "1")
		_, err := Resolve(MustPath("doc"), deep.merged(t), MaxDocumentBytes)
		if limit, actual := bounds(err); limit != MaxNesting || actual != 65 {
			t.Errorf("got %d over %d", actual, limit)
		}
	})
	t.Run("values", func(t *testing.T) {
		half := strings.Repeat("1,", MaxValues/2)
		layers := []Document{mustJSON(t, `{"a":[`+half+`1]}`), mustJSON(t, `{"b":[`+half+`1]}`)}
		_, err := Resolve(MustPath("doc"), func(Path) Document { return Merge(layers) }, MaxDocumentBytes)
		if limit, actual := bounds(err); limit != MaxValues || actual != MaxValues+5 {
			t.Errorf("got %d over %d", actual, limit)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		for name, docs := range map[string]library{
			"plain":      {"doc": `{"a":"` + strings.Repeat("x", 92) + `"}`},
			"references": {"doc": `{"a":"${config:t#/x}"}`, "t": `{"x":"` + strings.Repeat("x", 92) + `"}`},
			"escaped":    {"doc": `{"a":"${config:t#/x}"}`, "t": `{"x":"` + strings.Repeat(`\"`, 46) + `"}`},
		} {
			if _, err := Resolve(MustPath("doc"), docs.merged(t), 100); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			_, err := Resolve(MustPath("doc"), docs.merged(t), 99)
			if limit, actual := bounds(err); limit != 99 || actual != 100 {
				t.Errorf("%s: got %d over %d", name, actual, limit)
			}
		}
	})
}

// A document is not refused for what it takes to make it, where the result is
// within its bounds.
func TestResolveOfManyReferences(t *testing.T) {
	text := strings.Repeat("${config:t#/s}", 300)
	docs := library{"doc": `{"a":"` + text + `"}`, "t": `{"s":"` + strings.Repeat("x", 100) + `"}`}
	want := `{"a":"` + strings.Repeat("x", 30_000) + `"}`
	effective, err := Resolve(MustPath("doc"), docs.merged(t), len(want))
	if err != nil || string(effective.Document.Canonical()) != want {
		t.Errorf("got %d bytes, %v", len(effective.Document.Canonical()), err)
	}
}
