package service_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// passports are the identities that a test vouches for: by the text of the
// token, and by the bytes of the certificate.
type passports struct {
	mu    sync.Mutex
	known map[string]identity.Claimed
	over  map[string]error // by id: who is nobody any more, and why
}

func (p *passports) find(text string) (identity.Claimed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.known[text]
	if !ok {
		return identity.Claimed{}, access.Unauthenticated()
	}
	return c, nil
}

func (p *passports) JWT(_ context.Context, bearer string) (identity.Claimed, error) {
	return p.find(bearer)
}

func (p *passports) Certificate(leaf *x509.Certificate) (identity.Claimed, error) {
	return p.find(string(leaf.Raw))
}

func (p *passports) Still(c identity.Claimed) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over[c.ID]
}

func (p *passports) end(id string, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over[id] = why
}

// vouched is a tenant whose server knows identities.
type vouched struct {
	*actor
	*passports
	*tenantless
}

// tenantless is a store that does not find tenants by their ids while it is down.
type tenantless struct {
	store.Store
	down atomic.Bool
}

func (s *tenantless) Tenant(ctx context.Context, id config.TenantID) (config.Tenant, error) {
	if s.down.Load() {
		return config.Tenant{}, errDown
	}
	return s.Store.Tenant(ctx, id)
}

func newVouched(t *testing.T) *vouched {
	t.Helper()
	a := newTenant(t)
	a.set("production", "a", `{"v":1}`)
	a.putSecret("production", "a", "one")
	v := &vouched{passports: &passports{known: map[string]identity.Claimed{}, over: map[string]error{}}, tenantless: &tenantless{Store: a.engine}}
	v.actor = a.over(service.New(service.Options{Store: v.tenantless, Keyring: a.keyring, Clock: a.clock.read, Identities: v.passports}))
	return v
}

// comes is who comes with a JWT, or with a certificate if the method says so.
func (v *vouched) comes(c identity.Claimed) (service.Caller, error) {
	if c.Expires.IsZero() {
		c.Expires = v.clock.read().Add(day)
	}
	text := fmt.Sprintf("e%x.e%x.x", c.ID, c.Tenant)
	v.mu.Lock()
	v.known[text] = c
	v.mu.Unlock()
	credentials := service.Credentials{Bearer: text}
	if c.Method == access.MethodCertificate {
		credentials = service.Credentials{Leaf: &x509.Certificate{Raw: []byte(text), DNSNames: []string{"x"}}}
	}
	return v.s.Authenticate(v.t.Context(), credentials, service.Caller{Source: someone, RequestID: "r"})
}

func (v *vouched) mustCome(c identity.Claimed) *actor {
	v.t.Helper()
	who, err := v.comes(c)
	must(v.t, err)
	b := *v.actor
	b.who = who
	return &b
}

func of(method, id, tenant string, roles ...string) identity.Claimed {
	issuer, _, _ := strings.Cut(id, ":")
	if method == access.MethodCertificate {
		issuer = ""
	}
	return identity.Claimed{Method: method, Issuer: issuer, ID: id, Name: "name of " + id, Tenant: tenant, Roles: roles}
}

func TestWhoOthersVouchFor(t *testing.T) {
	v := newVouched(t)
	ci := v.mustCome(of(access.MethodIdentity, "ci:acme/x", "acme", access.RoleViewer))
	p := ci.who.Principal
	if p.Tenant != v.id || p.Actor() != "identity:ci:acme/x" || p.Issuer != "ci" || p.Key == [32]byte{} || p.ServerAdmin {
		t.Errorf("the identity is %+v", p)
	}
	must(t, ci.reading("production", "a"))
	ci.may(false, "a write", ci.trying(ci.put("production", "a", `{}`)))
	answer, err := v.s.Identity(t.Context(), ci.who)
	must(t, err)
	same(t, "its tenant", "acme", answer.Tenant)

	workload := v.mustCome(of(access.MethodCertificate, "spiffe://acme/gateway", "acme", access.RoleApplication))
	if p := workload.who.Principal; p.Certificate == nil || p.Actor() != "certificate:spiffe://acme/gateway" {
		t.Errorf("the workload is %+v", p)
	}
	if _, err := workload.reveal("production", "a"); err != nil {
		t.Error(describe(err))
	}
	admin := v.mustCome(identity.Claimed{Method: access.MethodIdentity, Issuer: "ci", ID: "ci:root", ServerAdmin: true})
	_, _, err = v.s.Tenants(t.Context(), admin.who, page(1))
	must(t, err)
	admin.may(false, "a server admin's read", admin.reading("production", "a"))

	// A tenant that is not there lets nobody in, and is not told from any other fault.
	_, unknown := v.comes(of(access.MethodIdentity, "ci:b", "nowhere", access.RoleAdmin))
	_, wrong := v.s.Authenticate(t.Context(), service.Credentials{Bearer: "eA.eB.x"}, service.Caller{Source: someone})
	same(t, "the answer", mustBe(t, config.KindUnauthenticated, wrong).Error(), mustBe(t, config.KindUnauthenticated, unknown).Error())
	// A role that the tenant does not have, and the server's, are none.
	for _, role := range []string{"no-such", access.RoleServerAdmin, "Admin", ""} {
		nobody := v.mustCome(of(access.MethodIdentity, "ci:"+role+"x", "acme", role))
		nobody.may(false, "a read as "+role, nobody.reading("production", "a"))
		_, _, err := v.s.Tenants(t.Context(), nobody.who, page(1))
		mustBe(t, config.KindForbidden, err)
	}
	// A token counts before a certificate, which is then only whose connection it is.
	leaf := &x509.Certificate{Raw: []byte("e" + fmt.Sprintf("%x", "spiffe://acme/gateway"))}
	both, err := v.s.Authenticate(t.Context(), service.Credentials{Bearer: v.token, Leaf: leaf}, service.Caller{Source: someone})
	must(t, err)
	if both.Principal.Method != access.MethodToken || both.Principal.Certificate == nil {
		t.Errorf("token and certificate are %+v", both.Principal)
	}
	// Without identities nobody but a token is let in.
	_, err = v.start().Authenticate(t.Context(), service.Credentials{Leaf: leaf}, service.Caller{Source: someone})
	mustBe(t, config.KindUnauthenticated, err)
}

