package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// Whether clients are asked for a certificate.
const (
	ClientAuthNone     = "none"
	ClientAuthOptional = "optional" // one that is given is checked
	ClientAuthRequired = "required"
)

// Files are where the certificates lie, all in PEM form.
type Files struct {
	Cert, Key  string // of the server: its chain, leaf first, and the leaf's key
	ClientCA   string // authorities of clients; empty: there are none
	ClientAuth string // one of the ClientAuth constants; empty: none
}

// TLSOptions are what a TLS is made with.
type TLSOptions struct {
	Logger  *slog.Logger
	Metrics *telemetry.Metrics // nil counts nothing
	Clock   func() time.Time   // nil is time.Now
}

// TLS holds the certificates in force, which can be replaced while connections
// are made: a handshake ends with what it began with.
type TLS struct {
	logger  *slog.Logger
	metrics *telemetry.Metrics
	clock   func() time.Time

	mu      sync.Mutex // one load at a time
	current atomic.Pointer[material]
}

// material is one state of the files.
type material struct {
	digest      [sha256.Size]byte // of all that was read
	config      *tls.Config
	chain       []*x509.Certificate // the server's
	authorities []*x509.Certificate // of clients
	required    bool                // a client without a certificate is refused
}

// NewTLS makes a TLS that has nothing in force before its first Load.
func NewTLS(o TLSOptions) *TLS {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &TLS{logger: o.Logger, metrics: o.Metrics, clock: o.Clock}
}

// Load puts in force what the files hold now. After an error, what was in force
// still is. Connections that are open stay open.
func (t *TLS) Load(files Files) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next, err := t.read(files)
	if err != nil {
		return err
	}
	if now := t.current.Load(); now != nil && now.digest == next.digest {
		return nil
	}
	t.current.Store(next)
	leaf := next.chain[0]
	t.logger.Info("certificates are in force", "names", strings.Join(namesOf(leaf), ", "), "serial", leaf.SerialNumber.String(),
		"until", leaf.NotAfter.UTC().Format(time.RFC3339), "client_authorities", len(next.authorities))
	t.CheckExpiry()
	return nil
}

// Config is for a listener: TLS 1.3 and nothing older, with what is in force when
// a handshake begins.
func (t *TLS) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return t.current.Load().config, nil
		},
	}
}

func (t *TLS) read(files Files) (*material, error) {
	certText, err := os.ReadFile(files.Cert)
	if err != nil {
		return nil, unusable("tls-cert", err)
	}
	keyText, err := os.ReadFile(files.Key)
	if err != nil {
		return nil, unusable("tls-key", err)
	}
	defer clear(keyText)
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be used: %w; tls-cert %s and tls-key %s must be PEM files that belong together",
			err, files.Cert, files.Key)
	}
	m := &material{required: files.ClientAuth == ClientAuthRequired}
	if m.chain, err = parseAll(pair.Certificate); err != nil {
		return nil, unusable("tls-cert", err)
	}
	m.config = &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{pair}, Time: t.clock,
	}
	var caText []byte
	if files.ClientAuth != "" && files.ClientAuth != ClientAuthNone {
		if caText, err = os.ReadFile(files.ClientCA); err != nil {
			return nil, unusable("client-ca", err)
		}
		if m.authorities, err = parseAuthorities(caText); err != nil {
			return nil, unusable("client-ca "+files.ClientCA, err)
		}
		m.askClients()
	}
	m.digest = digest([]byte(files.ClientAuth), certText, keyText, caText)
	return m, nil
}

// askClients has handshakes ask for a certificate. Sessions are never resumed
// then: a ticket would carry a client past the authorities that are in force.
func (m *material) askClients() {
	m.config.ClientCAs = x509.NewCertPool()
	for _, authority := range m.authorities {
		m.config.ClientCAs.AddCert(authority)
	}
	m.config.ClientAuth = tls.VerifyClientCertIfGiven
	if m.required {
		m.config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	m.config.SessionTicketsDisabled = true
}

func unusable(setting string, err error) error {
	return fmt.Errorf("%s cannot be used: %w; name a PEM file that the server can read", setting, err)
}

func parseAll(chain [][]byte) ([]*x509.Certificate, error) {
	parsed := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		parsed[i] = certificate
	}
	return parsed, nil
}

// parseAuthorities reads a file of authorities. What is in it by mistake is
// refused: a key, or a certificate of somebody who may not sign others.
func parseAuthorities(text []byte) (all []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a block %q, and only certificates belong there", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if !certificate.BasicConstraintsValid || !certificate.IsCA {
			return nil, fmt.Errorf("it holds the certificate of %q, which is no authority", certificate.Subject)
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return all, nil
}

func digest(parts ...[]byte) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// namesOf is whom a certificate speaks for, at most so many that a person reads.
func namesOf(certificate *x509.Certificate) []string {
	const most = 8
	names := append([]string{}, certificate.DNSNames...)
	for _, address := range certificate.IPAddresses {
		names = append(names, address.String())
	}
	for _, uri := range certificate.URIs {
		names = append(names, uri.String())
	}
	if len(names) == 0 {
		names = []string{certificate.Subject.String()}
	}
	return names[:min(len(names), most)]
}
