package audit

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

func TestCanonicalOfAllMembers(t *testing.T) {
	r := Record{
		Time: full.Time, Event: "config.change", Actor: "jwt:ci", Tenant: "0a0b", Resource: "a", Resources: []string{"b", "c\xff"}, Action: "config.write",
		Outcome: Success, Reason: "why", Revision: 7, RequestID: "r", Session: "s", Source: "10.1.2.3", TraceID: "t", UserAgent: "u",
	}
	want := `{"action":"config.write","actor":"jwt:ci","event":"config.change","outcome":"success","reason":"why","request_id":"r","resource":"a",` +
		`"resources":["b","c` + "\ufffd" + `"],"revision":7,"schema":1,"session":"s","source":"10.1.2.3","tenant":"0a0b",` +
		`"time":"2026-11-01T12:04:05.000000060Z","trace_id":"t","user_agent":"u"}`
	if got := string(r.Canonical()); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestCanonicalIsIJSON holds that what callers send can always be read again.
func TestCanonicalIsIJSON(t *testing.T) {
	for text, want := range map[string]string{
		"a\xffb": "a\ufffdb", "\xc3": "\ufffd", "a\ufffeb": "a\ufffdb", "\U0001ffff": "\ufffd", "\ufdd0\xff": "\ufffd\ufffd", "\ufffd": "\ufffd", "é😀": "é😀",
	} {
		r, err := ParseRecord(Record{UserAgent: text}.Canonical())
		if err != nil || r.UserAgent != want {
			t.Errorf("%q: got %q (%v), want %q", text, r.UserAgent, err, want)
		}
	}
	same := Record{Details: map[string]string{"\xff": "second", "\xfe": "first", "a": ""}}
	if got, want := string(same.Canonical()), `"details":{"a":"","`+"\ufffd"+`":"first"},`; !strings.Contains(got, want) {
		t.Errorf("got %s, want in it %s", got, want)
	}
}

// anyText is what members of generated records say: few, so that they meet in
// filters, and some that are odd.
var anyText = rapid.OneOf(rapid.Just(""), rapid.SampledFrom([]string{"a", "b", "\xff", "\"\\\n", "\uffff"}), rapid.String())

func anyRecord(t *rapid.T) Record {
	r := Record{
		Time:  time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC(),
		Event: anyText.Draw(t, "event"), Actor: anyText.Draw(t, "actor"), Tenant: anyText.Draw(t, "tenant"), Resource: anyText.Draw(t, "resource"),
		Action: anyText.Draw(t, "action"), Outcome: Outcome(anyText.Draw(t, "outcome")), Reason: anyText.Draw(t, "reason"),
		Revision: rapid.Int64Range(0, 1<<53-1).Draw(t, "revision"), RequestID: anyText.Draw(t, "request"), Source: anyText.Draw(t, "source"),
		Session: anyText.Draw(t, "session"), TraceID: anyText.Draw(t, "trace"), UserAgent: anyText.Draw(t, "agent"),
	}
	if resources := rapid.SliceOfN(anyText, 0, 4).Draw(t, "resources"); len(resources) > 0 {
		r.Resources = resources
	}
	if details := rapid.MapOfN(anyText, anyText, 0, 12).Draw(t, "details"); len(details) > 0 {
		r.Details = details
	}
	return r
}

// TestParseRecord holds that what is read is what was written, and that it is
// written in the form of RFC 8785.
func TestParseRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		text := r.Canonical()
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if want := canon.Append(nil, object); string(text) != string(want) {
			t.Fatalf("\n got %s\nwant %s", text, want)
		}
		got, err := ParseRecord(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again := got.Canonical(); string(again) != string(text) {
			t.Fatalf("\n got %s\nwant %s", again, text)
		}
		if !got.Time.Equal(r.Time) || got.Revision != r.Revision || got.Event != valid(r.Event) || got.Session != valid(r.Session) ||
			len(got.Resources) != len(r.Resources) || got.TraceID != valid(r.TraceID) {
			t.Fatalf("got %+v, want %+v", got, r)
		}
	})
}

func TestParseRecordReadsWhatItKnows(t *testing.T) {
	got, err := ParseRecord([]byte(`{"event":"secret.read","later":{"more":[1,null]},"schema":1,"time":"2026-11-01T12:04:05.000000060Z"}`))
	if err != nil || got.Event != "secret.read" || !got.Time.Equal(full.Time) || got.Details != nil || got.Resources != nil {
		t.Errorf("got %+v (%v)", got, err)
	}
}

