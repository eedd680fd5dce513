package secret

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func addition() Addition {
	return Addition{Source: FromSet, Fields: []string{"value"}, Hashes: map[string]string{"value": "ab"}, Author: "jane"}
}

// recordOf makes a record of versions by their states: "retired active staged".
// Grace ends a day after noon.
func recordOf(states string) Record {
	r := Record{Owner: "llm"}
	deleted := strings.HasPrefix(states, "deleted: ")
	for i, state := range strings.Fields(strings.TrimPrefix(states, "deleted: ")) {
		state, expired := strings.CutSuffix(state, "!")
		v := Version{Number: config.Version(i + 1), State: State(state), Source: FromSet, Fields: []string{"value"}, Hashes: map[string]string{"value": "ab"}, Created: noon.Add(-day)}
		switch v.State {
		case Active:
			v.Activated, r.Serves = noon.Add(-day), v.Number
		case Grace:
			v.Activated, v.GraceUntil = noon.Add(-2*day), noon.Add(day)
		case Staged:
		default:
			v.Ended = noon.Add(-time.Hour)
		}
		if expired {
			v.Expires = noon.Add(-time.Minute)
		}
		r.Versions, r.Newest = append(r.Versions, v), v.Number
	}
	if deleted {
		r.Deleted = noon.Add(-time.Hour)
	}
	return r
}

// states is the other way round.
func states(r Record) string {
	var text []string
	for _, v := range r.Versions {
		text = append(text, string(v.State))
	}
	if !r.Deleted.IsZero() {
		return "deleted: " + strings.Join(text, " ")
	}
	return strings.Join(text, " ")
}

