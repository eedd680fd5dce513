package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of syslog.
const (
	syslogTime = 10 * time.Second       // to connect, and for each write
	settleTime = 500 * time.Millisecond // in which a collector that does not want a connection closes it
	writeBytes = 64 << 10               // of a stream at once

	// A datagram of 2048 bytes is one that every receiver should take, RFC 5426
	// section 3.2; the least leaves room for the longest header.
	datagramBytes    = 2048
	minDatagramBytes = 1024
	maxDatagramBytes = 65507 // what UDP over IPv4 carries

	// exampleEnterprise is the number of nobody, RFC 5612: it stands in SD-IDs until
	// the operator gives the organisation's own.
	exampleEnterprise = "32473"
)

// collector is where a syslog URL leads to.
type collector struct {
	name          string
	transport     string // udp, tcp or tls
	address       string
	host          string // that the collector's certificate is for
	enterprise    string
	datagram      int
	ca, cert, key string // files
}

func parseCollector(u *url.URL) (collector, error) {
	transport := strings.TrimPrefix(u.Scheme, "syslog+")
	c := collector{transport: transport, address: u.Host, host: u.Hostname(), enterprise: exampleEnterprise, datagram: datagramBytes, name: u.Scheme + "://" + u.Host}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if c.host == "" || err != nil || port == 0 || u.Path != "" && u.Path != "/" {
		return c, badURL("has no host and port, or more than them").Hint("write it like %s://logs.example.com:6514", u.Scheme)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, badURL("has parameters that cannot be read")
	}
	for name, values := range query {
		value := values[0]
		n, notNumber := strconv.ParseUint(value, 10, 32)
		switch {
		case name == "enterprise" && notNumber == nil && n > 0:
			c.enterprise = strconv.FormatUint(n, 10)
		case name == "size" && transport == "udp" && notNumber == nil && n >= minDatagramBytes && n <= maxDatagramBytes:
			c.datagram = int(n)
		case name == "ca" && transport == "tls" && value != "":
			c.ca = value
		case name == "cert" && transport == "tls" && value != "":
			c.cert = value
		case name == "key" && transport == "tls" && value != "":
			c.key = value
		default:
			return c, badURL("has a parameter %q that %s does not take, or not with this value", name, u.Scheme).
				Hint("enterprise is a number; udp takes size, a number from %d to %d; tls takes ca, cert and key, which are files", minDatagramBytes, maxDatagramBytes)
		}
	}
	if (c.cert == "") != (c.key == "") {
		return c, badURL("has one of cert and key").Hint("give both files, or neither")
	}
	return c, nil
}

// openSyslog reads the files that the URL names, so that those which cannot be
// used are found at the start.
func openSyslog(c collector, o Options) (Sink, error) {
	form := newForm(o.hostname(), os.Getpid(), c.enterprise)
	if c.transport == "udp" {
		return &datagrams{collector: c, form: form}, nil
	}
	if _, err := c.tls(); err != nil {
		return nil, unavailable(c.name, "has certificate files that cannot be used: "+err.Error(), err).
			Hint("check ca, cert and key in its URL: files in PEM form, of which cert and key belong together")
	}
	return &stream{collector: c, form: form, timeout: syslogTime, settle: settleTime}, nil
}

// tls is how to speak TLS to the collector; its files are read anew for each
// connection, so that renewed ones are taken up.
func (c collector) tls() (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.host}
	if c.ca != "" {
		text, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, err
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New(c.ca + " holds no certificate in PEM form")
		}
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", c.cert, c.key, err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return settings, nil
}

func (c collector) unreachable(cause error) *config.Error {
	e := unavailable(c.name, "cannot be reached, or does not take what it is sent", cause)
	if certificate := (*tls.CertificateVerificationError)(nil); errors.As(cause, &certificate) {
		return e.Hint("its certificate is not trusted for this host; name the file of its authority in the URL, as ca=FILE")
	}
	return e.Hint("check that the collector runs, and that the server's network lets it through")
}

// datagrams sends each record in a datagram (RFC 5426). Nobody says whether it
// arrived.
type datagrams struct {
	collector
	form form

	mu   sync.Mutex
	conn net.Conn // nil: to be made
}

func (d *datagrams) Name() string { return d.name }

func (d *datagrams) Deliver(ctx context.Context, records []Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		dialer := net.Dialer{Timeout: syslogTime}
		conn, err := dialer.DialContext(ctx, "udp", d.address)
		if err != nil {
			return d.unreachable(err)
		}
		d.conn = conn
	}
	var room []byte
	for _, r := range records {
		err := ctx.Err()
		if err == nil {
			room = d.form.appendWithin(room[:0], r, d.datagram)
			_, err = d.conn.Write(room)
		}
		if err != nil {
			return d.unreachable(errors.Join(err, d.drop()))
		}
	}
	return nil
}

func (d *datagrams) drop() error {
	conn := d.conn
	d.conn = nil
	return conn.Close()
}

func (d *datagrams) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		return nil
	}
	return d.drop()
}