func TestParseRecordRefuses(t *testing.T) {
	const at = `"time":"2026-11-01T12:04:05.000000060Z"`
	for text, want := range map[string]string{
		``:                                   "no audit record",
		`[]`:                                 "not an object",
		`{"schema":1,` + at + `} x`:          "no audit record",
		`{"schema":1,"schema":1,` + at + `}`: "no audit record",
		`{"schema":2,` + at + `}`:            "use a newer one",
		`{` + at + `}`:                       "no schema that there is",
		`{"schema":"1",` + at + `}`:          `"schema" of an audit record is not an integer`,
		`{"schema":1}`:                       `"time" of an audit record is not a time`,
		`{"schema":1,"time":"2026-11-01T12:04:05Z"}`:                           `"time"`,
		`{"schema":1,"time":"2026-11-01T12:04:05.000+01:00"}`:                  `"time"`,
		`{"schema":1,"event":1,` + at + `}`:                                    `"event" of an audit record is not a text`,
		`{"schema":1,"event":null,` + at + `}`:                                 `"event"`,
		`{"schema":1,"resources":"a",` + at + `}`:                              `"resources" of an audit record is not an array of texts`,
		`{"schema":1,"resources":["a",1],` + at + `}`:                          `"resources"`,
		`{"schema":1,"details":{"a":1},` + at + `}`:                            `"details" of an audit record is not an object of texts`,
		`{"schema":1,"revision":1.5,` + at + `}`:                               `"revision"`,
		`{"schema":1,"revision":1e300,` + at + `}`:                             `"revision"`,
		`{"schema":1,` + at + `,"x":"` + strings.Repeat("x", MaxRecord) + `"}`: "too many bytes",
	} {
		_, err := ParseRecord([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: the error is %v, want %q", text, err, want)
		}
	}
}

func TestWeight(t *testing.T) {
	for _, c := range []struct {
		event, count string
		want         int64
	}{
		{"secret.read", "7", 1},
		{"config.reads", "7", 7},
		{"config.reads", "1", 1},
		{"authentication.failures", "7", 6},
		{"authentication.failures", "1", 0},
		{"config.reads", "", 1},
		{"config.reads", "-3", 1},
		{"config.reads", "many", 1},
		{"config.reads", "9000000000000000000", maxWeight},
		{"config.reads", "90000000000000000000", 1},
	} {
		r := Record{Event: c.event, Details: map[string]string{"count": c.count}}
		if got := r.Weight(); got != c.want {
			t.Errorf("%s of %q weighs %d, want %d", c.event, c.count, got, c.want)
		}
	}
}

// FuzzParseRecord holds that what is read is written so that it is read as the same.
func FuzzParseRecord(f *testing.F) {
	f.Add(full.Canonical())
	f.Add([]byte(`{"resources":["a"],"schema":1,"time":"2026-11-01T12:04:05.000000060Z","x":[{}]}`))
	f.Add([]byte(`{"details":{"count":"3"},"schema":1,"time":"0000-01-01T00:00:00.000000000Z"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		written := r.Canonical()
		again, err := ParseRecord(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if string(again.Canonical()) != string(written) || !slices.Equal(again.Resources, r.Resources) || !maps.Equal(again.Details, r.Details) {
			t.Fatalf("%s became %s", written, again.Canonical())
		}
	})
}

// typical is a record such as most are.
var typical = Record{
	Time: full.Time, Event: "secret.read", Actor: "token:01JD8Z0Y8Q4W5E6R7T8Y9U0I1O", Tenant: "0123456789abcdef0123456789abcdef", Action: "secret.read", Outcome: Success,
	Resource: "tenants/0123456789abcdef0123456789abcdef/environments/production/secrets/providers/azure", RequestID: "01JD8Z0Y8Q4W5E6R7T8Y9U0I1O",
	Source: "10.1.2.3", TraceID: "0af7651916cd43dd8448eb211c80319c", UserAgent: "llm-config/1.0", Details: map[string]string{"version": "3"},
}

func BenchmarkCanonical(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		typical.Canonical()
	}
}

func BenchmarkParseRecord(b *testing.B) {
	text := typical.Canonical()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRecord(text); err != nil {
			b.Fatal(err)
		}
	}
}
