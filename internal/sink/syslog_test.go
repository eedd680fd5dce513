package sink

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const long = time.Minute // which no test waits for

func TestMessage(t *testing.T) {
	link := audit.Head{}.Next(audit.Record{Time: time.Date(2026, 11, 1, 12, 4, 5, 123456789, time.UTC), Event: "config.change", Outcome: audit.Success}.Canonical())
	form := newForm("config-1", 77, "32473")
	got := string(form.message(Record{"llm-config-00/server", link}))
	want := `<110>1 2026-11-01T12:04:05.123456Z config-1 llm-config 77 config.change [audit@32473 chain="llm-config-00/server" sequence="1" hash="` +
		hex.EncodeToString(link.Hash[:]) + `"] {"event":"config.change","outcome":"success","schema":1,"time":"2026-11-01T12:04:05.123456789Z"}`
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	for outcome, severity := range map[audit.Outcome]int{audit.Success: 6, audit.Denied: 4, audit.Failed: 3, "": 6} {
		m, err := parseMessage(form.message(Record{"x", audit.Head{}.Next(audit.Record{Outcome: outcome}.Canonical())}))
		if err != nil || m.facility != 13 || m.severity != severity {
			t.Errorf("%s: facility %d, severity %d (%v)", outcome, m.facility, m.severity, err)
		}
	}
	for _, origin := range []string{`\`, `"`, `]`, `\"`, `\\]`, `a="b" c\`} {
		m, err := parseMessage(form.message(Record{origin, link}))
		if err != nil || m.params["chain"] != origin {
			t.Errorf("the chain %s is read as %s (%v)", origin, m.params["chain"], err)
		}
	}
	m, err := parseMessage(form.message(Record{"x", audit.Link{Sequence: 7, Record: []byte("no JSON é")}}))
	if err != nil || m.stamp != "-" || m.id != "-" || m.text != "no JSON é" || !m.unicode || m.sequence(t) != 7 {
		t.Errorf("what is no record: %+v (%v)", m, err)
	}
}

// checkMessage holds a message against the record that it was made of.
func checkMessage(t interface{ Fatalf(string, ...any) }, b []byte, r Record, most int) {
	m, err := parseMessage(b)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if m.app != "llm-config" || m.sdID != "audit@32473" || m.params["chain"] != strings.ToValidUTF8(r.Origin, "\ufffd") || m.params["sequence"] != strconv.FormatUint(r.Sequence, 10) ||
		m.params["hash"] != hex.EncodeToString(r.Hash[:]) {
		t.Fatalf("%+v is not of %+v", m, r)
	}
	whole := strings.ToValidUTF8(string(r.Record), "\ufffd")
	if cut := m.params["truncated"] == "true"; cut {
		if !strings.HasPrefix(whole, m.text) || len(m.text) == len(whole) || most == 0 {
			t.Fatalf("%q is cut from %q", m.text, whole)
		}
		if len(b) > most || len(b) < most-utf8Max && len(b)+len(whole)-len(m.text) < most {
			t.Fatalf("it was cut to %d bytes of %d", len(b), most)
		}
	} else if m.text != whole {
		t.Fatalf("the text is %q, not %q", m.text, whole)
	}
}

const utf8Max = 4

func TestMessagesFollowTheGrammar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record := audit.Record{
			Time:  time.Unix(rapid.Int64Range(-1<<36, 1<<38).Draw(t, "time"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")),
			Event: rapid.String().Draw(t, "event"), Actor: rapid.String().Draw(t, "actor"), Reason: strings.Repeat(rapid.String().Draw(t, "reason"), rapid.IntRange(0, 100).Draw(t, "times")),
			Outcome: rapid.SampledFrom([]audit.Outcome{audit.Success, audit.Denied, audit.Failed, "?"}).Draw(t, "outcome"),
		}
		r := Record{rapid.StringN(0, 40, 80).Draw(t, "origin"), audit.Head{Sequence: rapid.Uint64().Draw(t, "sequence")}.Next(record.Canonical())}
		form := newForm(rapid.String().Draw(t, "host"), rapid.IntRange(0, 1<<22).Draw(t, "pid"), "32473")
		checkMessage(t, form.message(r), r, 0)
		most := rapid.IntRange(minDatagramBytes, 4096).Draw(t, "most")
		cut := form.appendWithin([]byte("before"), r, most)
		checkMessage(t, cut[len("before"):], r, most)
	})
}

