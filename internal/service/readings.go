package service

import (
	"sync"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// How many readings of whole chains run at once: verifications, counts, exports
// and reports, each of which may take a processor for long.
const (
	maxReadings      = 8
	maxReadingsChain = 3
)

// readings counts them.
type readings struct {
	mu     sync.Mutex
	all    int
	chains map[config.TenantID]int
}

// enter takes a place for a chain, and answers how to leave it.
func (r *readings) enter(id config.TenantID) (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	most, taken := maxReadings, r.all
	if r.chains[id] >= maxReadingsChain {
		most, taken = maxReadingsChain, r.chains[id]
	}
	if taken >= most {
		return nil, config.Errorf(config.KindOverloaded, "too many verifications, counts, exports and reports of audit records run at once").
			Hint("wait for one to end").Over(int64(most), int64(taken)+1)
	}
	if r.chains == nil {
		r.chains = map[config.TenantID]int{}
	}
	r.all++
	r.chains[id]++
	return sync.OnceFunc(func() { r.leave(id) }), nil
}

func (r *readings) leave(id config.TenantID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.chains[id]--; r.chains[id] == 0 {
		delete(r.chains, id)
	}
}
