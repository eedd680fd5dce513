package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// collected is what a syslog receiver was sent.
type collected struct {
	mu   sync.Mutex
	text strings.Builder
	seen map[string]map[uint64]bool // chain → sequences
}

// collect receives syslog at an address, as RFC 6587 frames it, until the test ends.
func collect(t *testing.T, address string) *collected {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &collected{seen: map[string]map[uint64]bool{}}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			all.Go(func() { c.read(bufio.NewReader(conn)) })
		}
	})
	return c
}

func (c *collected) read(in *bufio.Reader) {
	for {
		size, err := in.ReadString(' ')
		n, _ := strconv.Atoi(strings.TrimSpace(size))
		message := make([]byte, n)
		if err != nil || n == 0 {
			return
		}
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		c.take(string(message))
	}
}

func (c *collected) take(message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(message + "\n")
	chain, sequence := between(message, `chain="`, `"`), between(message, `sequence="`, `"`)
	n, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		return
	}
	if c.seen[chain] == nil {
		c.seen[chain] = map[uint64]bool{}
	}
	c.seen[chain][n] = true
}

func between(text, begin, end string) string {
	_, rest, _ := strings.Cut(text, begin)
	found, _, _ := strings.Cut(rest, end)
	return found
}

// all says whether every record of a chain from one to another has come.
func (c *collected) all(origin string, from, to uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := from; n <= to; n++ {
		if !c.seen[origin][n] {
			return false
		}
	}
	return true
}

func (c *collected) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// hooked is what a receiver of webhooks was sent, and whether each was signed.
type hooked struct {
	*httptest.Server
	mu     sync.Mutex
	alerts map[string]int // name of an alert → how often it came
	text   strings.Builder
	bad    []string
}

