package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// The claims of a certificate.
const (
	claimSPIFFE = "spiffe"
	claimDNS    = "dns"
)

var subjectAlternativeName = asn1.ObjectIdentifier{2, 5, 29, 17}

// Certificate finds out who came with a client certificate, which TLS has
// verified: leaf is the first of a verified chain. The common name is never
// looked at. Any refusal is of KindUnauthenticated; the log has its cause.
func (v *Verifier) Certificate(leaf *x509.Certificate) (Claimed, error) {
	if leaf == nil {
		return Claimed{}, refused(errors.New("there is no certificate"))
	}
	if now := v.clock(); now.Before(leaf.NotBefore) || !now.Before(leaf.NotAfter) {
		return Claimed{}, refused(fmt.Errorf("the certificate is valid from %s to %s", leaf.NotBefore, leaf.NotAfter))
	}
	id, err := workload(leaf)
	if err != nil {
		return Claimed{}, refused(err)
	}
	claims := map[string][]string{claimSPIFFE: {id}}
	if id == "" {
		claims = map[string][]string{claimDNS: dnsNames(leaf)}
	}
	id, g, ok := v.current.Load().rule(claims)
	if !ok {
		return Claimed{}, refused(fmt.Errorf("no rule is about the certificate's names %q", claims))
	}
	c := Claimed{Method: access.MethodCertificate, ID: id, Name: shown(id), Claims: claims, Expires: leaf.NotAfter}
	if leaf.SerialNumber != nil {
		c.Session = shown(leaf.SerialNumber.Text(16))
	}
	return c.given(g), nil
}

// CertificateOf is what is known of a certificate that TLS has verified. A SPIFFE
// ID that is not by the standard is left out.
func CertificateOf(leaf *x509.Certificate) *access.Certificate {
	id, err := spiffeID(leaf)
	if err != nil {
		id = ""
	}
	return &access.Certificate{
		Fingerprint: sha256.Sum256(leaf.Raw), SPIFFE: id, DNS: dnsNames(leaf), Expires: leaf.NotAfter,
	}
}

// rule finds the first rule that is about one of a certificate's names, and the
// id under which it is.
func (s *snapshot) rule(claims map[string][]string) (id string, g grant, ok bool) {
	for _, r := range s.certificates {
		for _, spiffe := range claims[claimSPIFFE] {
			if r.holds(spiffe) {
				return spiffe, r.grant(), true
			}
		}
		if r.DNS != "" && slices.Contains(claims[claimDNS], r.DNS) {
			return "dns:" + r.DNS, r.grant(), true
		}
	}
	return "", grant{}, false
}

// workload is the SPIFFE ID of a certificate that may stand for a client; empty
// when it has none.
func workload(leaf *x509.Certificate) (string, error) {
	const signs = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	usages := len(leaf.ExtKeyUsage) + len(leaf.UnknownExtKeyUsage)
	switch {
	case leaf.IsCA || leaf.KeyUsage&signs != 0:
		return "", errors.New("the certificate is an authority's")
	case usages > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return "", errors.New("the certificate is not for clients")
	}
	id, err := spiffeID(leaf)
	if err == nil && id != "" && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return "", errors.New("the certificate has a SPIFFE ID and is not for signatures")
	}
	return id, err
}

// spiffeID is the one URI of a certificate with a SPIFFE ID; empty when no URI is
// one. It reads the URIs as they are written: a parsed one may have lost a part.
func spiffeID(leaf *x509.Certificate) (string, error) {
	uris, err := uris(leaf)
	if err != nil {
		return "", err
	}
	ours := slices.ContainsFunc(uris, func(uri string) bool {
		return len(uri) >= len("spiffe:") && strings.EqualFold(uri[:len("spiffe:")], "spiffe:")
	})
	if !ours {
		return "", nil
	}
	if len(uris) > 1 {
		return "", fmt.Errorf("the certificate has %d URIs beside or for a SPIFFE ID", len(uris))
	}
	if reason := wrongSPIFFE(uris[0]); reason != "" {
		return "", fmt.Errorf("the certificate's SPIFFE ID %s", reason)
	}
	return uris[0], nil
}

// uris are the URIs among a certificate's alternative names.
func uris(leaf *x509.Certificate) ([]string, error) {
	const tagURI = 6
	var found []string
	for _, extension := range leaf.Extensions {
		if !extension.Id.Equal(subjectAlternativeName) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(extension.Value, &names); err != nil || len(rest) > 0 {
			return nil, errors.New("the certificate's alternative names cannot be read")
		}
		for _, name := range names {
			if name.Class == asn1.ClassContextSpecific && name.Tag == tagURI {
				found = append(found, string(name.Bytes))
			}
		}
	}
	return found, nil
}

// dnsNames are the certificate's, in lower case and sorted. Wildcards stand for
// servers and name no client.
func dnsNames(leaf *x509.Certificate) []string {
	var names []string
	for _, name := range leaf.DNSNames {
		if lower := strings.ToLower(name); len(lower) <= maxDNS && !strings.Contains(lower, "*") {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// over says that a moment is not before the end of what is claimed.
func (c Claimed) over(now time.Time) bool { return !now.Before(c.Expires) }
