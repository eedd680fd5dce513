package telemetry

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	goroutines  = prometheus.NewDesc(namespace+"_goroutines", "Goroutines of the process.", nil, nil)
	uptime      = prometheus.NewDesc(namespace+"_uptime_seconds", "Time since the process started.", nil, nil)
	memoryUsage = prometheus.NewDesc(namespace+"_memory_usage_bytes", "Memory of the process.", nil, nil)
	cpuUsage    = prometheus.NewDesc(namespace+"_cpu_usage_percent", "Use of processors since the scrape before; 100 is one of them.", nil, nil)
)

// cpuWindow is the least time that a use of processors is an average of.
const cpuWindow = time.Second

// processCollector answers what the process takes.
type processCollector struct {
	clock   func() time.Time
	started time.Time

	mu      sync.Mutex
	at      time.Time     // the last time that the processors were looked at
	used    time.Duration // up to then
	percent float64       // as of then
}

var _ prometheus.Collector = (*processCollector)(nil)

func newProcessCollector(clock func() time.Time) *processCollector {
	now := clock()
	return &processCollector{clock: clock, started: now, at: now, used: processorTime()}
}

func (c *processCollector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{goroutines, uptime, memoryUsage, cpuUsage} {
		to <- desc
	}
}

func (c *processCollector) Collect(to chan<- prometheus.Metric) {
	now := c.clock()
	for desc, value := range map[*prometheus.Desc]float64{
		goroutines:  float64(runtime.NumGoroutine()),
		uptime:      now.Sub(c.started).Seconds(),
		memoryUsage: float64(memoryInUse()),
		cpuUsage:    c.processors(now),
	} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
}

// processors is the use since the last look. Two looks in quick succession, by
// two scrapers, answer the same.
func (c *processCollector) processors(now time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if passed := now.Sub(c.at); passed >= cpuWindow {
		used := processorTime()
		c.percent = 100 * float64(used-c.used) / float64(passed)
		c.at, c.used = now, used
	}
	return c.percent
}

// memoryInUse is what the system counts as the process's memory; where it does
// not tell, what the Go runtime has taken and not given back.
func memoryInUse() uint64 {
	if resident, ok := residentMemory(); ok {
		return resident
	}
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
