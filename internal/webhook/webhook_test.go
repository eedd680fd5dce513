package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// TestPublishedSignature signs the example of the specification.
func TestPublishedSignature(t *testing.T) {
	s, done, err := newSigner([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek")
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	if err := s.sign(header, time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)); err != nil {
		t.Fatal(err)
	}
	if got, want := header.Get("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if header.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || header.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("got %v", header)
	}
	done()
	if err := s.sign(header, time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)); err != nil {
		t.Fatal(err)
	}
	if header.Get("webhook-signature") == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error("the decoded key was not cleared")
	}
}

// TestCallIsSignedAndAnswered verifies what arrives as a receiver would.
func TestCallIsSignedAndAnswered(t *testing.T) {
	var got []byte
	hook, err := standardwebhooks.NewWebhook(string(testKey))
	if err != nil {
		t.Fatal(err)
	}
	s := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		got = drain(t, r)
		if err := hook.Verify(got, r.Header); err != nil {
			t.Error(err)
		}
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.URL.RequestURI() != "/hook?a=b" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		_, _ = w.Write([]byte(`{"fields":{}}`))
	})
	key := bytes.Clone(testKey)
	call := request(s.URL + "/hook?a=b")
	call.Key = key
	answer, err := caller(t, s, s.Listener.Addr().String()).Call(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != 200 || string(answer.Body) != `{"fields":{}}` {
		t.Errorf("got %d %s", answer.Status, answer.Body)
	}
	if !bytes.Equal(key, testKey) {
		t.Error("the caller's key was changed")
	}
	var sent struct {
		Type      string
		Timestamp time.Time
		Data      map[string]string
	}
	if err := json.Unmarshal(got, &sent); err != nil || sent.Type != "secret.rotate" || sent.Data["path"] != "llm/key" || time.Since(sent.Timestamp) > time.Minute {
		t.Errorf("sent %s: %v", got, err)
	}
}

// TestAttempts says which answers are asked for again, always under the same id
// and each with a time and a signature of its own.
func TestAttempts(t *testing.T) {
	for name, test := range map[string]struct {
		statuses []int // of the attempts; the last stays
		attempts int
		says     string // empty: it succeeds
	}{
		"at once":                {[]int{200}, 1, ""},
		"no content":             {[]int{204}, 1, ""},
		"the third time":         {[]int{503, 429, 201}, 3, ""},
		"behind a gateway":       {[]int{502, 504, 200}, 3, ""},
		"never":                  {[]int{503}, 3, "Service Unavailable (503)"},
		"first away, then wrong": {[]int{502, 500}, 2, "Internal Server Error (500)"},
		"a fault":                {[]int{500}, 1, "look into the receiver's log"},
		"not found":              {[]int{404}, 1, "Not Found (404)"},
		"another key":            {[]int{401}, 1, "signing key"},
		"moved":                  {[]int{308}, 1, "redirects are not followed"},
		"a status of its own":    {[]int{599}, 1, "answered 599"},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			var seconds atomic.Int64
			hook, _ := standardwebhooks.NewWebhook(string(testKey))
			s := receiver(t, func(w http.ResponseWriter, r *http.Request) {
				i := int(n.Add(1))
				if r.Header.Get("webhook-id") != "msg_1" {
					t.Errorf("attempt %d has the id %q", i, r.Header.Get("webhook-id"))
				}
				if at, _ := strconv.Atoi(r.Header.Get("webhook-timestamp")); at != 1000+i+1 {
					t.Errorf("attempt %d has the time %d", i, at)
				}
				if err := hook.VerifyIgnoringTimestamp(drain(t, r), r.Header); err != nil {
					t.Error(err)
				}
				w.WriteHeader(test.statuses[min(i, len(test.statuses))-1])
			})
			c := caller(t, s, s.Listener.Addr().String())
			c.options.Clock = func() time.Time { return time.Unix(1000+seconds.Add(1), 0) }
			answer, err := c.Call(t.Context(), request(s.URL))
			if int(n.Load()) != test.attempts {
				t.Errorf("%d attempts, want %d", n.Load(), test.attempts)
			}
			if answer.Status != test.statuses[len(test.statuses)-1] {
				t.Errorf("status %d", answer.Status)
			}
			if test.says == "" && err != nil {
				t.Error(err)
			}
			if test.says != "" {
				refuse(t, err, config.KindUnavailable, test.says, s.Listener.Addr().String())
			}
		})
	}
}

