package compliance

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// generated stands in every document that is written from this package.
const generated = "<!-- Written from internal/compliance by `make compliance-docs`. Change it there. -->\n\n"

// Document is the page of the docs about a framework: for each control what
// implements it, which checks prove it, which events are evidence, and what the
// organisation has to do. The error is that of an unknown framework.
func Document(f Framework) ([]byte, error) {
	framework, err := ParseFramework(string(f))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%sEdition: %s. Its text is to be had at <%s>; requirements are given here in our own words, and that text is what counts.\n\n", framework.Title, generated, framework.Edition, framework.Source)
	fmt.Fprintf(&b, "%s [README.md](README.md) says how a report is made and what each check does.\n\n", notice)

	controls := Controls(f)
	overview := table{head: []string{"control", "title", "met by"}}
	for _, c := range controls {
		overview.add(c.heading(), c.Title, c.metBy())
	}
	overview.write(&b)
	for _, c := range controls {
		c.write(&b)
	}
	return b.Bytes(), nil
}

func (c *Control) metBy() string {
	switch {
	case len(c.Checks) == 0:
		return "the organisation"
	case c.Organisation == "":
		return "the product"
	default:
		return "the product and the organisation"
	}
}

func (c *Control) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## %s %s\n\n%s\n\n", c.heading(), c.Title, c.Requirement)
	item(b, "In the product", c.Implements+pages(c.Read, func(page string) string { return fmt.Sprintf("[%s](../%s)", page, page) }))
	item(b, "Checks", codes(c.Checks))
	if events := c.Events(); len(events) == len(audit.Events) {
		item(b, "Evidence", "every event")
	} else {
		item(b, "Evidence", codes(events))
	}
	item(b, "The organisation", c.Organisation)
}

// Readme is the page of the docs that says how a report is made and read.
func Readme() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Compliance\n\n%s", generated)
	b.WriteString("A report says how an installation, or one tenant of it, stands to a framework: for each control what implements it, the checks that were run just now with what they found, and the audit records that are evidence.\n\n")
	b.WriteString(notice + " Whether a control is met, an auditor decides.\n\n")

	frameworks := table{head: []string{"framework", "", "edition", "controls", "of these with checks"}}
	for _, f := range Frameworks {
		controls := Controls(f.Name)
		checked := slices.DeleteFunc(slices.Clone(controls), func(c Control) bool { return len(c.Checks) == 0 })
		frameworks.add(code(f.Name), fmt.Sprintf("[%s](%s.md)", f.Title, f.Name), f.Edition, strconv.Itoa(len(controls)), strconv.Itoa(len(checked)))
	}
	frameworks.write(&b)

	b.WriteString(`
## To make one

` + "```" + `
llm-config compliance report --framework soc2 --from 2026-10-01 --to 2026-12-31 -f last-quarter
` + "```" + `

It writes ` + "`last-quarter.md`" + `, for people, and ` + "`last-quarter.json`" + `; without ` + "`-f`" + ` it prints one of them. Evidence is of the records from ` + "`--from`" + ` on and before ` + "`--to`" + `. The checks show how things stand when the report is made, whatever that time is: to show that they held all along, make reports at intervals and keep them.

A tenant's report is about the tenant and counts the records of its chain. The server's is about the server and counts those of the server's chain, on which are failed logins, tenants that were created and deleted, and what is done with master keys and the server's own tokens. An auditor needs both.

Making a report is itself on record, as ` + "`compliance.report`" + `, and the check ` + "`denials-recorded`" + ` leaves a denial there.

## To read one

`)
	statuses := table{head: []string{"status of a control", "in JSON", "means"}}
	statuses.add(statusWords[Met], code(Met), "all of its checks that run in this report passed")
	statuses.add(statusWords[Unmet], code(Unmet), "one of its checks failed; the report says what it found")
	statuses.add(statusWords[Unchecked], code(Unchecked), "none failed, but one could not run, or all of them run in reports of the other scope only")
	statuses.add(statusWords[Organisational], code(Organisational), "no check can show it: only the organisation meets it")
	statuses.write(&b)
	b.WriteString(`
Nearly every control has a part that no software does; the report names it, and does not look at it. An event without records in the time of the report is no fault by itself: perhaps nothing of the kind happened.

The results are what the server found about itself. The records behind them can be checked without trusting it: take an export and the public key, and run ` + "`llm-config-verify`" + `.

## Checks

The figures are ours; a standard names none of them unless it stands here.

`)
	checks := table{head: []string{"check", "what holds when it passes", "in reports of", "how"}}
	for _, c := range Checks {
		checks.add(code(c.Name), c.Title, scopeWords[c.Scope], c.How)
	}
	checks.write(&b)
	return b.Bytes()
}

var scopeWords = map[Scope]string{OfServer: "the server", OfTenant: "a tenant", OfBoth: "both"}