func TestWatchesOfIdentitiesEndWithThem(t *testing.T) {
	v := newVouched(t)
	ci := v.mustCome(of(access.MethodIdentity, "ci:x", "acme", access.RoleViewer))
	w := ci.watch(service.WatchRequest{Environment: "production"})
	must(t, w.Recheck(t.Context()))
	v.end("ci:y", access.Unauthenticated())
	must(t, w.Recheck(t.Context()))
	v.end("ci:x", config.Errorf(config.KindTokenExpired, "the token expired"))
	mustBe(t, config.KindTokenExpired, w.Recheck(t.Context()))
	v.end("ci:x", nil)
	must(t, w.Recheck(t.Context()))

	// That the store does not answer says nothing about who he is.
	v.down.Store(true)
	if kind := config.KindOf(w.Recheck(t.Context())); kind == "" || kind == config.KindUnauthenticated {
		t.Errorf("without the store a recheck answers %q", kind)
	}
	v.down.Store(false)

	// A tenant that is gone is nobody's, also once there is another of its name.
	_, err := v.s.DeleteTenant(t.Context(), v.root, v.tenant)
	must(t, err)
	mustBe(t, config.KindUnauthenticated, w.Recheck(t.Context()))
	v.found(t, v.tenant)
	mustBe(t, config.KindUnauthenticated, w.Recheck(t.Context()))
	if _, err := v.s.Config(t.Context(), ci.who, v.tenant, "base", path("a"), service.ReadOptions{}); config.KindOf(err) != config.KindNotFound {
		t.Errorf("a read in the tenant that came after is answered by %v", err)
	}
}

// twins are principals who are easily taken for each other.
func (v *vouched) twins() map[string]*actor {
	v.t.Helper()
	token := v.as(access.Grants{Roles: []string{access.RoleOperator, access.RoleApplication}})
	roles := []string{access.RoleApplication, access.RoleOperator}
	id := token.who.Principal.ID
	return map[string]*actor{
		"the token":                              token,
		"an identity with the id of the token":   v.mustCome(of(access.MethodIdentity, id, "acme", roles...)),
		"an identity named as the token's actor": v.mustCome(of(access.MethodIdentity, "token:"+id, "acme", roles...)),
		"a workload":                             v.mustCome(of(access.MethodCertificate, "dns:x", "acme", roles...)),
		"an identity of an issuer named dns":     v.mustCome(of(access.MethodIdentity, "dns:x", "acme", roles...)),
		"another issuer's":                       v.mustCome(of(access.MethodIdentity, "dn:s:x", "acme", roles...)),
		"with a blank":                           v.mustCome(of(access.MethodIdentity, "dns:x k", "acme", roles...)),
	}
}

