package sqlite

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// fillBenchChains gives each tenant records of its chain, in turns.
func fillBenchChains(b *testing.B, s *Store, tenants []config.TenantID, each int) {
	b.Helper()
	record := benchRecord(config.MustPath("llm/openai/api-key"))
	for left := each; left > 0; left -= 16 {
		for _, tenant := range tenants {
			records := make([]audit.Record, min(left, 16))
			for i := range records {
				records[i] = record
			}
			mustAppend(b, s, tenant, records...)
		}
	}
}

// BenchmarkPackLinks is how long packing 4,096 links keeps other writes waiting,
// where they lie together and where those of 16 chains lie among each other.
func BenchmarkPackLinks(b *testing.B) {
	const links = 4096
	for _, tenants := range []int{1, 16} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) {
			s := openBench(b)
			ids := make([]config.TenantID, tenants)
			for i := range ids {
				ids[i] = createBenchTenant(b, s, i)
			}
			body := make([]byte, 200_000)
			last := uint64(0)
			var segments []store.Segment
			for b.Loop() {
				b.StopTimer()
				if len(segments) == 0 {
					last += links
					fillBenchChains(b, s, ids, links)
					for _, id := range ids {
						segment := packed(b, s, id, last)
						segment.Tenant = id
						segments = append(segments, segment)
					}
				}
				segment := segments[0]
				segments = segments[1:]
				b.StartTimer()
				if err := s.PackLinks(b.Context(), segment.Tenant, segment, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScanChains looks over 10,000 chains for work: none is there, or every
// one needs some.
func BenchmarkScanChains(b *testing.B) {
	const tenants = 10_000
	s := openBench(b)
	var checkpoints []store.Checkpoint
	for i := range tenants {
		id := config.TenantID(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i+1)))
		if _, err := s.CreateTenant(b.Context(), config.Tenant{ID: id, Name: fmt.Sprint("tenant-", i)}, store.Write{}, store.Write{}); err != nil {
			b.Fatal(err)
		}
		checkpoints = append(checkpoints, store.Checkpoint{Tenant: id, Sequence: 1, Note: []byte("note")})
	}
	checkpoints = append(checkpoints, store.Checkpoint{Sequence: tenants, Note: []byte("note")})
	scan := func(name string, scan store.ChainScan, want int) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				chains, err := s.ScanChains(b.Context(), scan)
				if err != nil || len(chains) != want {
					b.Fatal(len(chains), err)
				}
			}
		})
	}
	scan("uncheckpointed=1000", store.ChainScan{Limit: 1000, Uncheckpointed: true}, 1000)
	if err := s.PutCheckpoints(b.Context(), checkpoints); err != nil {
		b.Fatal(err)
	}
	scan("uncheckpointed=0", store.ChainScan{Limit: 1000, Uncheckpointed: true}, 0)
	scan("unindexed=1", store.ChainScan{Limit: 1000, Unindexed: 4096}, 1)
	scan("all=1000", store.ChainScan{Limit: 1000}, 1000)
}

// BenchmarkReadLinks reads of 200,000 links: a run of the feed, of a chain
// backwards, and single ones from all over it.
func BenchmarkReadLinks(b *testing.B) {
	const links = 200_000
	s := openBench(b)
	tenant := createBenchTenant(b, s, 0)
	fillBenchChains(b, s, []config.TenantID{tenant}, links)
	read := func(name string, read func(i uint64) (int, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				i = (i + 7919) % (links - 1000)
				if n, err := read(i + 1); err != nil || n != 1000 {
					b.Fatal(n, err)
				}
			}
		})
	}
	read("feed=1000", func(i uint64) (int, error) {
		fed, err := s.AuditFeed(b.Context(), int64(i), 1000)
		return len(fed), err
	})
	read("back=1000", func(i uint64) (int, error) {
		back, err := s.AuditBack(b.Context(), tenant, i+1000, 1000)
		return len(back), err
	})
	read("of=1000", func(i uint64) (int, error) {
		sequences := make([]uint64, 1000)
		for j := range sequences {
			sequences[j] = (i+uint64(j)*197)%links + 1
		}
		of, err := s.AuditOf(b.Context(), tenant, sequences)
		return len(of), err
	})
}
