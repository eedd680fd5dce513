package transport

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// BenchmarkOuter measures what a request passes before the routes, on headers as
// a read of a document has them.
func BenchmarkOuter(b *testing.B) {
	values := []string{"x"}
	routes := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for _, name := range []string{"X-Request-ID", "Content-Type", "Content-Length", "Etag", "X-Config-Revision", "X-Config-Digest", "Vary", "Cache-Control"} {
			h[name] = values
		}
		h["X-Content-Type-Options"] = nosniff
	})
	var cors CORS
	proxies := func() []netip.Prefix { return nil }
	certificates := NewTLS(TLSOptions{})
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.RemoteAddr = "127.0.0.1:1"
	for name, handler := range map[string]http.Handler{
		"none": routes,
		"all":  SecurityHeaders(OnlyTrusted(proxies, certificates.StillTrusted(cors.Handler(routes)))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(&discard{http.Header{}}, r)
			}
		})
	}
}
