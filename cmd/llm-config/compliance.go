package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
)

const asMarkdown = "markdown"

func newComplianceCommand(a *app) *cobra.Command {
	return a.group("compliance", "Reports for auditors, by control",
		`A report says for each control of a framework what in the product implements it,
whether the checks beside it passed just now, and what the audit records have as
evidence. Controls that only an organisation can meet are named as such.`,
		`  llm-config compliance ls
  llm-config compliance report --framework soc2 --from 2026-01-01 --to 2026-12-31 -f soc2-2026`,
		newComplianceReportCommand(a), newComplianceListCommand(a))
}

func newComplianceListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List the frameworks that there are reports for", "List the frameworks that there are reports for. No server is asked.", `  llm-config compliance ls`)
	out := a.outputFlag(c, listFormats...)
	c.RunE = func(*cobra.Command, []string) error {
		list := struct {
			Frameworks []compliance.FrameworkInfo `json:"frameworks"`
		}{compliance.Frameworks}
		v := view{data: list, values: frameworkNames(), people: func(p *printer) {
			t := newTable("FRAMEWORK", "TITLE", "EDITION", "SOURCE")
			for _, f := range list.Frameworks {
				t.row(string(f.Name), f.Title, f.Edition, f.Source)
			}
			t.print(p)
		}}
		return out.show(v)
	}
	return c
}

func frameworkNames() []string {
	names := make([]string, len(compliance.Frameworks))
	for i, f := range compliance.Frameworks {
		names[i] = string(f.Name)
	}
	return names
}

func newComplianceReportCommand(a *app) *cobra.Command {
	c := a.command("report", "Report on a framework, by control",
		`Run the checks of a framework now, and report on them and on the evidence that the
audit records of a time have: of a tenant or, with --server, of the installation.
What is reported is for auditors to judge; it is no certificate.

Without -f the report goes to standard output, as Markdown or with -o json as JSON.
With -f NAME both are written, to NAME.md and NAME.json.`,
		`  llm-config compliance report --framework soc2 --from 2026-01-01 --to 2026-12-31
  llm-config compliance report --framework gdpr --from 2026-01-01 --to 2026-12-31 -f gdpr-2026
  llm-config compliance report --framework nist-800-53 --server --from 2026-11-01 --to 2026-11-30 -o json`)
	s := &auditScope{scope: a.tenantFlags(c)}
	c.Flags().BoolVar(&s.server, "server", false, "of the whole installation, as an administrator of the server")
	r := &complianceReport{app: a, to: moment{end: true}}
	out := a.outputFlag(c, asMarkdown, asJSON)
	c.Flags().StringVar(&r.framework, "framework", "", "the `FRAMEWORK` to report on: "+strings.Join(frameworkNames(), ", ")+" (required)")
	c.Flags().Var(&r.from, "from", "evidence is of this `TIME` or later: RFC 3339, or a date (required)")
	c.Flags().Var(&r.to, "to", "evidence is from before this `TIME`; of a date, all its day is meant (required)")
	c.Flags().StringVarP(&r.file, "file", "f", "", "write `NAME`.md and NAME.json")
	complete(c, "framework", cobra.FixedCompletions(frameworkNames(), cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := r.check(); err != nil {
			return err
		}
		if err := exclusive(c, "file", "output"); err != nil {
			return err
		}
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		return r.run(c, from, out.format)
	}
	return c
}

// complianceReport is one `compliance report` on its way.
type complianceReport struct {
	app       *app
	framework string
	from, to  moment
	file      string
}

func (r *complianceReport) check() error {
	if r.framework == "" {
		return failf("no framework is given").hint("name one with --framework: %s", strings.Join(frameworkNames(), ", "))
	}
	if _, err := compliance.ParseFramework(r.framework); err != nil {
		return err
	}
	switch {
	case r.from.at.IsZero():
		return failf("it is not given of which time the evidence is to be").hint("say from when on with --from, such as --from 2026-01-01")
	case r.to.at.IsZero():
		return failf("it is not given of which time the evidence is to be").hint("say until when with --to, such as --to 2026-12-31")
	case !r.from.at.Before(r.to.at):
		return failf("the time to report on begins %s and ends %s", when(r.from.at), when(r.to.at)).hint("let --from be before --to")
	}
	return nil
}

func (r *complianceReport) run(c *cobra.Command, from *client.AuditChain, format string) error {
	end := r.app.working(c.Context(), "running the checks of "+r.framework)
	data, err := from.Compliance(c.Context(), r.framework, r.from.at, r.to.at)
	end()
	if err != nil {
		return err
	}
	report, err := readReport(data)
	if err != nil {
		return err
	}
	if data, err = indented(data); err != nil {
		return err
	}
	switch {
	case r.file != "":
		err = r.write(data, report)
	case format == asJSON:
		_, err = r.app.stdout.Write(data)
	default:
		_, err = r.app.stdout.Write(compliance.Markdown(report))
	}
	if err == nil {
		r.summary(report)
	}
	return err
}

// readReport reads what the server reports. That it is one report, and its text
// made of it here, keeps the two files from saying different things: asked again,
// the server would run its checks again.
func readReport(data []byte) (report compliance.Report, err error) {
	if err := json.Unmarshal(data, &report); err != nil {
		return report, failf("the server's report cannot be read: %v", err).hint("is the server of another version? `llm-config version --server` says")
	}
	return report, nil
}

func indented(data []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(data), "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// write writes both files, and says so.
func (r *complianceReport) write(data []byte, report compliance.Report) error {
	for _, file := range []struct {
		name string
		text []byte
	}{{r.file + ".md", compliance.Markdown(report)}, {r.file + ".json", data}} {
		err := writeWhole(file.name, func(w io.Writer) error {
			_, err := w.Write(file.text)
			return err
		})
		if err != nil {
			return err
		}
		r.app.printer().printf("%s is written (%s)\n", clean(file.name), sizeText(int64(len(file.text))))
	}
	return nil
}

// summary says in a line how the controls stand.
func (r *complianceReport) summary(report compliance.Report) {
	count := map[compliance.ControlStatus]int{}
	for _, c := range report.Controls {
		count[c.Status]++
	}
	p := r.app.errors()
	failed := strconv.Itoa(count[compliance.Unmet]) + " failed"
	if count[compliance.Unmet] > 0 {
		failed = p.paint(styleRed, failed)
	}
	p.printf("%s: %s met by checks, %s, %d cannot be checked, %d organisational\n", report.Framework.Name,
		counted(count[compliance.Met], "control"), failed, count[compliance.Unchecked], count[compliance.Organisational])
}

// working tells a person at a terminal that work goes on, until end is called.
func (a *app) working(ctx context.Context, what string) (end func()) {
	shown := a.telling()
	if !shown.p.terminal {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for a.pause(ctx, progressAfter) == nil {
			shown.tell("%s, %s", what, time.Since(shown.began).Round(time.Second))
		}
		shown.end()
	}()
	return func() {
		cancel()
		<-done
	}
}
