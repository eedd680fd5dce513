package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/access/login"
)

// loginFlags are how to log in.
type loginFlags struct {
	*scope
	issuer    string
	issuerCA  string
	device    bool
	noBrowser bool
}

func newLoginCommand(a *app) *cobra.Command {
	c := a.command("login", "Log in with an issuer that the server trusts",
		`Log in with an issuer that the server trusts: in the browser of this machine or,
with --device and where there is no screen, in a browser anywhere, with a code.

The login is kept for this server in $XDG_CONFIG_HOME/llm-config/credentials.json
(else in ~/.config), which is yours alone, and renewed before it ends if the issuer
allows it. LLM_CONFIG_TOKEN and --token-file beat it.`,
		`  llm-config login
  llm-config login --issuer corp --device
  llm-config login --addr https://config.example.com --no-browser`)
	l, out := &loginFlags{scope: a.addressFlags(c)}, a.outputFlag(c, listFormats...)
	c.Flags().StringVar(&l.issuer, "issuer", "", "`NAME` of the issuer (default: the only one)")
	c.Flags().StringVar(&l.issuerCA, "issuer-ca-file", "", "`FILE` of the authorities that sign the issuer's certificate (default: the system's)")
	c.Flags().BoolVar(&l.device, "device", false, "log in with a code, in a browser anywhere")
	c.Flags().BoolVar(&l.noBrowser, "no-browser", false, "only print the address; a browser of this machine has to open it")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := exclusive(c, "device", "no-browser"); err != nil {
			return err
		}
		who, err := l.run(c.Context())
		if err != nil {
			return err
		}
		return out.show(identityView(who))
	}
	return c
}

// run logs in, has the server look at the token, and only then keeps it.
func (l *loginFlags) run(ctx context.Context) (*api.Identity, error) {
	addr, err := loginAddress(l.address())
	if err != nil {
		return nil, err
	}
	file := l.app.loginFile()
	if err := file.change(ctx, l.app, func(map[string]stored) error { return nil }); err != nil { // before anybody is sent to a browser
		return nil, err
	}
	one, err := l.chosen(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := l.tokens(ctx, one)
	if err != nil {
		return nil, err
	}
	one.IDToken, one.Refresh, one.Expires = tokens.ID, tokens.Refresh, tokens.Expires
	who, err := l.taken(ctx, one)
	if err != nil {
		return nil, err
	}
	err = file.change(ctx, l.app, func(all map[string]stored) error {
		all[addr] = one
		return nil
	})
	if err == nil && l.app.getenv(envToken) != "" {
		l.say("%s is set, and beats this login", envToken)
	}
	return who, err
}

// chosen asks the server for its issuers, and takes the one that is meant.
func (l *loginFlags) chosen(ctx context.Context) (stored, error) {
	from, err := l.connectWith()
	if err != nil {
		return stored{}, err
	}
	methods, err := from.LoginMethods(ctx)
	if err != nil {
		return stored{}, err
	}
	var names []string
	for _, i := range methods.Issuers {
		names = append(names, i.Name)
		if i.Name != l.issuer && (l.issuer != "" || len(methods.Issuers) > 1) {
			continue
		}
		if i.ClientID == "" {
			return stored{}, failf("with %s people log in in the browser alone", i.Name).hint("open %s%s?issuer=%s", from.Address(), api.RouteLogin, i.Name)
		}
		one := stored{Name: i.Name, Issuer: i.Issuer, ClientID: i.ClientID, Scopes: i.Scopes}
		if l.issuerCA != "" {
			one.CAFile, err = filepath.Abs(l.issuerCA)
		}
		return one, err
	}
	switch {
	case len(names) == 0:
		return stored{}, failf("the server takes no logins").hint("use a token; or have its operator give an issuer a login: section in the identities file")
	case l.issuer != "":
		return stored{}, failf("there is no issuer %q to log in with", l.issuer).hint("give --issuer as %s", strings.Join(names, " or "))
	}
	return stored{}, failf("there are several issuers to log in with").hint("give --issuer as %s", strings.Join(names, " or "))
}

// tokens logs in at the issuer.
func (l *loginFlags) tokens(ctx context.Context, one stored) (login.Tokens, error) {
	c, err := one.client(ctx)
	if err != nil {
		return login.Tokens{}, err
	}
	if l.device || !l.noBrowser && !l.app.hasScreen() {
		return l.byDevice(ctx, c)
	}
	return l.byBrowser(ctx, c)
}

func (l *loginFlags) byDevice(ctx context.Context, c login.Client) (login.Tokens, error) {
	d, err := c.StartDevice(ctx)
	if err != nil {
		f := *asFailure(err)
		if c.Device == "" {
			return login.Tokens{}, f.hint("use --no-browser, and open the address in a browser of this machine")
		}
		return login.Tokens{}, &f
	}
	l.say("open %s and enter the code %s", d.URL, d.Code)
	if d.Complete != "" {
		l.say("or open %s and compare the code", d.Complete)
	}
	return c.Await(ctx, d, l.app.pause)
}

// taken has the server say who it is. Only a token that it takes is worth keeping.
func (l *loginFlags) taken(ctx context.Context, one stored) (*api.Identity, error) {
	from, err := l.connectWith(client.WithToken(one.IDToken))
	if err != nil {
		return nil, err
	}
	who, err := from.Identity(ctx)
	if errors.Is(err, client.ErrUnauthenticated) {
		return nil, failf("%s let you in, and %s does not: it knows nobody like you, or takes no tokens for the client %q", one.Name, from.Address(), one.ClientID).
			hint("ask its operator for a binding in the identities file, and whether its audience names that client")
	}
	return who, err
}

// say tells a person what to do; standard output is for the result.
func (l *loginFlags) say(format string, args ...any) {
	fmt.Fprintf(l.app.errors().w, "%s\n", clean(fmt.Sprintf(format, args...)))
}

// hasScreen says whether a browser can be opened for the person who asks.
func (a *app) hasScreen() bool {
	switch {
	case !a.interactive:
		return false
	case runtime.GOOS == "darwin":
		return true
	}
	return a.getenv("DISPLAY") != "" || a.getenv("WAYLAND_DISPLAY") != ""
}
