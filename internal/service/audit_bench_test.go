package service_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

const (
	benchReaders = 64
	readsPerTurn = 10_000
)

// BenchmarkSecretReads reads values with 64 readers at once, in turns durably on
// record and not on record at all. The ratio is that of the rates: its median over
// the turns.
func BenchmarkSecretReads(b *testing.B) {
	a := newTenant(b)
	a.putSecret("base", "db", "one")
	without := service.New(service.Options{Store: unrecorded{a.engine}, Keyring: a.keyring})
	with := service.New(service.Options{Store: a.engine, Keyring: a.keyring})
	fsync := measureFsync(b)
	var took, cpu [2]time.Duration
	var ratios []float64
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= readsPerTurn {
		var turn [2]time.Duration
		for i, s := range []*service.Service{with, without} {
			before, began := cpuTime(), time.Now()
			readSecrets(b, a, s, min(left, readsPerTurn))
			turn[i] = time.Since(began)
			took[i], cpu[i] = took[i]+turn[i], cpu[i]+cpuTime()-before
		}
		ratios = append(ratios, float64(turn[1])/float64(turn[0]))
	}
	b.StopTimer()
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	for i, name := range []string{"recorded", "unrecorded"} {
		b.ReportMetric(float64(b.N)/took[i].Seconds(), name+"/s")
		b.ReportMetric(float64(cpu[i].Nanoseconds())/1e3/float64(b.N), name+"-cpu-µs")
	}
	b.ReportMetric(float64(fsync.Microseconds()), "fsync-µs")
}

// readSecrets reads the secret so many times from all readers together.
func readSecrets(b *testing.B, a *actor, s *service.Service, times int) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(times))
	var reading sync.WaitGroup
	for range benchReaders {
		reading.Go(func() {
			for left.Add(-1) >= 0 {
				r, err := s.RevealSecret(b.Context(), a.who, a.tenant, "production", path("db"), service.RevealRequest{})
				if err != nil {
					b.Error(err)
					return
				}
				r.Wipe()
			}
		})
	}
	reading.Wait()
}
