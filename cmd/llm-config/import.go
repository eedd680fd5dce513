package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/convert"
)

func newImportCommand(a *app) *cobra.Command {
	return a.group("import", "Take over the files of other tools",
		"Take over settings, and the keys among them, from the files of other tools.",
		`  llm-config import dotenv -e development .env gateway/env --dry-run`,
		newImportDotenvCommand(a))
}

// dotenvImport is one `import dotenv` on its way.
type dotenvImport struct {
	*scope
	out     *output
	prefix  string
	none    bool
	all     bool
	secret  []string
	plain   []string
	weak    string
	replace bool
	dryRun  bool
	message *string

	to     *client.Client
	path   string
	layer  map[string]any // as it will be
	basis  int64          // the version of the layer that it is made of
	plan   dotenvPlan
	values map[string]string // path of a secret → its value
}

// dotenvPlan says what becomes of a dotenv file, without a value.
type dotenvPlan struct {
	api.Committed
	Environment string           `json:"environment"`
	Path        string           `json:"path"`
	Variables   []dotenvVariable `json:"variables"`
	Notes       []string         `json:"notes,omitempty"`
}

// dotenvVariable is what becomes of one variable.
type dotenvVariable struct {
	Name   string `json:"name"`
	Line   int    `json:"line"`
	Member string `json:"member"`
	Secret string `json:"secret,omitempty"` // the path of the secret that it becomes
	Why    string `json:"why,omitempty"`    // it is one
	There  string `json:"there,omitempty"`  // of the secret: new, exists, kept, replaced
	Change string `json:"change"`           // of the document: new, changed, same
}

func newImportDotenvCommand(a *app) *cobra.Command {
	c := a.command("dotenv FILE PATH", "Take over a .env file, its keys as secrets",
		`Make the variables of a dotenv file members of the environment's layer at PATH, of
which run makes the same variables again. What looks like a key, by its name or its
value, becomes a secret below --secrets, and the document refers to it. What else
the layer says stays.

The plan is printed first, without a value; then the secrets are written, and the
document last. A secret that is there already is refused, before anything is written,
unless --replace gives it the file's value as a new version; whether its value is the
same is not looked at. What an import of the same document wrote before it was cut
short is kept, so that the same command goes on. Nothing is expanded: lines that
tools read differently are refused, by number.`,
		`  llm-config import dotenv -e development .env gateway/env --dry-run
  llm-config import dotenv -e production .env gateway/env --secrets gateway/keys -m "from the old host"
  llm-config import dotenv -e production .env gateway/env --plain SENTRY_DSN --secret INTERNAL_CODE
  llm-config run -e production gateway/env -- ./gateway`)
	d := &dotenvImport{scope: a.environmentFlags(c), out: a.outputFlag(c, changeFormats...), message: a.messageFlag(c)}
	flags := c.Flags()
	flags.StringVar(&d.prefix, "secrets", "", "path `PREFIX` of the secrets (default PATH)")
	flags.BoolVar(&d.none, "no-secrets", false, "make no secrets; whoever may read the document then reads every value")
	flags.BoolVar(&d.all, "all-secrets", false, "make every value a secret")
	flags.StringArrayVar(&d.secret, "secret", nil, "the variable `NAME` is a secret, whatever it looks like; may be given again")
	flags.StringArrayVar(&d.plain, "plain", nil, "the variable `NAME` is none, whatever it looks like; may be given again")
	flags.StringVar(&d.weak, "allow-weak", "", "take values that could be guessed; `REASON` is put on record")
	flags.BoolVar(&d.replace, "replace", false, "give secrets that are there already the values of the file, as new versions")
	flags.BoolVar(&d.dryRun, "dry-run", false, "show what would happen, and exit 2 if anything would")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := exclusive(c, "no-secrets", "all-secrets"); err != nil {
			return err
		}
		if c.Flags().Changed("allow-weak") && strings.TrimSpace(d.weak) == "" {
			return failf("--allow-weak needs a reason, which is put on record")
		}
		variables, err := a.readDotenv(args[0])
		if err != nil {
			return err
		}
		if d.to, err = d.client(c); err != nil {
			return err
		}
		d.path = args[1]
		return d.run(c.Context(), variables)
	}
	return c
}

func (a *app) readDotenv(name string) ([]convert.Variable, error) {
	from := a.stdin
	if name == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	text, err := readBounded(from)
	if err != nil {
		return nil, inArgument(name, err)
	}
	defer clear(text)
	variables, err := convert.ParseDotenv(text)
	switch {
	case err != nil:
		return nil, inArgument(name, err)
	case len(variables) == 0:
		return nil, failf("%s has no variables", name)
	}
	return variables, nil
}

