package main

import (
	"cmp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
)

func newAuthzCommand(a *app) *cobra.Command {
	return a.group("authz", "Why something is allowed, or denied",
		`Whoever is denied something is told no more than that. Those who may read the policies
are told why, about themselves and about others.`,
		`  llm-config authz explain config.write gateway/limits -e production
  llm-config authz explain secret.read providers/openai --secret -e production --for role:viewer`,
		newAuthzExplainCommand(a))
}

// explainFlags say what decision to explain.
type explainFlags struct {
	*scope
	whom   string
	claims []string
	at     string
	in     api.ExplainDecision
}

func newAuthzExplainCommand(a *app) *cobra.Command {
	c := a.command("explain ACTION [PATH]", "Say what is decided, and why",
		`Say whether an action is allowed: which policies decide it, what they look at and the
request lacks, and what it would take. PATH is a document, or with --secret a secret;
without it the action is on a whole environment, on all below --prefix, or on the
tenant.

It is about you unless --for names somebody else: a token by its id, who an issuer
calls SUBJECT, a client certificate's name, or anybody with some roles. It exits 0
for what is allowed, and 2 for what is denied.`,
		`  llm-config authz explain config.write gateway/limits -e production
  llm-config authz explain secret.read providers/openai --secret -e production --for token:4f1c0a9be2d4
  llm-config authz explain config.read --prefix gateway -e staging --for role:deployer
  llm-config authz explain config.write gateway/limits -e staging --for identity:github:repo-acme --role deployer --claim repository=acme/gateway
  llm-config authz explain policy.write --for role:operator --time 2026-11-22T03:00:00Z --source 10.1.2.3`)
	f, out := &explainFlags{scope: a.tenantFlags(c)}, a.outputFlag(c, listFormats...)
	f.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := f.fill(c, args); err != nil {
			return err
		}
		from, err := f.client(c)
		if err != nil {
			return err
		}
		decision, err := from.ExplainDecision(c.Context(), f.in)
		if err != nil {
			return err
		}
		v := view{data: decision, values: []string{decision.Decision}, people: func(p *printer) { printDecision(p, decision) }}
		if err := out.show(v); err != nil {
			return err
		}
		return differenceIf(decision.Decision != "allow")
	}
	return c
}

func (f *explainFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVarP(&f.environment, "env", "e", "", "`NAME` of the environment (with PATH or --prefix, default $"+envEnvironment+")")
	flags.BoolVar(&f.in.Secret, "secret", false, "PATH, or what lies below --prefix, is of secrets")
	flags.StringVar(&f.in.Prefix, "prefix", "", "a `PREFIX`: all that lies at it or below, in place of PATH")
	flags.StringVar(&f.whom, "for", "", "`WHO` asks: token:ID, identity:ISSUER:SUBJECT, workload:NAME or role:A,B (default you)")
	flags.StringSliceVar(&f.in.Roles, "role", nil, "a `ROLE` that they have; may be given again")
	flags.StringArrayVar(&f.claims, "claim", nil, "a claim `NAME=VALUE` of theirs; may be given again")
	flags.StringVar(&f.in.Source, "source", "", "the `ADDRESS` they come from")
	flags.StringVar(&f.at, "time", "", "when, as in 2026-11-22T03:00:00Z (`TIME`, default now)")
	flags.StringVar(&f.in.Certificate, "certificate", "", "a spiffe:// or dns: `NAME` in their client certificate")
	complete(c, "env", f.completeEnvironments)
	complete(c, "role", f.completeRoles)
}

