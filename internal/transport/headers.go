package transport

import (
	"net/http"
	"strings"
)

// The values of the headers that every answer has. They are shared by all
// answers and must not be written into.
var (
	nosniff    = []string{"nosniff"}
	noPage     = []string{"default-src 'none'; frame-ancestors 'none'"} // an answer is data; as a page it may do nothing
	noReferrer = []string{"no-referrer"}
	sameOrigin = []string{"same-origin"}
	onlyTLS    = []string{"max-age=31536000"}
)

// SecurityHeaders tells browsers to make nothing of an answer but what it is. A
// route that answers pages sets a policy of its own over it.
func SecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"] = nosniff
		h["Content-Security-Policy"] = noPage
		h["Referrer-Policy"] = noReferrer
		h["Cross-Origin-Resource-Policy"] = sameOrigin
		if r.TLS != nil && !isLocalhost(r.Host) {
			h["Strict-Transport-Security"] = onlyTLS
		}
		next.ServeHTTP(w, r)
	})
}

// isLocalhost spares a developer: a browser that was told once would refuse plain
// HTTP on every port of localhost for a year.
func isLocalhost(host string) bool {
	return host == "localhost" || strings.HasPrefix(host, "localhost:")
}
