package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newTokenCommand(a *app) *cobra.Command {
	return a.group("token", "API tokens",
		`Tokens of a tenant's administrators or, with --server, of the server's.`,
		`  llm-config token create ci --ttl 90d
  llm-config token ls
  llm-config token create second-admin --server`,
		newTokenListCommand(a), newTokenCreateCommand(a), newTokenRotateCommand(a), newTokenRevokeCommand(a), newRecoverCommand(a))
}

// tokenScope is a tenant or, with --server, the server itself.
type tokenScope struct {
	*scope
	server bool
}

func (a *app) tokenScope(c *cobra.Command) *tokenScope {
	s := &tokenScope{scope: a.tenantFlags(c)}
	c.Flags().BoolVar(&s.server, "server", false, "tokens of the server's administrators instead of a tenant's")
	return s
}

func (s *tokenScope) client(c *cobra.Command) (*client.Client, error) {
	if err := exclusive(c, "server", "tenant"); err != nil {
		return nil, err
	}
	if s.server {
		return s.connect()
	}
	return s.scope.client(c)
}

// tokenFlags say what token to issue.
type tokenFlags struct {
	name string
	ttl  days
}

func newTokenFlags(c *cobra.Command, nameFlag, name string) *tokenFlags {
	t := &tokenFlags{ttl: 30 * day}
	if nameFlag != "" {
		c.Flags().StringVar(&t.name, nameFlag, name, "what the token is called")
	}
	c.Flags().Var(&t.ttl, "ttl", "how long the token is valid, such as 12h or 90d")
	return t
}

func (t *tokenFlags) request() *api.NewToken {
	return &api.NewToken{Name: t.name, TTLSeconds: int64(time.Duration(t.ttl) / time.Second)}
}

// days is a duration that people also give in days.
type days time.Duration

const day = days(24 * time.Hour)

// String, Set and Type make days a flag.
func (d *days) Type() string { return "DURATION" }

func (d *days) String() string {
	if *d%day == 0 {
		return strconv.FormatInt(int64(*d/day), 10) + "d"
	}
	text := time.Duration(*d).String() // with units that are nought: 36h0m0s
	for _, unit := range []string{"0s", "0m"} {
		if cut, ok := strings.CutSuffix(text, unit); ok && strings.ContainsAny(cut[len(cut)-1:], "hm") {
			text = cut
		}
	}
	return text
}

func (d *days) Set(text string) error {
	if count, inDays := strings.CutSuffix(text, "d"); inDays {
		if n, err := strconv.ParseUint(count, 10, 16); err == nil {
			*d = days(n) * day
			return d.check()
		}
	}
	duration, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("write a duration like 720h or 30d")
	}
	*d = days(duration)
	return d.check()
}

func (d *days) check() error {
	if time.Duration(*d) < time.Second {
		return errors.New("at least one second, such as --ttl 720h or --ttl 30d")
	}
	return nil
}

func printToken(p *printer, token api.IssuedToken) {
	p.printf("token %s (%s) is valid until %s; it is shown only now:\n%s\n",
		clean(token.Name), token.ID, when(token.Expires), token.Value)
}

func newTokenCreateCommand(a *app) *cobra.Command {
	c := a.command("create NAME", "Issue a token",
		`Issue a token. Its value is shown once and kept nowhere; -o value prints nothing
else.`,
		`  llm-config token create ci --ttl 90d
  llm-config token create ci -o value > ci.token`)
	s, out := a.tokenScope(c), a.outputFlag(c, listFormats...)
	flags := newTokenFlags(c, "", "")
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		create := to.CreateToken
		if s.server {
			create = to.CreateServerToken
		}
		flags.name = args[0]
		issued, err := create(c.Context(), *flags.request())
		return out.showIssued(issued, err)
	}
	return c
}

