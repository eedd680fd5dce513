package telemetry

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Labels of what is none of the known.
const (
	noEndpoint  = "none"
	otherMethod = "other"
)

// Requests counts what passes to next. Its endpoints are the patterns of the
// routes, given as net/http has them ("GET /a/{b}"), so that paths, which anybody
// can make up, are no labels; the tenant is the part of the path at {tenant}, and
// gets a label of its own only by an answer that succeeded.
func (m *Metrics) Requests(routes []string, next http.Handler) http.Handler {
	if m == nil {
		return next
	}
	table := http.NewServeMux()
	for _, route := range routes {
		table.Handle(route, http.NotFoundHandler()) // only ever asked for its pattern
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := &observation{ResponseWriter: w, body: r.Body}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = (*observedBody)(o)
		}
		began := m.clock()
		defer func() {
			if o.pattern == "" { // it was refused before it was matched
				_, o.pattern = table.Handler(r)
			}
			m.observe(r, o, m.clock().Sub(began))
		}()
		next.ServeHTTP(o, r)
	})
}

func (m *Metrics) observe(r *http.Request, o *observation, took time.Duration) {
	method, endpoint := labelled(r.Method), noEndpoint
	if _, path, found := strings.Cut(o.pattern, " "); found {
		endpoint = path
	}
	status := o.status
	if status == 0 {
		status = http.StatusOK // what net/http answers when nothing was said
	}
	tenant := tenantIn(endpoint, r.URL.Path)
	if status < http.StatusBadRequest {
		tenant = m.tenants.of(tenant)
	} else {
		tenant = m.tenants.seen(tenant)
	}
	m.requests.WithLabelValues(method, endpoint, statusLabel(status), tenant).Inc()
	m.requestSize.WithLabelValues(method, endpoint).Observe(float64(o.read))
	m.responseSize.WithLabelValues(method, endpoint).Observe(float64(o.written))
	if !o.stream {
		m.requestDuration.WithLabelValues(method, endpoint, tenant).Observe(took.Seconds())
	}
}

// tenantIn is the part of a path that stands where the pattern has {tenant}.
func tenantIn(pattern, path string) string {
	before, _, found := strings.Cut(pattern, "{tenant}")
	if !found {
		return ""
	}
	for range strings.Count(before, "/") {
		_, path, _ = strings.Cut(path, "/")
	}
	tenant, _, _ := strings.Cut(path, "/")
	return tenant
}

// labelled is a method that HTTP knows; anybody can make up others.
func labelled(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return otherMethod
}

func statusLabel(status int) string {
	if status < 100 || status > 599 {
		return "other"
	}
	return strconv.Itoa(status)
}

// observation notes what came and what was answered. It is both the writer of
// the answer and, as observedBody, the reader of the request.
type observation struct {
	http.ResponseWriter
	body    io.ReadCloser
	read    int64
	written int64
	status  int
	stream  bool // the answer is events for as long as somebody listens
	pattern string
}

// Matched takes note of the pattern that a handler matched a request by, so that
// it need not be looked for again.
func (o *observation) Matched(pattern string) { o.pattern = pattern }

func (o *observation) WriteHeader(status int) {
	if o.status == 0 && status >= http.StatusOK {
		o.status = status
		o.stream = strings.HasPrefix(o.Header().Get("Content-Type"), "text/event-stream")
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observation) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.WriteHeader(http.StatusOK)
	}
	n, err := o.ResponseWriter.Write(b)
	o.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (o *observation) Unwrap() http.ResponseWriter { return o.ResponseWriter }

type observedBody observation

func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.read += int64(n)
	return n, err
}

func (b *observedBody) Close() error { return b.body.Close() }
