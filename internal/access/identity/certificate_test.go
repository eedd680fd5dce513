package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const rules = `
certificates:
- spiffe: spiffe://example.org/gateway
  tenant: acme
  roles: [application]
- spiffe: spiffe://example.org/teams/ml/*
  tenant: acme
  roles: [operator, application]
- spiffe: spiffe://other.example/*
  tenant: beta
  roles: [viewer]
- dns: gateway.example.com
  tenant: acme
  roles: [application]
- dns: ops.example.com
  server_admin: true
`

// chain is an authority with an intermediate that makes leaves.
type chain struct {
	*testing.T
	roots        *x509.CertPool
	intermediate *x509.Certificate
	key          *ecdsa.PrivateKey
	serial       int64
}

func newChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{T: t, roots: x509.NewCertPool()}
	root, rootKey := c.make(&x509.Certificate{Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	c.roots.AddCert(root)
	c.intermediate, c.key = c.make(&x509.Certificate{Subject: pkix.Name{CommonName: "intermediate"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, root, rootKey)
	return c
}

func (c *chain) make(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	c.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.Fatal(err)
	}
	c.serial++
	template.SerialNumber = big.NewInt(c.serial)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		c.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		c.Fatal(err)
	}
	return made, key
}

// leaf is a client's certificate as usual, changed by a test.
func (c *chain) leaf(change func(*x509.Certificate)) tls.Certificate {
	c.Helper()
	template := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	change(template)
	made, key := c.make(template, c.intermediate, c.key)
	return tls.Certificate{Certificate: [][]byte{made.Raw, c.intermediate.Raw}, PrivateKey: key, Leaf: made}
}

// connected is the leaf that a server has verified when a client connects over
// TLS 1.3; nil when it verified none.
func (c *chain) connected(client tls.Certificate) *x509.Certificate {
	c.Helper()
	server := c.leaf(func(t *x509.Certificate) {
		t.DNSNames, t.ExtKeyUsage = []string{"server.test"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	var listen net.ListenConfig
	listener, err := listen.Listen(c.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		c.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: c.roots, ServerName: "server.test", Certificates: []tls.Certificate{client}, MinVersion: tls.VersionTLS13}}
		connection, err := dialer.DialContext(c.Context(), "tcp", listener.Addr().String())
		if err == nil {
			_, _ = connection.Read(make([]byte, 1)) // until the server has decided
			connection.Close()
		}
		done <- err
	}()
	raw, err := listener.Accept()
	if err != nil {
		c.Fatal(err)
	}
	connection := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: c.roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13})
	err = connection.HandshakeContext(c.Context())
	connection.Close()
	<-done
	if err != nil {
		return nil
	}
	return connection.ConnectionState().VerifiedChains[0][0]
}

func uri(texts ...string) func(*x509.Certificate) {
	return func(t *x509.Certificate) {
		for _, text := range texts {
			u, err := url.Parse(text)
			if err != nil {
				panic(err)
			}
			t.URIs = append(t.URIs, u)
		}
	}
}

// rawURI writes a name that url.URL would have changed.
func rawURI(text string) func(*x509.Certificate) {
	return func(t *x509.Certificate) {
		value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(text)}})
		if err != nil {
			panic(err)
		}
		t.ExtraExtensions = []pkix.Extension{{Id: subjectAlternativeName, Value: value}}
	}
}

func dns(names ...string) func(*x509.Certificate) {
	return func(t *x509.Certificate) { t.DNSNames = names }
}

func with(changes ...func(*x509.Certificate)) func(*x509.Certificate) {
	return func(t *x509.Certificate) {
		for _, change := range changes {
			change(t)
		}
	}
}

