package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxKeyStates bounds the keys whose state is held; more are left out.
const maxKeyStates = 100_000

// keyStateAge is how long a state is believed. All keys are looked at several
// times as often, on the instance that runs jobs: a state that is not told again
// is of a tenant that was deleted, or is another instance's to tell.
const keyStateAge = 35 * time.Minute

type keyName struct{ level, tenant string }

type keyState struct {
	created, due time.Time
	pending      int64 // rows that older versions wrap
	told         time.Time
}

// worse is the state of two keys that share a label: the older, the one due
// first, and all rows.
func (s keyState) worse(other keyState) keyState {
	if other.created.Before(s.created) {
		s.created = other.created
	}
	if s.due.IsZero() || !other.due.IsZero() && other.due.Before(s.due) {
		s.due = other.due
	}
	s.pending += other.pending
	return s
}

type keyStates struct {
	mu  sync.Mutex
	all map[keyName]keyState
}

func (k *keyStates) set(name keyName, state keyState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[keyName]keyState{}
	}
	if _, known := k.all[name]; known || len(k.all) < maxKeyStates {
		k.all[name] = state
	}
}

// labelled are the states by the labels they are shown under. Those that are too
// old are forgotten.
func (k *keyStates) labelled(now time.Time, label func(tenant string) string) map[keyName]keyState {
	k.mu.Lock()
	defer k.mu.Unlock()
	shown := make(map[keyName]keyState, min(len(k.all), 2*maxTenantLabels))
	for name, state := range k.all {
		if now.Sub(state.told) > keyStateAge {
			delete(k.all, name)
			continue
		}
		name.tenant = label(name.tenant)
		if other, shared := shown[name]; shared {
			state = state.worse(other)
		}
		shown[name] = state
	}
	return shown
}

var (
	keyLabels  = []string{"level", "tenant"}
	keyAge     = prometheus.NewDesc(namespace+"_key_age_seconds", "Age of a key's newest version.", keyLabels, nil)
	keyDue     = prometheus.NewDesc(namespace+"_key_due_timestamp_seconds", "When a key's next version is due.", keyLabels, nil)
	keyPending = prometheus.NewDesc(namespace+"_key_rewrap_pending", "Rows that older versions of a key still wrap.", keyLabels, nil)
)

// keyCollector answers the states of keys as of the scrape: an age grows by itself.
type keyCollector struct{ metrics *Metrics }

var _ prometheus.Collector = keyCollector{}

func (c keyCollector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{keyAge, keyDue, keyPending} {
		to <- desc
	}
}

func (c keyCollector) Collect(to chan<- prometheus.Metric) {
	now := c.metrics.clock()
	for name, state := range c.metrics.keys.labelled(now, c.metrics.tenants.of) {
		gauge := func(desc *prometheus.Desc, value float64) {
			to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, name.level, name.tenant)
		}
		gauge(keyAge, now.Sub(state.created).Seconds())
		gauge(keyPending, float64(state.pending))
		if !state.due.IsZero() {
			gauge(keyDue, float64(state.due.Unix()))
		}
	}
}
