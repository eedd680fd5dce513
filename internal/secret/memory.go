package secret

import (
	"math/bits"
	"slices"
	"sync"
)

// Sizes of the arena.
const (
	chunkBytes = 64 << 10 // what is asked of the system at a time, and the largest value that lies in the arena
	leafBytes  = 64       // the smallest piece
	leaves     = chunkBytes / leafBytes
	maxChunks  = 128 // 8 MiB, what systems let a process lock by default
)

// memory is where values lie.
var memory = arena{pages: lockedPages}

// arena cuts locked pages into pieces whose sizes are powers of two. It never
// says no: what finds no place, because the system gives none, or all is taken,
// or it is too large, lies in ordinary memory.
type arena struct {
	pages func(size int) []byte // nil when the system gives none

	mu     sync.Mutex
	chunks []*chunk
	full   bool // the system gives no more pages
}

// place is a piece of a chunk; the zero place is ordinary memory. It holds no
// pointer, so that nobody gets from a value to the pages.
type place struct {
	chunk int // its place in chunks, from 1
	node  int // of the chunk's tree
}

// take answers size bytes that are zero.
func (a *arena) take(size int) ([]byte, place) {
	if size > chunkBytes || size == 0 {
		return make([]byte, size), place{}
	}
	want := uint8(bits.Len(uint((size - 1) / leafBytes)))
	a.mu.Lock()
	defer a.mu.Unlock()
	found := slices.IndexFunc(a.chunks, func(c *chunk) bool { return c.free[1] > want })
	if found < 0 && !a.grow() {
		return make([]byte, size), place{}
	}
	if found < 0 {
		found = len(a.chunks) - 1
	}
	data, node := a.chunks[found].take(want, size)
	return data, place{found + 1, node}
}

// grow adds a chunk if there are pages for it. It needs mu.
func (a *arena) grow() bool {
	if a.full || len(a.chunks) == maxChunks {
		return false
	}
	pages := a.pages(chunkBytes)
	if pages == nil {
		a.full = true
		return false
	}
	a.chunks = append(a.chunks, newChunk(pages))
	return true
}

// give overwrites data with zeros and takes its place back.
func (a *arena) give(data []byte, p place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(data)
	if p.chunk > 0 {
		a.chunks[p.chunk-1].give(p.node)
	}
}

// chunk is a run of pages as a binary tree of halves (a buddy allocator): node
// 1 is the whole, nodes 2n and 2n+1 are the halves of node n.
type chunk struct {
	pages []byte
	free  [2 * leaves]uint8 // node → 1 + the order of the largest free piece below it, 0 for none; order 0 is a leaf
}

const rootOrder = 10 // 1<<rootOrder leaves are the whole

func newChunk(pages []byte) *chunk {
	c := &chunk{pages: pages}
	for node := range c.free {
		if node > 0 {
			c.free[node] = orderOf(node) + 1
		}
	}
	return c
}

// orderOf is the order of the piece that a node stands for.
func orderOf(node int) uint8 {
	return uint8(rootOrder + 1 - bits.Len(uint(node)))
}

// take needs a free piece of order want.
func (c *chunk) take(want uint8, size int) (data []byte, node int) {
	node = 1
	for orderOf(node) > want {
		node *= 2
		if c.free[node] <= want {
			node++ // the left half has no room
		}
	}
	c.free[node] = 0
	c.update(node)
	length := leafBytes << want
	start := (node - 1<<(rootOrder-want)) * length
	return c.pages[start : start+size : start+size], node
}

func (c *chunk) give(node int) {
	c.free[node] = orderOf(node) + 1
	c.update(node)
}

// update corrects the nodes above one that changed.
func (c *chunk) update(node int) {
	for node /= 2; node > 0; node /= 2 {
		left, right := c.free[2*node], c.free[2*node+1]
		if half := orderOf(node); left == half && right == half {
			c.free[node] = half + 1 // both halves are whole, so they are one piece again
			continue
		}
		c.free[node] = max(left, right)
	}
}