// hook receives alerts, and checks their signatures by the Standard Webhooks
// specification: HMAC-SHA-256 of id, time and body with dots between them.
func hook(t *testing.T, key []byte) *hooked {
	t.Helper()
	h := &hooked{alerts: map[string]int{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.text.Write(body)
		id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, at, body) // which does not fail
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		seconds, timeErr := strconv.ParseInt(at, 10, 64)
		if err != nil || timeErr != nil || r.Header.Get("webhook-signature") != want || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
			h.bad = append(h.bad, fmt.Sprint(r.Header, err))
		}
		var events []struct {
			Type string
			Data struct{ Details map[string]string }
		}
		if err := json.Unmarshal(body, &events); err != nil {
			h.bad = append(h.bad, string(body))
		}
		for _, e := range events {
			if e.Type != "llm-config.audit.alert" {
				h.bad = append(h.bad, e.Type)
			}
			h.alerts[e.Data.Details["alert"]]++
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooked) told(alert string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.alerts[alert] > 0
}

// TestAuditSinks streams to a syslog collector that is down at first, and sends
// signed alerts to a webhook. What credentials were in settings and requests is
// nowhere to be seen.
func TestAuditSinks(t *testing.T) {
	key := []byte("a key of thirty-two bytes, no more")[:32]
	text := "whsec_" + base64.StdEncoding.EncodeToString(key)
	h := hook(t, key)
	keyFile := filepath.Join(t.TempDir(), "webhook.key")
	if err := os.WriteFile(keyFile, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	const credential, value = "wJalrXUtnFEMIK7MDENG", "zq7!Kr0-Vw#x9_Lk2@tB5"
	a := newAudited(t, "audit-sinks: [\"syslog+tcp://"+address+"\"]", "alert-webhooks: [\""+h.URL+"/"+credential+"?token="+credential+"\"]",
		"audit-webhook-key-file: "+keyFile,
		`audit-alerts: ["mass-secret-reads: 5 different secret.read in 5m per actor", "denial-burst: 20 authorization.denied in 5m per actor"]`)
	viewer := a.viewer()
	begun := func() bool {
		return len(a.found(a.client.ServerAudit(), client.AuditQuery{Events: []string{"audit.sink.down"}})) > 0
	}
	until(t, func() bool { // the sink has begun, and cannot be reached
		write(t, a.client, "base", "nudge", fmt.Sprintf(`{"at":"%d"}`, time.Now().UnixNano()))
		return begun()
	})
	_, origin, before := a.export(a.client.Audit())
	for i := range 8 {
		target := api.Build(api.RouteSecret, "default", "base", fmt.Sprint("mass/", i))
		a.must(a.token, "PUT", target, fmt.Sprintf(`{"fields":{"value":%q},"allow_weak":"a test"}`, value), fmt.Sprint("set-", i), 200)
		a.must(a.token, "GET", target+"?reveal=true", "", fmt.Sprint("get-", i), 200)
	}
	for i := range 30 {
		a.must(viewer, "PUT", api.Build(api.RouteLayer, "default", "base", "denied"), `{}`, fmt.Sprint("denied-", i), 403)
	}
	for i := range 12 {
		status, answer, err := a.call("llmc_x"+credential, "GET", api.RouteIdentity, "", fmt.Sprint("bad-", i))
		if err != nil || status != http.StatusUnauthorized && status != http.StatusTooManyRequests || strings.Contains(string(answer), credential) {
			t.Fatalf("%d %s, %v", status, answer, err)
		}
		if i == 3 {
			break // each further one is answered later than the one before
		}
	}
	until(t, func() bool { return h.told("mass-secret-reads") && h.told("denial-burst") })

	c := collect(t, address)
	until(t, func() bool {
		return len(a.found(a.client.ServerAudit(), client.AuditQuery{Events: []string{"audit.sink.up"}})) > 0
	})
	_, _, after := a.export(a.client.Audit())
	from, to := before[len(before)-1].Sequence, after[len(after)-1].Sequence
	until(t, func() bool { return c.all(origin, from, to) })
	if up := a.metric(`audit_sink_up{sink="audit-sink syslog+tcp://` + address + `"}`); up != "1" {
		t.Errorf("the metric of the sink is %q", up)
	}
	if raised := a.metric(`audit_alerts_total{alert="denial-burst"}`); raised != "1" {
		t.Errorf("%q alerts were raised", raised)
	}
	nowhere := []string{credential, value, text, strings.TrimPrefix(text, "whsec_"), a.token, viewer}
	_, _, server := a.export(a.client.ServerAudit())
	metrics, err := http.Get("http://" + a.operator + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	measured, err := io.ReadAll(metrics.Body)
	_ = metrics.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	stop(t, a.runningServer)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.bad) > 0 {
		t.Errorf("%d webhooks are not as they should be, such as %s", len(h.bad), h.bad[0])
	}
	for where, text := range map[string]string{
		"the tenant's records": string(records(after)), "the server's records": string(records(server)), "what syslog was sent": c.said(),
		"what the webhook was sent": h.text.String(), "the log": a.log(), "metrics": string(measured), "the command line": string(process),
	} {
		if len(text) < 20 {
			t.Errorf("%s: there is nothing to look through", where)
		}
		for _, secret := range nowhere {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %.8s… is in %.300s", where, secret, text)
			}
		}
	}
}

func records(all []exportedLine) (text []byte) {
	for _, l := range all {
		text = append(append(text, l.Record...), '\n')
	}
	return text
}

// TestAuditReload changes settings of a running server: rules of alerts, and how
// often chains are signed, count from then on.
func TestAuditReload(t *testing.T) {
	a := newAudited(t, "audit-checkpoint-every: 1h")
	viewer := a.viewer()
	signed := func() int {
		t.Helper()
		notes, err := a.client.Audit().Checkpoints(t.Context(), client.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return len(notes.Checkpoints)
	}
	raised := func(alert string) bool {
		for _, r := range a.found(a.client.ServerAudit(), client.AuditQuery{Events: []string{"audit.alert"}}) {
			if r.Details["alert"] == alert {
				return true
			}
		}
		return false
	}
	reload := func(lines ...string) {
		t.Helper()
		a.configure(lines...)
		if err := a.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	denied := func(id string) {
		t.Helper()
		for i := range 3 {
			a.must(viewer, "PUT", api.Build(api.RouteLayer, "default", "base", "denied"), `{}`, fmt.Sprint(id, i), 403)
		}
	}
	until(t, func() bool { return signed() >= 1 })
	before := signed()
	denied("before")
	write(t, a.client, "base", "a", `{"n":1}`)
	if raised("few") || signed() != before {
		t.Fatal("the settings are not those of the test")
	}
	reload("audit-checkpoint-every: 1s", `audit-alerts: ["few: 2 authorization.denied in 10m per actor"]`)
	until(t, func() bool { return signed() > before })
	denied("after")
	until(t, func() bool { return raised("few") })
}
