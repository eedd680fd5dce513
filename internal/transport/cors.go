package transport

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/cors"

	"github.com/llm-devops/llm-config-manager/api"
)

// preflightAge is how long a browser may remember what it may send.
const preflightAge = 10 * time.Minute

// CORS answers browsers that ask on behalf of other origins' pages. It never
// allows credentials: such a page sends a token that it was given, and neither
// cookies nor client certificates.
type CORS struct {
	policy atomic.Pointer[cors.Cors] // nil: no other origin is allowed
}

// Allow puts a list of origins in force, each as CheckOrigin takes it. With none,
// answers have no header of CORS at all.
func (c *CORS) Allow(origins []string) {
	if len(origins) == 0 {
		c.policy.Store(nil)
		return
	}
	c.policy.Store(cors.New(cors.Options{
		AllowOriginFunc: func(origin string) bool { return slices.Contains(origins, origin) }, // the library's own list takes wildcards
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{
			"Accept", "Authorization", "Content-Type", "If-Match", "If-None-Match", "Last-Event-ID",
			api.HeaderRequestID, api.HeaderIdempotent, api.HeaderMessage,
		},
		ExposedHeaders: []string{
			"ETag", "Location", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
			api.HeaderRequestID, api.HeaderReplayed, api.HeaderRevision, api.HeaderDigest, api.HeaderVersion, api.HeaderSecrets,
		},
		MaxAge: int(preflightAge.Seconds()),
	}))
}

// Handler answers preflights by itself, without credentials and without a route;
// all else it passes on.
func (c *CORS) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		policy := c.policy.Load()
		if policy == nil {
			next.ServeHTTP(w, r)
			return
		}
		policy.ServeHTTP(&varyingWriter{ResponseWriter: w}, r, next.ServeHTTP)
	})
}

// varyingWriter says of each answer that it is another one for another origin,
// also where a handler has put its own Vary in the place of ours.
type varyingWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *varyingWriter) WriteHeader(status int) {
	if !w.begun {
		w.begun = status >= http.StatusOK
		if h := w.Header(); !variesByOrigin(h["Vary"]) {
			h["Vary"] = append(slices.Clip(h["Vary"]), "Origin") // never into a slice that answers share
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *varyingWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Matched passes on by which pattern a request was matched.
func (w *varyingWriter) Matched(pattern string) {
	if o, ok := w.ResponseWriter.(interface{ Matched(pattern string) }); ok {
		o.Matched(pattern)
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *varyingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func variesByOrigin(vary []string) bool {
	for _, value := range vary {
		for name := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(name), "Origin") {
				return true
			}
		}
	}
	return false
}

// CheckOrigin refuses what is not exactly one origin, in the form in which
// browsers send it. Wildcards are not for this server: who may read its answers
// is a list that somebody wrote.
func CheckOrigin(text string) error {
	const write = "write it like https://console.example.com, or https://console.example.com:8443"
	scheme, host, found := strings.Cut(text, "://")
	switch {
	case strings.Contains(text, "*"):
		return fmt.Errorf("%q has a wildcard, and with it pages of sites that nobody has listed could use this server; list each origin, like https://console.example.com", text)
	case text == "null":
		return fmt.Errorf("%q is what pages without an origin send, and every sandbox is one of them; %s", text, write)
	case !found || scheme != "https" && scheme != "http":
		return fmt.Errorf("%q does not begin with https:// or http://; %s", text, write)
	case host != strings.ToLower(host):
		return fmt.Errorf("%q has capitals, and browsers send none; write %q", text, strings.ToLower(text))
	case strings.ContainsAny(host, "/?#@\\ ,"):
		return fmt.Errorf("%q is more than an origin; leave out user, path and what follows, and a slash at the end; %s", text, write)
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || u.String() != text || !validHost(u.Hostname()) {
		return fmt.Errorf("%q names no host; %s", text, write)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return fmt.Errorf("%q has no usable port; %s", text, write)
		}
		if port == map[string]string{"https": "443", "http": "80"}[scheme] {
			return fmt.Errorf("%q has the port that goes without saying, and browsers do not send it; write %q", text, strings.TrimSuffix(text, ":"+port))
		}
	}
	if scheme == "http" && !isLoopbackHost(u.Hostname()) {
		return fmt.Errorf("%q is plain HTTP, and whoever is on the way could change its pages; use https, or a loopback address", text)
	}
	return nil
}

// validHost says whether a browser could send a host: a name in ASCII, or an
// address in its shortest form.
func validHost(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.String() == host && address.Zone() == ""
	}
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
