package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
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

// rightsFlags say what a token is given, narrowed to and bound to.
type rightsFlags struct {
	api.TokenRights
}

func (r *rightsFlags) add(c *cobra.Command, s *scope) {
	flags := c.Flags()
	flags.StringSliceVar(&r.Roles, "role", nil, "a `ROLE` in the tenant; may be given again (default admin)")
	flags.StringSliceVar(&r.Environments, "only-env", nil, "good for this `ENVIRONMENT` alone; may be given again")
	flags.StringSliceVar(&r.Paths, "path", nil, "good for documents and secrets at this `PREFIX` or below alone; may be given again")
	flags.StringSliceVar(&r.Actions, "action", nil, "good for this `ACTION` alone, such as config.read; may be given again")
	flags.StringSliceVar(&r.Addresses, "address", nil, "usable from this `ADDRESS` or network alone, such as 10.1.0.0/16; may be given again")
	flags.StringVar(&r.Certificate, "certificate", "", "usable with this client `CERTIFICATE` alone: its SHA-256 in hex, @FILE to take that of a PEM file, or a spiffe:// or dns: name in it")
	complete(c, "role", s.completeRoles)
	complete(c, "only-env", s.completeEnvironments)
}

// request adds the rights to what token to issue.
func (r *rightsFlags) request(token *api.NewToken) (err error) {
	token.TokenRights = r.TokenRights
	if file, named := strings.CutPrefix(r.Certificate, "@"); named {
		token.Certificate, err = fingerprint(file)
	}
	return err
}

// fingerprint is the hex SHA-256 of the first certificate in a PEM file.
func fingerprint(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", failf("the certificate in %s cannot be read: %v", file, err)
		}
		sum := sha256.Sum256(block.Bytes)
		return hex.EncodeToString(sum[:]), nil
	}
	return "", failf("%s holds no certificate", file).hint("name the PEM file with the client's certificate, not the one with its key")
}

func printToken(p *printer, token api.IssuedToken) {
	p.printf("token %s (%s) is valid until %s; it is shown only now:\n%s\n",
		clean(token.Name), token.ID, when(token.Expires), token.Value)
}

func newTokenCreateCommand(a *app) *cobra.Command {
	c := a.command("create NAME", "Issue a token",
		`Issue a token. Its value is shown once and kept nowhere; -o value prints nothing
else.

What it may do is what its roles may, narrowed to the environments, prefixes and
actions that are named; without --role it is an administrator's. You cannot give more
than you have. Here an environment is named with --only-env, as -e elsewhere says
where to work and a token is for the whole tenant.

A token that is bound to an address or a client certificate is refused from anywhere
else.`,
		`  llm-config token create ci --ttl 90d
  llm-config token create ci -o value > ci.token
  llm-config token create gateway --role application --only-env production --path gateway
  llm-config token create deploy --role operator --action config.read,config.write --address 10.1.0.0/16
  llm-config token create edge --role application --certificate @edge.pem`)
	s, out := a.tokenScope(c), a.outputFlag(c, listFormats...)
	flags := newTokenFlags(c, "", "")
	var rights rightsFlags
	rights.add(c, s.scope)
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
		in := flags.request()
		if err := rights.request(in); err != nil {
			return err
		}
		issued, err := create(c.Context(), *in)
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
		t := newTable("ID", "NAME", "ROLES", "NARROWED", "CREATED", "BY", "EXPIRES", "LAST USED", "REVOKED")
		for _, token := range list.Tokens {
			roles := rolesText(token.Roles, token.TenantAdmin, token.ServerAdmin, "")
			t.row(token.ID, token.Name, roles, p.value(narrowedText(token.TokenRights)),
				when(token.Created), token.Author, when(token.Expires), orDash(token.LastUsed), orDash(token.Revoked))
		}
		t.print(p)
	}
	return v
}

// orDash is a time that may be absent.
func orDash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return when(*t)
}

// rolesText says in words what somebody is; in a list of one tenant's tokens the
// tenant is left out.
func rolesText(roles []string, tenantAdmin, serverAdmin bool, tenant string) string {
	var all []string
	if serverAdmin {
		all = append(all, "server admin")
	}
	if len(roles) == 0 && tenantAdmin {
		roles = []string{"admin"}
	}
	if text := strings.Join(roles, ", "); text != "" {
		if tenant != "" {
			text += " of " + tenant
		}
		all = append(all, text)
	}
	return cmp.Or(strings.Join(all, ", "), "none")
}

// narrowedText says in a few words what a token is good for, and where.
func narrowedText(r api.TokenRights) string {
	var parts []string
	for _, part := range []struct {
		what   string
		values []string
	}{{"in ", r.Environments}, {"below ", r.Paths}, {"", r.Actions}, {"from ", r.Addresses}} {
		if len(part.values) > 0 {
			parts = append(parts, part.what+strings.Join(part.values, ", "))
		}
	}
	if r.Certificate != "" {
		parts = append(parts, "with "+certificateText(r.Certificate))
	}
	return cmp.Or(strings.Join(parts, "; "), "-")
}

// certificateText shortens a fingerprint to what tells it from others.
func certificateText(certificate string) string {
	if len(certificate) == hex.EncodedLen(sha256.Size) && !strings.Contains(certificate, ":") {
		return "certificate " + certificate[:12] + "…"
	}
	return certificate
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
