package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// setter is one `secret set` on its way.
type setter struct {
	*secretScope
	fields    secretFields
	generate  generator
	overlap   overlapFlags
	expires   expiry
	stage     bool
	weak      string
	ifVersion int64
	metadata  metadataFlags
	message   *string
}

func newSecretSetCommand(a *app) *cobra.Command {
	c := a.command("set PATH [FIELD=@FILE|FIELD=-…]", "Write a new version of a secret",
		`Write a new version of the secret at PATH and make it the one in use; the version
before stays valid for a time of grace. Alone, PATH takes the value of the field
"value" from standard input, or asks for it at a terminal without showing it.
FIELD=@FILE and FIELD=- give fields their names; all that the new version has is
given at once. One newline at the end of a text is left out, unless --keep-newline.
What is not UTF-8 is kept as bytes.

A value among the arguments is refused: everybody on the machine could read it. A
value that could be guessed is refused by the server; --generate draws one that
cannot, and --allow-weak takes it all the same and puts the reason on record.

-o value prints the number of the new version.`,
		`  llm-config secret set -e production openai
  llm-config secret set -e production openai < key.txt
  llm-config secret set -e production db/main user=@user.txt password=@password.txt --owner team-search
  llm-config secret set -e production session --generate base64:48 --rotate-every 30d --rotate-with base64:48
  llm-config secret set -e production tls key=@tls.key cert=@tls.crt --expires 90d --stage
  llm-config secret set -e production leaked --now -m "the old one was in a log"`)
	s := &setter{secretScope: a.secretScope(c, changeFormats...), message: a.messageFlag(c), fields: secretFields{app: a}}
	flags := c.Flags()
	flags.StringVar(&s.fields.field, "field", "value", "the field that a value alone, or a generated one, becomes (`NAME`)")
	flags.StringArrayVar(&s.fields.asBytes, "bytes", nil, "`FIELD` is bytes, also where it looks like text; with --json-file its text is base64; may be given again")
	flags.StringVar(&s.fields.jsonFile, "json-file", "", "all fields from the JSON object in `FILE`, - for standard input")
	flags.BoolVar(&s.fields.keepNewline, "keep-newline", false, "keep the newline at the end of a text")
	s.generate.add(c, "generate", "draw the value")
	flags.BoolVar(&s.stage, "stage", false, "keep the version for later; secret activate makes it count")
	s.overlap.add(c)
	flags.Var(&s.expires, "expires", "when the new version ends: a duration such as 90d, or a time (default never)")
	flags.StringVar(&s.weak, "allow-weak", "", "take a value that could be guessed; `REASON` is put on record")
	flags.Int64Var(&s.ifVersion, "if-version", 0, "only if the newest version is `N`; 0 means that there must be no secret")
	s.metadata.add(c)
	c.RunE = func(c *cobra.Command, args []string) error { return s.run(c, args[0], args[1:]) }
	return c
}

func (s *setter) run(c *cobra.Command, path string, args []string) error {
	if err := s.check(c, path, args); err != nil {
		return err
	}
	to, err := s.client(c)
	if err != nil {
		return err
	}
	in := api.SecretInput{
		Generate: s.generate.pointer(), ExpiresAt: s.expires.pointer(), Stage: s.stage,
		GraceSeconds: s.overlap.grace.pointer(), Now: s.overlap.now, AllowWeak: s.weak, Message: *s.message,
	}
	if c.Flags().Changed("if-version") {
		in.IfVersion = &s.ifVersion
	}
	var conditions []client.Condition
	if in.SecretMetadata, conditions, err = s.metadata.metadata(c, to, s.environment, path); err != nil {
		return err
	}
	if in.Generate == nil {
		if err := s.fields.read(args); err != nil {
			return err
		}
		in.Fields, in.Base64 = s.fields.values, s.fields.base64
	} else if c.Flags().Changed("field") {
		in.Generate.Field = s.fields.field
	}
	result, err := to.PutSecret(c.Context(), s.environment, path, in, conditions...)
	if err != nil {
		return s.explained(path, err)
	}
	return s.showVersion(result)
}

