package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newSecretRotateCommand(a *app) *cobra.Command {
	c := a.command("rotate PATH", "Give a secret a new value now",
		`Rotate a secret now, as its rotation says or by --generate: draw a value, or have
the webhook make or take one over, and make it the one in use. When the webhook
does not answer or its probe fails, the version in use stays. With a webhook it may
take a minute. -o value prints the number of the new version.`,
		`  llm-config secret rotate -e production session
  llm-config secret rotate -e production session --generate password:40
  llm-config secret rotate -e production session --now -m "somebody left"
  llm-config secret rotate -e production session --stage`)
	s, message := a.secretScope(c, changeFormats...), a.messageFlag(c)
	var in api.SecretRotate
	var generate generator
	var overlap overlapFlags
	var field string
	generate.add(c, "generate", "draw the value, instead of what the secret's rotation says")
	c.Flags().StringVar(&field, "field", "", "with --generate, the field that the value becomes (`NAME`; default value)")
	c.Flags().BoolVar(&in.Stage, "stage", false, "only stage the new version; secret activate makes it count")
	overlap.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, pair := range [][]string{{"stage", "now"}, {"stage", "grace"}, {"now", "grace"}} {
			if err := exclusive(c, pair...); err != nil {
				return err
			}
		}
		if in.Generate = generate.pointer(); in.Generate != nil {
			in.Generate.Field = field
		} else if err := needs(c, "generate", "field"); err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		in.GraceSeconds, in.Now, in.Message = overlap.grace.pointer(), overlap.now, *message
		result, err := to.RotateSecret(c.Context(), s.environment, args[0], in)
		if err != nil {
			return err
		}
		return s.showVersion(result)
	}
	return c
}

func newSecretActivateCommand(a *app) *cobra.Command {
	c := a.command("activate PATH", "Make a version of a secret the one in use",
		`Make the staged version the one in use, or with --version an earlier one: that is
how to go back. The version before stays valid for its grace, unless --now.
-o value prints the number of the version in use.`,
		`  llm-config secret activate -e production tls
  llm-config secret activate -e production openai --version 3 -m "the new key has no quota"`)
	s, message := a.secretScope(c, changeFormats...), a.messageFlag(c)
	var in api.SecretActivate
	var overlap overlapFlags
	c.Flags().Int64Var(&in.Version, "version", 0, "the version `N` (default the staged one)")
	overlap.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := exclusive(c, "now", "grace"); err != nil {
			return err
		}
		if err := checkVersion(c, args[0], in.Version); err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		in.GraceSeconds, in.Now, in.Message = overlap.grace.pointer(), overlap.now, *message
		result, err := to.ActivateSecret(c.Context(), s.environment, args[0], in)
		if err != nil {
			return err
		}
		return s.showVersion(result)
	}
	return c
}

func checkVersion(c *cobra.Command, path string, version int64) error {
	if c.Flags().Changed("version") && version < 1 {
		return failf("--version takes a number from 1 up").hint("`llm-config secret history %s` lists them", path)
	}
	return nil
}

func newSecretRevokeCommand(a *app) *cobra.Command {
	c := a.command("revoke PATH", "Make a version of a secret refused for ever",
		`Revoke a version: the one in grace, or --version N. Readers are refused it from now
on, and it never comes back. Without --version, or of the version in use, it asks
first at a terminal, and needs --now anywhere else. A secret whose version in use
is revoked is refused as a whole until another is set or activated.`,
		`  llm-config secret revoke -e production openai --now -m "found in a log"
  llm-config secret revoke -e production openai --version 3`)
	s, message := a.secretScope(c, changeFormats...), a.messageFlag(c)
	var in api.SecretRevoke
	var now bool
	yes := yesFlag(c)
	c.Flags().Int64Var(&in.Version, "version", 0, "the version `N` (default the one in grace)")
	c.Flags().BoolVar(&now, "now", false, "do not ask")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := checkVersion(c, args[0], in.Version); err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		if !now && !*yes {
			if err := s.mayRevoke(c.Context(), to, args[0], in.Version); err != nil {
				return err
			}
		}
		in.Message = *message
		result, err := to.RevokeSecret(c.Context(), s.environment, args[0], in)
		if err != nil {
			return err
		}
		return s.showWritten(result, nil, "version %d of %s is revoked", result.Version, layerKey{result.Environment, result.Path})
	}
	return c
}

