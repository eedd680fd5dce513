package transport

import (
	"context"
	"crypto/x509"
	"strings"
	"time"
)

// warnBefore is how long before its end a certificate is a matter for people;
// expiryEvery is how often it is looked at.
const (
	warnBefore  = 14 * 24 * time.Hour
	expiryEvery = time.Hour
)

// What a certificate is for, as metrics and logs call it.
const (
	ofServer   = "server"
	ofClientCA = "client-ca"
)

// WatchExpiry says every hour which certificates end soon, until the context ends.
func (t *TLS) WatchExpiry(ctx context.Context) {
	ticker := time.NewTicker(expiryEvery)
	defer ticker.Stop()
	t.watchExpiry(ctx, ticker.C)
}

func (t *TLS) watchExpiry(ctx context.Context, tick <-chan time.Time) {
	for {
		select {
		case <-tick:
			t.CheckExpiry()
		case <-ctx.Done():
			return
		}
	}
}

// CheckExpiry logs which of the certificates in force have ended or will soon,
// and tells the metrics when the first of each kind does.
func (t *TLS) CheckExpiry() {
	m := t.current.Load()
	if m == nil {
		return
	}
	t.checkExpiry(ofServer, m.chain)
	t.checkExpiry(ofClientCA, m.authorities)
}

func (t *TLS) checkExpiry(kind string, certificates []*x509.Certificate) {
	var first time.Time
	for _, certificate := range certificates {
		if first.IsZero() || certificate.NotAfter.Before(first) {
			first = certificate.NotAfter
		}
		t.logExpiry(kind, certificate)
	}
	t.metrics.CertificateExpires(kind, first)
}

func (t *TLS) logExpiry(kind string, certificate *x509.Certificate) {
	left := certificate.NotAfter.Sub(t.clock())
	if left > warnBefore {
		return
	}
	logger := t.logger.With("certificate", kind, "names", strings.Join(namesOf(certificate), ", "), "until", certificate.NotAfter.UTC().Format(time.RFC3339))
	if left <= 0 {
		logger.Error("a certificate has ended, and whoever checks it refuses it; replace its file")
		return
	}
	logger.Warn("a certificate ends soon; replace its file, and it is taken up by itself")
}
