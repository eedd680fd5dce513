package httpapi

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/access/login"
	"github.com/llm-devops/llm-config-manager/internal/transport"
)

const (
	// maxSession is what fits into a cookie beside its name and its attributes.
	maxSession = 3800
	maxTarget  = 1 << 10 // bytes of where to go after a login
)

// sessionOf is the JWT of a browser's login, empty when there is none. A cookie
// never holds a token of this server.
func sessionOf(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie(r))
	if err != nil || !identity.LooksLikeJWT(cookie.Value) {
		return ""
	}
	return cookie.Value
}

// plainLoopback says that a browser speaks plain HTTP to this machine. Elsewhere
// there is TLS, here or at a proxy before.
func plainLoopback(r *http.Request) bool {
	return r.TLS == nil && login.IsLoopback((&url.URL{Host: r.Host}).Hostname())
}

func sessionCookie(r *http.Request) string {
	if plainLoopback(r) {
		return transport.SessionCookieLoopback
	}
	return transport.SessionCookie
}

// loginCookie is that of a login in progress.
func loginCookie(r *http.Request) string { return sessionCookie(r) + "-login" }

// browserCookie is a cookie that no script reads. It lasts less than a second
// longer than it should; a negative time removes it.
func browserCookie(r *http.Request, name, value string, lasts time.Duration, site http.SameSite) *http.Cookie {
	age := int(wholeSeconds(lasts))
	if lasts <= 0 {
		age = -1
	}
	return &http.Cookie{ //nolint:gosec // G124: it is not Secure only where there is no TLS, on loopback
		Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: !plainLoopback(r), SameSite: site,
	}
}

// isLocal says whether a browser that is told to go there stays on this server,
// whatever it makes of odd characters.
func isLocal(to string) bool {
	if len(to) == 0 || len(to) > maxTarget || to[0] != '/' {
		return false
	}
	if strings.ContainsFunc(to, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' || c == '#' }) {
		return false
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return false
	}
	clean := path.Clean(u.Path)
	return strings.TrimSuffix(u.Path, "/") == strings.TrimSuffix(clean, "/") && !strings.ContainsAny(u.Path, "\\\r\n\t")
}
