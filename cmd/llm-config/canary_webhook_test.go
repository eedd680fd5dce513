package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

// canaryHooks receives rotation webhooks, and answers each as its path says.
// Every answer holds the marker, as the new value or where none belongs.
type canaryHooks struct {
	host string

	mu    sync.Mutex
	calls map[string]int // path → calls
	came  []string       // what was sent
}

// canaryReplies are answers to the call that asks for a value, in raw form; %s is
// the marker. What is not here is answered by a good value, and fails later.
var canaryReplies = map[string]string{
	"/refuses":            "HTTP/1.1 500 Internal Server Error\r\nX-Why: %[1]s\r\nContent-Length: 32\r\nContent-Type: text/plain\r\n\r\n%[1]s",
	"/says-why":           "HTTP/1.1 400 %[1]s\r\nContent-Length: 0\r\n\r\n",
	"/is-no-http":         "%[1]s\r\n\r\n",
	"/has-a-bad-header":   "HTTP/1.1 200 OK\r\n%[1]s\r\n\r\n",
	"/has-a-bad-status":   "HTTP/1.1 %[1]s\r\n\r\n",
	"/has-a-bad-length":   "HTTP/1.1 200 OK\r\nContent-Length: %[1]s\r\n\r\n",
	"/has-a-bad-encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %[1]s\r\n\r\n",
	"/redirects":          "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/%[1]s\r\nContent-Length: 0\r\n\r\n",
	"/redirects-nowhere":  "HTTP/1.1 302 Found\r\nLocation: http://%[1]s%%zz:x/\r\nContent-Length: 0\r\n\r\n",
	"/is-cut-short":       "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"fields\":{\"value\":\"%[1]s",
	"/is-no-json":         reply(`%[1]s`),
	"/ends-early":         reply(`{"fields":{"value":"%[1]s`),
	"/says-it-twice":      reply(`{"fields":{"value":"%[1]s"},"fields":["%[1]s"]}`),
	"/has-no-base64":      reply(`{"fields":{"value":"%[1]s!"},"base64":["value"]}`),
	"/names-no-field":     reply(`{"fields":{"value":"x"},"base64":["%[1]s"]}`),
	"/is-a-list":          reply(`{"fields":["%[1]s"]}`),
	"/is-a-number":        reply(`{"fields":{"value":1e999,"other":"%[1]s"}}`),
	"/has-a-bad-name":     reply(`{"fields":{"%[1]s %[1]s/":"x"}}`),
	"/is-weak":            reply(`{"fields":{"value":"%.12[1]s"}}`),
}

func reply(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + body
}

func newCanaryHooks(t *testing.T, m *marker) *canaryHooks {
	t.Helper()
	h := &canaryHooks{calls: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what there is of it
		h.mu.Lock()
		h.calls[r.URL.Path]++
		h.came = append(h.came, fmt.Sprint(r.URL, r.Header, string(body)))
		h.mu.Unlock()
		if raw, ok := canaryReplies[r.URL.Path]; ok {
			h.raw(w, fmt.Sprintf(raw, m.core))
			return
		}
		probe := strings.Contains(string(body), `"secret.probe"`)
		if probe && r.URL.Path == "/fails-the-probe" {
			w.Header().Set("X-Why", m.core)
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = fmt.Fprintf(w, `{"fields":{"value":%q}}`, m.core) // also where the probe wants no answer
	}))
	t.Cleanup(server.Close)
	h.host = strings.TrimPrefix(server.URL, "http://")
	return h
}

func (h *canaryHooks) raw(w http.ResponseWriter, text string) {
	connection, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // the server of the test can be taken over
	}
	_, _ = buffered.WriteString(text)
	_ = buffered.Flush()
	_ = connection.Close()
}

// webhooks rotates secrets by receivers that answer the marker.
func (c *canaryRun) webhooks(t *testing.T) {
	c = c.within(t)
	root := c.server.token
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	c.must(root, "PUT", c.at(api.RouteSecret, "base", "hooks/signing"), fmt.Sprintf(`{"fields":{"value":"whsec_%s"}}`, base64.StdEncoding.EncodeToString(key)))
	paths := []string{"/works", "/fails-the-probe"}
	for path := range canaryReplies {
		paths = append(paths, path)
	}
	var rotating sync.WaitGroup
	for _, path := range paths {
		rotating.Go(func() { c.rotateBy(root, path) })
	}
	rotating.Wait()
	h := c.hooks
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, path := range paths {
		if h.calls[path] == 0 {
			t.Errorf("%s was not called", path)
		}
	}
	for _, request := range h.came {
		c.look("a webhook's request", []byte(request))
	}
}

func (c *canaryRun) rotateBy(root, path string) {
	c.t.Helper()
	name := "hooks" + path
	secret := c.at(api.RouteSecret, "base", name)
	c.must(root, "PUT", secret, `{"generate":{"kind":"hex"},"rotation":{"webhook":{"url":"http://`+c.hooks.host+path+`","signing":"hooks/signing"}}}`)
	answer := c.call(root, "POST", c.at(api.RouteSecretRotate, "base", name), []byte(`{}`))
	if works := path == "/works"; works != (answer.status < 300) {
		c.t.Errorf("%s: %d %s", path, answer.status, answer.body)
	}
	for _, route := range []string{api.RouteSecret, api.RouteSecretHistory, api.RouteSecretDiff, api.RouteSecretAdopt} {
		c.call(root, "GET", c.at(route, "base", name), nil)
	}
	revealed := c.must(root, "GET", secret+"?reveal=true", "")
	if there := c.m.in(revealed.body) != ""; there != (path == "/works") {
		c.t.Errorf("%s: the value in use is %s", path, revealed.body)
	}
}
