package main

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newPolicyCommand(a *app) *cobra.Command {
	return a.group("policy", "Policies: who may do what",
		`A tenant's policies are files of Cedar, beside the built-in ones that say what the
roles viewer, operator, admin and application may do. What no policy permits is
denied, and one that forbids beats all that permit.

Each file is versioned. Before it is written it is parsed, checked against the
schema (`+"`policy schema`"+`) and analysed, and the test cases of all files are run: lines
of comment such as

  //test allow role:deployer config.write document staging/gateway/models
  //test deny  role:viewer secret.read secret production/openai`,
		`  llm-config policy ls
  llm-config policy check -f deployers.cedar
  llm-config policy put deployers -f deployers.cedar -m "deployers write staging"
  llm-config policy simulate deployers -f deployers.cedar`,
		newPolicyListCommand(a), newPolicyGetCommand(a), newPolicyPutCommand(a), newPolicyEditCommand(a), newPolicyDeleteCommand(a),
		newPolicyHistoryCommand(a), newPolicyDiffCommand(a), newPolicyRollbackCommand(a),
		newPolicyCheckCommand(a), newPolicyTestCommand(a), newPolicySimulateCommand(a), newPolicySchemaCommand(a))
}

func newPolicyListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List policy files", "List the tenant's policy files by name, and the built-in ones.", `  llm-config policy ls
  llm-config policy ls -o value`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		list, err := from.Policies(c.Context())
		if err != nil {
			return err
		}
		return out.show(policiesView(list))
	}
	return c
}

// builtIn stands where a version would, of what has none.
const builtIn = "built-in"

func policiesView(list *api.PolicyList) view {
	v := view{data: list}
	for _, file := range list.Policies {
		v.values = append(v.values, file.Name)
	}
	v.people = func(p *printer) {
		t := newTable("NAME", "VERSION", "POLICIES", "TESTS", "AUTHOR", "TIME")
		for _, file := range list.Policies {
			t.row(file.Name, number(file.Version), strconv.Itoa(file.Policies), strconv.Itoa(file.Tests), file.Author, when(file.Time))
		}
		for _, file := range list.Builtin {
			t.cells(cell{text: file.Name}, cell{builtIn, styleDim}, cell{text: strconv.Itoa(file.Policies)}, cell{text: strconv.Itoa(file.Tests)}, cell{text: "-"}, cell{text: "-"})
		}
		t.print(p)
	}
	return v
}

// asCedar prints policies and their schema as they are written.
const asCedar = "cedar"

// showText prints a text as it stands, or data that holds it. On a terminal it
// steers nothing, as others wrote it.
func (o *output) showText(text string, data any) error {
	if o.format != asCedar {
		return o.show(view{data: data})
	}
	p := o.app.printer()
	for line := range strings.Lines(text) {
		if p.terminal {
			line = cleanLine(line) + "\n"
		}
		p.printf("%s", line)
	}
	return nil
}

// cleanLine is a line for a terminal, which keeps its tabs.
func cleanLine(line string) string {
	parts := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
	for i, part := range parts {
		parts[i] = clean(part)
	}
	return strings.Join(parts, "\t")
}

func newPolicyGetCommand(a *app) *cobra.Command {
	c := a.command("get NAME", "Print a policy file",
		"Print a policy file as it was written: its newest version, or an earlier one.",
		`  llm-config policy get deployers > deployers.cedar
  llm-config policy get deployers --version 3
  llm-config policy get deployers -o json`)
	s, out := a.tenantFlags(c), a.outputFlag(c, asCedar, asJSON, asYAML, asTOML)
	version := versionFlag(c, "version", "the version `N` (default the newest)")
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		file, err := from.Policy(c.Context(), args[0], int64(*version))
		if err != nil {
			return err
		}
		if file.Deleted && out.format == asCedar {
			return failf("%s was deleted in version %d, which has no text", file.Name, file.Version).
				hint("`llm-config policy history %s` lists the versions before", file.Name)
		}
		return out.showText(file.Text, file)
	}
	return c
}

// versionNumber is a version that may be left out.
type versionNumber int64

func versionFlag(c *cobra.Command, flag, usage string) *versionNumber {
	var v versionNumber
	c.Flags().Var(&v, flag, usage)
	return &v
}

// String, Set and Type make versionNumber a flag. A version is also written v3,
// as everywhere where a point in history is asked for.
func (v *versionNumber) Type() string { return "N" }

func (v *versionNumber) String() string {
	if *v == 0 {
		return ""
	}
	return number(int64(*v))
}

func (v *versionNumber) Set(text string) error {
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "v"), 10, 64)
	if err != nil || n < 1 {
		return failf("a version is a number from 1 up, and %q is none", text)
	}
	*v = versionNumber(n)
	return nil
}

func newPolicyHistoryCommand(a *app) *cobra.Command {
	c := a.command("history NAME", "List the versions of a policy file", "List the versions of a policy file, newest first.",
		`  llm-config policy history deployers`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		history := api.PolicyHistory{Versions: []api.Policy{}}
		for version, err := range from.AllPolicyHistory(c.Context(), args[0], client.Page{Limit: maxPage}) {
			if err != nil {
				return err
			}
			history.Versions = append(history.Versions, version)
		}
		return out.show(policyHistoryView(history))
	}
	return c
}

// policyHistoryView lists versions of a policy file or a role.
func policyHistoryView(history api.PolicyHistory) view {
	v := view{data: history}
	for _, version := range history.Versions {
		v.values = append(v.values, "v"+number(version.Version))
	}
	v.people = func(p *printer) {
		t := newTable("VERSION", "STATE", "REVISION", "TIME", "AUTHOR")
		for _, version := range history.Versions {
			state := cell{text: "live"}
			if version.Deleted {
				state = cell{"deleted", styleDim}
			}
			t.cells(cell{text: number(version.Version)}, state, cell{text: number(version.Revision)}, cell{text: when(version.Time)}, cell{text: version.Author})
		}
		t.print(p)
	}
	return v
}

func newPolicySchemaCommand(a *app) *cobra.Command {
	c := a.command("schema", "Print the schema that policies are written against",
		"Print the Cedar schema of all policies: entities, actions and what is known of a\nrequest. Editors and Cedar's own tools read it.",
		`  llm-config policy schema > llm-config.cedarschema`)
	s, out := a.serverFlags(c), a.outputFlag(c, asCedar, asJSON)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		schema, err := from.PolicySchema(c.Context())
		if err != nil {
			return err
		}
		return out.showText(schema, map[string]string{"schema": schema})
	}
	return c
}

func newPolicyDiffCommand(a *app) *cobra.Command {
	c := a.command("diff NAME", "Compare two versions of a policy file",
		`Compare two versions of a policy file, line by line: without --from the version
