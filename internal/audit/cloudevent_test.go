package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

func TestCloudEventForm(t *testing.T) {
	link := Head{Sequence: 6}.Next(full.Canonical())
	got, err := AppendCloudEvent([]byte("before "), testOrigin, link)
	if err != nil {
		t.Fatal(err)
	}
	want := `before {"chainhash":"` + hex.EncodeToString(link.Hash[:]) + `","data":` + string(link.Record) + `,"datacontenttype":"application/json","id":"7","source":"` + testOrigin +
		`","specversion":"1.0","subject":"gateway/eu","time":"2026-11-01T12:04:05.000000060Z","type":"llm-config.config.change"}`
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	for record, want := range map[string]string{
		`{"schema":1,"time":"2026-11-01T12:04:05.000000060Z"}`: "record 1 of " + testOrigin + " as a CloudEvent: it has no event",
		`{`: "record 1 of " + testOrigin + " as a CloudEvent: ",
	} {
		got, err := AppendCloudEvent([]byte("before"), testOrigin, Head{}.Next([]byte(record)))
		if err == nil || !strings.HasPrefix(err.Error(), want) || string(got) != "before" {
			t.Errorf("%s: %s, the error is %v, want %s", record, got, err, want)
		}
	}
}

// cloudEvent has the attributes as the JSON format of CloudEvents 1.0 has them.
type cloudEvent struct {
	ChainHash   string          `json:"chainhash"`
	Data        json.RawMessage `json:"data"`
	ContentType string          `json:"datacontenttype"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	SpecVersion string          `json:"specversion"`
	Subject     string          `json:"subject,omitempty"`
	Time        time.Time       `json:"time"`
	Type        string          `json:"type"`
}

func TestCloudEventsAreCanonicalAndWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Time:  time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC(),
			Event: rapid.StringMatching(`[a-z]+(\.[a-z]+)?`).Draw(t, "event"), Resource: rapid.String().Draw(t, "resource"), Reason: rapid.String().Draw(t, "reason"),
			Details: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "details"),
		}
		link := Head{Sequence: rapid.Uint64Range(0, maxSequence-1).Draw(t, "sequence")}.Next(r.Canonical())
		got, err := AppendCloudEvent(nil, testOrigin, link)
		if err != nil {
			t.Fatal(err)
		}
		var event cloudEvent
		decoder := json.NewDecoder(bytes.NewReader(got))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&event); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if !bytes.Equal(event.Data, link.Record) || event.SpecVersion != "1.0" || event.Source != testOrigin || event.Type != "llm-config."+r.Event ||
			event.Subject != strings.ToValidUTF8(r.Resource, "\ufffd") || !event.Time.Equal(r.Time) {
			t.Fatalf("%s was read as %+v", got, event)
		}
		object, err := canon.Decode(got, canon.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if want := canon.Append(nil, object); !bytes.Equal(got, want) {
			t.Fatalf("\n got %s\nwant %s", got, want)
		}
	})
}
