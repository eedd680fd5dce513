package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/client"
)

// Environment variables that stand for flags.
const (
	envAddr        = "LLM_CONFIG_ADDR"
	envToken       = "LLM_CONFIG_TOKEN"
	envTenant      = "LLM_CONFIG_TENANT"
	envEnvironment = "LLM_CONFIG_ENV"
	envCAFile      = "LLM_CONFIG_CA_FILE"
	envClientCert  = "LLM_CONFIG_CLIENT_CERT"
	envClientKey   = "LLM_CONFIG_CLIENT_KEY"
)

const defaultAddr = "http://127.0.0.1:8700"

// scope says whom a verb talks to and about what.
type scope struct {
	app         *app
	addr        string
	tokenFile   string
	caFile      string
	clientCert  string
	clientKey   string
	tenant      string
	environment string
	needs       []needed
}

// needed is a flag that must be given, or its environment variable.
type needed struct {
	flag, variable, what string
	value                *string
}

// serverFlags are for verbs that concern a server.
func (a *app) serverFlags(c *cobra.Command) *scope {
	s := a.addressFlags(c)
	c.Flags().StringVar(&s.tokenFile, "token-file", "", "`FILE` that holds the token (default: the token is $"+envToken+", else your login; none is needed beside a client certificate that the server knows)")
	return s
}

// addressFlags are for verbs that need no token.
func (a *app) addressFlags(c *cobra.Command) *scope {
	s := &scope{app: a}
	s.addrFlag(c)
	c.Flags().StringVar(&s.caFile, "ca-file", "", "`FILE` of the authorities that sign the server's certificate (default $"+envCAFile+", else the system's)")
	c.Flags().StringVar(&s.clientCert, "client-cert", "", "`FILE` of a certificate to show the server (default $"+envClientCert+")")
	c.Flags().StringVar(&s.clientKey, "client-key", "", "`FILE` of its key (default $"+envClientKey+")")
	return s
}

func (s *scope) addrFlag(c *cobra.Command) {
	c.Flags().StringVar(&s.addr, "addr", "", "`URL` of the server (default $"+envAddr+", else "+defaultAddr+")")
}

// address is the server's.
func (s *scope) address() string { return cmp.Or(s.addr, s.app.getenv(envAddr), defaultAddr) }

// tenantFlags are for verbs that concern a tenant.
func (a *app) tenantFlags(c *cobra.Command) *scope {
	s := a.serverFlags(c)
	c.Flags().StringVarP(&s.tenant, "tenant", "t", "", "`NAME` of the tenant (default $"+envTenant+")")
	s.needs = append(s.needs, needed{"tenant", envTenant, "tenant", &s.tenant})
	return s
}

// environmentFlags are for verbs that concern an environment.
func (a *app) environmentFlags(c *cobra.Command) *scope {
	s := a.tenantFlags(c)
	c.Flags().StringVarP(&s.environment, "env", "e", "", "`NAME` of the environment (default $"+envEnvironment+")")
	s.needs = append(s.needs, needed{"env", envEnvironment, "environment", &s.environment})
	complete(c, "env", s.completeEnvironments)
	if takesPath(c) {
		c.ValidArgsFunction = s.completePaths
	}
	return s
}

func (a *app) messageFlag(c *cobra.Command) *string {
	return c.Flags().StringP("message", "m", "", "why, for the log (`TEXT`)")
}

// resolve fills what no flag said from the environment variables, and refuses
// to guess what neither said.
func (s *scope) resolve(c *cobra.Command, needs []needed) error {
	for _, n := range needs {
		flag := c.Flags().Lookup(n.flag)
		if !flag.Changed {
			*n.value = s.app.getenv(n.variable)
		}
		if *n.value == "" {
			return failf("no %s is given", n.what).hint("name one with --%s, -%s or %s", n.flag, flag.Shorthand, n.variable)
		}
	}
	return nil
}

// client resolves the scope and makes a client of it.
func (s *scope) client(c *cobra.Command) (*client.Client, error) {
	if err := s.resolve(c, s.needs); err != nil {
		return nil, err
	}
	return s.connect()
}

// connect makes a client of what the scope holds.
func (s *scope) connect() (*client.Client, error) {
	token, err := s.token()
	if err != nil {
		return nil, err
	}
	return s.connectWith(client.WithTokenSource(token))
}

// connectWith makes a client with the options alone, so without a token that is
// not among them.
func (s *scope) connectWith(options ...client.Option) (*client.Client, error) {
	trust, err := s.certificates()
	if err != nil {
		return nil, err
	}
	options = append(options, trust...)
	return client.New(s.address(), append(options, client.WithTenant(s.tenant), client.WithUserAgent("llm-config/"+buildVersion()))...)
}

// certificates are the authorities to trust and the certificate to show, as far
// as flags or environment variables name any.
func (s *scope) certificates() (options []client.Option, err error) {
	caFile := cmp.Or(s.caFile, s.app.getenv(envCAFile))
	cert, key := s.clientPair()
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, failf("%s holds no certificate", caFile).hint("name a PEM file of authorities with --ca-file or %s", envCAFile)
		}
		options = append(options, client.WithRootCAs(roots))
	}
	if (cert == "") != (key == "") {
		return nil, failf("of a client certificate and its key only one is given").
			hint("give both, with --client-cert and --client-key or with %s and %s", envClientCert, envClientKey)
	}
	if cert != "" {
		options = append(options, client.WithClientCertificate(cert, key))
	}
	return options, nil
}

// clientPair are the files of the client certificate to show and of its key.
func (s *scope) clientPair() (cert, key string) {
	return cmp.Or(s.clientCert, s.app.getenv(envClientCert)), cmp.Or(s.clientKey, s.app.getenv(envClientKey))
}

// token is what flag or environment variable name, else that of the login, and
// none at all where a client certificate stands alone.
func (s *scope) token() (client.TokenSource, error) {
	if s.tokenFile == "" {
		if token := s.app.getenv(envToken); token != "" {
			return always(token), nil
		}
		return s.login()
	}
	text, err := os.ReadFile(s.tokenFile)
	if err != nil {
		return nil, err
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return nil, failf("the token file %s is empty", s.tokenFile)
	}
	return always(token), nil
}

func always(token string) client.TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}
