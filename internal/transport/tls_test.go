package transport

import (
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/transport/devca"
)

func TestOlderVersionsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.serve(t, ok)
	for version, served := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: false, tls.VersionTLS13: true} {
		config := w.trusting(nil)
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, version
		conn, err := tls.Dial("tcp", w.address, config)
		if (err == nil) != served {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

// served is the serial of the certificate that a new connection is shown.
func (w *world) served(t *testing.T) string {
	t.Helper()
	conn, err := tls.Dial("tcp", w.address, w.trusting(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestReloadUnderLoad replaces the certificate again and again while clients
// work, some on connections that they keep and some on new ones.
func TestReloadUnderLoad(t *testing.T) {
	const reloads = 200
	w := newWorld(t)
	w.serve(t, ok)
	pairs := []Files{w.files, filesOf(issue(newSibling(t, w).Server([]string{"127.0.0.1"}, 90))(t))}
	serials := []string{w.served(t)}
	w.load(t, pairs[1])
	serials = append(serials, w.served(t))
	if serials[0] == serials[1] {
		t.Fatal("both pairs are one")
	}

	var stop atomic.Bool
	var answered [4]atomic.Int64
	var clients sync.WaitGroup
	for i := range answered {
		config := w.trusting(nil)
		if i%2 == 1 {
			config.NextProtos = []string{"http/1.1"}
		}
		c := w.client(t, config)
		transport, _ := c.Transport.(*http.Transport)
		transport.DisableKeepAlives = i >= 2
		clients.Go(func() {
			for !stop.Load() {
				answer, err := c.Get("https://" + w.address + "/")
				if err != nil {
					t.Errorf("client %d, after %d requests: %v", i, answered[i].Load(), err)
					return
				}
				_ = answer.Body.Close()
				answered[i].Add(1)
			}
		})
	}
	for i := range reloads {
		w.load(t, pairs[i%2])
		if got := w.served(t); got != serials[i%2] {
			t.Errorf("after reload %d the certificate %s is served, and %s is in force", i, got, serials[i%2])
		}
	}
	stop.Store(true)
	clients.Wait()
	for i := range answered {
		if answered[i].Load() < 10 {
			t.Errorf("client %d was answered only %d times", i, answered[i].Load())
		}
	}
}

// newSibling is the server's authority, working in another folder.
func newSibling(t *testing.T, w *world) *devca.Authority {
	t.Helper()
	dir := t.TempDir()
	own := w.authority.Issued()
	for from, to := range map[string]string{own.CertFile: devca.CertFile, own.KeyFile: devca.KeyFile} {
		if err := os.WriteFile(filepath.Join(dir, to), issue(os.ReadFile(from))(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return issue(devca.Open(dir, time.Now()))(t)
}

func TestABadPairLeavesTheOld(t *testing.T) {
	w := newWorld(t)
	w.serve(t, ok)
	before := w.served(t)
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := w.authority.Issued()
	other := issue(newAuthority(t).Server([]string{"127.0.0.1"}, 1))(t)
	for what, test := range map[string]struct {
		files Files
		says  string
	}{
		"another key":         {Files{Cert: w.files.Cert, Key: other.KeyFile}, "belong together"},
		"no certificate":      {Files{Cert: w.files.Key, Key: w.files.Key}, "belong together"},
		"a file not there":    {Files{Cert: "nowhere", Key: w.files.Key}, "tls-cert cannot be used"},
		"a key not there":     {Files{Cert: w.files.Cert, Key: "nowhere"}, "tls-key cannot be used"},
		"authorities garbled": {Files{other.CertFile, other.KeyFile, garbage, ClientAuthRequired}, "client-ca"},
		"authorities away":    {Files{other.CertFile, other.KeyFile, "nowhere", ClientAuthRequired}, "client-ca cannot be used"},
		"authorities, a key":  {Files{other.CertFile, other.KeyFile, own.KeyFile, ClientAuthRequired}, "only certificates belong there"},
		"no authority":        {Files{other.CertFile, other.KeyFile, other.CertFile, ClientAuthRequired}, "no authority"},
	} {
		t.Run(what, func(t *testing.T) {
			if err := w.tls.Load(test.files); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, and expected %q", err, test.says)
			}
			if got := w.served(t); got != before {
				t.Errorf("another certificate is served")
			}
		})
	}
	status, _ := w.get(t, w.client(t, w.trusting(nil)))
	want(t, "a client without a certificate, as before", status, 200)
}

func TestLoadingTheSameAgainSaysNothing(t *testing.T) {
	w := newWorld(t)
	if text := w.logged(); !strings.Contains(text, "certificates are in force") || !strings.Contains(text, "127.0.0.1") {
		t.Errorf("the first load logged %q", text)
	}
	w.load(t, w.files)
	if text := w.logged(); text != "" {
		t.Errorf("the second load logged %q", text)
	}
}

func TestClientCertificates(t *testing.T) {
	w := newWorld(t)
	accepted, stranger := newAuthority(t), newAuthority(t)
	member := issue(accepted.Client("spiffe://example.test/a", 1))(t)
	foreign := issue(stranger.Client("spiffe://example.test/a", 1))(t)
	posing := issue(accepted.Server([]string{"a.test"}, 1))(t) // of the right authority, for the wrong purpose
	ended := issue(issue(devca.Open(filepath.Dir(accepted.Issued().CertFile), time.Now().AddDate(0, 0, -3)))(t).Client("ended", 2))(t)
	var seen string
	w.ask(t, ClientAuthRequired, accepted)
	w.serve(t, w.tls.StillTrusted(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if seen = "nobody"; len(r.TLS.VerifiedChains) > 0 {
			seen = r.TLS.VerifiedChains[0][0].URIs[0].String()
		}
	})))
	status := func(identity *devca.Issued) int {
		t.Helper()
		got, _ := w.get(t, w.client(t, w.trusting(identity)))
		return got
	}
	want(t, "required, a member", status(member), 200)
	if seen != "spiffe://example.test/a" {
		t.Errorf("the handler sees %q", seen)
	}
	want(t, "required, nobody", status(nil), 0)
	want(t, "required, a stranger", status(foreign), 0)
	want(t, "required, a server's certificate", status(posing), 0)
	want(t, "required, one that has ended", status(ended), 0)

	w.ask(t, ClientAuthOptional, accepted)
	want(t, "optional, a member", status(member), 200)
	want(t, "optional, nobody", status(nil), 200)
	if seen != "nobody" {
		t.Errorf("the handler sees %q", seen)
	}
	want(t, "optional, a stranger", status(foreign), 0)
	want(t, "optional, one that has ended", status(ended), 0)
}

// TestAnAuthorityIsTakenOut has a client that was let in by it come again: on the
// connection that it kept, on a new one, and with the session that it kept.
func TestAnAuthorityIsTakenOut(t *testing.T) {
	w := newWorld(t)
	before, after := newAuthority(t), newAuthority(t)
	w.ask(t, ClientAuthRequired, before)
	w.serve(t, w.tls.StillTrusted(ok))
	config := w.trusting(issue(before.Client("worker", 1))(t))
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	kept, fresh := w.client(t, config), w.client(t, config)
	transport, _ := fresh.Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	for range 2 {
		for _, c := range []*http.Client{kept, fresh} {
			status, answer := w.get(t, c)
			want(t, "before", status, 200)
			if answer.TLS.DidResume {
				t.Error("a session was resumed, past the authorities")
			}
		}
	}
	w.ask(t, ClientAuthRequired, after)
	status, _ := w.get(t, kept)
	want(t, "on the kept connection", status, 403)
	status, _ = w.get(t, kept)
	want(t, "on the connection after it", status, 0)
	status, _ = w.get(t, fresh)
	want(t, "on a new connection", status, 0)
	status, _ = w.get(t, w.client(t, w.trusting(issue(after.Client("worker", 1))(t))))
	want(t, "with the new authority", status, 200)
}

// TestSessions are resumed where no certificate is asked for, across reloads.
func TestSessions(t *testing.T) {
	w := newWorld(t)
	w.serve(t, ok)
	config := w.trusting(nil)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	c := w.client(t, config)
	transport, _ := c.Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	_, first := w.get(t, c)
	w.server(t)
	w.load(t, w.files)
	if _, second := w.get(t, c); first == nil || first.TLS.DidResume || second == nil || !second.TLS.DidResume {
		t.Error("the second connection is not the first one's session")
	}
	w.ask(t, ClientAuthRequired, newAuthority(t))
	status, _ := w.get(t, c)
	want(t, "a session from before certificates were required", status, 0)
}

// TestAConnectionOutlivesItsCertificate moves the clock while it is kept.
func TestAConnectionOutlivesItsCertificate(t *testing.T) {
	for _, protocol := range []string{"h2", "http/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t)
			authority := newAuthority(t)
			w.ask(t, ClientAuthOptional, authority)
			w.serve(t, w.tls.StillTrusted(ok))
			config := w.trusting(issue(authority.Client("worker", 1))(t))
			config.NextProtos = []string{protocol}
			c := w.client(t, config)
			status, answer := w.get(t, c)
			if want(t, "at first", status, 200); answer.ProtoMajor == 2 != (protocol == "h2") {
				t.Fatalf("it speaks %s", answer.Proto)
			}
			w.advance(24*time.Hour - renewBefore - time.Minute)
			for range 3 {
				if status, reused := w.again(t, c); status != 200 || !reused {
					t.Errorf("before the last minutes: answered %d, on the connection that was there: %t", status, reused)
				}
			}
			w.advance(2 * time.Minute)
			for tries := 1; ; tries++ {
				status, reused := w.again(t, c)
				if want(t, "in the last minutes", status, 200); !reused {
					break
				}
				if tries == 1000 {
					t.Fatal("the connection is kept in the last minutes")
				}
			}
			w.advance(renewBefore)
			status, _ = w.get(t, c)
			want(t, "a new connection after the end", status, 0)
		})
	}
}

// again asks once more, and says whether that went over a connection that was there.
func (w *world) again(t *testing.T, c *http.Client) (status int, reused bool) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+w.address+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode, reused
}

func TestJudge(t *testing.T) {
	w := newWorld(t)
	authority, other := newAuthority(t), newAuthority(t)
	w.ask(t, ClientAuthOptional, authority)
	var state *tls.ConnectionState
	w.serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { state = r.TLS }))
	w.get(t, w.client(t, w.trusting(issue(authority.Client("worker", 1))(t))))
	known := state
	w.get(t, w.client(t, w.trusting(nil)))
	unknown := state

	allow := func(what string, of *tls.ConnectionState, after time.Duration) {
		t.Helper()
		if err := w.tls.current.Load().judge(of, w.clock().Add(after)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	deny := func(what string, of *tls.ConnectionState, after time.Duration) {
		t.Helper()
		if w.tls.current.Load().judge(of, w.clock().Add(after)) == nil {
			t.Errorf("%s: allowed", what)
		}
	}
	allow("a known client", known, 0)
	allow("nobody where it is optional", unknown, 0)
	deny("one whose certificate has ended", known, 25*time.Hour)
	w.ask(t, ClientAuthRequired, authority)
	allow("a known client where it is required", known, 0)
	deny("nobody where it is required by now", unknown, 0)
	w.ask(t, ClientAuthOptional, other, authority)
	allow("one of two authorities", known, 0)
	w.ask(t, ClientAuthOptional, other)
	deny("a known client of nobody", known, 0)
	w.files.ClientAuth = ClientAuthNone
	w.load(t, w.files)
	deny("a known client where none is asked for", known, 0)
	allow("nobody where none is asked for", unknown, 0)
}
