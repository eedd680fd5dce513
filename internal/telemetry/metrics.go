package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// namespace begins the name of every metric.
const namespace = "llm_config_manager"

// ownBackend is the backend label of what no external secret store took part in.
const ownBackend = "internal"

// The bounds of a scrape, so that whoever reaches the operators' routes cannot
// keep the server busy with them.
const (
	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
)

// Metrics counts what the server does and answers it to Prometheus. No label is
// taken from a request unless it is one of a bounded set. All methods may be
// called on a nil *Metrics, which counts nothing.
type Metrics struct {
	registry *prometheus.Registry
	tenants  tenantLabels
	keys     keyStates
	clock    func() time.Time

	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	requestSize     *prometheus.HistogramVec
	responseSize    *prometheus.HistogramVec
	secretAccess    *prometheus.CounterVec
	grantUses       *prometheus.CounterVec
	secretRotations *prometheus.CounterVec
	secretsOverdue  prometheus.Counter
	jobFailures     *prometheus.CounterVec

	certificateExpires *prometheus.GaugeVec
	connectionsRefused prometheus.Counter

	audit auditMetrics
}

// NewMetrics makes the metrics of a process that starts now. A nil clock is time.Now.
func NewMetrics(clock func() time.Time) *Metrics {
	if clock == nil {
		clock = time.Now
	}
	m := &Metrics{registry: prometheus.NewRegistry(), clock: clock}
	m.requests = m.counters("requests_total", "Requests that were answered.", "method", "endpoint", "status_code", "tenant_id")
	m.requestDuration = m.histograms("request_duration_seconds", "How long requests took; watches are not among them.",
		[]float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5}, "method", "endpoint", "tenant_id")
	sizes := prometheus.ExponentialBuckets(100, 10, 5)
	m.requestSize = m.histograms("request_size_bytes", "Bytes of request bodies that were read.", sizes, "method", "endpoint")
	m.responseSize = m.histograms("response_size_bytes", "Bytes of response bodies that were sent.", sizes, "method", "endpoint")
	m.grantUses = m.counters("break_glass_uses_total", "Uses of access by break-glass.", "tenant_id")
	m.secretAccess = m.counters("secret_access_total", "Uses of secrets.", "operation", "tenant_id")
	m.secretRotations = m.counters("secret_rotations_total", "Rotations of secrets that came to an end.", "backend", "result")
	m.secretsOverdue = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "secret_rotations_overdue",
		Help: "Overlaps of secrets that ended at their deadline while clients still used the old version.",
	})
	m.jobFailures = m.counters("job_failures_total", "Runs of background jobs that failed.", "job")
	m.transport()
	m.auditing()
	m.registry.MustRegister(m.secretsOverdue, keyCollector{m}, newProcessCollector(clock))
	return m
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}

// Handler answers all metrics in the formats of Prometheus. It asks for no
// credentials and names tenants: it belongs on the operators' listener.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout, DisableCompression: true,
	})
}

// SecretAccess counts a use of a tenant's secret. The operation is a fixed word,
// never part of a request.
func (m *Metrics) SecretAccess(operation, tenant string) {
	if m != nil {
		m.secretAccess.WithLabelValues(operation, m.tenants.of(tenant)).Inc()
	}
}

// GrantUse counts what break-glass access to a tenant was used for.
func (m *Metrics) GrantUse(tenant string) {
	if m != nil {
		m.grantUses.WithLabelValues(m.tenants.of(tenant)).Inc()
	}
}

// SecretRotation counts a rotation by how it ended, a fixed word.
func (m *Metrics) SecretRotation(result string) {
	if m != nil {
		m.secretRotations.WithLabelValues(ownBackend, result).Inc()
	}
}

// SecretOverdue counts an overlap that ended at its deadline although clients
// still used the old version.
func (m *Metrics) SecretOverdue() {
	if m != nil {
		m.secretsOverdue.Inc()
	}
}

// JobFailed counts a run of a background job that failed.
func (m *Metrics) JobFailed(job string) {
	if m != nil {
		m.jobFailures.WithLabelValues(job).Inc()
	}
}

// KeyState notes when a key's newest version was made, when the next is due, and
// how many rows older versions still wrap. The level is a fixed word; the tenant
// is empty for the master key. It is to be told again and again: after half an
// hour it is no longer shown.
func (m *Metrics) KeyState(level, tenant string, created, due time.Time, pending int64) {
	if m != nil {
		m.keys.set(keyName{level, tenant}, keyState{created, due, pending, m.clock()})
	}
}