func (s *setter) check(c *cobra.Command, path string, args []string) error {
	for _, pair := range [][]string{{"generate", "json-file"}, {"stage", "now"}, {"stage", "grace"}, {"now", "grace"}} {
		if err := exclusive(c, pair...); err != nil {
			return err
		}
	}
	switch {
	case strings.Contains(path, "=") && len(args) == 0:
		// api_key=… in the place of PATH is a path by its form, and everybody would see it.
		return failf("PATH comes first, and what is given there has an = in it").
			hint("write `llm-config secret set PATH FIELD=-`; to make a secret whose path has an =, name its field so too")
	case s.generate.Kind != "" && len(args) > 0:
		return failf("--generate draws the value, and fields are given as well").hint("leave one out")
	case s.fields.jsonFile != "" && len(args) > 0:
		return failf("--json-file has all fields, and others are given as well").hint("leave one out")
	case c.Flags().Changed("allow-weak") && strings.TrimSpace(s.weak) == "":
		return failf("--allow-weak needs a reason, which is put on record")
	}
	if c.Flags().Changed("field") && (len(args) > 0 || s.fields.jsonFile != "") {
		return failf("--field names a value that comes alone, and these have names").hint("leave it out")
	}
	return nil
}

// explained adds the way out to refusals that have one in this command line.
func (s *setter) explained(path string, err error) error {
	var problem *api.Problem
	if !errors.As(err, &problem) {
		return err
	}
	f := *asFailure(err)
	switch problem.Code {
	case api.CodeWeakSecret:
		f.where, f.details = "", weakReasons(problem)
		f.next = "draw one with --generate password, or give --allow-weak REASON if it has to be this one"
	case api.CodePreconditionFailed:
		f.next = "`llm-config secret history -e " + s.environment + " " + path + "` shows what there is; then try again"
	default:
		return err
	}
	return &f
}

// weakReasons are why a value is refused.
func weakReasons(p *api.Problem) []string {
	reasons := make([]string, len(p.Errors))
	for i, v := range p.Errors {
		reasons[i] = v.Message
	}
	return reasons
}

// showVersion prints a write that made a version, or made one count; its value
// is that version.
func (s *secretScope) showVersion(result *api.SecretResult) error {
	key, version := layerKey{result.Environment, result.Path}, number(result.Version)
	switch {
	case result.State == "staged":
		return s.showNoted(version, result, "version %d of %s is staged; `llm-config secret activate -e %s %s` makes it count",
			result.Version, key, result.Environment, result.Path)
	case result.Previous != 0:
		return s.showNoted(version, result, "%s is version %d; version %d stays valid for its grace", key, result.Version, result.Previous)
	}
	return s.showNoted(version, result, "%s is version %d", key, result.Version)
}

func newSecretUpdateCommand(a *app) *cobra.Command {
	c := a.command("update PATH", "Change what is said about a secret",
		`Change what is said about a secret: its description, owner, labels, and how it is
rotated. No value changes, and no version is made.`,
		`  llm-config secret update -e production openai --owner team-search --label tier=1
  llm-config secret update -e production session --rotate-every 30d --rotate-with base64:48 --overlap adoption
  llm-config secret update -e production db/main --rotate-every 90d --rotate-webhook https://rotate.example.com/db --webhook-signing rotate/signing
  llm-config secret update -e production openai --no-rotation`)
	s, message := a.secretScope(c, changeFormats...), a.messageFlag(c)
	var m metadataFlags
	m.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		said, conditions, err := m.metadata(c, to, s.environment, args[0])
		if err != nil {
			return err
		}
		if said.Description == nil && said.Owner == nil && said.Labels == nil && said.Rotation == nil {
			return failf("nothing is said that could change").hint("give --description, --owner, --label or one of the flags about rotation")
		}
		result, err := to.UpdateSecret(c.Context(), s.environment, args[0], api.SecretUpdate{SecretMetadata: said, Message: *message}, conditions...)
		return s.showWritten(result, err, "what is said about %s is changed", s.key(args[0]))
	}
	return c
}
