package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// auditMetrics tell how the audit chains fare.
type auditMetrics struct {
	broken      prometheus.Gauge
	alerts      *prometheus.CounterVec
	sinks       *prometheus.GaugeVec
	checkpoints prometheus.Counter
	checkpoint  prometheus.Gauge
}

// auditing makes the metrics of the audit chains.
func (m *Metrics) auditing() {
	m.audit = auditMetrics{
		broken: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "audit_chains_broken", Help: "Audit chains that were found not to hold.",
		}),
		alerts: m.counters("audit_alerts_total", "Alerts that were raised.", "alert"),
		sinks: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "audit_sink_up", Help: "Whether a sink took the last audit records that it was given.",
		}, []string{"sink"}),
		checkpoints: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "audit_checkpoints_total", Help: "Checkpoints of audit chains that were signed.",
		}),
		checkpoint: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "audit_checkpoint_timestamp_seconds",
			Help: "When a checkpoint was signed last, in seconds since 1970.",
		}),
	}
	m.registry.MustRegister(m.audit.broken, m.audit.sinks, m.audit.checkpoints, m.audit.checkpoint)
}

// AuditBroken notes how many chains are known not to hold.
func (m *Metrics) AuditBroken(chains int) {
	if m != nil {
		m.audit.broken.Set(float64(chains))
	}
}

// AuditAlert counts an alert that was raised. Its name is one of the settings'.
func (m *Metrics) AuditAlert(name string) {
	if m != nil {
		m.audit.alerts.WithLabelValues(name).Inc()
	}
}

// AuditSink notes whether a sink, named as the settings have it, takes records.
func (m *Metrics) AuditSink(name string, up bool) {
	if m == nil {
		return
	}
	value := 0.0
	if up {
		value = 1
	}
	m.audit.sinks.WithLabelValues(name).Set(value)
}

// AuditCheckpoints counts checkpoints that were signed.
func (m *Metrics) AuditCheckpoints(n int, at time.Time) {
	if m != nil {
		m.audit.checkpoints.Add(float64(n))
		m.audit.checkpoint.Set(float64(at.Unix()))
	}
}
