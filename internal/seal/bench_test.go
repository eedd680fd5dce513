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
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
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
