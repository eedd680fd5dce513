package httpapi_test

import (
	"bytes"
	cryptorand "crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
)

// question is a request that is refused, and must be refused like its likes.
type question struct {
	name, token, method, target string
	names                       string        // what the refusal says again of the request
	fresh                       func() string // draws the token, when each is to be sent once
}

// alike checks that refusals differ in nothing but the ids of their requests,
// and that the times they take overlap: nobody learns from either which it was.
func (w *world) alike(t *testing.T, code api.Code, questions ...question) {
	t.Helper()
	const rounds = 150
	took := make([][]time.Duration, len(questions))
	var first *answer
	for round := range rounds {
		for i := range questions {
			q := questions[(i+round)%len(questions)]
			if q.fresh != nil {
				q.token = q.fresh()
			}
			began := time.Now()
			got := w.call(t, q.token, q.method, q.target, nil, api.HeaderRequestID, "the-same")
			took[(i+round)%len(questions)] = append(took[(i+round)%len(questions)], time.Since(began))
			if round == 0 {
				got.refused(t, code)
				got.header.Del("Date")
				if q.names != "" {
					got.body = bytes.ReplaceAll(got.body, []byte(q.names), []byte("what was asked for"))
				}
				if first == nil {
					first = got
				}
				if diff := cmp.Diff(first, got, cmp.AllowUnexported(answer{})); diff != "" {
					t.Errorf("%s is refused otherwise than %s\n%s", q.name, questions[0].name, diff)
				}
			}
		}
	}
	// The quicker half of one kind is in the band of the other: a difference
	// that a caller could use over a network would part them.
	fastest, slowest := time.Hour, time.Duration(0)
	for i, times := range took {
		slices.Sort(times)
		median := times[len(times)/2]
		t.Logf("%s: median %s", questions[i].name, median)
		fastest, slowest = min(fastest, median), max(slowest, median)
	}
	if slowest > 2*fastest+100*time.Microsecond {
		t.Errorf("the times tell them apart: medians from %s to %s", fastest, slowest)
	}
}

func TestUnknownAndWrongTokensAreAlike(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	var issued api.IssuedToken
	n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "x"}).want(t, 201).into(t, &issued)
	head := issued.Value[:len("llmc_")+len(issued.ID)+1]
	unknown := "llmc_" + strings.Repeat("a", len(issued.ID)) + "_"
	whole := func(head, secret string) string { // with the digits that check it, or it would not be looked for
		check := crc32.ChecksumIEEE([]byte(head + secret))
		return head + secret + lower32.EncodeToString(binary.BigEndian.AppendUint32(nil, check))
	}
	const secretChars = 52
	near := []byte(issued.Value[len(head) : len(head)+secretChars])
	if near[secretChars-1] == 'a' {
		near[secretChars-1] = 'b'
	} else {
		near[secretChars-1] = 'a'
	}
	draw := func() string {
		id, err := access.NewToken(cryptorand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return id.Reveal()
	}
	target := n.path(api.RouteTags)
	w.alike(t, api.CodeUnauthenticated,
		question{name: "a new unknown token each time", fresh: draw, method: "GET", target: target},
		question{name: "an unknown token", token: whole(unknown, strings.Repeat("a", secretChars)), method: "GET", target: target},
		question{name: "a token of another secret", token: whole(head, strings.Repeat("a", secretChars)), method: "GET", target: target},
		question{name: "a token wrong in its last letter", token: whole(head, string(near)), method: "GET", target: target},
	)
}

var lower32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func TestForeignAndAbsentTenantsAreAlike(t *testing.T) {
	w := newWorld(t)
	n, stranger := w.newTenant(t), w.newTenant(t)
	n.setSecret(t, "base", "p", strong)
	n.put(t, "base", "p", `{"x":"${secret:p}"}`)
	absent := strings.Repeat("x", len(n.name))
	for _, route := range []string{api.RouteSecret + "?reveal=true", api.RouteConfig + "?reveal=true", api.RouteSecretHistory} {
		w.clock.advance(time.Minute) // within one, so many denials are answered otherwise
		w.alike(t, api.CodeNotFound,
			question{name: "foreign", token: stranger.token, method: "GET", target: n.path(route, "base", "p"), names: n.name},
			question{name: "absent", token: stranger.token, method: "GET", target: api.Build(route, absent, "base", "p"), names: absent},
		)
	}
}

// A reference whose secret is missing, deleted, revoked or without the field is
// refused in the same words.
func TestUnavailableSecretsAreAlike(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	for _, path := range []string{"deleted", "revoked", "without"} { // names of one length
		n.setSecret(t, "base", path, strong)
	}
	n.call(t, "DELETE", n.path(api.RouteSecret, "base", "deleted"), nil).want(t, 200)
	n.step(t, api.RouteSecretRevoke, "base", "revoked", `{"version":1}`)
	var questions []question
	for _, path := range []string{"missing", "deleted", "revoked", "without"} {
		n.put(t, "base", path, `{"a":{"key":"${secret:`+path+`#field}"}}`)
		questions = append(questions, question{name: path, token: n.token, method: "GET", target: n.path(api.RouteConfig, "base", path) + "?reveal=true", names: path})
	}
	w.alike(t, api.CodeSecretUnavailable, questions...)
}
