package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

var full = Record{
	Time:  time.Date(2026, 11, 1, 13, 4, 5, 60, time.FixedZone("east", 3600)),
	Event: "config.change", Actor: "token 7f3a (ci)", Tenant: "0a0b", Resource: "gateway/eu", Action: "config.write",
	Outcome: Success, Reason: "tenant admin", Revision: 42, RequestID: "01JD", Source: "10.1.2.3", UserAgent: `llm-config/1 "<é>"`,
	Details: map[string]string{"production": "9f", "base": "4f"},
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		record Record
		want   string
	}{
		{full, `{"action":"config.write","actor":"token 7f3a (ci)","details":{"base":"4f","production":"9f"},"event":"config.change",` +
			`"outcome":"success","reason":"tenant admin","request_id":"01JD","resource":"gateway/eu","revision":42,"schema":1,` +
			`"source":"10.1.2.3","tenant":"0a0b","time":"2026-11-01T12:04:05.000000060Z","user_agent":"llm-config/1 \"<é>\""}`},
		{Record{Time: full.Time.Truncate(time.Second), Outcome: Denied}, `{"outcome":"denied","schema":1,"time":"2026-11-01T12:04:05.000000000Z"}`},
		{Record{Action: "a\xff", Details: map[string]string{"k\xfe": "\xc3"}}, `{"action":"a�","details":{"k�":"�"},"schema":1,"time":"0001-01-01T00:00:00.000000000Z"}`},
		{Record{Action: "a", Details: map[string]string{}}, `{"action":"a","schema":1,"time":"0001-01-01T00:00:00.000000000Z"}`},
	} {
		if got := string(c.record.Canonical()); got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
}

// TestCanonicalForm holds that the hand-written order is the canonical one,
// whatever the fields say.
func TestCanonicalForm(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Time:  time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")),
			Event: text.Draw(t, "event"), Actor: text.Draw(t, "actor"), Tenant: text.Draw(t, "tenant"), Resource: text.Draw(t, "resource"),
			Action: text.Draw(t, "action"), Outcome: Outcome(text.Draw(t, "outcome")), Reason: text.Draw(t, "reason"),
			Revision: rapid.Int64Range(0, 1<<40).Draw(t, "revision"), RequestID: text.Draw(t, "request"), Source: text.Draw(t, "source"),
			UserAgent: text.Draw(t, "agent"), Details: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "details"),
		}
		got := r.Canonical()
		var object map[string]any
		if err := json.Unmarshal(got, &object); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if want := canon.Append(nil, object); string(got) != string(want) {
			t.Fatalf("\n got %s\nwant %s", got, want)
		}
	})
}

// TestLinkHash pins the form of the hash: archives are checked against it.
func TestLinkHash(t *testing.T) {
	first := Head{}.Next([]byte("one"))
	second := first.Head().Next([]byte(strings.Repeat("two", 1000)))
	for _, c := range []struct {
		link     Link
		previous [32]byte
	}{{first, [32]byte{}}, {second, first.Hash}} {
		h := sha256.New()
		h.Write([]byte("llm-config audit link 1\x00"))
		h.Write(c.previous[:])
		h.Write(binary.BigEndian.AppendUint64(nil, c.link.Sequence))
		h.Write(c.link.Record)
		if [32]byte(h.Sum(nil)) != c.link.Hash {
			t.Errorf("the hash of link %d is %x, want %x", c.link.Sequence, c.link.Hash, h.Sum(nil))
		}
	}
	if first.Sequence != 1 || second.Sequence != 2 {
		t.Errorf("the sequence is %d, %d, want 1, 2", first.Sequence, second.Sequence)
	}
}

func chain(n int) []Link {
	var links []Link
	head := Head{}
	for i := range n {
		link := head.Next([]byte(fmt.Sprint("record ", i+1)))
		links, head = append(links, link), link.Head()
	}
	return links
}

func each(links []Link) iter.Seq2[Link, error] {
	return func(yield func(Link, error) bool) {
		for _, l := range links {
			if !yield(l, nil) {
				return
			}
		}
	}
}

func TestVerify(t *testing.T) {
	links := chain(10)
	head, err := Verify(Head{}, each(links))
	if err != nil || head != links[9].Head() {
		t.Errorf("the head is %v (%v)", head, err)
	}
	head, err = Verify(links[3].Head(), each(links[4:7]))
	if err != nil || head != links[6].Head() {
		t.Errorf("from the middle, the head is %v (%v)", head, err)
	}
	head, err = Verify(links[3].Head(), each(nil))
	if err != nil || head != links[3].Head() {
		t.Errorf("of no links, the head is %v (%v)", head, err)
	}
}

func TestVerifyBreaks(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func([]Link) []Link
		want  uint64
	}{
		"edited":     {func(l []Link) []Link { l[4].Record = []byte("record 5 "); return l }, 5},
		"rehashed":   {func(l []Link) []Link { l[4] = l[2].Head().Next([]byte("forged")); l[4].Sequence = 5; return l }, 5},
		"rechained":  {func(l []Link) []Link { l[4] = l[3].Head().Next([]byte("forged")); return l }, 6},
		"removed":    {func(l []Link) []Link { return slices.Delete(l, 4, 5) }, 5},
		"renumbered": {func(l []Link) []Link { l = slices.Delete(l, 4, 5); l[4].Sequence = 5; return l }, 5},
		"swapped":    {func(l []Link) []Link { l[4].Record, l[5].Record = l[5].Record, l[4].Record; return l }, 5},
		"repeated":   {func(l []Link) []Link { return slices.Insert(l, 5, l[4]) }, 5},
		"beheaded":   {func(l []Link) []Link { return l[1:] }, 1},
	} {
		links := c.spoil(chain(10))
		head, err := Verify(Head{}, each(links))
		var broken *Break
		if !errors.As(err, &broken) || broken.Sequence != c.want {
			t.Errorf("%s: the error is %v, want a break at %d", name, err, c.want)
		}
		if head.Sequence >= 6 {
			t.Errorf("%s: the head is %d", name, head.Sequence)
		}
	}
	failure := errors.New("disk")
	_, err := Verify(Head{}, func(yield func(Link, error) bool) { yield(Link{}, failure) })
	if !errors.Is(err, failure) {
		t.Errorf("the error is %v, want %v", err, failure)
	}
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	head := Head{}
	for b.Loop() {
		head = head.Next(full.Canonical()).Head()
	}
}