func certificateVerifier(t *testing.T, text string) *Verifier {
	t.Helper()
	file, err := ParseFile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v := New(Options{})
	if err := v.Use(file); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCertificates(t *testing.T) {
	c, v := newChain(t), certificateVerifier(t, rules)
	for _, row := range []struct {
		name  string
		leaf  func(*x509.Certificate)
		id    string // empty: refused
		roles []string
		cause string
	}{
		{"the id of a rule", uri("spiffe://example.org/gateway"), "spiffe://example.org/gateway", []string{"application"}, ""},
		{"one segment below", uri("spiffe://example.org/teams/ml/train"), "spiffe://example.org/teams/ml/train", []string{"application", "operator"}, ""},
		{"two segments below", uri("spiffe://example.org/teams/ml/a/b"), "spiffe://example.org/teams/ml/a/b", []string{"application", "operator"}, ""},
		{"a whole trust domain", uri("spiffe://other.example/x"), "spiffe://other.example/x", []string{"viewer"}, ""},
		{"a DNS name", dns("gateway.example.com"), "dns:gateway.example.com", []string{"application"}, ""},
		{"a DNS name in capitals", dns("Gateway.EXAMPLE.com"), "dns:gateway.example.com", []string{"application"}, ""},
		{"a DNS name among others", dns("x.example.com", "gateway.example.com"), "dns:gateway.example.com", []string{"application"}, ""},
		{"a DNS name beside another URI", with(dns("gateway.example.com"), uri("https://example.org/")), "dns:gateway.example.com", []string{"application"}, ""},
		{"an admin of the server", dns("ops.example.com"), "dns:ops.example.com", nil, ""},
		{"no extended usages", with(dns("gateway.example.com"), func(t *x509.Certificate) { t.ExtKeyUsage = nil }), "dns:gateway.example.com", []string{"application"}, ""},

		{"no segment below", uri("spiffe://example.org/teams/ml"), "", nil, "no rule"},
		{"a segment that begins alike", uri("spiffe://example.org/teams/mlx/a"), "", nil, "no rule"},
		{"below an id without *", uri("spiffe://example.org/gateway/a"), "", nil, "no rule"},
		{"an id in capitals", uri("spiffe://example.org/Gateway"), "", nil, "no rule"},
		{"another trust domain", uri("spiffe://example.org.evil/gateway"), "", nil, "no rule"},
		{"a star in the path", rawURI("spiffe://example.org/teams/ml/*"), "", nil, "a segment that is none"},
		{"two SPIFFE IDs", uri("spiffe://example.org/gateway", "spiffe://example.org/other"), "", nil, "2 URIs"},
		{"a SPIFFE ID beside another URI", uri("spiffe://example.org/gateway", "https://example.org/"), "", nil, "2 URIs"},
		{"a SPIFFE ID without a rule, and a DNS name with one", with(uri("spiffe://example.org/x"), dns("gateway.example.com")), "", nil, "no rule"},
		{"the scheme in capitals", rawURI("SPIFFE://example.org/gateway"), "", nil, "does not begin"},
		{"no slashes after the scheme", rawURI("spiffe:example.org/gateway"), "", nil, "does not begin"},
		{"a trust domain in capitals", rawURI("spiffe://Example.org/gateway"), "", nil, "trust domain"},
		{"a port", rawURI("spiffe://example.org:443/gateway"), "", nil, "trust domain"},
		{"a user", rawURI("spiffe://a@example.org/gateway"), "", nil, "trust domain"},
		{"a query", rawURI("spiffe://example.org/gateway?a"), "", nil, "a segment that is none"},
		{"an empty query", rawURI("spiffe://example.org/gateway?"), "", nil, "a segment that is none"},
		{"an empty fragment", rawURI("spiffe://example.org/gateway#"), "", nil, "a segment that is none"},
		{"a percent sign", rawURI("spiffe://example.org/g%61teway"), "", nil, "a segment that is none"},
		{"a slash at the end", rawURI("spiffe://example.org/gateway/"), "", nil, "a segment that is none"},
		{"two slashes", rawURI("spiffe://example.org/teams//ml/a"), "", nil, "a segment that is none"},
		{"dots", rawURI("spiffe://example.org/x/../gateway"), "", nil, "a segment that is none"},
		{"no path", rawURI("spiffe://example.org"), "", nil, "no path"},
		{"too long", rawURI("spiffe://example.org/teams/ml/" + strings.Repeat("a", maxSPIFFE)), "", nil, "too long"},
		{"the common name alone", func(t *x509.Certificate) { t.Subject.CommonName = "gateway.example.com" }, "", nil, "no rule"},
		{"a wildcard", dns("*.example.com"), "", nil, "no rule"},
		{"a DNS name with a dot more", dns("gateway.example.com."), "", nil, "no rule"},
		{"a DNS name below", dns("a.gateway.example.com"), "", nil, "no rule"},
		{"a mail address", func(t *x509.Certificate) { t.EmailAddresses = []string{"a@gateway.example.com"} }, "", nil, "no rule"},
		{"an authority", with(dns("gateway.example.com"), func(t *x509.Certificate) { t.IsCA, t.BasicConstraintsValid = true, true }), "", nil, "authority"},
		{"one that signs others", with(dns("gateway.example.com"), func(t *x509.Certificate) { t.KeyUsage = x509.KeyUsageCertSign }), "", nil, "authority"},
		{"a SPIFFE ID not for signatures", with(uri("spiffe://example.org/gateway"), func(t *x509.Certificate) { t.KeyUsage = x509.KeyUsageKeyEncipherment }), "", nil, "not for signatures"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := &chain{T: t, roots: c.roots, intermediate: c.intermediate, key: c.key, serial: c.serial}
			leaf := c.connected(c.leaf(row.leaf))
			if leaf == nil {
				t.Fatal("TLS refused it")
			}
			got, err := v.Certificate(leaf)
			if row.id == "" {
				wantRefusal(t, config.KindUnauthenticated, row.cause, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != row.id || got.Name != row.id || !slices.Equal(got.Roles, row.roles) || got.Method != access.MethodCertificate ||
				!got.Expires.Equal(leaf.NotAfter) || got.Issuer != "" || got.ServerAdmin != (row.roles == nil) {
				t.Errorf("got %+v", got)
			}
			if err := v.Still(got); err != nil {
				t.Error(err)
			}
		})
	}
}

// What TLS would refuse by itself is refused here too, should it ever get here.
func TestCertificatesThatTLSRefuses(t *testing.T) {
	c, v := newChain(t), certificateVerifier(t, rules)
	for name, leaf := range map[string]tls.Certificate{
		"for servers": c.leaf(with(dns("gateway.example.com"), func(t *x509.Certificate) { t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })),
		"for nothing known": c.leaf(with(dns("gateway.example.com"), func(t *x509.Certificate) {
			t.ExtKeyUsage, t.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{{1, 2, 3}}
		})),
		"expired": c.leaf(with(dns("gateway.example.com"), func(t *x509.Certificate) {
			t.NotBefore, t.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		})),
		"of tomorrow": c.leaf(with(dns("gateway.example.com"), func(t *x509.Certificate) {
			t.NotBefore, t.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		})),
	} {
		if c.connected(leaf) != nil {
			t.Errorf("%s: TLS takes it", name)
		}
		_, err := v.Certificate(leaf.Leaf)
		wantRefusal(t, config.KindUnauthenticated, "", err)
	}
	if newChain(t).connected(c.leaf(dns("gateway.example.com"))) != nil {
		t.Error("TLS takes a certificate of another authority")
	}
}

func TestStillOfCertificates(t *testing.T) {
	c, v := newChain(t), certificateVerifier(t, rules)
	claimed, err := v.Certificate(c.leaf(uri("spiffe://example.org/gateway")).Leaf)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ old, new, cause string }{
		{"", "", ""},
		{"spiffe://example.org/gateway", "spiffe://example.org/other", "no rule is about the certificate any more"},
		{"[application]", "[viewer]", "something else"},
		{"tenant: acme", "tenant: beta", "something else"},
	} {
		file, err := ParseFile([]byte(strings.ReplaceAll(rules, row.old, row.new)))
		if row.old == "" {
			file, err = ParseFile([]byte(rules))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Use(file); err != nil {
			t.Fatal(err)
		}
		if err := v.Still(claimed); row.cause == "" && err != nil {
			t.Error(err)
		} else if row.cause != "" {
			wantRefusal(t, config.KindUnauthenticated, row.cause, err)
		}
	}
	claimed.Expires = time.Now()
	wantRefusal(t, config.KindTokenExpired, "", v.Still(claimed))
}

// Somebody known by one name of two does not become the other.
func TestStillIsTheSameID(t *testing.T) {
	const one = "certificates:\n- {dns: a.example, tenant: acme}\n"
	v := certificateVerifier(t, one)
	claimed, err := v.Certificate(newChain(t).leaf(dns("a.example", "b.example")).Leaf)
	if err != nil {
		t.Fatal(err)
	}
	file, err := ParseFile([]byte(strings.Replace(one, "a.example", "b.example", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Use(file); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, config.KindUnauthenticated, "no rule is about the certificate", v.Still(claimed))
}

func TestCertificateOf(t *testing.T) {
	c := newChain(t)
	leaf := c.leaf(with(uri("spiffe://example.org/a"), dns("B.example", "*.c.example", "a.example", "b.example"))).Leaf
	got := CertificateOf(leaf)
	if got.Fingerprint != sha256.Sum256(leaf.Raw) || got.SPIFFE != "spiffe://example.org/a" ||
		!slices.Equal(got.DNS, []string{"a.example", "b.example"}) || !got.Expires.Equal(leaf.NotAfter) {
		t.Errorf("got %+v", got)
	}
	if got := CertificateOf(c.leaf(uri("spiffe://a/b", "spiffe://a/c")).Leaf); got.SPIFFE != "" {
		t.Errorf("one of two SPIFFE IDs is %q", got.SPIFFE)
	}
}
