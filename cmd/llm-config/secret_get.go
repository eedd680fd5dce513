package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// secretGetter is one `secret get` on its way.
type secretGetter struct {
	*secretScope
	version  int64
	previous bool
	reveal   bool
}

func newSecretGetCommand(a *app) *cobra.Command {
	c := a.command("get PATH[#FIELD]", "Show a secret, or hand its value to a program",
		`At a terminal, show what is known of the secret that counts at PATH: its versions,
its owner, how it is rotated; --reveal shows the values too.

In a pipe, print the value of one field and nothing else, without a newline, and
bytes as they are: the field named behind #, else "value", else the only one.

-o json prints what is known and, with --reveal, the values. Every value that
leaves the server is on record.`,
		`  llm-config secret get -e production openai
  llm-config secret get -e production openai --reveal
  llm-config secret get -e production db/main#password | use-it
  llm-config secret get -e production tls#key > tls.key
  llm-config secret get -e production openai --previous --reveal
  llm-config secret get -e production openai --version 3 --reveal -o json`)
	g := &secretGetter{secretScope: a.secretScope(c, listFormats...)}
	c.Flags().Int64Var(&g.version, "version", 0, "the version `N` instead of the one in use")
	c.Flags().BoolVar(&g.previous, "previous", false, "the version in grace instead of the one in use")
	c.Flags().BoolVar(&g.reveal, "reveal", false, "show the values")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := exclusive(c, "version", "previous"); err != nil {
			return err
		}
		if c.Flags().Changed("version") && g.version < 1 {
			return failf("--version takes a number from 1 up").hint("`llm-config secret history %s` lists them", pathOf(args[0]))
		}
		from, err := g.client(c)
		if err != nil {
			return err
		}
		path, field, named := strings.Cut(args[0], "#")
		if named && field == "" {
			return failf("no field stands behind the #").hint("write it like %s#value", path)
		}
		return g.run(c, from, path, field)
	}
	return c
}

func (g *secretGetter) run(c *cobra.Command, from *client.Client, path, field string) error {
	terminal := isTerminal(g.app.stdout)
	bare := g.out.format == asValue || !c.Flags().Changed("output") && !terminal
	switch {
	case bare && terminal && !g.reveal:
		return failf("-o value prints the value, and this is a terminal").hint("give --reveal to show it here")
	case bare:
		return g.printValue(c.Context(), from, path, field, terminal)
	case g.reveal:
		return g.showRevealed(c.Context(), from, path, field)
	}
	return g.showMasked(c.Context(), from, path, field)
}

// read reveals the version that was asked for.
func (g *secretGetter) read(ctx context.Context, from *client.Client, path, field string) (*client.RevealedSecret, client.RevealedVersion, error) {
	revealed, err := from.RevealSecret(ctx, g.environment, path, client.RevealOptions{Version: g.version, Field: field})
	if err != nil {
		return nil, client.RevealedVersion{}, err
	}
	if !g.previous {
		return revealed, revealed.RevealedVersion, nil
	}
	if revealed.Previous == nil {
		return nil, client.RevealedVersion{}, failf("%s has no version in grace", g.key(path)).hint("`llm-config secret history -e %s %s` lists its versions", g.environment, path)
	}
	return revealed, *revealed.Previous, nil
}

// printValue prints one field for a program.
func (g *secretGetter) printValue(ctx context.Context, from *client.Client, path, field string, terminal bool) error {
	_, version, err := g.read(ctx, from, path, field)
	if err != nil {
		return err
	}
	names := version.Names()
	if field == "" {
		switch {
		case len(names) == 1:
			field = names[0]
		case slices.Contains(names, "value"):
			field = "value"
		default:
			return failf("%s has several fields: %s", g.key(path), strings.Join(names, ", ")).hint("name one, as in %s#%s, or ask for -o json --reveal", path, cmp.Or(strings.Join(names[:min(1, len(names))], ""), "value"))
		}
	}
	secret, err := version.Field(field)
	if err != nil {
		return err
	}
	value := secret.RevealBytes()
	defer clear(value)
	if terminal {
		g.app.printer().printf("%s\n", forPeople(version, field))
		return nil
	}
	_, err = g.app.stdout.Write(value)
	return err
}

// forPeople is a value as a terminal can show it: bytes as base64, and nothing
// that steers the terminal.
func forPeople(version client.RevealedVersion, field string) string {
	secret := version.Fields[field]
	if fieldKind(version, field) == bytesField {
		return base64.StdEncoding.EncodeToString(secret.RevealBytes()) + " (base64)"
	}
	return clean(secret.Reveal())
}

const (
	textField = iota
	bytesField
	jsonField
)

// fieldKind is what a field holds.
func fieldKind(version client.RevealedVersion, field string) int {
	if _, err := version.Text(field); err == nil {
		return textField
	}
	if _, err := version.Bytes(field); err == nil {
		return bytesField
	}
	return jsonField
}

// showRevealed shows a version with its values.
func (g *secretGetter) showRevealed(ctx context.Context, from *client.Client, path, field string) error {
	revealed, version, err := g.read(ctx, from, path, field)
	if err != nil {
		return err
	}
	data := api.RevealedSecret{
		Environment: revealed.Environment, Path: revealed.Path, Revision: revealed.Revision, RevealedVersion: onTheWire(version),
	}
	if revealed.Previous != nil && !g.previous {
		data.Previous = new(onTheWire(*revealed.Previous))
	}
	return g.out.show(view{data: data, people: func(p *printer) {
		p.printf("%s version %d (%s)%s\n", p.paint(styleBold, layerKey{revealed.Environment, revealed.Path}.String()),
			version.Version, version.State, untilText(version.Until))
		t := newTable("FIELD", "VALUE")
		p.columns = 0 // a value that is cut is of no use
		for _, name := range version.Names() {
			t.row(name, forPeople(version, name))
		}
		t.print(p)
	}})
}

