package service_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// unrecorded is the real engine, but that no access to a secret is appended. It
// is what an append is measured against, and stands nowhere else.
type unrecorded struct{ store.Store }

func (unrecorded) AppendAccess(context.Context, config.TenantID, []store.Served, ...audit.Record) error {
	return nil
}

// BenchmarkSecretReads reads values with 64 readers at once, durably on record
// and not on record at all.
func BenchmarkSecretReads(b *testing.B) {
	a := newTenant(b)
	a.putSecret("base", "db", "one")
	without := service.New(service.Options{Store: unrecorded{a.engine}, Keyring: a.keyring})
	for name, s := range map[string]*service.Service{"on record": a.s, "not on record": without} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := s.RevealSecret(b.Context(), a.who, a.tenant, "production", path("db"), service.RevealRequest{})
					if err != nil {
						b.Error(err)
						return
					}
					r.Wipe()
				}
			})
		})
	}
}
