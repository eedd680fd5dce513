package sink

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const origin = "llm-config-0011223344556677/tenants/000102030405060708090a0b0c0d0e0f"

// chained are records of one chain, numbered from a sequence on.
func chained(from uint64, n int) []Record {
	head := audit.Head{Sequence: from - 1}
	records := make([]Record, n)
	for i := range records {
		record := audit.Record{
			Time: time.Date(2026, 11, 1, 12, 4, 5, 123456789, time.UTC).Add(time.Duration(i) * time.Second), Event: "secret.read", Actor: "token 7f3a (ci)",
			Resource: "llm/key", Outcome: audit.Success, Details: map[string]string{"n": strconv.Itoa(i)},
		}
		link := head.Next(record.Canonical())
		records[i], head = Record{origin, link}, link.Head()
	}
	return records
}

func sequences(records []Record) []uint64 {
	all := make([]uint64, len(records))
	for i, r := range records {
		all[i] = r.Sequence
	}
	return all
}

func mustOpen(t *testing.T, url string) Sink {
	t.Helper()
	s, err := Open(url, Options{Hostname: "config-1.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// quick makes a stream that waits for nothing but what a test gives it.
func quick(t *testing.T, url string, timeout, settle time.Duration) *stream {
	t.Helper()
	s, ok := mustOpen(t, url).(*stream)
	if !ok {
		t.Fatalf("%s is no stream", url)
	}
	s.timeout, s.settle = timeout, settle
	return s
}

func mustDeliver(t *testing.T, s Sink, records []Record) {
	t.Helper()
	if err := s.Deliver(t.Context(), records); err != nil {
		t.Fatalf("%v (%v)", err, errors.Unwrap(err))
	}
}

// refuse checks an error's kind, that it says what it must and has a next step,
// and that it shows nothing that it must not.
func refuse(t *testing.T, err error, kind config.Kind, says ...string) {
	t.Helper()
	var e *config.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("want %s, got %v", kind, err)
	}
	text := e.Message + "; " + e.Next
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("%q does not say %q", text, s)
		}
	}
	if e.Next == "" || strings.Contains(text, "hunter2") {
		t.Errorf("%q has no next step, or shows a secret", text)
	}
}

// collect is a syslog collector: what it takes over all connections, and what
// else it does with one is up to the test.
type collect struct {
	net.Listener
	conns    chan net.Conn // closed when no more come
	messages chan message
	all      sync.WaitGroup
}

func listen(t *testing.T, settings *tls.Config) *collect {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if settings != nil {
		listener = tls.NewListener(listener, settings)
	}
	c := &collect{Listener: listener, conns: make(chan net.Conn), messages: make(chan message, 10_000)}
	t.Cleanup(func() { listener.Close(); c.all.Wait() })
	c.all.Go(func() {
		defer close(c.conns)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case c.conns <- conn:
			case <-t.Context().Done():
				conn.Close()
			}
		}
	})
	return c
}

// next is the next connection.
func (c *collect) next(t *testing.T) net.Conn {
	t.Helper()
	select {
	case conn := <-c.conns:
		t.Cleanup(func() { conn.Close() })
		return conn
	case <-time.After(30 * time.Second):
		t.Fatal("nobody connects")
		return nil
	}
}

// serve reads messages of every connection.
func (c *collect) serve(t *testing.T) {
	c.all.Go(func() {
		for conn := range c.conns {
			c.all.Go(func() { c.read(t, conn) })
		}
	})
}

func (c *collect) read(t *testing.T, conn net.Conn) {
	defer conn.Close()
	for {
		m, err := readFrame(conn)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
				t.Error(err)
			}
			return
		}
		c.messages <- m
	}
}

// readFrame reads a message with its length before it (RFC 6587 section 3.4.1).
func readFrame(r io.Reader) (message, error) {
	var digits []byte
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, one); err != nil {
			return message{}, err
		}
		if one[0] == ' ' {
			break
		}
		digits = append(digits, one[0])
	}
	n, err := strconv.Atoi(string(digits))
	if err != nil || n == 0 || digits[0] == '0' || n > 8<<20 {
		return message{}, fmt.Errorf("a frame has the length %q", digits)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return message{}, err
	}
	return parseMessage(text)
}

// take waits for n messages and answers their sequences.
func (c *collect) take(t *testing.T, n int) []uint64 {
	t.Helper()
	var all []uint64
	for range n {
		select {
		case m := <-c.messages:
			all = append(all, m.sequence(t))
		case <-time.After(30 * time.Second):
			t.Fatalf("only %d of %d messages came", len(all), n)
		}
	}
	return all
}