func (d *dotenvImport) run(ctx context.Context, variables []convert.Variable) error {
	layer, version, err := readLayer(ctx, d.to, d.environment, d.path)
	if err != nil {
		return err
	}
	d.basis = version
	if err := d.make(variables, layer.Root()); err != nil {
		return err
	}
	if err := d.look(ctx); err != nil {
		return err
	}
	refused := d.refused()
	changes := slices.ContainsFunc(d.plan.Variables, func(v dotenvVariable) bool { return v.Change != "same" || v.Secret != "" })
	switch {
	case d.dryRun:
		d.plan.Status = api.StatusPlanned
		d.plan.Notes = append(d.plan.Notes, refused.lines...)
		return errors.Join(d.show(), differenceIf(changes))
	case d.out.format == asTable:
		d.printPlan(d.app.printer())
	}
	if refused.lines != nil {
		return refused.failure("nothing is written")
	}
	if err := d.writeSecrets(ctx); err != nil {
		return err
	}
	return d.writeLayer(ctx)
}

// make works out what becomes of each variable. What stands in the layer beside
// them stays.
func (d *dotenvImport) make(variables []convert.Variable, there map[string]any) error {
	prefix, err := config.ParsePath(cmp.Or(d.prefix, d.path))
	if err != nil {
		return inArgument("--secrets", err)
	}
	d.prefix = prefix.String()
	d.plan = dotenvPlan{Environment: d.environment, Path: d.path}
	d.layer, d.values = map[string]any{}, map[string]string{}
	for name, value := range there {
		d.layer[name] = value
	}
	if err := d.named(variables); err != nil {
		return err
	}
	taken := map[string]string{} // member or path of a secret → the variable that has it
	var wrong []string
	for _, v := range variables {
		planned, value, err := d.one(prefix, v)
		if err != nil {
			wrong = append(wrong, "line "+number(int64(v.Line))+": "+v.Name+" cannot become a secret: no letter or digit is in its name")
			continue
		}
		for _, place := range []string{planned.Member, "secret " + planned.Secret} {
			if other, ok := taken[place]; ok && (place == planned.Member || planned.Secret != "") {
				wrong = append(wrong, "line "+number(int64(v.Line))+": "+v.Name+" and "+other+" would be the same, "+place)
				break
			}
			taken[place] = v.Name
		}
		now, is := there[planned.Member]
		switch {
		case !is:
			planned.Change = "new"
		case reflect.DeepEqual(now, value):
			planned.Change = "same"
		default:
			planned.Change = "changed"
		}
		d.layer[planned.Member] = value
		if planned.Secret != "" {
			d.values[planned.Secret] = v.Value
		}
		d.plan.Variables = append(d.plan.Variables, planned)
		d.note(v)
	}
	if wrong != nil {
		refusal := failf("some variables would be the same").hint("rename them in the file, or leave them out")
		refusal.details = wrong
		return refusal
	}
	return nil
}

// named refuses names given by flags that the file does not have.
func (d *dotenvImport) named(variables []convert.Variable) error {
	for _, name := range append(slices.Clone(d.secret), d.plain...) {
		switch {
		case !slices.ContainsFunc(variables, func(v convert.Variable) bool { return v.Name == name }):
			return failf("the file has no variable %s", name).hint("--secret and --plain take names of variables")
		case slices.Contains(d.secret, name) && slices.Contains(d.plain, name):
			return failf("%s is given as --secret and as --plain", name).hint("give one of them")
		}
	}
	return nil
}

// one is what becomes of a variable, and what stands for it in the document.
func (d *dotenvImport) one(prefix config.Path, v convert.Variable) (planned dotenvVariable, value any, err error) {
	planned = dotenvVariable{Name: v.Name, Line: v.Line, Member: convert.MemberName(v.Name)}
	why, secret := d.isSecret(v)
	if !secret {
		return planned, convert.MemberValue(v.Value), nil
	}
	path, err := convert.SecretPath(prefix, v.Name)
	if err != nil {
		return planned, nil, err
	}
	planned.Secret, planned.Why = path.String(), why
	return planned, config.Reference{Kind: config.ReferSecret, Path: path}.String(), nil
}

