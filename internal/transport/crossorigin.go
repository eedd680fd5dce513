package transport

import (
	"net/http"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// The cookies that hold a browser's login. The first can be set by this host over
// TLS only; the second is for plain HTTP on loopback.
const (
	SessionCookie         = "__Host-llm-config"
	SessionCookieLoopback = "llm-config-dev"
)

var protection = http.NewCrossOriginProtection()

// CheckCrossOrigin refuses a request that another site had a browser send: it
// would carry the login's cookie, and not its owner's will. It is to be asked
// before a cookie or a certificate is taken for credentials. Nobody can have a
// browser add a bearer token to the header, so what has one is not judged; what a
// link says of Basic credentials a browser adds by itself.
func CheckCrossOrigin(r *http.Request) error {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") && token != "" {
		return nil
	}
	if err := protection.Check(r); err != nil {
		return config.Errorf(config.KindForbidden, "another site had this browser send the request, and a login is not for it to use").
			At("Origin").Hint("use the pages of this server, or send a token in the Authorization header")
	}
	return nil
}