func newTokenRotateCommand(a *app) *cobra.Command {
	c := a.command("rotate ID", "Give a token a successor",
		`Issue a token of the same name and rights in the place of another. The old one stays
valid for a time of grace, to replace it wherever it is used; with --now it is
refused at once. The new one's value is shown once; -o value prints nothing else.`,
		`  llm-config token rotate 4f1c0a9be2d4 -o value > ci.token
  llm-config token rotate 4f1c0a9be2d4 --ttl 90d --grace 12h
  llm-config token rotate 4f1c0a9be2d4 --now`)
	s, out := a.tokenScope(c), a.outputFlag(c, listFormats...)
	var ttl, grace span
	var in api.TokenRotate
	c.Flags().Var(&ttl, "ttl", "how long the new token is valid, such as 12h or 90d (default as long as the old one was to be)")
	c.Flags().Var(&grace, "grace", "how long the old one stays valid (default 7d)")
	c.Flags().BoolVar(&in.Now, "now", false, "revoke the old one at once")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := exclusive(c, "now", "grace"); err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		rotate := to.RotateToken
		if s.server {
			rotate = to.RotateServerToken
		}
		in.TTLSeconds, in.GraceSeconds = ttl.seconds(), grace.pointer()
		issued, err := rotate(c.Context(), args[0], in)
		if err := out.showIssued(issued, err); err != nil {
			return err
		}
		if out.format == asTable {
			p := a.printer()
			p.printf("%s\n", s.formerLine(c.Context(), to, args[0]))
		}
		return nil
	}
	return c
}

// formerLine says until when a token that has a successor stays valid.
func (s *tokenScope) formerLine(ctx context.Context, from *client.Client, id string) string {
	all := from.AllTokens
	if s.server {
		all = from.AllServerTokens
	}
	for token, err := range all(ctx, client.Page{Limit: maxPage}) {
		switch {
		case err != nil: // the successor is there, whether or not this can be told
		case token.ID != id:
			continue
		case token.Revoked != nil:
			return "token " + id + " is revoked"
		default:
			return "token " + id + " stays valid until " + when(token.Expires)
		}
		break
	}
	return "`llm-config token ls` shows until when token " + id + " stays valid"
}

// showIssued prints a new token, or which one was issued without arriving here.
func (o *output) showIssued(issued *api.IssuedToken, err error) error {
	if errors.Is(err, client.ErrTokenLost) && issued != nil {
		return fmt.Errorf("token %s: %w", issued.ID, err)
	}
	if err != nil {
		return err
	}
	return o.show(view{data: issued, values: []string{issued.Value}, people: func(p *printer) { printToken(p, *issued) }})
}

func newTokenListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List tokens", "List tokens, without their values.", `  llm-config token ls
  llm-config token ls --server`)
	s, out := a.tokenScope(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		all := from.AllTokens
		if s.server {
			all = from.AllServerTokens
		}
		list := api.TokenList{Tokens: []api.Token{}}
		for token, err := range all(c.Context(), client.Page{Limit: maxPage}) {
			if err != nil {
				return err
			}
			list.Tokens = append(list.Tokens, token)
		}
		return out.show(tokensView(list))
	}
	return c
}

func tokensView(list api.TokenList) view {
	v := view{data: list}
	for _, token := range list.Tokens {
		v.values = append(v.values, token.ID)
	}
	v.people = func(p *printer) {
		t := newTable("ID", "NAME", "RIGHTS", "CREATED", "BY", "EXPIRES", "REVOKED")
		for _, token := range list.Tokens {
			revoked := "-"
			if token.Revoked != nil {
				revoked = when(*token.Revoked)
			}
			t.row(token.ID, token.Name, rights(token.TenantAdmin, token.ServerAdmin, token.Tenant), when(token.Created), token.Author, when(token.Expires), revoked)
		}
		t.print(p)
	}
	return v
}

// rights says in words what an identity may do.
func rights(tenantAdmin, serverAdmin bool, tenant string) string {
	var all []string
	if serverAdmin {
		all = append(all, "server admin")
	}
	if tenantAdmin {
		all = append(all, "admin of "+tenant)
	}
	if all == nil {
		return "none"
	}
	return strings.Join(all, ", ")
}

func newTokenRevokeCommand(a *app) *cobra.Command {
	c := a.command("revoke ID", "Take a token back", "Take a token back. It is refused from now on, and its watches end.", `  llm-config token revoke 4f1c0a9be2d4`)
	s, out := a.tokenScope(c), a.outputFlag(c, changeFormats...)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		revoke := to.RevokeToken
		if s.server {
			revoke = to.RevokeServerToken
		}
		revoked, err := revoke(c.Context(), args[0])
		if err != nil {
			return err
		}
		return out.show(view{data: revoked, values: []string{revoked.Name}, people: func(p *printer) {
			p.printf("token %s is revoked\n", args[0])
		}})
	}
	return c
}
