package service_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

// openBench makes a service on a real engine with tenants and their callers.
func openBench(b testing.TB, tenants int) (*service.Service, []string, []service.Caller) {
	b.Helper()
	ctx, dir := context.Background(), b.TempDir()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	data, err := sqlite.Open(ctx, dir, sqlite.Options{Clock: time.Now})
	must(err)
	b.Cleanup(func() { _ = data.Close() })
	keys, err := sqlite.OpenKeys(ctx, dir)
	must(err)
	b.Cleanup(func() { _ = keys.Close() })
	must(seal.CreateFileKey(filepath.Join(dir, "master.key")))
	keeper, err := seal.OpenFileKeeper(filepath.Join(dir, "master.key"))
	must(err)
	keyring, err := seal.OpenKeyring(ctx, seal.Keepers{Write: keeper}, keys, data, seal.Options{})
	must(err)
	s := service.New(service.Options{Store: data, Keyring: keyring})
	root := service.Caller{Principal: access.Principal{ID: "bench", Name: "bench", Method: access.MethodToken, ServerAdmin: true}.Sealed()}
	var names []string
	var callers []service.Caller
	for i := range tenants {
		founded, err := s.CreateTenant(ctx, root, fmt.Sprintf("tenant-%d", i), service.TokenRequest{})
		must(err)
		p := access.Principal{ID: founded.Token.ID, Name: "bench", Method: access.MethodToken, Tenant: founded.Tenant.ID, Roles: []string{access.RoleAdmin}}.Sealed()
		names, callers = append(names, founded.Tenant.Name), append(callers, service.Caller{Principal: p})
	}
	return s, names, callers
}

// BenchmarkChange64 measures durable changes of one document each from 64
// writers, with the fsync of the machine beside it.
func BenchmarkChange64(b *testing.B) {
	for _, tenants := range []int{1, 16} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) {
			s, names, callers := openBench(b, tenants)
			fsync := measureFsync(b)
			b.SetParallelism(32) // of GOMAXPROCS: 64 writers on two cores
			var writer atomic.Int64
			before := cpuTime()
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				w := int(writer.Add(1))
				tenant := w % tenants
				path := config.MustPath(fmt.Sprintf("gateway/limits/writer-%d", w))
				for n := 0; pb.Next(); n++ {
					edit := service.Edit{Op: service.Put, Environment: "production", Path: path, Document: limitsDocument(w, n)}
					result, err := s.Change(context.Background(), callers[tenant], names[tenant], service.ChangeRequest{Edits: []service.Edit{edit}})
					if err != nil || result.Status != service.Committed {
						b.Error(result.Status, err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(fsync.Microseconds()), "fsync-µs")
		})
	}
}

// limitsDocument is a document as a rate limiter has it, about 300 bytes.
func limitsDocument(writer, n int) config.Document {
	return config.NewDocument(map[string]any{
		"requests_per_minute": float64(600 + n), "tokens_per_minute": float64(90_000), "owner": fmt.Sprintf("team-%d", writer),
		"models":  map[string]any{"primary": "gpt-4o", "fallback": "claude-sonnet-4", "last": "mistral-large-latest"},
		"retries": map[string]any{"attempts": float64(3), "backoff": "250ms", "on": []any{"timeout", "rate_limited", "overloaded"}},
		"notes":   "raised for the autumn campaign; back to the old figure in December",
	})
}

func measureFsync(b *testing.B) time.Duration {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	const rounds = 50
	began := time.Now()
	for range rounds {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began) / rounds
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkConfig measures a read of an effective document that is in memory.
func BenchmarkConfig(b *testing.B) {
	s, names, callers := openBench(b, 1)
	path := config.MustPath("gateway/limits")
	_, err := s.Change(context.Background(), callers[0], names[0], service.ChangeRequest{Edits: []service.Edit{
		{Op: service.Put, Environment: "base", Path: path, Document: limitsDocument(1, 1)},
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Config(context.Background(), callers[0], names[0], "production", path, service.ReadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRevealSecret reads values with 64 readers at once, each read durably
// on record before it is answered.
func BenchmarkRevealSecret(b *testing.B) {
	a := newTenant(b)
	a.putSecret("base", "db", "one")
	b.ReportAllocs()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := a.s.RevealSecret(b.Context(), a.who, a.tenant, "production", path("db"), service.RevealRequest{})
			if err != nil {
				b.Error(err)
				return
			}
			r.Wipe()
		}
	})
}
