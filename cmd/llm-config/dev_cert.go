package main

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/internal/transport/devca"
)

// devHosts are what a development server is always reached at.
var devHosts = []string{"localhost", "127.0.0.1", "::1"}

func newDevCertCommand(a *app) *cobra.Command {
	c := a.command("dev-cert", "Make certificates for development",
		`Make a certificate authority for development, a certificate for a server on this
machine and, with --client, one for a client. The authority is made once and kept in
--dir; certificates are renewed each time, and a server that runs takes them up.

Whoever has the authority's key can be any server to those who trust it. It lies in
--dir, so it is for development only.`,
		`  llm-config dev-cert
  llm-config dev-cert --host config.test --client spiffe://example.test/team/service
  llm-config serve --dev --tls-cert dev-tls/server.crt --tls-key dev-tls/server.key`)
	var dir, clientName string
	var hosts []string
	c.Flags().StringVar(&dir, "dir", "dev-tls", "`DIR` of the authority and of what it signs")
	c.Flags().StringSliceVar(&hosts, "host", nil, "`NAME` or address of the server besides localhost, 127.0.0.1 and ::1")
	c.Flags().StringVar(&clientName, "client", "", "`NAME` of a client: spiffe://… or a DNS name")
	days := c.Flags().Int("days", 90, "how long the certificates last, in `DAYS`")
	out := a.outputFlag(c, listFormats...)
	c.RunE = func(*cobra.Command, []string) error {
		made, err := makeDevCertificates(dir, append(slices.Clone(devHosts), hosts...), clientName, *days)
		if err != nil {
			return err
		}
		return out.show(made.view())
	}
	return c
}

// devCertificates is what the verb says to programs.
type (
	devCertificates struct {
		Authority devCertificate  `json:"authority"`
		Made      bool            `json:"made"` // the authority; false: it was there
		Server    devCertificate  `json:"server"`
		Client    *devCertificate `json:"client,omitempty"`
	}
	devCertificate struct {
		Certificate string    `json:"certificate"` // file
		Key         string    `json:"key"`         // file
		Names       []string  `json:"names"`
		Expires     time.Time `json:"expires"`
	}
)

func makeDevCertificates(dir string, hosts []string, clientName string, days int) (made devCertificates, err error) {
	authority, err := devca.Open(dir, time.Now())
	if err != nil {
		return made, err
	}
	server, err := authority.Server(hosts, days)
	if err != nil {
		return made, err
	}
	made = devCertificates{Authority: describe(authority.Issued()), Made: authority.Made, Server: describe(server)}
	if clientName == "" {
		return made, nil
	}
	issued, err := authority.Client(clientName, days)
	if err != nil {
		return made, err
	}
	described := describe(issued)
	made.Client = &described
	return made, nil
}

func describe(issued *devca.Issued) devCertificate {
	return devCertificate{
		Certificate: issued.CertFile, Key: issued.KeyFile,
		Names: certificateNames(issued.Certificate), Expires: issued.Certificate.NotAfter.UTC(),
	}
}

func certificateNames(certificate *x509.Certificate) []string {
	names := slices.Clone(certificate.DNSNames)
	for _, address := range certificate.IPAddresses {
		names = append(names, address.String())
	}
	for _, uri := range certificate.URIs {
		names = append(names, uri.String())
	}
	if len(names) == 0 {
		names = append(names, certificate.Subject.CommonName)
	}
	return names
}

func (d devCertificates) view() view {
	v := view{data: d, values: []string{d.Authority.Certificate, d.Server.Certificate, d.Server.Key}}
	if d.Client != nil {
		v.values = append(v.values, d.Client.Certificate, d.Client.Key)
	}
	v.people = d.print
	return v
}

// print lists what was made, and the lines to copy that use it.
func (d devCertificates) print(p *printer) {
	t := newTable("CERTIFICATE", "KEY", "FOR", "EXPIRES")
	all := []devCertificate{d.Authority, d.Server}
	if d.Client != nil {
		all = append(all, *d.Client)
	}
	for _, one := range all {
		t.row(one.Certificate, one.Key, strings.Join(one.Names, ", "), when(one.Expires))
	}
	t.print(p)
	if d.Made {
		p.printf("the authority is new; trust it on this machine only, and for development only\n")
	}
	p.printf("\nllm-config serve --dev --tls-cert %s --tls-key %s", shellQuote(d.Server.Certificate), shellQuote(d.Server.Key))
	if d.Client != nil {
		p.printf(" --client-ca %s --client-auth optional", shellQuote(d.Authority.Certificate))
	}
	p.printf("\n\nexport LLM_CONFIG_CA_FILE=%s\n", shellQuote(d.Authority.Certificate))
	if d.Client != nil {
		p.printf("export LLM_CONFIG_CLIENT_CERT=%s\nexport LLM_CONFIG_CLIENT_KEY=%s\n", shellQuote(d.Client.Certificate), shellQuote(d.Client.Key))
	}
}
