package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// transport makes the metrics of connections.
func (m *Metrics) transport() {
	m.certificateExpires = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "certificate_expires_timestamp_seconds",
		Help: "When the first certificate of a kind ends, in seconds since 1970.",
	}, []string{"certificate"})
	m.connectionsRefused = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "connections_refused_total",
		Help: "Connections that were closed at once because as many as may be were open.",
	})
	m.registry.MustRegister(m.certificateExpires, m.connectionsRefused)
}

// CertificateExpires notes when the first certificate of a kind, a fixed word,
// ends. The zero time says that there is none of it.
func (m *Metrics) CertificateExpires(kind string, at time.Time) {
	switch {
	case m == nil:
	case at.IsZero():
		m.certificateExpires.DeleteLabelValues(kind)
	default:
		m.certificateExpires.WithLabelValues(kind).Set(float64(at.Unix()))
	}
}

// ConnectionRefused counts a connection that was one too many.
func (m *Metrics) ConnectionRefused() {
	if m != nil {
		m.connectionsRefused.Inc()
	}
}