// fill makes the request of what was given.
func (f *explainFlags) fill(c *cobra.Command, args []string) (err error) {
	f.in.Action = args[0]
	if len(args) > 1 {
		if f.in.Path = args[1]; f.in.Prefix != "" {
			return failf("a path and --prefix exclude each other").hint("give one of them")
		}
	}
	f.in.Environment = f.environment
	if f.in.Path+f.in.Prefix != "" {
		if err := f.resolve(c, []needed{{"env", envEnvironment, "environment", &f.environment}}); err != nil {
			return err
		}
		f.in.Environment = f.environment
	}
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return failf("%q is not a time", f.at).hint("write it like 2026-11-22T03:00:00Z")
		}
		f.in.Time = &at
	}
	if f.in.Claims, err = parseClaims(f.claims); err != nil {
		return err
	}
	return f.who(c)
}

// who takes --for apart.
func (f *explainFlags) who(c *cobra.Command) error {
	if f.whom == "" {
		return nil
	}
	kind, name, _ := strings.Cut(f.whom, ":")
	if name == "" {
		return failf("%q says nobody", f.whom).hint("write --for token:ID, identity:ISSUER:SUBJECT, workload:NAME or role:A,B")
	}
	switch kind {
	case "token":
		if c.Flags().Changed("role") {
			return failf("a token has its own roles").hint("leave --role out, or ask --for role:A,B")
		}
		f.in.Token = name
	case "identity", "workload":
		f.in.Principal = f.whom
	case "role":
		f.in.Roles = append(strings.Split(name, ","), f.in.Roles...)
	default:
		return failf("there is no kind of principal %q", kind).hint("write --for token:ID, identity:ISSUER:SUBJECT, workload:NAME or role:A,B")
	}
	return nil
}

// parseClaims reads NAME=VALUE; a name that comes again has several values.
func parseClaims(texts []string) (map[string][]string, error) {
	var claims map[string][]string
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, failf("%q is not NAME=VALUE", text).hint("write it like --claim repository=acme/gateway")
		}
		if claims == nil {
			claims = map[string][]string{}
		}
		claims[name] = append(claims[name], value)
	}
	return claims, nil
}

func printDecision(p *printer, d *api.ExplainedDecision) {
	p.printf("%s  %s on %s\n", p.paint(decisionStyle(d.Decision), d.Decision), clean(d.Action), clean(d.Resource))
	p.printf("for %s, roles %s\n", clean(d.Principal), cmp.Or(clean(strings.Join(d.Roles, ", ")), "none"))
	for _, reason := range d.Reasons {
		p.printf("  %s\n", clean(reason))
	}
	if len(d.Deciding) > 0 {
		p.printf("\n%s\n", p.paint(styleBold, "decided by"))
	}
	for _, policy := range d.Deciding {
		printDecidedBy(p, policy)
	}
	if len(d.Failed) > 0 {
		p.printf("\n%s\n", p.paint(styleBold, "could not be evaluated, each of which is a deny"))
	}
	for _, failed := range d.Failed {
		printDecidedBy(p, failed.DecidedBy)
		p.printf("    %s\n", p.paint(styleRed, clean(failed.Message)))
	}
	if len(d.Missing) > 0 {
		p.printf("\n%s\n", p.paint(styleBold, "looked at, and not there"))
	}
	for _, attribute := range d.Missing {
		p.printf("  %s\n", clean(attribute))
	}
	if len(d.Needed) > 0 {
		p.printf("\n%s\n", p.paint(styleBold, "would permit it, but for"))
	}
	for _, needed := range d.Needed {
		printDecidedBy(p, needed.DecidedBy)
		for _, lack := range needed.Lacking {
			p.printf("    %s\n", p.paint(styleYellow, clean(lack)))
		}
	}
}

// printDecidedBy shows a policy, its place above its text.
func printDecidedBy(p *printer, d api.DecidedBy) {
	file := cmp.Or(d.File, builtIn)
	p.printf("  %s %s (%s)\n", p.paint(effectStyle(d.Effect), d.Effect), clean(d.Policy), clean(sourceText(file, d.Line, d.Column)))
	for line := range strings.Lines(strings.TrimSpace(d.Text)) {
		p.printf("    %s\n", cleanLine(line))
	}
}

func effectStyle(effect string) style {
	if effect == "permit" {
		return styleGreen
	}
	return styleRed
}
