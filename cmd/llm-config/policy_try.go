package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newPolicyTestCommand(a *app) *cobra.Command {
	c := a.command("test [NAME]", "Run the test cases of all policy files",
		`Run the test cases that stand in the policy files, and show those that fail; --all
shows them all. With -f they are run as if that file were the policy file NAME, or
the one that is called as the file is, with its own cases in place of those it has
now. Nothing is written. It exits 1 when a case fails.`,
		`  llm-config policy test
  llm-config policy test -f policies/deployers.cedar
  llm-config policy test deployers -f draft.cedar --all`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	file := c.Flags().StringP("file", "f", "", "`FILE` to put in place of a policy file, - for standard input")
	var in api.TestPolicies
	c.Flags().BoolVar(&in.All, "all", false, "show every case, not only those that fail")
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case *file != "":
			text, err := a.readPolicies(*file)
			if err != nil {
				return err
			}
			if in.Name, err = policyName(*file, args); err != nil {
				return err
			}
			in.Text = &text
		case len(args) > 0:
			return failf("no file is given for %s", args[0]).hint("name one with -f FILE; without NAME, all files are tested as they stand")
		}
		from, err := s.client(c)
		if err != nil {
			return err
		}
		report, err := from.TestPolicies(c.Context(), in)
		if err != nil {
			return err
		}
		return out.showTests(report, in.Name)
	}
	return c
}

// showTests prints a run of test cases. One that failed is an error.
func (o *output) showTests(report *api.TestReport, name string) error {
	v := view{data: report, people: func(p *printer) {
		printFindings(p, report.Findings)
		printTests(p, report.Tests)
	}}
	for _, test := range report.Tests.Cases {
		v.values = append(v.values, sourceText(test.File, test.Line, 0))
	}
	if err := o.show(v); err != nil {
		return err
	}
	if err := refusedIf(name, report.Findings, api.TestRun{}); err != nil {
		return err
	}
	if report.Tests.Failed > 0 {
		return failf("%s", testsLine(report.Tests)).hint("mend the policies or the cases; `llm-config authz explain` says why one is decided as it is")
	}
	return nil
}

func newPolicySimulateCommand(a *app) *cobra.Command {
	c := a.command("simulate NAME", "Say which past decisions a policy file would have changed",
		`Say which of the newest decisions on record would have been others, had a file been
the policy file NAME or, with --delete, had that not been there. Nothing is written.
It exits 2 when there are some.`,
		`  llm-config policy simulate deployers -f deployers.cedar
  llm-config policy simulate deployers --delete --limit 2000 -o json`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	file := c.Flags().StringP("file", "f", "", "`FILE` to put in place of the policy file, - for standard input")
	gone := c.Flags().Bool("delete", false, "as if the policy file were deleted")
	var in api.SimulatePolicies
	c.Flags().IntVar(&in.Limit, "limit", 1000, "how many decisions to try at most, the newest first")
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := exclusive(c, "file", "delete"); err != nil {
			return err
		}
		if in.Limit < 1 {
			return failf("--limit is how many decisions to try, and %d is none", in.Limit).hint("give a number from 1 up")
		}
		in.Name = args[0]
		if !*gone {
			if *file == "" {
				return failf("neither a file nor --delete is given").hint("name the file to try with -f FILE, or give --delete")
			}
			text, err := a.readPolicies(*file)
			if err != nil {
				return err
			}
			in.Text = &text
		}
		from, err := s.client(c)
		if err != nil {
			return err
		}
		return out.simulate(c.Context(), from, in)
	}
	return c
}

func (o *output) simulate(ctx context.Context, from *client.Client, in api.SimulatePolicies) error {
	simulation, err := from.SimulatePolicies(ctx, in)
	if err != nil {
		return err
	}
	v := view{data: simulation, people: func(p *printer) { printSimulation(p, simulation) }}
	for _, change := range simulation.Changed {
		v.values = append(v.values, change.Principal+" "+change.Action+" "+change.Resource+" "+change.After)
	}
	if err := o.show(v); err != nil {
		return err
	}
	if err := refusedIf(in.Name, simulation.Findings, api.TestRun{}); err != nil {
		return err
	}
	return differenceIf(len(simulation.Changed) > 0)
}

func printSimulation(p *printer, s *api.Simulation) {
	printFindings(p, s.Findings)
	if len(s.Changed) > 0 {
		t := newTable("PRINCIPAL", "NAME", "ACTION", "RESOURCE", "LAST", "BEFORE", "AFTER", "WHY")
		for _, change := range s.Changed {
			t.cells(cell{text: change.Principal}, cell{text: change.Name}, cell{text: change.Action}, cell{text: change.Resource}, cell{text: when(change.Last)},
				cell{text: change.Before}, cell{change.After, decisionStyle(change.After)}, cell{text: p.value(strings.Join(change.Reasons, "; "))})
		}
		t.print(p)
	}
	p.printf("of %s, %d would have been another\n", counted(s.Decisions, "decision"), len(s.Changed))
}

func decisionStyle(decision string) style {
	if decision == "allow" {
		return styleGreen
	}
	return styleRed
}
