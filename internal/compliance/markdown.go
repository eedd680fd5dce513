package compliance

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// notice stands in every report and document.
const notice = "A report supports an audit and replaces none. That the checks beside a control passed says that they passed when they ran, and not that what the organisation has to do is done."

// Markdown writes a report for people to read. The same report is the same bytes.
func Markdown(r Report) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s: %s\n\n%s\n\n", r.Framework.Title, r.subject(), notice)
	facts := table{head: []string{"report", ""}}
	facts.add("edition", r.Framework.Edition)
	facts.add("of", r.subject())
	if r.From.IsZero() {
		facts.add("records from", "the first")
	} else {
		facts.add("records from", moment(r.From))
	}
	facts.add("records before", moment(r.To))
	facts.add("made", moment(r.Generated))
	facts.add("version", orNone(escape(r.Version)))
	facts.write(&b)

	fmt.Fprintf(&b, "\n## Summary\n\n%s\n\n", r.summary())
	summary := table{head: []string{"control", "title", "status", "checks passed", "occurrences on record"}}
	for _, c := range r.Controls {
		summary.add(c.Control.label(), c.Control.Title, statusWords[c.Status], c.passed(), strconv.FormatInt(c.occurrences(), 10))
	}
	summary.write(&b)

	b.WriteString("\n## Checks\n\n")
	checks := table{head: []string{"check", "what holds when it passes", "result", "found", "ran"}}
	for _, result := range r.Results() {
		check, _ := CheckNamed(result.Check)
		checks.add(code(result.Check), check.Title, resultWords(result.Status), orNone(escape(result.Detail)), moment(result.Ran))
	}
	checks.write(&b)

	b.WriteString("\n## Verification of the records\n\n")
	r.Verification.write(&b)

	b.WriteString("\n## Controls\n")
	for _, c := range r.Controls {
		c.write(&b)
	}
	b.WriteString("\n## Evidence\n\n")
	r.writeEvidence(&b)
	return b.Bytes()
}

func (r *Report) subject() string {
	if r.Scope == OfTenant {
		return "tenant " + escape(r.Tenant)
	}
	return "the server"
}

var statusWords = map[ControlStatus]string{
	Met:            "checks passed",
	Unmet:          "**failed**",
	Unchecked:      "**cannot be checked**",
	Organisational: "the organisation's",
}

func resultWords(s Status) string {
	switch s {
	case Passed:
		return "passed"
	case Failed:
		return "**failed**"
	default:
		return "**could not run**"
	}
}

func (r *Report) summary() string {
	count := map[ControlStatus]int{}
	for _, c := range r.Controls {
		count[c.Status]++
	}
	return fmt.Sprintf("Of %d controls, the checks of %d passed, %d failed, %d cannot be checked, and %d are met by the organisation alone.",
		len(r.Controls), count[Met], count[Unmet], count[Unchecked], count[Organisational])
}

// passed is how many of its checks passed, of how many.
func (c *ControlReport) passed() string {
	if len(c.Results) == 0 {
		return "-"
	}
	passed := 0
	for _, r := range c.Results {
		if r.Status == Passed {
			passed++
		}
	}
	return fmt.Sprintf("%d of %d", passed, len(c.Results))
}

func (c *ControlReport) occurrences() int64 {
	var n int64
	for _, e := range c.Evidence {
		n += e.Count
	}
	return n
}

func (c *ControlReport) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n### %s %s\n\n%s\n\n", c.Control.heading(), c.Control.Title, c.Control.Requirement)
	item(b, "Status", statusWords[c.Status])
	item(b, "In the product", c.Control.Implements+pages(c.Control.Read, func(page string) string { return "docs/" + page }))
	var results []string
	for _, r := range c.Results {
		results = append(results, code(r.Check)+" "+resultWords(r.Status))
	}
	item(b, "Checks", strings.Join(results, ", "))
	item(b, "Checks that run in reports of the other scope", codes(c.Elsewhere))
	item(b, "On record", c.onRecord())
	item(b, "The organisation", c.Control.Organisation)
}

// onRecord is each event with how often it occurred.
func (c *ControlReport) onRecord() string {
	var counts []string
	none := 0
	for _, e := range c.Evidence {
		if e.Count == 0 {
			none++
			continue
		}
		counts = append(counts, fmt.Sprintf("%s %d", code(e.Event), e.Count))
	}
	switch {
	case len(c.Evidence) == 0:
		return ""
	case len(counts) == 0:
		return fmt.Sprintf("none of its %d kinds of events", none)
	case none > 0:
		return fmt.Sprintf("%s; none of %d other kinds", strings.Join(counts, ", "), none)
	}
	return strings.Join(counts, ", ")
}

