package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// documented validates text by a part of docs/audit-schema.json.
func documented(t *testing.T, part string) func(text []byte) error {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "audit-schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///audit-schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("file:///audit-schema.json" + part)
	if err != nil {
		t.Fatal(err)
	}
	return func(text []byte) error {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
}

func TestRecordsAreAsDocumented(t *testing.T) {
	validate := documented(t, "#/$defs/record")
	text := rapid.OneOf(rapid.Just(""), rapid.String())
	id := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[0-9a-f]{32}`))
	var names []string
	for _, e := range Events {
		names = append(names, e.Name)
	}
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Time:  time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")),
			Event: rapid.SampledFrom(names).Draw(t, "event"), Actor: text.Draw(t, "actor"), Tenant: id.Draw(t, "tenant"), Resource: text.Draw(t, "resource"),
			Resources: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "resources"), Action: text.Draw(t, "action"),
			Outcome: rapid.SampledFrom([]Outcome{Success, Denied, Failed}).Draw(t, "outcome"), Reason: text.Draw(t, "reason"),
			Revision: rapid.Int64Range(0, maxSequence).Draw(t, "revision"), RequestID: text.Draw(t, "request"), Session: text.Draw(t, "session"),
			Source: text.Draw(t, "source"), TraceID: id.Draw(t, "trace"), UserAgent: text.Draw(t, "agent"),
			Details: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "details"),
		}
		if err := validate(r.Canonical()); err != nil {
			t.Fatalf("%s: %v", r.Canonical(), err)
		}
	})
}

func TestLinesAreAsDocumented(t *testing.T) {
	validate := documented(t, "")
	key, stub := testKey(t, 1), Stub{First: 1, Last: 5, Hash: [32]byte{7}}
	r := full
	r.Tenant = strings.Repeat("0a", 16)
	link := Head{5, stub.Hash}.Next(r.Canonical())
	var lines [][]byte
	for _, export := range []string{
		exportOf(t, Head{}, false, func(e *Exporter) error {
			for _, err := range []error{e.Stub(stub), e.Link(link), e.Checkpoint(sign(t, testCheckpoint, key, testKey(t, 2)))} {
				if err != nil {
					return err
				}
			}
			return e.End()
		}),
		exportOf(t, link.Head(), true, (*Exporter).End),
	} {
		lines = append(lines, slices.Collect(bytes.Lines([]byte(export)))...)
	}
	if len(lines) != 7 {
		t.Fatalf("there are %d lines", len(lines))
	}
	for _, line := range lines {
		if err := validate(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	header, disposed, record, checkpoint, end, filtered := string(lines[0]), string(lines[1]), string(lines[2]), string(lines[3]), string(lines[4]), string(lines[5])
	for _, c := range []struct{ line, old, by string }{
		{header, Format, "llm-config-audit/2"},
		{header, `"chain":"`, `"chain":" `},
		{header, `,"format"`, `,"filtered":false,"format"`},
		{header, `"sequence":0`, `"sequence":-1`},
		{header, zeroes, zeroes[1:]},
		{filtered, `{"chain"`, `{"a":1,"chain"`},
		{disposed, `"first":1`, `"first":0`},
		{disposed, `,"last":5`, ``},
		{disposed, `"last":5`, `"last":"5"`},
		{record, `"sequence":6`, `"sequence":0`},
		{record, `"sequence":6`, `"sequence":6.5`},
		{record, `"sequence":6`, `"sequence":9007199254740992`},
		{record, `{"hash":"`, `{"hash":"0`},
		{record, `"schema":1`, `"schema":2`},
		{record, `"schema":1,`, ``},
		{record, `"outcome":"success"`, `"outcome":"perhaps"`},
		{record, `"event":"config.change",`, ``},
		{record, `"event":"config.change"`, `"event":"config change"`},
		{record, `05.000000060Z`, `05Z`},
		{record, `060Z`, `060+00:00`},
		{record, `"base":"4f"`, `"base":4`},
		{record, `"revision":42`, `"revision":0`},
		{record, `"tenant":"0a`, `"tenant":"0A`},
		{record, `"action":"config.write"`, `"action":""`},
		{record, `"schema":1,`, `"schema":1,"value":"x",`},
		{checkpoint, `\n42\n`, `\n042\n`},
		{checkpoint, `\ntime `, `\n`},
		{checkpoint, `\n\n`, `\n`},
		{checkpoint, `— `, `- `},
		{checkpoint, `\n"}`, `"}`},
		{end, `{"end"`, `{"fin"`},
		{end, `,"sequence":6`, ``},
	} {
		spoiled := strings.Replace(c.line, c.old, c.by, 1)
		if spoiled == c.line {
			t.Fatalf("%s is not in %s", c.old, c.line)
		}
		if err := validate([]byte(spoiled)); err == nil {
			t.Errorf("this is allowed: %s", spoiled)
		}
	}
}

func TestDisposalsAreAsDocumented(t *testing.T) {
	validate := documented(t, "#/$defs/disposal")
	text := func(details map[string]string) []byte {
		b, err := json.Marshal(details)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	details := func() map[string]string {
		return testStub.DisposeDetails(disposal(t, testStub, testKey(t, 1), testKey(t, 2)))
	}
	if err := validate(text(details())); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ name, old, by string }{
		{"first", "5", "05"}, {"last", "4096", ""}, {"from", "01", "1"}, {"hash", "02", "0A"},
		{"note", "disposed", "disposes"}, {"note", " 5 ", " 0 "}, {"note", "AAA=", "AAB="}, {"note", "/server", "/other"}, {"note", "Z\n", "\n"}, {"note", "— llm", "— lm"},
	} {
		spoiled := details()
		whole := spoiled[c.name]
		if spoiled[c.name] = strings.Replace(whole, c.old, c.by, 1); spoiled[c.name] == whole {
			t.Fatalf("%s is not in %s", c.old, whole)
		}
		if validate(text(spoiled)) == nil {
			t.Errorf("this is allowed: %s", spoiled)
		}
	}
}
