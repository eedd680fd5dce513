package seal_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// text is a document of about so many bytes, as configuration is written.
func text(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"models":{`)
	for i := 0; b.Len() < size-60; i++ {
		fmt.Fprintf(&b, `"model-%d":{"temperature":0.%d,"max_tokens":%d},`, i, i*7919%100, 1000+i*131)
	}
	b.WriteString(`"z":0}}`)
	return []byte(b.String())
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{400, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, k := founded(b, seal.Options{})
			plain := text(size)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Seal(b.Context(), place, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{400, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, k := founded(b, seal.Options{})
			plain := text(size)
			sealed := mustSeal(b, k, place, plain)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Open(b.Context(), place, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSealOpen4K reports the 99th percentile of sealing and opening once.
func BenchmarkSealOpen4K(b *testing.B) {
	_, k := founded(b, seal.Options{})
	plain := text(4 << 10)
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		sealed, err := k.Seal(b.Context(), place, plain)
		if err == nil {
			_, err = k.Open(b.Context(), place, sealed)
		}
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	percentile99(b, took)
}

func BenchmarkMAC(b *testing.B) {
	_, k := founded(b, seal.Options{})
	data := text(400)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.MAC(b.Context(), tenantA, "audit", data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTenants reports the memory that each active tenant takes.
func BenchmarkTenants(b *testing.B) {
	const tenants = 2000
	w := newWorld(b)
	founding := w.start(b, seal.Options{})
	place := func(i int) seal.Place {
		return seal.Place{Kind: seal.Layer, Tenant: config.TenantID{1, byte(i >> 8), byte(i)}}
	}
	for i := range tenants {
		mustFound(b, founding, place(i).Tenant)
	}
	for b.Loop() {
		k := w.start(b, seal.Options{})
		before := heap()
		for i := range tenants {
			mustSeal(b, k, place(i), nil)
		}
		b.ReportMetric(float64(heap()-before)/tenants, "B/tenant")
		runtime.KeepAlive(k)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// percentile99 reports the 99th percentile of what one operation took.
func percentile99(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

func BenchmarkSealSecret4K(b *testing.B) {
	_, k := founded(b, seal.Options{})
	plain := text(4 << 10)
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		if _, err := k.SealSecret(b.Context(), secretPlace, plain); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	percentile99(b, took)
}

func BenchmarkOpenSecret4K(b *testing.B) {
	_, k := founded(b, seal.Options{})
	s := mustSealSecret(b, k, secretPlace, text(4<<10))
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		if _, err := k.OpenSecret(b.Context(), secretPlace, s); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	percentile99(b, took)
}

// BenchmarkRewrapData reports what wrapping one data key anew takes, its commit
// included, in batches as the background job makes them.
func BenchmarkRewrapData(b *testing.B) {
	const secrets, batch = 2000, 500
	w, k := founded(b, seal.Options{})
	w.create(b, tenantA)
	write := store.Write{}
	for i := range secrets {
		at := seal.Place{Kind: seal.SecretValue, Tenant: tenantA, Environment: 1, Path: fmt.Sprint("s", i), Version: 1}
		s := mustSealSecret(b, k, at, []byte("value"))
		write.Secrets = append(write.Secrets, store.SecretWrite{
			Environment: 1, Path: config.MustPath(at.Path), Version: 1, Sealed: []byte("record"),
			AddValues: []store.SecretValue{{Version: 1, Sealed: s.Sealed, Wrapped: s.Wrapped, KeyVersion: s.KeyVersion}},
		})
	}
	if _, err := w.data.inner.Commit(b.Context(), tenantA, write); err != nil {
		b.Fatal(err)
	}
	rotations := 0
	for b.Loop() {
		if rotations++; rotations > 60 {
			b.Skip("the key has as many versions as it may have; use fewer iterations")
		}
		mustRotate(b, k, tenantA)
		for left := int64(1); left > 0; {
			var err error
			if _, left, err = k.RewrapData(b.Context(), tenantA, batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*secrets), "ns/key")
}