func (v *Verification) write(b *bytes.Buffer) {
	facts := table{head: []string{"chain", orNone(escape(v.Origin))}}
	if v.Holds {
		facts.add("holds", "yes")
	} else {
		facts.add("holds", "**no**: "+orNone(escape(v.Problem)))
	}
	facts.add("records followed", fmt.Sprintf("%d, from %d to %d", v.Records, v.First, v.Last))
	facts.add("disposed of in time", strconv.FormatInt(v.Disposed, 10))
	if v.SignedTo > 0 {
		facts.add("signed up to", fmt.Sprintf("%d, %s", v.SignedTo, moment(v.SignedAt)))
	} else {
		facts.add("signed up to", "no checkpoint: nothing proves that the chain was not written anew as a whole")
	}
	facts.write(b)
	b.WriteString("\nThis is what the server found about itself. Whoever does not want to trust it takes an export and the public key, and runs `llm-config-verify`.\n")
}

// writeEvidence lists each event once, with a row for each sample.
func (r *Report) writeEvidence(b *bytes.Buffer) {
	samples := table{head: []string{"event", "occurrences", "chain", "record", "time", "actor", "outcome"}}
	var none []string
	for _, e := range r.Evidence() {
		if e.Count == 0 {
			none = append(none, code(e.Event))
			continue
		}
		count := strconv.FormatInt(e.Count, 10)
		if len(e.Samples) == 0 {
			samples.add(code(e.Event), count, "-", "-", "-", "-", "-")
		}
		for _, s := range e.Samples {
			samples.add(code(e.Event), count, orNone(escape(s.Chain)), strconv.FormatUint(s.Sequence, 10), moment(s.Time), orNone(escape(s.Actor)), orNone(escape(s.Outcome)))
		}
	}
	samples.write(b)
	if len(none) > 0 {
		fmt.Fprintf(b, "\nOf these there is no record in the time of the report: %s.\n", strings.Join(none, ", "))
	}
}

// label is the control's id as people write it.
func (c *Control) label() string {
	switch c.Framework {
	case GDPR:
		return "Article " + c.ID
	case HIPAA:
		return "§ " + c.ID
	default:
		return c.ID
	}
}

func (c *Control) heading() string {
	if c.Later != "" {
		return fmt.Sprintf("%s (2022: %s)", c.label(), c.Later)
	}
	return c.label()
}

// item writes an entry of a list, or nothing when there is nothing to say.
func item(b *bytes.Buffer, name, text string) {
	if text != "" {
		fmt.Fprintf(b, "- **%s:** %s\n", name, text)
	}
}

// pages says where to read on; link is how a page is written.
func pages(read []string, link func(page string) string) string {
	if len(read) == 0 {
		return ""
	}
	links := make([]string, len(read))
	for i, page := range read {
		links[i] = link(page)
	}
	return " Read " + strings.Join(links, ", ") + "."
}

func code[T ~string](text T) string { return "`" + string(text) + "`" }

func codes[T ~string](texts []T) string {
	all := make([]string, len(texts))
	for i, t := range texts {
		all[i] = code(t)
	}
	return strings.Join(all, ", ")
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// longest is how many characters of a foreign text are shown.
const longest = 300

// special are the characters that could mean something to a renderer: of
// Markdown, its tables, HTML, mathematics and mentions.
const special = "\\`*_[]<>|~&$@#"

// escape makes a text that others chose harmless: it stays one line and reads as
// it is, in a table too. What cannot be seen becomes a space.
func escape(text string) string {
	var b strings.Builder
	shown := 0
	text = strings.ToValidUTF8(text, "\ufffd")
	for i, r := range text {
		if shown == longest {
			b.WriteRune('…')
			break
		}
		shown++
		switch {
		case !unicode.IsGraphic(r) || unicode.IsSpace(r):
			b.WriteByte(' ')
		case strings.ContainsRune(special, r), linking(text[:i], text[i:]):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

// linking says whether what follows would begin an address that renderers make a
// link of by themselves.
func linking(before, after string) bool {
	return strings.HasPrefix(after, "://") || after[0] == '.' && strings.HasSuffix(strings.ToLower(before), "www")
}

// table is a table whose cells are Markdown already.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write aligns the columns, so that the source can be read as well.
func (t *table) write(b *bytes.Buffer) {
	width := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell), len("---"))
		}
	}
	line := make([]string, len(t.head))
	for i := range line {
		line[i] = strings.Repeat("-", width[i])
	}
	for _, row := range append([][]string{t.head, line}, t.rows...) {
		b.WriteByte('|')
		for i, cell := range row {
			fmt.Fprintf(b, " %s%s |", cell, strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteByte('\n')
	}
}
