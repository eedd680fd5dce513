// Package devca is a certificate authority for development, so that TLS on a
// laptop is the TLS of production. Its key lies in a file beside what it signs,
// so nobody else may ever trust it, and its name says so.
package devca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The files of an authority in its folder.
const (
	CertFile = "dev-ca.crt"
	KeyFile  = "dev-ca.key"
)

const (
	organization  = "llm-config development"
	authorityName = "llm-config development CA, not for production"
	authorityLife = 10 * 365 * 24 * time.Hour
	skew          = 5 * time.Minute // that clocks may differ by
)

// MaxDays is the longest that a certificate may last: some systems take no longer ones.
const MaxDays = 825

// Authority signs certificates for development.
type Authority struct {
	Certificate *x509.Certificate
	Made        bool // it was not there before

	dir string
	key *ecdsa.PrivateKey
	now time.Time
}

// Issued is a certificate with its key, and where both lie.
type Issued struct {
	CertFile, KeyFile string
	Certificate       *x509.Certificate
}

// Open takes the authority in a folder, or makes it there.
func Open(dir string, now time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, now: now}
	certFile, keyFile := a.file(CertFile), a.file(KeyFile)
	hasCert, hasKey := exists(certFile), exists(keyFile)
	switch {
	case hasCert && hasKey:
		return a, a.load(certFile, keyFile)
	case hasCert || hasKey:
		return nil, fmt.Errorf("of %s and %s only one is there; put the other back, or take this one away to begin anew", certFile, keyFile)
	}
	return a, a.create(certFile, keyFile)
}

func (a *Authority) file(name string) string { return filepath.Join(a.dir, name) }

func exists(file string) bool {
	_, err := os.Lstat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// Issued is the authority's own certificate, and where it lies.
func (a *Authority) Issued() *Issued {
	return &Issued{CertFile: a.file(CertFile), KeyFile: a.file(KeyFile), Certificate: a.Certificate}
}

func (a *Authority) load(certFile, keyFile string) (err error) {
	if a.Certificate, err = readCertificate(certFile); err != nil {
		return err
	}
	if a.key, err = readKey(keyFile); err != nil {
		return err
	}
	switch {
	case !a.Certificate.IsCA || a.Certificate.Subject.CommonName != authorityName:
		return fmt.Errorf("%s is no development authority, and is left alone; choose another folder", certFile)
	case !a.key.PublicKey.Equal(a.Certificate.PublicKey):
		return fmt.Errorf("%s and %s do not belong together; put back the right one, or take both away to begin anew", certFile, keyFile)
	}
	return nil
}

func (a *Authority) create(certFile, keyFile string) (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := a.template(a.now.Add(authorityLife))
	template.Subject.CommonName = authorityName
	template.KeyUsage = x509.KeyUsageCertSign
	template.BasicConstraintsValid, template.IsCA, template.MaxPathLenZero = true, true, true
	if a.Certificate, err = sign(template, template, &a.key.PublicKey, a.key); err != nil {
		return err
	}
	a.Made = true
	return write(a.Certificate, a.key, certFile, keyFile)
}

// template is what all certificates of an authority have in common.
func (a *Authority) template(until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{organization}},
		NotBefore: a.now.Add(-skew), NotAfter: until,
	}
}

// serial is a number that no other certificate has.
func serial() *big.Int {
	random := make([]byte, 16)
	rand.Read(random)
	random[0] &= 0x7f // positive
	random[0] |= 0x40 // and never short
	return new(big.Int).SetBytes(random)
}

func sign(template, parent *x509.Certificate, key *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Server makes a certificate for a server at names and addresses.
func (a *Authority) Server(hosts []string, days int) (*Issued, error) {
	if len(hosts) == 0 {
		return nil, errors.New("no host is given, and a server's certificate is for its names")
	}
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, host := range hosts {
		switch ip := net.ParseIP(host); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case isName(strings.TrimPrefix(host, "*.")):
			template.DNSNames = append(template.DNSNames, host)
		default:
			return nil, fmt.Errorf("%q is neither a host's name nor an address; write it like config.example.test or 10.0.0.7", host)
		}
	}
	return a.issue("server", template, days)
}

