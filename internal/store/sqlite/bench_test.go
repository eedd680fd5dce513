package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const benchWriters = 64

// BenchmarkCommit64 is durable single-layer commits from 64 goroutines, each
// expecting its path to stand still as a real write does. fsync-µs is what one
// sync of the same disk takes, cpu-µs/op what the whole process spent, which
// tells more than the clock where others use the machine too.
func BenchmarkCommit64(b *testing.B) {
	for _, tenants := range []int{16, 1} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) {
			s := openBench(b)
			ids := make([]config.TenantID, tenants)
			for i := range ids {
				ids[i] = createBenchTenant(b, s, i)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			for g := range benchWriters {
				wg.Go(func() { writeLayers(b, s, ids[g%tenants], g, &left) })
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(fsyncTime(b).Nanoseconds())/1e3, "fsync-µs")
		})
	}
}

// writeLayers commits versions of 16 layers of its own until none are left.
func writeLayers(b *testing.B, s *Store, tenant config.TenantID, writer int, left *atomic.Int64) {
	var paths [16]config.Path
	for i := range paths {
		paths[i] = config.MustPath(fmt.Sprintf("gateway/%d/models/%d", writer, i))
	}
	sealed := bytes.Repeat([]byte{byte(writer)}, 400)
	var revision config.Revision
	for n := 0; left.Add(-1) >= 0; n++ {
		path := paths[n%len(paths)]
		receipt, err := s.Commit(context.Background(), tenant, store.Write{
			Expect: store.Expect{Revision: max(revision, 1), Paths: []config.Path{path}},
			Entry:  store.Entry{Kind: store.EntryChange, Author: "token 7f3a9c (writer)", Subject: store.Subject{Version: int64(n)}, Sealed: sealed[:150]},
			Layers: []store.LayerWrite{{Environment: 1, Path: path, Version: config.Version(n/len(paths) + 1), State: store.Live, Sealed: sealed}},
			Audit:  benchRecord(path),
		})
		if err != nil {
			b.Error(err)
			return
		}
		revision = receipt.Revision
	}
}

// BenchmarkAppend64 is durable audit records from 64 goroutines: alone, of
// secret values that were served before, and of ones served for the first time.
func BenchmarkAppend64(b *testing.B) {
	path := config.MustPath("llm/openai/api-key")
	served := func(writer int, version config.Version) []store.Served {
		return []store.Served{{Principal: fmt.Sprintf("token 7f3a9c%02d", writer), Environment: 4, Path: path, Version: version}}
	}
	for _, c := range []struct {
		name   string
		served func(writer, n int) []store.Served
	}{
		{"audit", func(int, int) []store.Served { return nil }},
		{"access", func(writer, n int) []store.Served { return served(writer, config.Version(n%4+1)) }},
		{"first-access", func(writer, n int) []store.Served { return served(writer, config.Version(n+1)) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := openBench(b)
			tenant := createBenchTenant(b, s, 0)
			record := benchRecord(path)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			for g := range benchWriters {
				wg.Go(func() {
					for n := 0; left.Add(-1) >= 0; n++ {
						if err := s.AppendAccess(context.Background(), tenant, c.served(g, n), record); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(fsyncTime(b).Nanoseconds())/1e3, "fsync-µs")
		})
	}
}

const (
	benchSecrets = 100_000
	rewrapBatch  = 500
)

// BenchmarkRewrap wraps the keys of 500 of 100,000 secret values anew, batch
// after batch, and counts them as a look at the progress does.
func BenchmarkRewrap(b *testing.B) {
	s := openBench(b)
	tenant := createBenchTenant(b, s, 0)
	fillBenchSecrets(b, s, tenant)
	version := uint32(2)
	b.Run("batch=500", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			keys, err := s.KeysBelow(b.Context(), tenant, version, rewrapBatch)
			if err != nil {
				b.Fatal(err)
			}
			if len(keys) == 0 {
				version++
				continue
			}
			if err := s.Rewrap(b.Context(), tenant, benchRewrapped(keys, version)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("progress", func(b *testing.B) {
		for b.Loop() {
			counts, err := s.KeyVersions(b.Context(), tenant)
			if err != nil || counts[version]+counts[version-1] != benchSecrets {
				b.Fatal(counts, err)
			}
		}
	})
}

func fillBenchSecrets(b *testing.B, s *Store, tenant config.TenantID) {
	b.Helper()
	for first := 0; first < benchSecrets; first += 1000 {
		var change store.Write
		for i := first; i < first+1000; i++ {
			change.Secrets = append(change.Secrets, store.SecretWrite{
				Environment: 4, Path: config.MustPath(fmt.Sprintf("llm/%d/keys/%d", i%317, i)), Version: 1, Sealed: make([]byte, 400),
				AddValues: []store.SecretValue{{Version: 1, Sealed: make([]byte, 150), Wrapped: fmt.Appendf(nil, "%065d", i), KeyVersion: 1}},
			})
		}
		if _, err := s.Commit(b.Context(), tenant, change); err != nil {
			b.Fatal(err)
		}
	}
}

func benchRewrapped(keys []store.WrappedKey, version uint32) []store.Rewrapped {
	batch := make([]store.Rewrapped, len(keys))
	for i, k := range keys {
		batch[i] = store.Rewrapped{WrappedKey: k, Before: k.Wrapped}
		batch[i].Wrapped, batch[i].KeyVersion = fmt.Appendf(nil, "%60d%5d", i, version), version
	}
	return batch
}

// BenchmarkLayersAt reads one path of 10,000 with two layers, each with ten
// versions: now, and at a revision in the middle.
func BenchmarkLayersAt(b *testing.B) {
	s, tenant, paths := fillBench(b)
	for name, at := range map[string]config.Revision{"newest": 0, "revision": 50} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				layers, err := s.LayersAt(b.Context(), tenant, at, paths[i*7919%len(paths):][:1])
				if err != nil || len(layers) != 2 {
					b.Fatal(len(layers), err)
				}
			}
		})
	}
}

// BenchmarkScan reads a page of 100 paths, with their layers, out of 10,000.
func BenchmarkScan(b *testing.B) {
	s, tenant, _ := fillBench(b)
	prefix, err := config.ParsePrefix("gateway/50")
	if err != nil {
		b.Fatal(err)
	}
	for name, at := range map[string]config.Revision{"newest": 0, "revision": 50} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			scan := store.Scan{At: at, Environments: []config.EnvironmentID{1, 4}, Prefix: prefix, Page: store.Page{Limit: 100}}
			for b.Loop() {
				layers, _, err := s.ScanLayers(b.Context(), tenant, scan)
				if err != nil || len(layers) != 200 {
					b.Fatal(len(layers), err)
				}
			}
		})
	}
}

