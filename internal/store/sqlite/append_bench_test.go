package sqlite

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// BenchmarkAppendAudit is durable audit records, one at a time from each of 64
// callers, on one chain and over 16 of them, with the fsync of the same disk.
func BenchmarkAppendAudit(b *testing.B) {
	for _, chains := range []int{1, 16} {
		b.Run(fmt.Sprintf("chains=%d", chains), func(b *testing.B) {
			s := openBench(b)
			ids := make([]config.TenantID, chains)
			for i := range ids {
				ids[i] = createBenchTenant(b, s, i)
			}
			record := benchRecord(config.MustPath("llm/openai/api-key"))
			var left atomic.Int64
			left.Store(int64(b.N))
			var appending sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			for g := range benchWriters {
				appending.Go(func() {
					for left.Add(-1) >= 0 {
						if err := s.AppendAudit(context.Background(), ids[g%chains], record); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			appending.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(fsyncTime(b).Nanoseconds())/1e3, "fsync-µs")
		})
	}
}