before, and without --to the newest. It exits 2 when there is a difference.`,
		`  llm-config policy diff deployers
  llm-config policy diff deployers --from 3 --to 5`)
	s, out := a.tenantFlags(c), a.outputFlag(c, asTable, asJSON, asYAML, asTOML)
	from := versionFlag(c, "from", "the version `N` before (default the one before --to)")
	to := versionFlag(c, "to", "the version `N` after (default the newest)")
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		at, err := s.client(c)
		if err != nil {
			return err
		}
		diff, err := at.DiffPolicy(c.Context(), args[0], client.PolicyDiffQuery{From: from.pointer(), To: to.pointer()})
		if err != nil {
			return err
		}
		if err := out.show(view{data: diff, people: func(p *printer) { printUnified(p, diff) }}); err != nil {
			return err
		}
		return differenceIf(diff.Unified != "")
	}
	return c
}

// pointer is the version, nil when the flag is left out.
func (v *versionNumber) pointer() *int64 {
	if *v == 0 {
		return nil
	}
	return new(int64(*v))
}

func printUnified(p *printer, diff *api.PolicyDiff) {
	if diff.Unified == "" {
		p.printf("no difference between versions %d and %d of %s\n", diff.From, diff.To, diff.Name)
		return
	}
	for line := range strings.Lines(diff.Unified) {
		if !p.terminal {
			p.printf("%s", line)
			continue
		}
		p.printf("%s\n", p.paint(unifiedStyle(line), cleanLine(line)))
	}
}

func unifiedStyle(line string) style {
	switch {
	case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
		return styleBold
	case strings.HasPrefix(line, "@@"):
		return styleDim
	case strings.HasPrefix(line, "+"):
		return styleGreen
	case strings.HasPrefix(line, "-"):
		return styleRed
	}
	return ""
}

// printFindings lists what was found in policies, each with its place.
func printFindings(p *printer, findings []api.Finding) {
	if len(findings) == 0 {
		return
	}
	t := newTable("WHERE", "KIND", "CERTAINTY", "MESSAGE")
	for _, f := range findings {
		kind := cell{f.Kind, styleYellow}
		if f.Refused {
			kind.style = styleRed
		}
		message := f.Message
		if f.Other != "" {
			message += " (" + f.Other + ")"
		}
		t.cells(cell{text: sourceText(f.File, f.Line, f.Column)}, kind, cell{text: cmp.Or(f.Certainty, "-")}, cell{text: message})
	}
	t.print(p)
}

// sourceText is a place in a policy file, as compilers write it.
func sourceText(file string, line, column int) string {
	parts := []string{file}
	for _, n := range []int{line, column} {
		if n > 0 {
			parts = append(parts, strconv.Itoa(n))
		}
	}
	return strings.Join(parts, ":")
}

// printTests lists test cases, and how many there are.
func printTests(p *printer, run api.TestRun) {
	if len(run.Cases) > 0 {
		t := newTable("WHERE", "RESULT", "WANT", "GOT", "CASE", "WHY")
		for _, test := range run.Cases {
			result := cell{"passed", styleGreen}
			if !test.Passed {
				result = cell{"failed", styleRed}
			}
			t.cells(cell{text: sourceText(test.File, test.Line, 0)}, result, cell{text: test.Want}, cell{text: test.Got},
				cell{text: p.value(strings.TrimSpace(strings.TrimPrefix(test.Text, "//test")))}, cell{text: cmp.Or(p.value(strings.Join(test.Reasons, "; ")), "-")})
		}
		t.print(p)
	}
	p.printf("%s\n", testsLine(run))
}

func testsLine(run api.TestRun) string {
	if run.Passed+run.Failed == 0 {
		return "no test cases"
	}
	line := counted(run.Passed, "test case") + " passed"
	if run.Failed > 0 {
		line += ", " + strconv.Itoa(run.Failed) + " failed"
	}
	return line
}