// fillBench gives a tenant ten versions of 10,000 paths in two environments.
func fillBench(b *testing.B) (*Store, config.TenantID, []config.Path) {
	b.Helper()
	s := openBench(b)
	tenant := createBenchTenant(b, s, 0)
	paths := make([]config.Path, 10_000)
	for i := range paths {
		paths[i] = config.MustPath(fmt.Sprintf("gateway/%d/models/%d", i/100, i%100))
	}
	for version := range config.Version(10) {
		for some := range slices.Chunk(paths, 1000) {
			var change store.Write
			for _, path := range some {
				for _, e := range []config.EnvironmentID{1, 4} {
					l := store.LayerWrite{Environment: e, Path: path, Version: version + 1, State: store.Live, Sealed: make([]byte, 400)}
					change.Layers = append(change.Layers, l)
				}
			}
			if _, err := s.Commit(b.Context(), tenant, change); err != nil {
				b.Fatal(err)
			}
		}
	}
	return s, tenant, paths
}

func benchRecord(path config.Path) audit.Record {
	return audit.Record{
		Event: "config.change", Actor: "token 7f3a9c (writer)", Tenant: "0102030405060708090a0b0c0d0e0f10",
		Resource: path.String(), Action: "config.write", Outcome: audit.Success,
		RequestID: "01JD3Z8Q7Q3W5Y6B8N9M0K1L2P", Source: "10.1.2.3", UserAgent: "llm-config/1.0",
		Details: map[string]string{"base": "4f1c0e5b7d2a9c8e6f3b1a0d5c7e9f2b"},
	}
}

func openBench(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func createBenchTenant(b *testing.B, s *Store, n int) config.TenantID {
	b.Helper()
	id := config.TenantID(bytes.Repeat([]byte{byte(n + 1)}, 16))
	founding := store.Write{}
	for i, name := range config.FirstEnvironments {
		e := config.Environment{ID: config.EnvironmentID(i + 1), Name: name, Version: 1}
		founding.Environments = append(founding.Environments, store.EnvironmentWrite{Environment: e})
	}
	if _, err := s.CreateTenant(b.Context(), config.Tenant{ID: id, Name: fmt.Sprint("tenant-", n)}, founding, store.Write{}); err != nil {
		b.Fatal(err)
	}
	return id
}

// cpuTime is what the process has spent so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// fsyncTime is what writing a page and syncing it takes.
func fsyncTime(b *testing.B) time.Duration {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	const rounds = 100
	start := time.Now()
	for i := range rounds {
		if _, err := f.WriteAt(page, int64(i%8)*4096); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) / rounds
}