// TestConnectionsAreTriedAgain calls a receiver that hangs up twice.
func TestConnectionsAreTriedAgain(t *testing.T) {
	var n atomic.Int64
	s := receiver(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) < 3 {
			panic(http.ErrAbortHandler)
		}
	})
	if _, err := caller(t, s, s.Listener.Addr().String()).Call(t.Context(), request(s.URL)); err != nil || n.Load() != 3 {
		t.Errorf("%d attempts: %v", n.Load(), err)
	}
	s.Close()
	_, err := caller(t, s, s.Listener.Addr().String()).Call(t.Context(), request(s.URL))
	refuse(t, err, config.KindUnavailable, "cannot be reached", "network")
}

func TestCallEndsWithItsContext(t *testing.T) {
	called := make(chan struct{}, 1)
	s := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		drain(t, r)
		called <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-called; cancel() }()
	_, err := caller(t, s, s.Listener.Addr().String()).Call(ctx, request(s.URL))
	refuse(t, err, config.KindUnavailable, "ended")
	if _, err = caller(t, s, s.Listener.Addr().String()).Call(ctx, request(s.URL)); err == nil || len(called) != 0 {
		t.Errorf("a call whose context had ended was made: %v", err)
	}
}

func TestPlainHTTPOnThisMachine(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer s.Close()
	c := caller(t, s, s.Listener.Addr().String())
	if _, err := c.Call(t.Context(), request(s.URL)); err != nil {
		t.Error(err)
	}
}

// TestProxiesAreNotUsed would have the environment's proxy choose the address.
func TestProxiesAreNotUsed(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s %s came to the proxy", r.Method, r.Host) }))
	defer proxy.Close()
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	s := receiver(t, func(http.ResponseWriter, *http.Request) {})
	lender := trusting(s)
	lender.Proxy = http.ProxyFromEnvironment
	c := New(Options{Allowed: func() []string { return []string{s.Listener.Addr().String()} }, Transport: lender})
	if _, err := c.Call(t.Context(), request(s.URL)); err != nil {
		t.Error(err)
	}
}

func TestRequestIsBounded(t *testing.T) {
	s := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	c := caller(t, s, s.Listener.Addr().String())
	for name, test := range map[string]struct {
		change func(*Request)
		kind   config.Kind
	}{
		"too much":             {func(r *Request) { r.Body = strings.Repeat("x", MaxBody) }, config.KindTooLarge},
		"no key":               {func(r *Request) { r.Key = nil }, config.KindBadRequest},
		"another kind of key":  {func(r *Request) { r.Key = []byte("whpk_" + strings.Repeat("A", 44)) }, config.KindBadRequest},
		"a short key":          {func(r *Request) { r.Key = []byte("whsec_" + strings.Repeat("A", 28)) }, config.KindBadRequest},
		"a long key":           {func(r *Request) { r.Key = []byte("whsec_" + strings.Repeat("A", 88)) }, config.KindBadRequest},
		"a key over two lines": {func(r *Request) { r.Key = []byte("whsec_" + strings.Repeat("A", 20) + "\n" + strings.Repeat("A", 20)) }, config.KindBadRequest},
		"not base64":           {func(r *Request) { r.Key = []byte("whsec_" + strings.Repeat("!", 44)) }, config.KindBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			call := request(s.URL)
			test.change(&call)
			_, err := c.Call(t.Context(), call)
			refuse(t, err, test.kind)
			if len(call.Key) > 10 && strings.Contains(err.Error(), string(call.Key[6:])) {
				t.Errorf("the error holds the key: %v", err)
			}
		})
	}
	for _, id := range []string{"", "a.b", "a b", "a\r\nx: y", "ä", strings.Repeat("a", maxID+1)} {
		call := request(s.URL)
		call.ID = id
		if _, err := c.Call(t.Context(), call); err == nil {
			t.Errorf("the id %q was taken", id)
		}
	}
}

// TestCallsAtOnceAreBounded fills all places and asks for one more.
func TestCallsAtOnceAreBounded(t *testing.T) {
	s := receiver(t, func(http.ResponseWriter, *http.Request) {})
	c := caller(t, s, s.Listener.Addr().String())
	for range maxCalls {
		c.places <- struct{}{}
	}
	_, err := c.Call(t.Context(), request(s.URL))
	refuse(t, err, config.KindOverloaded, "half a minute")
	<-c.places
	if _, err := c.Call(t.Context(), request(s.URL)); err != nil {
		t.Error(err)
	}
	if len(c.places) != maxCalls-1 {
		t.Errorf("%d places are taken", len(c.places))
	}
}
