package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

const canary = "CANARY-7f3a"

// TestHostileReceivers answer what no receiver should. The call must end, with
// an error that tells nothing of the answer.
func TestHostileReceivers(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		status  int
		kind    config.Kind
		says    string
	}{
		"a redirect to the metadata": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/"+canary, http.StatusTemporaryRedirect)
		}, 307, config.KindUnavailable, "redirects are not followed"},
		"a redirect to itself": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}, 302, config.KindUnavailable, "redirects"},
		"an answer without end": {func(w http.ResponseWriter, r *http.Request) {
			for range 2 * MaxAnswer / 1024 {
				_, _ = w.Write([]byte(strings.Repeat(canary, 100)))
			}
		}, 200, config.KindUnavailable, "too much"},
		"an answer that says it is long": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9000000000000000000")
			_, _ = w.Write([]byte(canary))
			panic(http.ErrAbortHandler)
		}, 0, config.KindUnavailable, "cannot be reached"},
		"an answer that stops halfway": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(canary))
		}, 0, config.KindUnavailable, "cannot be reached"},
		"a body that never ends": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(canary))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 0, config.KindUnavailable, "in time"},
		"no answer": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, config.KindUnavailable, "in time"},
		"long headers": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-A", strings.Repeat(canary, 10_000))
		}, 0, config.KindUnavailable, "as HTTP has it"},
		"no HTTP":          {raw(t, canary+"\r\n\r\n"), 0, config.KindUnavailable, "as HTTP has it"},
		"a status of text": {raw(t, "HTTP/1.1 "+canary+"\r\n\r\n"), 0, config.KindUnavailable, "as HTTP has it"},
		"a bad header":     {raw(t, "HTTP/1.1 200 OK\r\n"+canary+"\r\n\r\n"), 0, config.KindUnavailable, "as HTTP has it"},
		"a bad length":     {raw(t, "HTTP/1.1 200 OK\r\nContent-Length: "+canary+"\r\n\r\n"), 0, config.KindUnavailable, "as HTTP has it"},
		"a bad redirect":   {raw(t, "HTTP/1.1 302 Found\r\nLocation: http://"+canary+":x/\r\n\r\n"), 0, config.KindUnavailable, "as HTTP has it"},
		"an error that tells": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, canary, http.StatusInternalServerError)
		}, 500, config.KindUnavailable, "(500)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := receiver(t, func(w http.ResponseWriter, r *http.Request) {
				drain(t, r) // only then the server notices that the caller has gone
				test.handler(w, r)
			})
			c := caller(t, s, s.Listener.Addr().String())
			c.options.Timeout = 200 * time.Millisecond
			answer, err := c.Call(t.Context(), request(s.URL))
			refuse(t, err, test.kind, test.says, s.Listener.Addr().String())
			if answer.Status != test.status || answer.Body != nil {
				t.Errorf("answered %d with %d bytes", answer.Status, len(answer.Body))
			}
			e := err.(*config.Error) //nolint:errorlint // refuse has seen to it
			if strings.Contains(e.Error()+e.Next, canary) || e.Cause != nil && strings.Contains(e.Cause.Error(), canary) {
				t.Errorf("the error tells what was answered: %v; %v", e, e.Cause)
			}
		})
	}
}

// raw answers a text as it is.
func raw(t *testing.T, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, err = buffered.WriteString(text)
		if err = errors.Join(err, buffered.Flush(), connection.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestCompressedAnswersAreNotUnpacked: a bomb would be.
func TestCompressedAnswersAreNotUnpacked(t *testing.T) {
	s := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("it accepts %s", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("packed"))
	})
	answer, err := caller(t, s, s.Listener.Addr().String()).Call(t.Context(), request(s.URL))
	if err != nil || string(answer.Body) != "packed" {
		t.Errorf("%q %v", answer.Body, err)
	}
}

// TestNamesThatPointElsewhere lets a listed name resolve to what must not be called.
func TestNamesThatPointElsewhere(t *testing.T) {
	for address, says := range map[string]string{
		"169.254.169.254":    "never called",
		"169.254.0.1":        "never called",
		"fe80::1":            "never called",
		"fd00:ec2::254":      "never called",
		"100.100.100.200":    "never called",
		"168.63.129.16":      "never called",
		"0.0.0.0":            "never called",
		"::":                 "never called",
		"224.0.0.1":          "never called",
		"255.255.255.255":    "never called",
		"::ffff:a9fe:a9fe":   "never called",
		"64:ff9b::a9fe:a9fe": "never called",
		"2002:a9fe:a9fe::1":  "never called",
		"127.0.0.1":          "loopback",
		"::1":                "loopback",
	} {
		t.Run(address, func(t *testing.T) {
			c := New(Options{
				Allowed:  func() []string { return []string{"*.rotator.test"} },
				Resolver: names(t, func() netip.Addr { return netip.MustParseAddr(address) }),
			})
			c.wait = time.Millisecond
			_, err := c.Call(t.Context(), request("https://a.rotator.test/"))
			refuse(t, err, config.KindUnavailable, says, "a.rotator.test", "DNS")
		})
	}
}

// TestRebinding lets a name that resolved well point to the metadata the second time.
func TestRebinding(t *testing.T) {
	var n atomic.Int64
	answers := []string{"127.0.0.1", "169.254.169.254"}
	s := receiver(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	c := caller(t, s, "example.com:"+port) // the name that the test certificate is for
	var asked atomic.Int64
	c.options.Resolver = names(t, func() netip.Addr {
		asked.Add(1)
		return netip.MustParseAddr(answers[min(n.Load(), 1)])
	})
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := c.Call(t.Context(), request("https://example.com:"+port+"/"))
	refuse(t, err, config.KindUnavailable, "never called")
	if n.Load() != 1 || asked.Load() < 2 {
		t.Errorf("called %d times after %d questions", n.Load(), asked.Load())
	}
}

// TestCertificates are checked for the host and the authority, whatever the lent
// settings say.
func TestCertificates(t *testing.T) {
	s := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	local := names(t, func() netip.Addr { return netip.MustParseAddr("127.0.0.1") })

	unknown := New(Options{Allowed: func() []string { return []string{s.Listener.Addr().String()} }})
	lax := New(Options{
		Allowed:   func() []string { return []string{s.Listener.Addr().String()} },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	})
	other := caller(t, s, "other.test:"+port)
	other.options.Resolver = local
	for url, c := range map[string]*Caller{s.URL: unknown, s.URL + "/lax": lax, "https://other.test:" + port: other} {
		_, err := c.Call(t.Context(), request(url))
		refuse(t, err, config.KindUnavailable, "certificate", "trusts")
	}
}

func TestExpiredCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	_, err = caller(t, s, s.Listener.Addr().String()).Call(t.Context(), request(s.URL))
	refuse(t, err, config.KindUnavailable, "certificate")
}

// TestOldTLS and plain text behind https:// are no connections.
func TestOldTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	_, err := caller(t, s, s.Listener.Addr().String()).Call(t.Context(), request(s.URL))
	refuse(t, err, config.KindUnavailable, s.Listener.Addr().String())

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
	plain.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer plain.Close()
	_, err = caller(t, plain, plain.Listener.Addr().String()).Call(t.Context(), request(strings.Replace(plain.URL, "http:", "https:", 1)))
	refuse(t, err, config.KindUnavailable, "TLS 1.2")
}