// message is one of RFC 5424, taken apart.
type message struct {
	facility, severity                  int
	stamp, host, app, process, id, sdID string
	params                              map[string]string
	unicode                             bool // MSG began with the mark
	text                                string
}

func (m message) sequence(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(m.params["sequence"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// parseMessage follows the grammar of RFC 5424 section 6 to the letter, as far as
// one element of structured data.
func parseMessage(b []byte) (m message, err error) {
	p := &scanner{rest: b}
	defer func() {
		if p.wrong != "" {
			err = fmt.Errorf("%s, before %.60q of %.300q", p.wrong, p.rest, b)
		}
	}()
	p.literal("<")
	pri := p.number(3)
	p.literal(">1 ")
	m.facility, m.severity = pri/8, pri%8
	m.stamp = p.word(32)
	if _, err := time.Parse("2006-01-02T15:04:05.999999Z07:00", m.stamp); m.stamp != "-" && (err != nil || len(m.stamp) > len("2006-01-02T15:04:05.999999Z")) {
		p.fail("TIMESTAMP")
	}
	m.host, m.app, m.process, m.id = p.word(255), p.word(48), p.word(128), p.word(32)
	p.literal("[")
	m.sdID = p.name()
	m.params = map[string]string{}
	for p.wrong == "" && !bytes.HasPrefix(p.rest, []byte("]")) {
		p.literal(" ")
		name := p.name()
		p.literal(`="`)
		if _, twice := m.params[name]; twice {
			p.fail("a parameter that comes twice")
		}
		m.params[name] = p.value()
	}
	p.literal("]")
	if len(p.rest) == 0 {
		return m, nil
	}
	p.literal(" ")
	text, unicode := bytes.CutPrefix(p.rest, []byte("\xef\xbb\xbf"))
	m.text, m.unicode = string(text), unicode
	for _, c := range text {
		if c > 0x7f && !unicode || c < 0x20 {
			p.fail("MSG")
		}
	}
	if strings.ToValidUTF8(m.text, "") != m.text {
		p.fail("MSG")
	}
	return m, nil
}

type scanner struct {
	rest  []byte
	wrong string
}

func (p *scanner) fail(what string) {
	if p.wrong == "" {
		p.wrong = what
	}
}

func (p *scanner) literal(text string) {
	if !bytes.HasPrefix(p.rest, []byte(text)) {
		p.fail("no " + strconv.Quote(text))
		return
	}
	p.rest = p.rest[len(text):]
}

// until takes bytes that belong, up to a number of them.
func (p *scanner) until(what string, most int, belongs func(byte) bool) string {
	n := 0
	for n < len(p.rest) && belongs(p.rest[n]) {
		n++
	}
	if n == 0 || n > most {
		p.fail(what)
		return ""
	}
	text := string(p.rest[:n])
	p.rest = p.rest[n:]
	return text
}

func (p *scanner) number(digits int) int {
	text := p.until("PRIVAL", digits, func(c byte) bool { return '0' <= c && c <= '9' })
	n, err := strconv.Atoi(text)
	if err != nil || n > 191 || len(text) > 1 && text[0] == '0' {
		p.fail("PRIVAL")
	}
	return n
}

func (p *scanner) word(most int) string {
	text := p.until("a field of the header", most, func(c byte) bool { return c > ' ' && c <= '~' })
	p.literal(" ")
	return text
}

func (p *scanner) name() string {
	return p.until("SD-NAME", 32, func(c byte) bool { return c > ' ' && c <= '~' && c != '=' && c != ']' && c != '"' })
}

func (p *scanner) value() string {
	var value []byte
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			if strings.ToValidUTF8(string(value), "") != string(value) {
				p.fail("PARAM-VALUE")
			}
			return string(value)
		case ']':
			p.fail("PARAM-VALUE")
			return ""
		case '\\':
			if i+1 < len(p.rest) && strings.IndexByte(`"\]`, p.rest[i+1]) >= 0 {
				i++
			}
			value = append(value, p.rest[i])
		default:
			value = append(value, c)
		}
	}
	p.fail("PARAM-VALUE")
	return ""
}

// authority is one that issues certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t, cert, key, t.TempDir()}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue makes NAME.pem and NAME.key, for an address.
func (a *authority) issue(name string, address net.IP) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{address}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", raw)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}