// The policy sheet: what each transition makes of each state. "=" is no change.
func TestTransitions(t *testing.T) {
	add := func(change func(*Addition)) func(Record) (Record, error) {
		return func(r Record) (Record, error) {
			a := addition()
			change(&a)
			next, _, _, err := r.Add(a, noon)
			return next, err
		}
	}
	set := add(func(*Addition) {})
	setNow := add(func(a *Addition) { a.Now = true })
	setNoGrace := add(func(a *Addition) { a.Grace = -1 })
	stage := add(func(a *Addition) { a.Stage = true })
	activate := func(n config.Version) func(Record) (Record, error) {
		return func(r Record) (Record, error) { return r.Activate(n, 0, false, "joe", noon) }
	}
	activateNow := func(n config.Version) func(Record) (Record, error) {
		return func(r Record) (Record, error) { return r.Activate(n, 0, true, "joe", noon) }
	}
	revoke := func(n config.Version) func(Record) (Record, error) {
		return func(r Record) (Record, error) { return r.Revoke(n, noon) }
	}
	destroy := func(n ...config.Version) func(Record) (Record, error) {
		return func(r Record) (Record, error) { return r.Destroy(n, noon) }
	}
	remove := func(r Record) (Record, error) { return r.Delete(noon) }
	undelete := func(r Record) (Record, error) { return r.Undelete(noon) }
	settle := func(after time.Duration) func(Record) (Record, error) {
		return func(r Record) (Record, error) { next, _ := r.Settle(noon.Add(after)); return next, nil }
	}
	endGrace := func(r Record) (Record, error) { next, _ := r.EndGrace(noon); return next, nil }

	for _, c := range []struct {
		name string
		from string
		do   func(Record) (Record, error)
		want string // the states, or the kind of the error
	}{
		{"set", "", set, "active"},
		{"set", "staged", set, "staged active"},
		{"set", "active", set, "grace active"},
		{"set", "active!", set, "retired active"},
		{"set", "grace active", set, "retired grace active"},
		{"set", "active staged", set, "grace staged active"},
		{"set", "retired", set, "retired active"},
		{"set", "revoked", set, "revoked active"},
		{"set", "destroyed", set, "destroyed active"},
		{"set", "deleted: grace active staged revoked", set, "retired retired retired revoked active"},
		{"set --now", "active", setNow, "revoked active"},
		{"set --now", "grace active", setNow, "retired revoked active"},
		{"set --now", "active!", setNow, "revoked active"},
		{"set without grace", "active", setNoGrace, "revoked active"},
		{"stage", "", stage, "staged"},
		{"stage", "grace active", stage, "grace active staged"},
		{"stage", "active staged", stage, "active retired staged"},
		{"stage", "deleted: active", stage, "retired staged"},

		{"activate", "active staged", activate(2), "grace active"},
		{"activate", "staged", activate(1), "active"},
		{"activate", "staged!", activate(1), "gone"},
		{"activate", "grace active staged", activate(3), "retired grace active"},
		{"activate: going back", "grace active", activate(1), "active grace"},
		{"activate: going further back", "retired grace active", activate(1), "active retired grace"},
		{"activate: going back at once", "grace active", activateNow(1), "active revoked"},
		{"activate", "active", activate(1), "="},
		{"activate", "active!", activate(1), "="},
		{"activate what is active, at once", "grace active", activateNow(2), "revoked active"},
		{"activate", "retired! active", activate(1), "gone"},
		{"activate", "revoked active", activate(1), "gone"},
		{"activate", "destroyed active", activate(1), "gone"},
		{"activate", "active", activate(2), "not_found"},
		{"activate", "active", activate(0), "not_found"},
		{"activate", "deleted: active staged", activate(2), "not_found"},
		{"activate after a revocation", "revoked staged", activate(2), "revoked active"},

		{"revoke", "staged", revoke(1), "revoked"},
		{"revoke", "active", revoke(1), "revoked"},
		{"revoke", "grace active", revoke(2), "grace revoked"},
		{"revoke", "grace active", revoke(1), "revoked active"},
		{"revoke", "retired active", revoke(1), "revoked active"},
		{"revoke", "revoked active", revoke(1), "="},
		{"revoke", "destroyed active", revoke(1), "gone"},
		{"revoke", "active", revoke(7), "not_found"},
		{"revoke", "deleted: active", revoke(1), "deleted: revoked"},

		{"destroy", "staged active", destroy(1), "destroyed active"},
		{"destroy", "grace active", destroy(1), "in_use"},
		{"destroy", "retired active", destroy(1), "destroyed active"},
		{"destroy", "revoked", destroy(1), "destroyed"},
		{"destroy", "destroyed active", destroy(1), "="},
		{"destroy", "active", destroy(1), "in_use"},
		{"destroy", "active!", destroy(1), "in_use"},
		{"destroy all or none", "retired active", destroy(1, 2), "in_use"},
		{"destroy all or none", "retired active", destroy(1, 9), "not_found"},
		{"destroy none", "retired active", destroy(), "="},
		{"destroy twice in one", "retired active", destroy(1, 1), "destroyed active"},
		{"destroy", "deleted: grace active", destroy(1, 2), "deleted: destroyed destroyed"},

		{"delete", "grace active staged", remove, "deleted: grace active staged"},
		{"delete", "deleted: active", remove, "="},
		{"undelete", "deleted: grace active staged", undelete, "grace active staged"},
		{"undelete", "active", undelete, "="},

		{"settle in time", "grace active", settle(day - 1), "="},
		{"settle", "grace active", settle(day), "retired active"},
		{"settle", "grace! active", settle(0), "retired active"},
		{"settle", "active!", settle(9 * day), "="},
		{"settle", "staged retired revoked destroyed", settle(9 * day), "="},
		{"end of grace", "grace active", endGrace, "retired active"},
		{"end of grace", "retired active staged", endGrace, "="},
	} {
		name := fmt.Sprintf("%s of %q", c.name, c.from)
		from := recordOf(c.from)
		before := string(from.Encode())
		got, err := c.do(from)
		switch {
		case string(from.Encode()) != before:
			t.Errorf("%s changed what it was given", name)
		case err != nil:
			if string(config.KindOf(err)) != c.want {
				t.Errorf("%s: %v", name, err)
			}
			if !got.Equal(from) {
				t.Errorf("%s failed and answered another record", name)
			}
		case c.want == "=":
			if !got.Equal(from) {
				t.Errorf("%s: got %s", name, states(got))
			}
		case states(got) != c.want:
			t.Errorf("%s: got %s, want %s", name, states(got), c.want)
		case got.Equal(from):
			t.Errorf("%s: nothing has changed", name)
		}
	}
}

