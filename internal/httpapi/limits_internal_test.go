package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/limit"
)

func TestPathsOfTheServer(t *testing.T) {
	for path, want := range map[string]bool{
		"/api/v1/tenants":                                true,
		"/api/v1/tenants/acme":                           true,
		"/api/v1/tenants/acme/quota":                     true,
		"/api/v1/tokens/x/rotate":                        true,
		"/api/v1/identity":                               true,
		"/api/v1/keys":                                   true,
		"/api/v1/tenants/acme/quota/x":                   false,
		"/api/v1/tenants/acme/tokens":                    false,
		"/api/v1/tenants/acme/":                          false,
		"/api/v1/tenants/acme/environments/base/configs": false,
		"/api/v1/":                                       true,
		"/api/v1":                                        false,
		"/":                                              false,
		"/health/live":                                   false,
	} {
		if got := ofServer(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// Each kind of request has places of its own; being alive needs none.
func TestPlacesByPath(t *testing.T) {
	s := &Server{limits: func() Limits { return Limits{}.withDefaults() }}
	for path, want := range map[string]*pool{
		"/health/live": nil, "/health/ready": &s.probes, "/health/startup": &s.probes, "/docs": &s.pages, "/openapi.json": &s.pages, "/docs/audit-schema.json": &s.pages,
		"/api/v1/tenants": &s.reserved, "/api/v1/tenants/a/tokens": &s.general, "/": &s.general,
		"/api/v1/tenants/a/environments/b/watch":         nil,
		"/api/v1/tenants/a/environments/b/configs/watch": &s.general,
		"/api/v1/tenants/a/audit/tail":                   nil,
		"/api/v1/audit/tail":                             nil,
		"/api/v1/tenants/a/b/audit/tail":                 &s.general,
		"/api/v1/tenants/audit/tail":                     &s.general,
		"/api/v1/audit":                                  &s.reserved,
	} {
		var h held
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, http.NoBody)
		if err := s.enter(r, &h); err != nil || h.pool != want {
			t.Errorf("%s: %p, %v", path, h.pool, err)
		}
		h.leave()
	}
	for _, p := range []*pool{&s.general, &s.reserved, &s.probes, &s.pages} {
		if n := p.taken.Load(); n != 0 {
			t.Errorf("%d places are not given back", n)
		}
	}
}

// What is charged to whom: tenants for all that their principals do, and who
// manages the server alone.
func TestWhoIsCharged(t *testing.T) {
	one, own := config.TenantID{1}, limit.Limits{Requests: 7}
	s := &Server{limits: func() Limits {
		return Limits{Tenant: func(config.TenantID) limit.Limits { return own }}.withDefaults()
	}}
	both := access.Principal{Method: access.MethodToken, ID: "x", Tenant: one, ServerAdmin: true}
	root := access.Principal{Method: access.MethodToken, ID: "x", ServerAdmin: true}
	everybody := limit.Limits{Requests: 1000, Watchers: 1000, Connections: 512}
	for _, test := range []struct {
		who     access.Principal
		manages bool
		key     limit.Key
		limits  limit.Limits
	}{
		{both, false, limit.Key{Tenant: one}, own},
		{both, true, limit.Key{Method: access.MethodToken, Principal: "x"}, everybody},
		{root, false, limit.Key{Method: access.MethodToken, Principal: "x"}, everybody},
		{root, true, limit.Key{Method: access.MethodToken, Principal: "x"}, everybody},
	} {
		if key, limits := s.account(test.who, test.manages); key != test.key || limits != test.limits {
			t.Errorf("%+v: %+v %+v", test, key, limits)
		}
	}
}

func TestWholeSecondsOfRetryAfter(t *testing.T) {
	e := func(d time.Duration) error { return config.Errorf(config.KindRateLimited, "too many").After(d) }
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("a fault"), "1"}, {e(0), "1"}, {e(1), "1"}, {e(time.Second), "1"}, {e(time.Second + 1), "2"}, {e(90 * time.Second), "90"},
		{errors.Join(errors.New("more"), e(5*time.Second)), "5"},
	} {
		if got := retryAfter(test.err); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}

func TestSpreadIsAFifthAtMost(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		d := spread(10 * time.Second)
		if d < 10*time.Second || d > 12*time.Second {
			t.Fatal(d)
		}
		seen[d] = true
	}
	if len(seen) < 2 {
		t.Error("all come back together")
	}
}

func TestNumerals(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1000", 1001: "1001", 16000: "16000", -1: "-1"} {
		if got := numeral(n); len(got) != 1 || got[0] != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}
