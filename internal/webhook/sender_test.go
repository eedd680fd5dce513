package webhook

import (
	"bytes"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func mustSend(t *testing.T, url string, key []byte, o Options) *Sender {
	t.Helper()
	s, err := NewSender(url, key, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSenderPosts bodies beyond what a Caller takes, signed when it has a key.
func TestSenderPosts(t *testing.T) {
	hook, err := standardwebhooks.NewWebhook(string(testKey))
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), 2*MaxBody)
	for _, key := range [][]byte{testKey, nil} {
		got := 0
		r := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			sent := drain(t, r)
			got++
			if err := hook.Verify(sent, r.Header); key != nil && err != nil {
				t.Error(err)
			}
			if key == nil && r.Header.Get("webhook-signature") != "" {
				t.Error("it is signed without a key")
			}
			if !bytes.Equal(sent, body) || r.Header.Get("Content-Type") != "text/x" || r.URL.RequestURI() != "/a?token=hunter2" {
				t.Errorf("%d bytes, %s, %v", len(sent), r.URL, r.Header)
			}
			_, _ = w.Write(bytes.Repeat([]byte("y"), 2*MaxAnswer)) // which nobody reads
		})
		s := mustSend(t, r.URL+"/a?token=hunter2", key, Options{Transport: trusting(r)})
		if err := s.Post(t.Context(), "id_1", "text/x", body); err != nil || got != 1 {
			t.Errorf("%d came: %v", got, err)
		}
		if s.Name() != r.URL {
			t.Errorf("the name is %s", s.Name())
		}
	}
}

func TestSenderIsRefused(t *testing.T) {
	for status, says := range map[int]string{301: "redirects", 401: "signing key", 503: "Service Unavailable", 500: "log"} {
		calls := 0
		r := receiver(t, func(w http.ResponseWriter, _ *http.Request) { calls++; w.WriteHeader(status) })
		err := mustSend(t, r.URL+"/hunter2", testKey, Options{Transport: trusting(r)}).Post(t.Context(), "id", "text/x", nil)
		refuse(t, err, config.KindUnavailable, says)
		if calls != 1 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d calls, %v", calls, err)
		}
	}
	hang := make(chan struct{})
	r := receiver(t, func(http.ResponseWriter, *http.Request) { <-hang })
	defer close(hang)
	err := mustSend(t, r.URL, nil, Options{Transport: trusting(r), Timeout: 50 * time.Millisecond}).Post(t.Context(), "id", "text/x", nil)
	refuse(t, err, config.KindUnavailable, "in time")
	refuse(t, mustSend(t, r.URL, nil, Options{}).Post(t.Context(), "id", "text/x", nil), config.KindUnavailable, "not trusted")
}

// TestSenderReachesNoMetadata: not even when the settings name a host that the
// DNS points there.
func TestSenderReachesNoMetadata(t *testing.T) {
	resolver := names(t, func() netip.Addr { return netip.MustParseAddr("169.254.169.254") })
	err := mustSend(t, "https://sink.example.com/", nil, Options{Resolver: resolver}).Post(t.Context(), "id", "text/x", nil)
	refuse(t, err, config.KindUnavailable, "never called")
}

func TestSenderURLs(t *testing.T) {
	for url, says := range map[string]string{
		"http://sink.example.com/": "own machine", "ftp://sink.example.com": "scheme", "https://u:hunter2@sink.example.com": "password", "sink": "no URL",
	} {
		_, err := NewSender(url, nil, Options{})
		refuse(t, err, config.KindBadRequest, says)
		refuse(t, CheckURL(url), config.KindBadRequest, says)
	}
	for _, url := range []string{"http://localhost:9000/x", "http://127.0.0.1/", "https://sink.example.com:8443/a?b=c"} {
		if err := CheckURL(url); err != nil {
			t.Error(url, err)
		}
	}
	_, err := NewSender("https://sink.example.com", []byte("hunter2"), Options{})
	refuse(t, err, config.KindBadRequest, keyPrefix)
}