func (d *dotenvImport) isSecret(v convert.Variable) (why string, yes bool) {
	why, looks := convert.LooksLikeKey(v.Name, v.Value)
	switch {
	case v.Value == "": // nothing to hide
		return "", false
	case slices.Contains(d.secret, v.Name):
		return "--secret", true
	case slices.Contains(d.plain, v.Name):
		return "", false
	case d.none:
		if looks {
			d.plan.Notes = append(d.plan.Notes, v.Name+" looks like a key ("+why+"), and whoever may read the document will read it")
		}
		return "", false
	case d.all:
		return cmp.Or(why, "--all-secrets"), true
	}
	return why, looks
}

// note says where run makes something else of a variable than it was.
func (d *dotenvImport) note(v convert.Variable) {
	again := variableName([]string{convert.MemberName(v.Name)})
	switch {
	case again != v.Name:
		d.plan.Notes = append(d.plan.Notes, v.Name+": run makes "+again+" of it")
	case strings.Trim(again, "_") == "":
		d.plan.Notes = append(d.plan.Notes, v.Name+": run refuses a name without a letter or digit")
	case steersPrograms(again):
		d.plan.Notes = append(d.plan.Notes, v.Name+" steers a loader, shell or interpreter: run takes it with --allow-env "+again+" only")
	}
}

func (d *dotenvImport) show() error {
	return d.out.show(view{
		data:   d.plan,
		values: []string{number(d.plan.Revision)},
		people: d.printPlan,
	})
}

func (d *dotenvImport) printPlan(p *printer) {
	p.printf("%s for %s\n", counted(len(d.plan.Variables), "variable"), p.paint(styleBold, layerKey{d.environment, d.path}.String()))
	t := newTable("VARIABLE", "MEMBER", "CHANGE", "SECRET", "THERE", "WHY")
	for _, v := range d.plan.Variables {
		colour := map[string]style{"new": styleGreen, "changed": styleYellow, "same": styleDim}[v.Change]
		t.cells(cell{text: v.Name}, cell{text: v.Member}, cell{v.Change, colour}, cell{text: cmp.Or(v.Secret, "-")}, cell{text: v.There}, cell{v.Why, styleDim})
	}
	t.print(p)
	for _, note := range d.plan.Notes {
		p.printf("%s %s\n", p.paint(styleYellow, "note:"), clean(note))
	}
}

// writeSecrets writes all secrets that it can, so that all that is wrong is told
// at once; the document is written only when every one is there.
func (d *dotenvImport) writeSecrets(ctx context.Context) error {
	shown := d.app.progress("writing secrets", len(d.values))
	defer shown.end()
	var refused importRefusal
	written := 0
	for _, v := range d.plan.Variables {
		if v.Secret == "" || v.There == secretKept {
			continue
		}
		err := d.writeSecret(ctx, v)
		shown.step()
		var problem *api.Problem
		switch {
		case err == nil:
			written++
		case !errors.As(err, &problem) || problem.Code != api.CodeWeakSecret && problem.Code != api.CodePreconditionFailed:
			return inArgument(v.Secret+" (after "+counted(written, "secret")+")", err)
		case problem.Code == api.CodePreconditionFailed:
			refused.exists(v)
		default:
			refused.guessable(v, weakReasons(problem))
		}
	}
	if refused.lines == nil {
		return nil
	}
	done := "the document is not written"
	if written > 0 {
		done += ", and " + counted(written, "secret") + map[bool]string{true: " is", false: " are"}[written == 1] + "; the same command goes on"
	}
	return refused.failure(done)
}

func (d *dotenvImport) writeSecret(ctx context.Context, v dotenvVariable) error {
	in := api.SecretInput{
		Fields: map[string]json.RawMessage{config.SecretField: quoted(d.values[v.Secret])}, AllowWeak: d.weak, Message: *d.message,
	}
	if v.There != secretReplaced {
		in.IfVersion = new(int64)
		in.Description = new(d.provenance(v))
	}
	_, err := d.to.PutSecret(ctx, d.environment, v.Secret, in)
	return err
}

func (d *dotenvImport) writeLayer(ctx context.Context) error {
	document := config.NewDocument(d.layer)
	result, err := d.to.PutLayer(ctx, d.environment, d.path, document.Canonical(), client.Write{Message: *d.message, IfVersion: &d.basis})
	if errors.Is(err, client.ErrPreconditionFailed) {
		return failf("%s was written by somebody else meanwhile, so it is not changed; the secrets are written", layerKey{d.environment, d.path}).
			hint("give the same command again: it keeps the secrets")
	}
	if err != nil {
		return err
	}
	d.plan.Committed = result.Committed
	if d.out.format != asTable {
		return d.show()
	}
	printChange(d.app.printer(), result)
	return nil
}