func TestAddWritesDown(t *testing.T) {
	a := addition()
	a.Message, a.Weak, a.Expires, a.Grace = "new", "needed by a machine of 1998", noon.Add(30*day).In(time.FixedZone("", 3600)), day
	r, n, dropped, err := recordOf("active").Add(a, noon)
	if err != nil || n != 2 || len(dropped) > 0 || r.Newest != 2 || r.Serves != 2 || r.Owner != "llm" {
		t.Fatalf("got %+v, %d, %v, %v", r, n, dropped, err)
	}
	want := Version{
		Number: 2, State: Active, Source: FromSet, Fields: []string{"value"}, Hashes: map[string]string{"value": "ab"},
		Created: noon, Author: "jane", Message: "new", Activated: noon, ActivatedBy: "jane", Expires: noon.Add(30 * day), Weak: "needed by a machine of 1998",
	}
	if diff := cmp.Diff(want, r.Versions[1]); diff != "" {
		t.Error(diff)
	}
	if v := r.Versions[0]; !v.GraceUntil.Equal(noon.Add(day)) || !v.Ended.IsZero() {
		t.Errorf("got %+v", v)
	}
	a.Hashes["value"] = "changed"
	if r.Versions[1].Hashes["value"] != "ab" {
		t.Error("the record shares what it was given")
	}
}

