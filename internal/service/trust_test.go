package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Who can write to the database must not be able to let himself in: a token row
// that the service did not make, or one that was altered, is no token.
func TestTheStoreIsNotTrustedWithTokens(t *testing.T) {
	w := newWorld(t)
	a := w.found(t, "acme")
	genuine, err := a.s.CreateToken(t.Context(), a.who, a.tenant, service.TokenRequest{Name: "genuine"})
	must(t, err)
	row, err := w.engine.Token(t.Context(), genuine.ID)
	must(t, err)

	forge := func(what string, alter func(*store.Token)) {
		t.Helper()
		drawn, err := access.NewToken(strings.NewReader(strings.Repeat(what, 64)))
		must(t, err)
		forged := row
		forged.ID, forged.Hash = drawn.ID, drawn.Hash
		alter(&forged)
		_, err = w.engine.Commit(t.Context(), row.Tenant, store.Write{
			Entry:     store.Entry{Kind: store.EntryToken, Subject: store.Subject{Path: ":forged:" + what}},
			AddTokens: []store.Token{forged},
		})
		must(t, err)
		_, err = w.start().Authenticate(t.Context(), service.Credentials{Bearer: drawn.Reveal()}, service.Caller{})
		mustBe(t, config.KindUnauthenticated, err)
	}
	forge("a hash of one's own", func(*store.Token) {})
	forge("more rights", func(k *store.Token) { k.ServerAdmin = true })
	forge("more time", func(k *store.Token) { k.Expires = k.Expires.Add(time.Hour) })
	forge("another tenant", func(k *store.Token) { k.MAC = [32]byte{} })

	_, err = w.start().Authenticate(t.Context(), service.Credentials{Bearer: genuine.Reveal()}, service.Caller{})
	must(t, err)
}

// A change is refused before it works out more effective documents than a
// server can hold.
func TestWhatAChangeWorksOutIsBounded(t *testing.T) {
	a := newTenant(t)
	large := `{"text":"` + strings.Repeat("x", 900_000) + `"}`
	a.write(a.put("base", "large", large))
	var edits []service.Edit
	for i := range 40 {
		edits = append(edits, a.put("base", fmt.Sprintf("refers-%d", i), `{"all":"${config:large}"}`))
	}
	_, err := a.s.Change(t.Context(), a.who, a.tenant, service.ChangeRequest{Edits: edits})
	must(t, err)
	_, err = a.s.Change(t.Context(), a.who, a.tenant, service.ChangeRequest{
		Edits: []service.Edit{a.put("base", "large", strings.Replace(large, "xx", "yy", 1))},
	})
	mustBe(t, config.KindTooLarge, err)
	a.reads("edge", "large", large)
}

// What a promotion took away is told once, and not kept for who sends the same
// key again: it may have been destroyed since.
func TestLostValuesAreNotKept(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("staging", "a", `{"key":"new"}`), a.put("production", "a", `{"key":"pasted"}`))
	who := a.who
	who.Idempotency = &service.Idempotency{Key: "once", Request: []byte("promote")}
	promote := func() service.ChangeResult {
		t.Helper()
		result, err := a.s.Promote(t.Context(), who, a.tenant, service.PromoteRequest{From: "staging", To: "production", All: true})
		must(t, err)
		return result
	}
	if first := promote(); len(first.Lost) != 1 || first.Lost[0].Value != "pasted" {
		t.Fatalf("lost %+v", first.Lost)
	}
	again := promote()
	if !again.Replayed || len(again.Lost) != 0 {
		t.Errorf("the replay tells of %+v", again.Lost)
	}
}