// Client makes a certificate for a client: a SPIFFE identity, or a DNS name.
func (a *Authority) Client(name string, days int) (*Issued, error) {
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	switch {
	case strings.HasPrefix(name, "spiffe:"):
		u, err := url.Parse(name)
		if err != nil || !isSPIFFE(name, u) {
			return nil, fmt.Errorf("%q is no SPIFFE identity; write it like spiffe://example.test/team/service", name)
		}
		template.URIs = []*url.URL{u}
	case isName(name):
		template.DNSNames = []string{name}
	default:
		return nil, fmt.Errorf("%q names no client; write spiffe://example.test/team/service, or a DNS name in lower case", name)
	}
	return a.issue("client-"+fileName(name), template, days)
}

// issue signs a certificate and writes it, with a new key, into files of a name.
func (a *Authority) issue(name string, template *x509.Certificate, days int) (*Issued, error) {
	if days < 1 || days > MaxDays {
		return nil, fmt.Errorf("%d days are asked for; a certificate lasts 1 to %d", days, MaxDays)
	}
	until := a.now.AddDate(0, 0, days)
	if until.After(a.Certificate.NotAfter) {
		return nil, fmt.Errorf("the authority in %s ends on %s, before the certificate would; ask for fewer days, or take %s and %s away to begin anew",
			a.dir, a.Certificate.NotAfter.UTC().Format(time.DateOnly), CertFile, KeyFile)
	}
	common := a.template(until)
	template.SerialNumber, template.Subject = common.SerialNumber, common.Subject
	template.NotBefore, template.NotAfter = common.NotBefore, common.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	issued := &Issued{CertFile: a.file(name + ".crt"), KeyFile: a.file(name + ".key")}
	if err := a.mayReplace(issued, template); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if issued.Certificate, err = sign(template, a.Certificate, &key.PublicKey, a.key); err != nil {
		return nil, err
	}
	return issued, write(issued.Certificate, key, issued.CertFile, issued.KeyFile)
}

// mayReplace refuses to write over what this authority did not make, and over the
// certificate of another client whose file has the same name.
func (a *Authority) mayReplace(issued *Issued, next *x509.Certificate) error {
	if !exists(issued.CertFile) && !exists(issued.KeyFile) {
		return nil
	}
	before, err := readCertificate(issued.CertFile)
	if err != nil || !bytes.Equal(before.RawIssuer, a.Certificate.RawSubject) || before.CheckSignatureFrom(a.Certificate) != nil {
		return fmt.Errorf("%s or its key is there already and was not made by the authority in %s, so it is left alone; choose another folder",
			issued.CertFile, a.dir)
	}
	client := next.ExtKeyUsage[0] == x509.ExtKeyUsageClientAuth
	if client && fmt.Sprint(before.URIs, before.DNSNames) != fmt.Sprint(next.URIs, next.DNSNames) {
		return fmt.Errorf("%s is the certificate of another client; choose another folder", issued.CertFile)
	}
	return nil
}

// fileName is a client's name as one that every file system takes.
func fileName(name string) string {
	name = strings.TrimPrefix(name, "spiffe://")
	return strings.Map(func(r rune) rune {
		if isWordRune(r) || r == '.' {
			return r
		}
		return '-'
	}, name)
}

func isWordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// isName says whether a text is a DNS name in lower case.
func isName(name string) bool {
	if name == "" || len(name) > 253 || name != strings.ToLower(name) {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool { return !isWordRune(r) }) {
			return false
		}
	}
	return true
}

// isSPIFFE says whether a URL names a workload, in the one form that it has.
func isSPIFFE(text string, u *url.URL) bool {
	path, found := strings.CutPrefix(u.Path, "/")
	if !found || !isName(u.Host) || text != "spiffe://"+u.Host+u.Path {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		plain := strings.ReplaceAll(segment, ".", "")
		if plain == "" || strings.ContainsFunc(plain, func(r rune) bool { return !isWordRune(r) }) {
			return false
		}
	}
	return true
}