// mayRevoke asks before what hurts: a version that was not named, and the one in
// use, without which the secret is refused to everybody.
func (s *secretScope) mayRevoke(ctx context.Context, from *client.Client, path string, version int64) error {
	question, way := "Revoke the version of "+s.key(path).String()+" that is in grace, for ever?", "to revoke the one in grace, or name one with --version"
	if version != 0 {
		secret, err := from.Secret(ctx, s.environment, path)
		if err == nil && secret.Current != version || errors.Is(err, client.ErrNotFound) {
			return nil
		}
		if err != nil && !errors.Is(err, client.ErrForbidden) {
			return err
		}
		question = "Revoke version " + number(version) + " of " + s.key(path).String() + ", for ever? It is in use, and without it everybody is refused the secret."
		way = "to revoke the one in use; until another is set or activated the secret is refused to everybody"
	}
	switch {
	case !s.app.interactive:
		return failf("a version that is revoked never comes back").hint("give --now %s", way)
	case !s.app.confirm(question, false):
		return failf("nothing was revoked")
	}
	return nil
}

func newSecretAdoptionCommand(a *app) *cobra.Command {
	c := a.command("adoption PATH", "List who uses which version of a secret",
		`List the live clients that use a secret, and which version each has. It exits 2
while somebody still waits for the one in use, so that a script can wait too.`,
		`  llm-config secret adoption -e production openai
  llm-config secret adoption -e production openai -o value`)
	s := a.secretScope(c, listFormats...)
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		adoption, err := from.SecretAdoption(c.Context(), s.environment, args[0])
		if err != nil {
			return err
		}
		if err := s.out.show(adoptionView(adoption)); err != nil {
			return err
		}
		return differenceIf(adoption.Waiting > 0)
	}
	return c
}

// adoptionView has for its values the clients that still wait.
func adoptionView(adoption *api.SecretAdoption) view {
	v := view{data: adoption}
	waits := func(c api.SecretAdopter) bool { return c.Version != adoption.Current }
	for _, client := range adoption.Clients {
		if waits(client) {
			v.values = append(v.values, client.Client)
		}
	}
	v.people = func(p *printer) {
		t := newTable("CLIENT", "PRINCIPAL", "ENVIRONMENT", "VERSION", "SEEN")
		clients := slices.SortedStableFunc(slices.Values(adoption.Clients), func(a, b api.SecretAdopter) int {
			return int(a.Version - b.Version)
		})
		for _, c := range clients {
			version := cell{text: number(c.Version)}
			if waits(c) {
				version.style = styleYellow
			}
			t.cells(cell{text: c.Client}, cell{text: c.Principal}, cell{text: c.Environment}, version, cell{text: when(c.Time)})
		}
		t.print(p)
		p.printf("%s\n", adoptionLine(adoption))
	}
	return v
}

func adoptionLine(adoption *api.SecretAdoption) string {
	key := layerKey{adoption.Environment, adoption.Path}
	line := counted(adoption.Adopted, "client") + " on version " + versionText(adoption.Current) + " of " + key.String() + ", " + number(int64(adoption.Waiting)) + " waiting"
	if adoption.Previous == 0 || adoption.GraceUntil == nil {
		return line
	}
	line += "; version " + number(adoption.Previous) + " is valid until "
	if adoption.Overlap == "adoption" {
		line += "nobody waits, at the latest "
	}
	return line + when(*adoption.GraceUntil)
}
