package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/access/login"
)

// renewBefore is how long before its end a login is renewed.
const renewBefore = time.Minute

// login is the token of whoever logged in at the server, renewed as it is needed.
func (s *scope) login() (client.TokenSource, error) {
	addr, err := loginAddress(s.address())
	if err != nil {
		return s.tokenless() // no login is for such an address
	}
	file := s.app.loginFile()
	all, err := file.read()
	if err != nil {
		return nil, err
	}
	if _, there := all[addr]; !there {
		return s.tokenless()
	}
	return func(ctx context.Context) (string, error) { return s.app.loginToken(ctx, file, addr) }, nil
}

// tokenless sends no token where a certificate is shown, which says by itself who
// comes.
func (s *scope) tokenless() (client.TokenSource, error) {
	if cert, _ := s.clientPair(); cert == "" {
		return nil, failf("no token is given").hint("set %s, name a file with --token-file, or run `llm-config login`", envToken)
	}
	return always(""), nil
}

func (a *app) loginToken(ctx context.Context, file loginFile, addr string) (string, error) {
	all, err := file.read()
	if err != nil {
		return "", err
	}
	one, there := all[addr]
	left := time.Until(one.Expires)
	switch {
	case !there:
		return "", loginOver("you are logged out of " + addr)
	case left > renewBefore:
		return one.IDToken, nil
	case one.Refresh == "" && left > 0:
		return one.IDToken, nil
	case one.Refresh == "":
		return "", loginOver("your login at " + addr + " is over since " + when(one.Expires))
	}
	return a.renewedToken(ctx, file, addr)
}

// renewedToken renews a login, unless another process did so meanwhile.
func (a *app) renewedToken(ctx context.Context, file loginFile, addr string) (token string, err error) {
	err = file.change(ctx, a, func(all map[string]stored) error {
		one, there := all[addr]
		if !there {
			return loginOver("you are logged out of " + addr)
		}
		if token = one.IDToken; time.Until(one.Expires) > renewBefore {
			return nil
		}
		renewed, err := one.renewed(ctx)
		if err != nil {
			if time.Until(one.Expires) > 0 {
				return nil // for as long as it lasts
			}
			f := *asFailure(err)
			f.what = "your login at " + addr + " is over, and cannot be renewed: " + f.what
			return f.hint("run `llm-config login`")
		}
		all[addr], token = renewed, renewed.IDToken
		return nil
	})
	return token, err
}

func (one stored) renewed(ctx context.Context) (stored, error) {
	c, err := one.client(ctx)
	if err != nil {
		return one, err
	}
	tokens, err := c.Refresh(ctx, login.Tokens{Refresh: one.Refresh, Subject: login.SubjectOf(one.IDToken)})
	if err != nil {
		return one, err
	}
	one.IDToken, one.Expires, one.Refresh = tokens.ID, tokens.Expires, cmp.Or(tokens.Refresh, one.Refresh)
	return one, nil
}

// client is this program as the issuer knows it.
func (one stored) client(ctx context.Context) (login.Client, error) {
	var roots *x509.CertPool
	if one.CAFile != "" {
		var err error
		if roots, err = login.Roots(one.CAFile); err != nil {
			return login.Client{}, err
		}
	}
	c := login.Client{Issuer: one.Issuer, ID: one.ClientID, Scopes: one.Scopes, HTTP: login.HTTP(roots, http.ProxyFromEnvironment)}
	var err error
	c.Endpoints, err = login.Discover(ctx, one.Issuer, c.HTTP)
	return c, err
}

func loginOver(what string) error { return failf("%s", what).hint("run `llm-config login`") }
