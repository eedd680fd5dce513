package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newPolicyPutCommand(a *app) *cobra.Command {
	c := a.command("put NAME", "Write a policy file",
		`Make a file the newest version of a policy file, new or not. What is refused is said
with its place, finding by finding: text that does not parse or does not fit the
schema, a policy that gives what you do not have yourself, and every test case, of
this file or another, that fails with it. What is only odd is shown, and written.

--dry-run writes nothing, and exits 1 when the file would be refused.`,
		`  llm-config policy put deployers -f deployers.cedar -m "deployers write staging"
  llm-config policy put deployers -f deployers.cedar --dry-run
  generate | llm-config policy put generated -f - --if-version 4`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	file := policyFileFlag(c)
	in := api.PutPolicy{}
	var ifVersion int64
	c.Flags().Int64Var(&ifVersion, "if-version", 0, "only if the newest version is `N`; 0: only if there is no such file")
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "check it, and write nothing")
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if in.Text, err = a.readPolicies(*file); err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		in.Message, in.IfVersion = *message, given(c, "if-version", &ifVersion)
		result, err := to.PutPolicy(c.Context(), args[0], in)
		if err != nil {
			return err
		}
		return out.showPolicyResult(result, "is version %d")
	}
	return c
}

// given is the value of a flag, nil when it was left out.
func given[T any](c *cobra.Command, flag string, value *T) *T {
	if !c.Flags().Changed(flag) {
		return nil
	}
	return value
}

func policyFileFlag(c *cobra.Command) *string {
	return c.Flags().StringP("file", "f", "", "`FILE` to read, - for standard input (required)")
}

// readPolicies reads Cedar from a file, or from standard input.
func (a *app) readPolicies(name string) (string, error) {
	if name == "" {
		return "", failf("no file is given").hint("name one with -f FILE, or -f - for standard input")
	}
	from := a.stdin
	if name == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer file.Close()
		from = file
	}
	text, err := readBounded(from)
	if err != nil {
		return "", inArgument(name, err)
	}
	return string(text), nil
}

// showPolicyResult prints what a write of policies did, or would do. One that
// would be refused ends in an error.
func (o *output) showPolicyResult(result *api.PolicyResult, format string) error {
	err := o.show(view{data: result, values: []string{number(result.Revision)}, people: func(p *printer) {
		printFindings(p, result.Findings)
		printTests(p, result.Tests)
		printPolicyOutcome(p, result, format)
	}})
	if err != nil {
		return err
	}
	return refusedIf(result.Name, result.Findings, result.Tests)
}

func printPolicyOutcome(p *printer, result *api.PolicyResult, format string) {
	done := "policy file " + result.Name + " " + strings.Replace(format, "%d", number(result.Version), 1)
	switch api.Status(result.Status) {
	case api.StatusUnchanged:
		p.printf("unchanged at revision %d\n", result.Revision)
	case api.StatusPlanned:
		p.printf("planned on revision %d; nothing is changed yet\n", result.Revision)
	default:
		p.printf("revision %d: %s\n", result.Revision, done)
	}
}

// refusedIf is the end of a check that found what no server takes.
func refusedIf(name string, findings []api.Finding, tests api.TestRun) error {
	refused := 0
	for _, f := range findings {
		if f.Refused {
			refused++
		}
	}
	switch {
	case refused > 0:
		return failf("%s would be refused for %s", name, counted(refused, "finding")).hint("mend what is listed, and check it again")
	case tests.Failed > 0:
		return failf("%s would be refused: %s", name, testsLine(tests)).hint("mend the policies or the cases; `llm-config authz explain` says why one is decided as it is")
	}
	return nil
}

func newPolicyDeleteCommand(a *app) *cobra.Command {
	c := a.command("delete NAME", "Delete a policy file",
		`Delete a policy file. It is refused when a test case of another file then fails. Its
versions stay, and rollback brings one back.`,
		`  llm-config policy delete deployers -m "nobody deploys by hand any more"
  llm-config policy delete deployers --dry-run`)
	c.Aliases = []string{"rm"}
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	var how client.PolicyDelete
	var ifVersion int64
	c.Flags().Int64Var(&ifVersion, "if-version", 0, "only if the newest version is `N`")
	c.Flags().BoolVar(&how.DryRun, "dry-run", false, "check what would be left, and delete nothing")
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		how.Message, how.IfVersion = *message, given(c, "if-version", &ifVersion)
		result, err := to.DeletePolicy(c.Context(), args[0], how)
		if err != nil {
			return err
		}
		return out.showPolicyResult(result, "is deleted")
	}
	return c
}

func newPolicyRollbackCommand(a *app) *cobra.Command {
	c := a.command("rollback NAME", "Write an older version of a policy file anew",
		`Write an older version of a policy file anew, as its newest. It is checked like any
other write: what was right then may be refused now.`,
		`  llm-config policy rollback deployers --to 3 -m "the new one locked the gateway out"
  llm-config policy rollback deployers --to 3 --dry-run`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	to := versionFlag(c, "to", "the version `N` to return to (required)")
	var in api.RollbackPolicy
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "check it, and write nothing")
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *to == 0 {
			return failf("no version to return to is given").hint("name it with --to; `llm-config policy history %s` lists them", args[0])
		}
		at, err := s.client(c)
		if err != nil {
			return err
		}
		in.To, in.Message = int64(*to), *message
		result, err := at.RollbackPolicy(c.Context(), args[0], in)
		if err != nil {
			return err
		}
		return out.showPolicyResult(result, "is version %d")
	}
	return c
}

func newPolicyCheckCommand(a *app) *cobra.Command {
	c := a.command("check [NAME]", "Check a policy file, and write nothing",
		`Check a file as put would, with the test cases of all files, and write nothing. It is
looked at as the policy file NAME; left out, that is the file's own name without its
ending. It exits 1 when the file would be refused.`,
		`  llm-config policy check -f policies/deployers.cedar
  generate | llm-config policy check -f - generated`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	file := policyFileFlag(c)
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		text, err := a.readPolicies(*file)
		if err != nil {
			return err
		}
		name, err := policyName(*file, args)
		if err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		result, err := to.PutPolicy(c.Context(), name, api.PutPolicy{Text: text, DryRun: true})
		if err != nil {
			return err
		}
		return out.showPolicyResult(result, "is version %d")
	}
	return c
}

var policyNames = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// policyName is what a file is to be called: as the argument says, else as the
// file is called.
func policyName(file string, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	base := filepath.Base(file)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	if !policyNames.MatchString(name) {
		return "", failf("%s does not tell what the policy file is called", inputName(file)).
			hint("name it behind the flags: 1 to 64 of a-z, 0-9 and -, beginning with a letter")
	}
	return name, nil
}

// inputName is how a person calls what -f names.
func inputName(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}
