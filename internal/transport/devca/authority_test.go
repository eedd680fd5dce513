package devca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func refuse(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, and expected %q", err, says)
	}
}

func TestTheAuthorityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	first := must(Open(dir, now))(t)
	second := must(Open(dir, now.Add(time.Hour)))(t)
	if !first.Made || second.Made || !first.Certificate.Equal(second.Certificate) {
		t.Errorf("made %t and %t", first.Made, second.Made)
	}
	c := first.Certificate
	if !c.IsCA || c.MaxPathLen != 0 || !c.MaxPathLenZero || c.KeyUsage != x509.KeyUsageCertSign || !strings.Contains(c.Subject.CommonName, "development") {
		t.Errorf("CA %t, path length %d, usage %b, name %s", c.IsCA, c.MaxPathLen, c.KeyUsage, c.Subject)
	}
	for name, mode := range map[string]os.FileMode{CertFile: 0o644, KeyFile: 0o600, ".": 0o700} {
		if info := must(os.Stat(filepath.Join(dir, name)))(t); info.Mode().Perm() != mode {
			t.Errorf("%s has mode %04o", name, info.Mode().Perm())
		}
	}
}

func TestCertificates(t *testing.T) {
	a := must(Open(t.TempDir(), now))(t)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate)
	verify := func(issued *Issued, usage x509.ExtKeyUsage, name string) error {
		_, err := issued.Certificate.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	server := must(a.Server([]string{"localhost", "127.0.0.1", "::1", "*.config.test"}, 30))(t)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "a.config.test"} {
		if err := verify(server, x509.ExtKeyUsageServerAuth, name); err != nil {
			t.Error(err)
		}
	}
	if verify(server, x509.ExtKeyUsageServerAuth, "other.test") == nil || verify(server, x509.ExtKeyUsageClientAuth, "") == nil {
		t.Error("it serves for more than was asked for")
	}
	client := must(a.Client("spiffe://example.test/team/service", 30))(t)
	if err := verify(client, x509.ExtKeyUsageClientAuth, ""); err != nil || client.Certificate.URIs[0].String() != "spiffe://example.test/team/service" {
		t.Errorf("%v: %v", client.Certificate.URIs, err)
	}
	if verify(client, x509.ExtKeyUsageServerAuth, "") == nil {
		t.Error("a client's certificate serves")
	}
	if named := must(a.Client("worker.test", 30))(t); !slices.Equal(named.Certificate.DNSNames, []string{"worker.test"}) {
		t.Errorf("names %v", named.Certificate.DNSNames)
	}
	for _, issued := range []*Issued{server, client} {
		if _, err := tls.LoadX509KeyPair(issued.CertFile, issued.KeyFile); err != nil {
			t.Error(err)
		}
		if issued.Certificate.IsCA || !issued.Certificate.NotAfter.Equal(now.AddDate(0, 0, 30)) {
			t.Errorf("CA %t, until %s", issued.Certificate.IsCA, issued.Certificate.NotAfter)
		}
		if info := must(os.Stat(issued.KeyFile))(t); info.Mode().Perm() != 0o600 {
			t.Errorf("the key has mode %04o", info.Mode().Perm())
		}
	}
}

func TestWhatIsNotMade(t *testing.T) {
	a := must(Open(t.TempDir(), now))(t)
	for _, host := range []string{"", "Config.test", "https://a.test", "a b", "a..test", "*", "a.*.test", strings.Repeat("a", 64)} {
		_, err := a.Server([]string{host}, 1)
		refuse(t, err, "neither a host's name nor an address")
	}
	_, err := a.Server(nil, 1)
	refuse(t, err, "no host")
	for _, name := range []string{
		"spiffe://example.test", "spiffe://example.test/", "spiffe://Example.test/a", "spiffe://example.test/a//b", "spiffe://example.test/../a",
		"spiffe://u@example.test/a", "spiffe://example.test:1/a", "spiffe://example.test/a?b", "spiffe://example.test/a#b", "spiffe://example.test/%61", "spiffe:a",
	} {
		_, err := a.Client(name, 1)
		refuse(t, err, "no SPIFFE identity")
	}
	_, err = a.Client("*.worker.test", 1)
	refuse(t, err, "names no client")
	for _, days := range []int{0, -1, MaxDays + 1} {
		_, err := a.Client("worker", days)
		refuse(t, err, "lasts 1 to 825")
	}
	late := must(Open(a.dir, now.Add(authorityLife-24*time.Hour)))(t)
	_, err = late.Client("worker", 2)
	refuse(t, err, "ask for fewer days")
}

func TestWhatIsNotOverwritten(t *testing.T) {
	a, other := must(Open(t.TempDir(), now))(t), must(Open(t.TempDir(), now))(t)
	foreign := must(other.Server([]string{"a.test"}, 1))(t)
	if err := os.Rename(foreign.CertFile, a.file("server.crt")); err != nil {
		t.Fatal(err)
	}
	_, err := a.Server([]string{"a.test"}, 1)
	refuse(t, err, "left alone")
	if exists(a.file("server.key")) {
		t.Error("a key was written")
	}
	if err := errors.Join(os.Remove(a.file("server.crt")), os.WriteFile(a.file("server.key"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err = a.Server([]string{"a.test"}, 1)
	refuse(t, err, "left alone")

	must(a.Client("spiffe://example.test/a/b", 1))(t)
	must(a.Client("spiffe://example.test/a/b", 1))(t)
	_, err = a.Client("spiffe://example.test/a-b", 1)
	refuse(t, err, "another client")
}

func TestAnAuthorityThatIsNone(t *testing.T) {
	spoiled := func(spoil func(a *Authority) error) error {
		t.Helper()
		a := must(Open(t.TempDir(), now))(t)
		if err := spoil(a); err != nil {
			t.Fatal(err)
		}
		_, err := Open(a.dir, now)
		return err
	}
	refuse(t, spoiled(func(a *Authority) error { return os.Chmod(a.file(KeyFile), 0o640) }), "chmod 600")
	refuse(t, spoiled(func(a *Authority) error { return os.Remove(a.file(KeyFile)) }), "only one is there")
	refuse(t, spoiled(func(a *Authority) error { return os.Remove(a.file(CertFile)) }), "only one is there")
	refuse(t, spoiled(func(a *Authority) error { return os.WriteFile(a.file(CertFile), []byte("?"), 0o600) }), "no block")
	refuse(t, spoiled(func(a *Authority) error {
		issued := must(a.Server([]string{"a.test"}, 1))(t)
		return os.Rename(issued.CertFile, a.file(CertFile))
	}), "no development authority")
	refuse(t, spoiled(func(a *Authority) error {
		issued := must(a.Server([]string{"a.test"}, 1))(t)
		return os.Rename(issued.KeyFile, a.file(KeyFile))
	}), "do not belong together")
}