func FuzzMessage(f *testing.F) {
	f.Add("llm-config-00/server", "host", []byte(`{"event":"a","outcome":"denied","time":"2026-11-01T12:04:05.1Z"}`), uint64(1), 1024)
	f.Add(`a"b\c]d`, "é host", []byte(`{"event":"a b]","actor":"é"}`), uint64(0), 2048)
	f.Add("", "", []byte("\xef\xbb\xbf{"), uint64(1), 0)
	f.Add("x", "h", []byte(`{"time":"9999-12-31T23:59:59-23:00","event":""}`), uint64(1), 5000)
	f.Fuzz(func(t *testing.T, origin, host string, record []byte, sequence uint64, most int) {
		for i, c := range record { // records are JSON, which escapes these
			if c < ' ' {
				record[i] = ' '
			}
		}
		r := Record{origin[:min(len(origin), 100)], audit.Link{Sequence: sequence, Record: record}}
		form := newForm(host, 1, "32473")
		if m, err := parseMessage(form.message(r)); err != nil {
			t.Fatal(err)
		} else if m.sequence(t) != sequence {
			t.Fatalf("%+v", m)
		}
		most = min(max(most, minDatagramBytes), maxDatagramBytes)
		if cut := form.appendWithin(nil, r, most); len(cut) > most {
			t.Fatalf("%d bytes of %d", len(cut), most)
		} else if _, err := parseMessage(cut); err != nil {
			t.Fatal(err)
		}
	})
}

func TestUDP(t *testing.T) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, "syslog+udp://"+socket.LocalAddr().String()+"?size=1024")
	records := chained(1, 3)
	large := audit.Record{Event: "config.change", Reason: strings.Repeat("é", 2000)}
	records = append(records, Record{origin, records[2].Head().Next(large.Canonical())})
	mustDeliver(t, s, records)
	packet := make([]byte, 1<<16)
	for _, r := range records {
		if err := socket.SetReadDeadline(time.Now().Add(long)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(packet)
		if err != nil {
			t.Fatal(err)
		}
		checkMessage(t, packet[:n], r, 1024)
	}
	// The system learns that nobody listens by an answer to what was sent before.
	socket.Close()
	err = s.Deliver(t.Context(), chained(5, 1))
	for tries := 0; err == nil && tries < 1000; tries++ {
		err = s.Deliver(t.Context(), chained(5, 2))
	}
	refuse(t, err, config.KindUnavailable, s.Name())
}

func TestTCP(t *testing.T) {
	c := listen(t, nil)
	c.serve(t)
	s := quick(t, "syslog+tcp://"+c.Addr().String(), long, 0)
	mustDeliver(t, s, nil)
	mustDeliver(t, s, chained(1, 500))
	mustDeliver(t, s, chained(501, 2))
	if got, want := c.take(t, 502), sequences(chained(1, 502)); !slices.Equal(got, want) {
		t.Errorf("there came %v", got)
	}
}

// TestACollectorThatWasAway: what it may not have read comes again, then what it
// missed, in order.
func TestACollectorThatWasAway(t *testing.T) {
	c := listen(t, nil)
	s := quick(t, "syslog+tcp://"+c.Addr().String(), long, 0)
	mustDeliver(t, s, chained(1, 2))
	c.next(t).Close() // without having read
	<-s.conn.gone
	mustDeliver(t, s, chained(3, 2))
	second := c.next(t)
	for want := range uint64(4) {
		m, err := readFrame(second)
		if err != nil || m.sequence(t) != want+1 {
			t.Fatalf("record %d instead of %d (%v)", m.sequence(t), want+1, err)
		}
	}
	second.Close()
	<-s.conn.gone
	c.Close()
	refuse(t, s.Deliver(t.Context(), chained(5, 1)), config.KindUnavailable, s.Name(), "collector runs")
	refuse(t, s.Deliver(t.Context(), chained(5, 1)), config.KindUnavailable)
}

// TestACollectorThatHangs takes the connection and reads nothing.
func TestACollectorThatHangs(t *testing.T) {
	c := listen(t, nil)
	s := quick(t, "syslog+tcp://"+c.Addr().String(), 100*time.Millisecond, 0)
	records := chained(1, 1)
	records[0].Record = []byte(`"` + strings.Repeat("x", 16<<20) + `"`)
	refuse(t, s.Deliver(t.Context(), records), config.KindUnavailable)

	s.timeout = long
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c.next(t)
		_, _ = c.next(t).Read(make([]byte, 1)) // the second one is being written to
		cancel()
	}()
	err := s.Deliver(ctx, records)
	refuse(t, err, config.KindUnavailable)
	if ctx.Err() == nil {
		t.Errorf("it ended by itself: %v", errors.Unwrap(err))
	}
}

