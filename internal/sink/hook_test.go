package sink

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

var testKey = []byte("whsec_" + base64.StdEncoding.EncodeToString([]byte("a signing key of thirty-two byte")))

// receiver is a webhook that verifies signatures and keeps what it was sent.
type receiver struct {
	*httptest.Server
	options Options

	mu     sync.Mutex
	status int
	bodies [][]byte
	ids    []string
	types  []string
}

func receive(t *testing.T) *receiver {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(string(testKey))
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		if err := verifier.Verify(body, request.Header); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies, r.ids, r.types = append(r.bodies, body), append(r.ids, request.Header.Get("webhook-id")), append(r.types, request.Header.Get("Content-Type"))
		w.WriteHeader(r.status)
	}))
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	r.StartTLS()
	t.Cleanup(r.Close)
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate())
	r.options = Options{WebhookKey: append(slices.Clone(testKey), '\n'), Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	return r
}

func (r *receiver) open(t *testing.T) Sink {
	t.Helper()
	s, err := Open(r.URL+"/hooks?token=hunter2", r.options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// events are those of a batch, by their ids.
func events(t *testing.T, body []byte) []string {
	t.Helper()
	var all []struct {
		SpecVersion, ID, Source, Type string
		Data                          struct{ Record json.RawMessage }
	}
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range all {
		if e.SpecVersion != "1.0" || e.Source == "" || e.Type == "" {
			t.Errorf("%+v is no event", e)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

func TestHook(t *testing.T) {
	r := receive(t)
	s := r.open(t)
	mustDeliver(t, s, nil)
	mustDeliver(t, s, chained(1, 3))
	r.status = http.StatusServiceUnavailable
	refuse(t, s.Deliver(t.Context(), chained(4, 2)), config.KindUnavailable, "Service Unavailable")
	r.status = http.StatusOK
	mustDeliver(t, s, chained(4, 2))
	if len(r.bodies) != 3 || r.ids[1] != r.ids[2] || r.ids[0] == r.ids[1] || r.types[0] != "application/cloudevents-batch+json" {
		t.Fatalf("%d bodies came, with the ids %v and types %v", len(r.bodies), r.ids, r.types)
	}
	if got := append(events(t, r.bodies[0]), events(t, r.bodies[2])...); !slices.Equal(got, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("there came the events %v", got)
	}
	if s.Name() != r.URL {
		t.Errorf("its name is %s", s.Name())
	}
}

// TestHookSplitsBatches so that no body is over the bound, but for an event that
// is alone.
func TestHookSplitsBatches(t *testing.T) {
	r := receive(t)
	s := r.open(t)
	var records []Record
	var want []string
	head := audit.Head{}
	for i := range 30 {
		size := 100 << 10
		if i == 7 || i == 29 {
			size = 2 << 20
		}
		link := head.Next(audit.Record{Event: "config.change", Reason: strings.Repeat("x", size)}.Canonical())
		records, head = append(records, Record{origin, link}), link.Head()
		want = append(want, string(appendUint(nil, link.Sequence)))
	}
	mustDeliver(t, s, records)
	var got []string
	alone := 0
	for _, body := range r.bodies {
		ids := events(t, body)
		got = append(got, ids...)
		if len(body) > maxBody {
			alone++
			if len(ids) != 1 {
				t.Errorf("%d events have %d bytes", len(ids), len(body))
			}
		}
	}
	if !slices.Equal(got, want) || alone != 2 || len(r.bodies) > 8 {
		t.Errorf("in %d bodies, %d of them too large, there came %v", len(r.bodies), alone, got)
	}
}

func TestHookThatIsGone(t *testing.T) {
	r := receive(t)
	s := r.open(t)
	r.Close()
	err := s.Deliver(t.Context(), chained(1, 1))
	refuse(t, err, config.KindUnavailable, "cannot be reached")
}

func TestURLs(t *testing.T) {
	for url, name := range map[string]string{
		"syslog+udp://logs.example.com:514":                      "syslog+udp://logs.example.com:514",
		"syslog+udp://[::1]:514/?size=1500&enterprise=64500":     "syslog+udp://[::1]:514",
		"syslog+tcp://10.0.0.7:601?enterprise=1":                 "syslog+tcp://10.0.0.7:601",
		"syslog+tls://logs.example.com:6514":                     "syslog+tls://logs.example.com:6514",
		"file:///var/log/audit.ndjson":                           "file:/var/log/audit.ndjson",
		"file:audit.ndjson":                                      "file:audit.ndjson",
		"https://hooks.example.com/services/hunter2?key=hunter2": "https://hooks.example.com",
		"http://127.0.0.1:9000/x":                                "http://127.0.0.1:9000",
	} {
		s, err := Open(url, Options{})
		if err != nil || s.Name() != name {
			t.Errorf("%s: %v, %v", url, s, err)
			continue
		}
		if of, err := NameOf(url); err != nil || of != name {
			t.Errorf("the name of %s is %s (%v)", url, of, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for url, says := range map[string]string{
		"":                                  "is no URL",
		"logs.example.com":                  "is no URL",
		"https://a\x7fhunter2":              "is no URL",
		"kafka://logs.example.com:9092":     `"kafka", which is none of syslog+udp, syslog+tcp, syslog+tls, file, http, https`,
		"syslog://logs.example.com:514":     "syslog+tcp",
		"syslog+tcp://logs.example.com":     "host and port",
		"syslog+tcp://:601":                 "host and port",
		"syslog+tcp://h:0":                  "host and port",
		"syslog+tcp://h:601/hunter2":        "more than them",
		"syslog+tcp://u:hunter2@h:601":      "password",
		"syslog+tcp://h:601?size=2048":      `"size"`,
		"syslog+udp://h:601?size=512":       "1024",
		"syslog+udp://h:601?enterprise=0":   "enterprise",
		"syslog+tcp://h:601?ca=hunter2":     `"ca"`,
		"syslog+tls://h:601?cert=hunter2":   "both files",
		"syslog+tls://h:601?a=%zz":          "cannot be read",
		"syslog+tls://h:601#hunter2":        "fragment",
		"file:":                             "no file",
		"file:///var/log/":                  "no file",
		"file://elsewhere/var/log/a":        "no file",
		"file:///var/log/a?mode=0644":       "no file",
		"http://hooks.example.com/hunter2":  "own machine",
		"https://u:hunter2@hooks.example.c": "password",
	} {
		_, err := Open(url, Options{})
		refuse(t, err, config.KindBadRequest, says)
		refuse(t, Check(url), config.KindBadRequest, says)
	}
	_, err := Open("https://hooks.example.com", Options{WebhookKey: []byte("hunter2")})
	refuse(t, err, config.KindBadRequest, "whsec_")
}