func TestGraceIsThatOfTheRotation(t *testing.T) {
	for _, c := range []struct {
		rotation *Rotation
		grace    time.Duration
		want     time.Duration
	}{
		{nil, 0, DefaultGrace}, {&Rotation{}, 0, DefaultGrace}, {&Rotation{Grace: time.Hour}, 0, time.Hour}, {&Rotation{Grace: time.Hour}, time.Minute, time.Minute}, {nil, MaxGrace, MaxGrace},
	} {
		r := recordOf("active staged")
		r.Rotation, r.Overdue = c.rotation, 1
		r, err := r.Activate(2, c.grace, false, "joe", noon)
		if err != nil || !r.Versions[0].GraceUntil.Equal(noon.Add(c.want)) || r.Versions[1].ActivatedBy != "joe" || r.Overdue != 0 {
			t.Errorf("%+v: got %+v, %v", c, r, err)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Addition)
		kind   config.Kind
	}{
		"no fields":             {func(a *Addition) { a.Fields = nil }, config.KindBadRequest},
		"too many fields":       {func(a *Addition) { a.Fields = make([]string, MaxFields+1) }, config.KindBadRequest},
		"an expiry in the past": {func(a *Addition) { a.Expires = noon }, config.KindBadRequest},
		"an expiry far away":    {func(a *Addition) { a.Expires = noon.Add(MaxLifetime + day) }, config.KindBadRequest},
		"a long grace":          {func(a *Addition) { a.Grace = MaxGrace + 1 }, config.KindTooLarge},
		"staged with grace":     {func(a *Addition) { a.Stage, a.Grace = true, day }, config.KindBadRequest},
		"staged and now":        {func(a *Addition) { a.Stage, a.Now = true, true }, config.KindBadRequest},
		"a long message":        {func(a *Addition) { a.Message = strings.Repeat("x", maxMessageBytes+1) }, config.KindTooLarge},
		"a long author":         {func(a *Addition) { a.Author = strings.Repeat("x", maxAuthorBytes+1) }, config.KindTooLarge},
	} {
		a := addition()
		c.change(&a)
		if _, _, _, err := recordOf("active").Add(a, noon); config.KindOf(err) != c.kind {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := recordOf("active staged").Activate(2, MaxGrace+1, false, "", noon); config.KindOf(err) != config.KindTooLarge {
		t.Errorf("got %v", err)
	}
}

// What readers get.
func TestReaders(t *testing.T) {
	for states, want := range map[string]string{
		"":                                "not_found -",
		"staged":                          "not_found -",
		"active":                          "1 - supplies",
		"active!":                         "gone - supplies",
		"grace active":                    "2 1 supplies",
		"grace! active":                   "2 - supplies",
		"grace active!":                   "gone 1 supplies",
		"retired revoked active staged":   "3 - supplies",
		"deleted: grace active":           "not_found -",
		"revoke: active":                  "gone - supplies",
		"revoke: grace active":            "gone 1 supplies",
		"destroy: revoked active":         "gone - supplies",
		"stage again: deleted: active":    "not_found -",
		"set again: deleted: active":      "2 - supplies",
		"revoke after: deleted: active":   "not_found -",
		"grace is over: grace active":     "2 - supplies",
		"undelete: deleted: grace active": "2 1 supplies",
	} {
		how, from, there := strings.Cut(states, ": ")
		if !there || how == "deleted" {
			how, from = "", states
		}
		r, now := recordOf(from), noon
		a := addition()
		switch how {
		case "revoke":
			r, _ = r.Revoke(r.Serves, noon)
		case "destroy":
			r, _ = r.Revoke(r.Serves, noon)
			r, _ = r.Destroy([]config.Version{r.Serves}, noon)
		case "stage again", "revoke after":
			a.Stage = true
			r, _, _, _ = r.Add(a, noon)
			if how == "revoke after" {
				r, _ = r.Revoke(1, noon)
			}
		case "set again":
			r, _, _, _ = r.Add(a, noon)
		case "grace is over":
			now = noon.Add(day)
		case "undelete":
			r, _ = r.Undelete(noon)
		}
		var got []string
		if v, err := r.Current(now); err != nil {
			var e *config.Error
			if errors.As(err, &e); e.Kind == config.KindGone && e.Next == "" {
				t.Errorf("%s: there is no next step", states)
			}
			got = append(got, string(config.KindOf(err)))
		} else {
			got = append(got, fmt.Sprint(v.Number))
		}
		if v, ok := r.Previous(now); ok {
			got = append(got, fmt.Sprint(v.Number))
		} else {
			got = append(got, "-")
		}
		if r.Supplies() {
			got = append(got, "supplies")
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: got %s, want %s", states, text, want)
		}
	}
}

func TestDue(t *testing.T) {
	expiring := recordOf("active")
	expiring.Versions[0].Expires = noon.Add(time.Hour)
	for name, c := range map[string]struct {
		record Record
		change func(*Record)
		want   time.Time
	}{
		"nothing":              {recordOf("active staged"), nil, time.Time{}},
		"end of grace":         {recordOf("grace active"), nil, noon.Add(day)},
		"end of grace is over": {recordOf("grace active"), func(r *Record) { r.Versions[0].GraceUntil = noon.Add(-day) }, noon.Add(-day)},
		"expiry":               {expiring, nil, noon.Add(time.Hour)},
		"expired":              {recordOf("active!"), nil, time.Time{}},
		"rotation":             {recordOf("grace active"), func(r *Record) { r.NextRotation = noon.Add(time.Minute) }, noon.Add(time.Minute)},
		"a missed rotation":    {recordOf("active"), func(r *Record) { r.NextRotation = noon.Add(-9 * day) }, noon.Add(-9 * day)},
		"adoption":             {recordOf("grace active"), func(r *Record) { r.Rotation = &Rotation{Overlap: OverlapAdoption} }, noon.Add(day)},
		"adoption at its end": {recordOf("grace active"), func(r *Record) {
			r.Rotation = &Rotation{Overlap: OverlapAdoption}
			r.Versions[0].GraceUntil = noon.Add(time.Second)
		}, noon.Add(time.Second)},
		"adoption, no grace": {recordOf("active"), func(r *Record) { r.Rotation = &Rotation{Overlap: OverlapAdoption} }, time.Time{}},
		"deleted":            {recordOf("deleted: grace active"), func(r *Record) { r.NextRotation = noon }, time.Time{}},
	} {
		if c.change != nil {
			c.change(&c.record)
		}
		if got := c.record.Due(noon); !got.Equal(c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestReschedule(t *testing.T) {
	r := recordOf("active")
	r.NextRotation = noon.Add(-9 * day)
	if got := r.Reschedule(noon).NextRotation; !got.IsZero() {
		t.Errorf("without a schedule: %s", got)
	}
	r.Rotation = &Rotation{Every: day}
	if got := r.Reschedule(noon).NextRotation; !got.Equal(noon.Add(day)) || r.NextRotation.Equal(got) {
		t.Errorf("got %s", got)
	}
}

func TestOldVersionsMakeRoom(t *testing.T) {
	var r Record
	var gone []config.Version
	for i := range 300 {
		next, n, dropped, err := r.Add(addition(), noon.Add(time.Duration(i)*time.Hour))
		if err != nil || n != config.Version(i+1) {
			t.Fatal(n, err)
		}
		r, gone = next, append(gone, dropped...)
		for _, n := range dropped {
			if v, ok := r.Find(n); ok && (v.State != Destroyed || v.Hashes != nil) {
				t.Fatalf("%+v was dropped", v)
			}
		}
	}
	kept := slices.DeleteFunc(slices.Clone(r.Versions), func(v Version) bool { return v.State == Destroyed })
	if len(kept) != MaxVersions || len(r.Versions) != MaxVersions+MaxDestroyed || len(gone) != 200 || gone[0] != 1 || gone[199] != 200 || r.Newest != 300 {
		t.Errorf("%d kept, %d in all, %d dropped", len(kept), len(r.Versions), len(gone))
	}
	if _, err := r.Activate(3, 0, false, "", noon); config.KindOf(err) != config.KindGone {
		t.Errorf("a forgotten version: %v", err)
	}
}

func TestCheckMetadata(t *testing.T) {
	many := map[string]string{}
	for i := range 33 {
		many[fmt.Sprint("l", i)] = ""
	}
	whole := &Rotation{Every: day, Grace: time.Hour, Overlap: OverlapAdoption, Generator: &Generator{Kind: GenerateUUID}, Webhook: &Webhook{URL: "https://rotate.example.com/hook?a=b", Signing: config.MustPath("hooks/key")}}
	webhook := func(url string) Record {
		return Record{Rotation: &Rotation{Webhook: &Webhook{URL: url, Signing: config.MustPath("a")}}}
	}
	for pointer, records := range map[string][]Record{
		"":                          {{}, {Description: "two\nlines ✓", Owner: "team-llm", Labels: map[string]string{"a": "", "app.kubernetes.io/name": "gateway é", "0-_./": strings.Repeat("x", 128)}, Rotation: whole}, {Rotation: &Rotation{}}, {Rotation: &Rotation{Grace: MaxGrace, Every: MaxEvery, Generator: &Generator{Kind: GenerateHex, Length: 16}}}},
		"/description":              {{Description: strings.Repeat("x", 1025)}, {Description: "a\x1b[31m"}, {Description: "\xff"}},
		"/owner":                    {{Owner: strings.Repeat("x", 257)}},
		"/labels":                   {{Labels: many}, {Labels: map[string]string{"": ""}}, {Labels: map[string]string{"A": ""}}, {Labels: map[string]string{"-a": ""}}, {Labels: map[string]string{"a b": ""}}, {Labels: map[string]string{strings.Repeat("x", 64): ""}}},
		"/labels/a~1b":              {{Labels: map[string]string{"a/b": strings.Repeat("x", 129)}}, {Labels: map[string]string{"a/b": "x\ny"}}, {Labels: map[string]string{"a/b": "\x00"}}},
		"/rotation/every_seconds":   {{Rotation: &Rotation{Every: time.Hour - 1, Generator: &Generator{Kind: GenerateUUID}}}, {Rotation: &Rotation{Every: MaxEvery + 1, Generator: &Generator{Kind: GenerateUUID}}}, {Rotation: &Rotation{Every: -1}}, {Rotation: &Rotation{Every: day}}},
		"/rotation/grace_seconds":   {{Rotation: &Rotation{Grace: -1}}, {Rotation: &Rotation{Grace: MaxGrace + 1}}},
		"/rotation/overlap":         {{Rotation: &Rotation{Overlap: "none"}}},
		"/rotation/generator/kind":  {{Rotation: &Rotation{Generator: &Generator{Kind: "word"}}}},
		"/rotation/webhook/url":     {webhook(""), webhook("ftp://a"), webhook("https://"), webhook("/hook"), webhook("https://a:b@c/"), webhook("https://a/#b"), webhook("https://a\x00"), webhook("https://a/" + strings.Repeat("x", 2048))},
		"/rotation/webhook/signing": {{Rotation: &Rotation{Webhook: &Webhook{URL: "https://a"}}}},
	} {
		for _, r := range records {
			err := r.CheckMetadata()
			var e *config.Error
			if errors.As(err, &e); pointer == "" && err != nil || pointer != "" && (e == nil || e.Pointer != pointer) {
				t.Errorf("%s: %+v: got %v", pointer, r, err)
			}
		}
	}
}

// whole is a record with all there can be in one.
func wholeRecord() Record {
	r := recordOf("destroyed retired revoked grace active staged")
	r.Description, r.Labels = "two\nlines \"quoted\" \\ ✓ \u2028", map[string]string{"a/b": "c", "b": ""}
	r.Rotation = &Rotation{Every: day, Grace: time.Hour, Overlap: OverlapAdoption, Generator: &Generator{Kind: GenerateHex, Length: 20, Field: "key"}, Webhook: &Webhook{URL: "https://a/b?c=d&e", Signing: config.MustPath("hooks/key")}}
	r.NextRotation, r.Failure, r.Overdue, r.Deleted = noon.Add(1), &Failure{noon, "the probe failed: 500"}, 4, noon
	r.Versions[4].Expires, r.Versions[4].Weak, r.Versions[4].Message, r.Versions[4].ActivatedBy = noon.Add(day), "legacy", "by hand", "jöe"
	r.Versions[4].Fields, r.Versions[4].Hashes = []string{"a", "b"}, map[string]string{"a": "1", "b": "2"}
	return r
}

func TestRecordsAreReadBack(t *testing.T) {
	for _, r := range []Record{{}, wholeRecord(), recordOf("active"), tenVersions(t), {Rotation: &Rotation{}}} {
		text := r.Encode()
		got, err := DecodeRecord(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(r, got, cmp.Comparer(func(a, b config.Path) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDecodeRecordPassesOverWhatIsNew(t *testing.T) {
	r, err := DecodeRecord([]byte(` { "future" : [1, {"a":"}"}, null, -1.5e3 ], "owner":"x", "versions":[ {"n":1,"zz":{"y":[]},"s":"active","z":"\"","f":[]} ] , "newest": 2 } `))
	if err != nil || r.Owner != "x" || len(r.Versions) != 1 || r.Versions[0].State != Active || r.Newest != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
	for _, text := range []string{
		``, `[]`, `{`, `{}x`, `null`, `{"owner":1}`, `{"owner":"a}`, `{"owner":"\x"}`, `{"newest":"1"}`, `{"newest":99999999999999999999}`, `{"newest":-}`, `{"x":tru}`, `{"x":}`, `{,}`, `{"owner":"a",}`, `{"owner" "a"}`,
		`{"newest":1,"versions":[{"n":2}]}`, `{"newest":2,"versions":[{"n":2},{"n":1}]}`, `{"newest":2,"versions":[{"n":1},{"n":1}]}`, `{"newest":1,"versions":[{}]}`, `{"rotation":{"webhook":{"signing":"a//b"}}}`,
		`{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, `{"newest":999,"versions":[{"n":1}` + strings.Repeat(`,{"n":1}`, 200) + `]}`,
	} {
		if r, err := DecodeRecord([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", text, r)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(wholeRecord().Encode())
	f.Add(Record{}.Encode())
	f.Add([]byte(`{"newest":1,"versions":[{"n":1,"f":["a"],"h":{"a":"\u00e9"},"c":-5}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := DecodeRecord(text)
		if err != nil {
			return
		}
		again, err := DecodeRecord(r.Encode())
		if err != nil || !again.Equal(r) {
			t.Fatalf("%s is written as %s: %v", text, r.Encode(), err)
		}
	})
}

// Whatever is done in whatever order, the rules of a record hold.
func TestRecordMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		r := Record{Rotation: &Rotation{Every: day, Overlap: rapid.SampledFrom([]Overlap{"", OverlapDeadline, OverlapAdoption}).Draw(t, "overlap"), Generator: &Generator{Kind: GenerateUUID}}}
		over := map[config.Version]State{} // revoked and destroyed
		newest := config.Version(0)
		try := func(next Record, err error) {
			if err != nil && config.KindOf(err) == config.KindInternal {
				t.Fatal(err)
			}
			if err == nil {
				r = next
			}
		}
		number := func(t *rapid.T) config.Version {
			return config.Version(rapid.Int64Range(0, int64(newest)+1).Draw(t, "version"))
		}
		grace := rapid.SampledFrom([]time.Duration{-1, 0, time.Minute, day, MaxGrace})
		unchanged := func(do func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				was := r
				before := string(was.Encode())
				do(t)
				if string(was.Encode()) != before {
					t.Fatal("a transition changed the record that it was given")
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": unchanged(func(t *rapid.T) {
				a := addition()
				if a.Stage = rapid.Bool().Draw(t, "stage"); !a.Stage {
					a.Grace, a.Now = grace.Draw(t, "grace"), rapid.Bool().Draw(t, "now")
				}
				if rapid.Bool().Draw(t, "expires") {
					a.Expires = now.Add(time.Duration(rapid.IntRange(1, 1000).Draw(t, "hours")) * time.Hour)
				}
				next, n, _, err := r.Add(a, now)
				if err != nil || n != newest+1 {
					t.Fatalf("version %d after %d: %v", n, newest, err)
				}
				newest, r = n, next
			}),
			"activate": unchanged(func(t *rapid.T) {
				try(r.Activate(number(t), grace.Draw(t, "grace"), rapid.Bool().Draw(t, "now"), "joe", now))
			}),
			"revoke":   unchanged(func(t *rapid.T) { try(r.Revoke(number(t), now)) }),
			"destroy":  unchanged(func(t *rapid.T) { try(r.Destroy([]config.Version{number(t)}, now)) }),
			"delete":   unchanged(func(*rapid.T) { try(r.Delete(now)) }),
			"undelete": unchanged(func(*rapid.T) { try(r.Undelete(now)) }),
			"endGrace": unchanged(func(*rapid.T) { r, _ = r.EndGrace(now) }),
			"time":     func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "hours")) * time.Hour) },
			"settle": unchanged(func(t *rapid.T) {
				next, changed := r.Settle(now)
				if changed == next.Equal(r) {
					t.Fatalf("changed is %t", changed)
				}
				if r = next; r.NextRotation.IsZero() || !r.NextRotation.After(now) {
					r = r.Reschedule(now)
				}
				if due := r.Due(now); !due.IsZero() && !due.After(now) {
					t.Fatalf("due at %s, and now is %s", due, now)
				}
				if _, again := r.Settle(now); again {
					t.Fatal("it does not settle")
				}
			}),
			"": func(t *rapid.T) { checkRecord(t, r, now, newest, over) },
		})
	})
}

func checkRecord(t *rapid.T, r Record, now time.Time, newest config.Version, over map[config.Version]State) {
	count := map[State]int{}
	for i, v := range r.Versions {
		count[v.State]++
		if i > 0 && r.Versions[i-1].Number >= v.Number || v.Number > r.Newest {
			t.Fatal("the versions are out of order")
		}
		if was, there := over[v.Number]; there && v.State != was && v.State != Destroyed {
			t.Fatalf("version %d was %s and is %s", v.Number, was, v.State)
		}
		if v.State == Revoked || v.State == Destroyed {
			over[v.Number] = v.State
		}
		ended := v.State == Retired || v.State == Revoked || v.State == Destroyed
		if ended == v.Ended.IsZero() || (v.State == Grace) == v.GraceUntil.IsZero() || v.State == Active && (v.Activated.IsZero() || v.Number != r.Serves) {
			t.Fatalf("its times do not fit: %+v", v)
		}
	}
	if count[Active] > 1 || count[Staged] > 1 || count[Grace] > 1 || len(r.Versions)-count[Destroyed] > MaxVersions || count[Destroyed] > MaxDestroyed || r.Newest != newest {
		t.Fatalf("got %v, newest %d", count, r.Newest)
	}
	if v, err := r.Current(now); err == nil && (v.State != Active || v.expired(now) || !r.Supplies()) {
		t.Fatalf("readers get %+v", v)
	}
	if v, ok := r.Previous(now); ok && (v.State != Grace || !now.Before(v.GraceUntil) || v.expired(now)) {
		t.Fatalf("readers get %+v as well", v)
	}
	if count[Active] == 1 && r.Deleted.IsZero() != r.Supplies() {
		t.Fatal("an active version does not supply")
	}
	if again, err := DecodeRecord(r.Encode()); err != nil || !again.Equal(r) {
		t.Fatalf("it is read back as %+v, %v", again, err)
	}
}
