package main

import (
	"math"
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are 1/16 of a power of two wide,
// so that a quantile is right to 6 %.
type histogram struct {
	counts [64 * 16]int64
	total  int64
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 1)))]++
	h.total++
}

func (h *histogram) merge(other *histogram) {
	for i := range other.counts {
		h.counts[i] += other.counts[i]
	}
	h.total += other.total
}

// quantile is the upper edge of the bucket in which the q-th part of all ends.
func (h *histogram) quantile(q float64) time.Duration {
	rank, seen := int64(math.Ceil(q*float64(h.total))), int64(0)
	for i := range h.counts {
		if seen += h.counts[i]; h.counts[i] > 0 && seen >= rank {
			return edge(i)
		}
	}
	return 0
}

func bucket(n uint64) int {
	power := bits.Len64(n) - 1
	if power < 4 {
		return int(n)
	}
	return power*16 + int(n>>(power-4)&15)
}

// edge is the largest duration in a bucket.
func edge(i int) time.Duration {
	power := i / 16
	if power < 4 {
		return time.Duration(i)
	}
	return time.Duration((uint64(16+i%16)+1)<<(power-4) - 1)
}
