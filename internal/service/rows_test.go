package service_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// storedRow is a sealed row as the store has it.
type storedRow struct {
	place  seal.Place
	sealed []byte
	value  *store.SecretValue // of a secret's value
}

func (r storedRow) open(k *seal.Keyring, at seal.Place) error {
	if r.value == nil {
		_, err := k.Open(context.Background(), at, r.sealed)
		return err
	}
	_, err := k.OpenSecret(context.Background(), at, seal.SecretSeal{Sealed: r.sealed, Wrapped: r.value.Wrapped, KeyVersion: r.value.KeyVersion})
	return err
}

// storedRows are rows of every kind, of a tenant in use.
func (a *actor) storedRows() []storedRow {
	a.t.Helper()
	ctx := a.t.Context()
	for i := range 3 {
		at := fmt.Sprintf("db/s%d", i)
		a.putSecret("base", at, at)
		a.putSecret("production", at, "other "+at)
		a.set("production", fmt.Sprintf("app/d%d", i), fmt.Sprintf(`{"k":"${secret:%s}","n":%d}`, at, i))
		a.revealed("production", at)
		must(a.t, a.acks(fmt.Sprint("client-", i), map[string]config.Version{at: 1}))
	}
	var rows []storedRow
	secrets, err := a.engine.SecretsAt(ctx, a.id, []config.Path{path("db/s0"), path("db/s1"), path("db/s2")})
	must(a.t, err)
	for _, s := range secrets {
		at := seal.Place{Kind: seal.Secret, Tenant: a.id, Environment: s.Environment, Path: s.Path.String(), Version: int64(s.Version)}
		rows = append(rows, storedRow{place: at, sealed: s.Sealed})
		value, err := a.engine.SecretValue(ctx, a.id, s.Environment, s.Path, 1)
		must(a.t, err)
		at.Kind, at.Version = seal.SecretValue, 1
		rows = append(rows, storedRow{place: at, sealed: value.Sealed, value: &value})
	}
	acks, err := a.engine.Acks(ctx, a.id, 4, a.clock.read())
	must(a.t, err)
	for _, k := range acks {
		rows = append(rows, storedRow{sealed: k.Sealed, place: seal.Place{
			Kind: seal.Ack, Tenant: a.id, Environment: k.Environment, Path: k.Principal + "\x00" + k.Client, Version: k.Time.UnixNano(),
		}})
	}
	layers, err := a.engine.LayersAt(ctx, a.id, a.revision(), []config.Path{path("app/d0"), path("app/d1"), path("app/d2")})
	must(a.t, err)
	for _, l := range layers {
		rows = append(rows, storedRow{sealed: l.Sealed, place: seal.Place{
			Kind: seal.Layer, Tenant: a.id, Environment: l.Environment, Path: l.Path.String(), Version: int64(l.Version),
		}})
	}
	entries, err := a.engine.Entries(ctx, a.id, 0, 100)
	must(a.t, err)
	for _, e := range entries {
		rows = append(rows, storedRow{sealed: e.Sealed, place: seal.Place{
			Kind: seal.Entry, Tenant: a.id, Environment: e.Subject.Environment, Path: e.Subject.Path, Version: e.Subject.Version,
		}})
	}
	return rows
}

// A row that the store has opens where it belongs and nowhere else, however it
// is moved, mixed or altered.
func TestNoStoredRowOpensElsewhere(t *testing.T) {
	a := newTenant(t)
	other := a.found(t, "other")
	rows := a.storedRows()
	kinds := map[seal.Kind]bool{}
	for _, r := range rows {
		kinds[r.place.Kind] = true
		must(t, r.open(a.keyring, r.place))
	}
	same(t, "kinds of rows", 5, len(kinds))
	const nonceAt, nonceEnd = 5, 17
	alter := func(t *rapid.T) {
		r, from := rapid.SampledFrom(rows).Draw(t, "row"), rapid.SampledFrom(rows).Draw(t, "another")
		at := r.place
		r.sealed = bytes.Clone(r.sealed)
		if r.value != nil {
			value := *r.value
			value.Wrapped = bytes.Clone(value.Wrapped)
			r.value = &value
		}
		switch what := rapid.SampledFrom([]string{"tenant", "environment", "path", "version", "kind", "place", "bit", "nonce", "wrap", "wrapped bit", "key version"}).Draw(t, "what"); what {
		case "tenant":
			at.Tenant = other.id
		case "environment":
			at.Environment = config.EnvironmentID(rapid.Uint32Range(0, 8).Draw(t, "environment"))
		case "path":
			at.Path = from.place.Path
		case "version":
			at.Version += rapid.Int64Range(-2, 2).Draw(t, "by")
		case "kind":
			at.Kind = seal.Kind(rapid.Uint8Range(0, 9).Draw(t, "kind"))
		case "place":
			at = from.place
		case "bit":
			i := rapid.IntRange(0, len(r.sealed)*8-1).Draw(t, "bit")
			r.sealed[i/8] ^= 1 << (i % 8)
			mustNotOpen(t, a, r, at)
			return
		case "nonce":
			if from.sealed == nil || bytes.Equal(r.sealed[nonceAt:nonceEnd], from.sealed[nonceAt:nonceEnd]) {
				return
			}
			copy(r.sealed[nonceAt:nonceEnd], from.sealed[nonceAt:nonceEnd])
			mustNotOpen(t, a, r, at)
			return
		default:
			if r.value == nil || from.value == nil || from.place == r.place {
				return
			}
			switch what {
			case "wrap":
				r.value.Wrapped = from.value.Wrapped
			case "wrapped bit":
				i := rapid.IntRange(0, len(r.value.Wrapped)*8-1).Draw(t, "bit")
				r.value.Wrapped[i/8] ^= 1 << (i % 8)
			case "key version":
				r.value.KeyVersion++
			}
			mustNotOpen(t, a, r, at)
			return
		}
		if at != r.place {
			mustNotOpen(t, a, r, at)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 200 { // a row opens in microseconds
			alter(t)
		}
	})
}

func mustNotOpen(t *rapid.T, a *actor, r storedRow, at seal.Place) {
	t.Helper()
	if err := r.open(a.keyring, at); err == nil {
		t.Fatalf("a row of %s opens at %s", r.place, at)
	}
}