// TestASlowCollector reads less than what is sent at once, all the time.
func TestASlowCollector(t *testing.T) {
	c := listen(t, nil)
	s := quick(t, "syslog+tcp://"+c.Addr().String(), long, 0)
	records := chained(1, 1)
	records[0].Record = []byte(`"` + strings.Repeat("x", 8<<20-1000) + `"`)
	done := make(chan error, 1)
	go func() { done <- s.Deliver(t.Context(), records) }()
	m, err := readFrame(onePiece{c.next(t)})
	if err != nil || m.text != string(records[0].Record) {
		t.Errorf("%d bytes came (%v)", len(m.text), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type onePiece struct{ r io.Reader }

func (o onePiece) Read(b []byte) (int, error) { return o.r.Read(b[:min(len(b), 1000)]) }

// TestACollectorThatResets sends a reset instead of an end.
func TestACollectorThatResets(t *testing.T) {
	c := listen(t, nil)
	s := quick(t, "syslog+tcp://"+c.Addr().String(), long, long)
	go func() {
		conn, ok := c.next(t).(*net.TCPConn)
		if !ok || conn.SetLinger(0) != nil {
			t.Error("no reset was sent")
		}
		conn.Close()
	}()
	refuse(t, s.Deliver(t.Context(), chained(1, 1)), config.KindUnavailable)
	if s.unsure != nil {
		t.Error("what was refused is taken for delivered")
	}
}

func TestTLS(t *testing.T) {
	ours := newAuthority(t)
	loopback := net.IPv4(127, 0, 0, 1)
	server := ours.issue("server", loopback)
	ours.issue("client", loopback)
	c := listen(t, &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ours.pool(), ClientAuth: tls.RequireAndVerifyClientCert})
	c.serve(t)
	s := quick(t, "syslog+tls://"+c.Addr().String()+"?ca="+ours.file("ca.pem")+"&cert="+ours.file("client.pem")+"&key="+ours.file("client.key"), long, time.Millisecond)
	mustDeliver(t, s, chained(1, 3))
	if got := c.take(t, 3); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("there came %v", got)
	}
}

// handshakes ends every connection when its handshake is over.
func (c *collect) handshakes() {
	c.all.Go(func() {
		for conn := range c.conns {
			if secure, ok := conn.(*tls.Conn); ok {
				_ = secure.Handshake() // its failure is what the test is about
			}
			conn.Close()
		}
	})
}

func TestTLSRefuses(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	loopback, elsewhere := net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 1)
	right := ours.issue("server", loopback)
	others.issue("client", loopback)
	url := func(c *collect, more string) string {
		return "syslog+tls://" + c.Addr().String() + "?ca=" + ours.file("ca.pem") + more
	}
	for name, test := range map[string]struct {
		settings *tls.Config
		more     string
		says     string
	}{
		"another authority":          {&tls.Config{Certificates: []tls.Certificate{others.issue("server", loopback)}}, "", "ca=FILE"},
		"another host":               {&tls.Config{Certificates: []tls.Certificate{ours.issue("other", elsewhere)}}, "", "ca=FILE"},
		"an old version":             {&tls.Config{Certificates: []tls.Certificate{right}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "", "cannot be reached"},
		"no client certificate":      {&tls.Config{Certificates: []tls.Certificate{right}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool()}, "", "does not take"},
		"another client certificate": {&tls.Config{Certificates: []tls.Certificate{right}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool()}, "&cert=" + others.file("client.pem") + "&key=" + others.file("client.key"), "does not take"},
		"plain TCP":                  {nil, "", "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			c := listen(t, test.settings)
			c.handshakes()
			s := quick(t, url(c, test.more), long, long)
			refuse(t, s.Deliver(t.Context(), chained(1, 1)), config.KindUnavailable, test.says)
		})
	}
}

func TestCertificateFilesAreReadAtTheStart(t *testing.T) {
	ours := newAuthority(t)
	ours.issue("client", net.IPv4(127, 0, 0, 1))
	if err := os.WriteFile(ours.file("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, query := range map[string]string{"absent": "ca=" + ours.file("absent"), "empty": "ca=" + ours.file("empty"), "client.pem": "cert=" + ours.file("client.pem") + "&key=" + ours.file("empty")} {
		_, err := Open("syslog+tls://127.0.0.1:6514?"+query, Options{})
		refuse(t, err, config.KindUnavailable, "ca, cert and key")
		if err != nil && !strings.Contains(err.Error(), ours.file(file)) {
			t.Errorf("%v does not name %s", err, file)
		}
	}
}