func untilText(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return ", valid until " + when(until)
}

// onTheWire is a version as the API has it, which shows its values.
func onTheWire(v client.RevealedVersion) api.RevealedVersion {
	out := api.RevealedVersion{Version: v.Version, State: v.State, Fields: map[string]json.RawMessage{}}
	for _, name := range v.Names() {
		out.Fields[name] = v.Fields[name].RevealJSON()
		if fieldKind(v, name) == bytesField {
			out.Base64 = append(out.Base64, name)
		}
	}
	if !v.Until.IsZero() {
		out.Until = &v.Until
	}
	if !v.ExpiresAt.IsZero() {
		out.ExpiresAt = &v.ExpiresAt
	}
	return out
}

// mask stands for a value; it tells nothing of its length.
const mask = "********"

// showMasked shows what is known of a secret, and no value.
func (g *secretGetter) showMasked(ctx context.Context, from *client.Client, path, field string) error {
	secret, err := from.Secret(ctx, g.environment, path)
	if err != nil {
		return err
	}
	shown := cmp.Or(g.version, secret.Current)
	if g.previous {
		if shown = secret.Previous; shown == 0 {
			return failf("%s has no version in grace", g.key(path)).hint("`llm-config secret history -e %s %s` lists its versions", g.environment, path)
		}
	}
	at := slices.IndexFunc(secret.Versions, func(v api.SecretVersion) bool { return v.Version == shown })
	if at < 0 && (g.version != 0 || field != "") {
		return failf("%s has no version %d", g.key(path), shown).hint("`llm-config secret history -e %s %s` lists its versions", g.environment, path)
	}
	var fields []string
	if at >= 0 {
		fields = secret.Versions[at].Fields
	}
	if field != "" && !slices.Contains(fields, field) {
		return failf("version %d of %s has no field %s; it has %s", shown, g.key(path), field, strings.Join(fields, ", "))
	}
	return g.out.show(view{data: secret, people: func(p *printer) {
		printSecret(p, secret)
		t := newTable("FIELD", "VALUE")
		for _, name := range fields {
			if field == "" || field == name {
				t.row(name, mask)
			}
		}
		if len(fields) > 0 {
			p.printf("\n")
			t.print(p)
		}
		p.printf("\n")
		printVersions(p, secret.Versions, time.Now())
	}})
}

// newSecretDiffCommand stands here because it shows, like get without --reveal,
// what can be known without a value.
func newSecretDiffCommand(a *app) *cobra.Command {
	c := a.command("diff PATH", "Say which fields of two versions differ",
		`Say which fields of two versions of a secret are the same, and which differ, without
revealing either. A version may have another environment before it: staging@3, or
staging@ for the one in use there. Without --to it is the version in use; without
--from the one before that. It exits 2 when there is a difference.`,
		`  llm-config secret diff -e production openai
  llm-config secret diff -e production openai --from 3 --to 4
  llm-config secret diff -e production openai --from staging@`)
	s := a.secretScope(c, asTable, asJSON, asYAML, asTOML)
	var query client.SecretDiffQuery
	c.Flags().StringVar(&query.From, "from", "", "the `VERSION` before")
	c.Flags().StringVar(&query.To, "to", "", "the `VERSION` after (default the one in use)")
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		if query.From == "" {
			if query.To != "" {
				return failf("--to says what to compare with, and --from is missing").hint("give both, or neither for the two newest")
			}
			if query.From, err = beforeCurrent(c.Context(), from, s.environment, args[0]); err != nil {
				return err
			}
		}
		diff, err := from.SecretDiff(c.Context(), s.environment, args[0], query)
		if err != nil {
			return err
		}
		return s.showDiff(diff)
	}
	return c
}

// pathOf is a path without the field behind it.
func pathOf(arg string) string {
	path, _, _ := strings.Cut(arg, "#")
	return path
}

// beforeCurrent is the version before the one in use.
func beforeCurrent(ctx context.Context, from *client.Client, environment, path string) (string, error) {
	secret, err := from.Secret(ctx, environment, path)
	if err != nil {
		return "", err
	}
	before := secret.Previous
	for _, v := range secret.Versions {
		if v.Version < secret.Current && v.State != "destroyed" {
			before = max(before, v.Version)
		}
	}
	if before == 0 {
		return "", failf("%s has no earlier version", layerKey{secret.Environment, path}).hint("name what to compare with by --from, as in --from staging@")
	}
	return secret.Environment + "@" + number(before), nil
}

func (s *secretScope) showDiff(diff *api.SecretDiff) error {
	differ := slices.ContainsFunc(diff.Fields, func(f api.SecretFieldDiff) bool { return f.Change != "same" })
	err := s.out.show(view{data: diff, people: func(p *printer) {
		side := func(s api.SecretSide) string { return s.Environment + "@" + number(s.Version) }
		p.printf("%s %s → %s\n", p.paint(styleBold, diff.Path), side(diff.From), side(diff.To))
		for _, f := range diff.Fields {
			sign := map[string]string{"same": "=", "changed": "~", "added": "+", "removed": "-"}[f.Change]
			colour := map[string]style{"changed": styleYellow, "added": styleGreen, "removed": styleRed}[f.Change]
			p.printf("  %s\n", p.paint(colour, clean(cmp.Or(sign, "?")+" "+f.Field+"  "+f.Change)))
		}
	}})
	return errors.Join(err, differenceIf(differ && err == nil))
}

// differenceIf ends a verb that found a difference.
func differenceIf(differ bool) error {
	if differ {
		return errDifference
	}
	return nil
}