// Whose are the keys of requests, the secrets that were given and the reads that
// were counted is never mixed up, however alike the names are.
func TestPrincipalsWithTheSameNamesAreNotMixedUp(t *testing.T) {
	v := newVouched(t)
	twins := v.twins()
	ctx := t.Context()
	names := sortedNames(twins)
	for i, name := range names {
		twin := twins[name]
		who := keyed(twin.who, "k", "request")
		at := fmt.Sprintf("d%d", i)
		result, err := v.s.Change(ctx, who, v.tenant, service.ChangeRequest{Edits: []service.Edit{v.put("base", at, `{}`)}})
		must(t, err)
		if result.Replayed {
			t.Errorf("%s is answered as another was", name)
		}
		again, err := v.s.Change(ctx, who, v.tenant, service.ChangeRequest{Edits: []service.Edit{v.put("base", at, `{}`)}})
		must(t, err)
		if !again.Replayed || again.Revision != result.Revision {
			t.Errorf("%s is not answered as before: %+v", name, again)
		}
	}
	// Only who was given a secret says that he runs it.
	for _, name := range names {
		twin, at := twins[name], "for-"+strings.ReplaceAll(name, " ", "-")
		v.putSecret("production", strings.ReplaceAll(at, "'", ""), name)
		where := strings.ReplaceAll(at, "'", "")
		twin.revealed("production", where)
		for _, other := range names {
			err := twins[other].acks("client", map[string]config.Version{where: 1})
			if other == name {
				must(t, err)
			} else if config.KindOf(err) != config.KindBadRequest {
				t.Errorf("%s says that it runs what %s was given: %v", other, name, err)
			}
		}
	}
	same(t, "clients", len(names), func() int {
		all, err := v.s.Acks(ctx, v.who, v.tenant, "production")
		must(t, err)
		return len(all.Clients)
	}())
	must(t, v.s.FlushCounts(ctx))
	since := len(v.chain(t, v.id))
	for i, name := range names {
		for range i + 1 {
			must(t, twins[name].reading("production", "a"))
		}
	}
	must(t, v.s.FlushCounts(ctx))
	counts := map[string]string{}
	for _, record := range v.chain(t, v.id)[since:] {
		_, actor, _ := strings.Cut(record, `"actor":"`)
		actor, _, _ = strings.Cut(actor, `"`)
		_, count, _ := strings.Cut(record, `"count":"`)
		counts[actor], _, _ = strings.Cut(count, `"`)
	}
	for i, name := range names {
		same(t, "reads of "+name, fmt.Sprint(i+1), counts[twins[name].who.Principal.Actor()])
	}
}

// A policy about one of them is about no other, also when decisions are cached.
func TestPoliciesNameNobodyElse(t *testing.T) {
	v := newVouched(t)
	token := v.as(access.Grants{Roles: []string{access.RoleApplication}})
	id := token.who.Principal.ID
	people := map[string]*actor{
		`Token::"` + id + `"`:                 token,
		`Identity::"` + id + `:x"`:            v.mustCome(of(access.MethodIdentity, id+":x", "acme")),
		`Identity::"dns:x"`:                   v.mustCome(of(access.MethodIdentity, "dns:x", "acme")),
		`Workload::"dns:x"`:                   v.mustCome(of(access.MethodCertificate, "dns:x", "acme")),
		`Identity::"ci:*"`:                    v.mustCome(of(access.MethodIdentity, "ci:*", "acme")),
		`Identity::"ci:x"`:                    v.mustCome(of(access.MethodIdentity, "ci:x", "acme")),
		`Identity::"ci:x\" || true"`:          v.mustCome(of(access.MethodIdentity, `ci:x" || true`, "acme")),
		`Identity::"ci:production/../base/a"`: v.mustCome(of(access.MethodIdentity, "ci:production/../base/a", "acme")),
	}
	for named := range people {
		v.putPolicy("one", fmt.Sprintf(`permit (principal == %s, action == Action::"environment.read", resource in Environment::"staging");
permit (principal == %s, action == Action::"config.write", resource == Document::"staging/only");`, named, named))
		for other, who := range people {
			for range 2 {
				who.may(other == named, other+" where only "+named+" may write",
					func() error {
						_, err := who.s.Change(t.Context(), who.who, v.tenant, service.ChangeRequest{Edits: []service.Edit{v.put("staging", "only", `{"v":1}`)}, DryRun: true})
						return err
					}())
			}
		}
	}
}

// The same person is somebody else in each tenant, and in each nobody of the other.
func TestTheSameIdentityInTwoTenants(t *testing.T) {
	v := newVouched(t)
	other := v.actor.world.found(t, "other")
	other.set("production", "a", `{"other":1}`)
	here := v.mustCome(of(access.MethodIdentity, "ci:x", "acme", access.RoleViewer))
	there := v.mustCome(of(access.MethodIdentity, "ci:x", "other", access.RoleViewer))
	if here.who.Principal.Key == there.who.Principal.Key {
		t.Error("they have one key")
	}
	for range 2 {
		must(t, here.reading("production", "a"))
		mustBe(t, config.KindNotFound, there.reading("production", "a"))
		b := *there
		b.tenant = "other"
		must(t, b.reading("production", "a"))
	}
	roles := []string{access.RoleViewer}
	less := v.mustCome(of(access.MethodIdentity, "ci:y", "acme", roles...))
	must(t, less.reading("production", "a"))
	none := v.mustCome(of(access.MethodIdentity, "ci:y", "acme")) // whom the binding gives nothing any more
	none.may(false, "a read without roles", none.reading("production", "a"))
	if slices.Equal(none.who.Principal.Key[:], less.who.Principal.Key[:]) {
		t.Error("one key with roles and without")
	}
}
