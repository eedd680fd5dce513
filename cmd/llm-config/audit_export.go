package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/client"
)

// Forms of an export.
const (
	formNDJSON      = "ndjson"
	formCloudEvents = "cloudevents"
)

func newAuditExportCommand(a *app) *cobra.Command {
	c := a.command("export", "Write audit records into a file",
		`Write all records of a chain, or those that the flags of search select, to standard
output or into a file, which is there whole or not at all and only its owner can read.

ndjson can be verified, by `+"`audit verify --file`"+` and by the program llm-config-verify,
unless records were left out of it; it ends with a line that says so. cloudevents has
one event a line, as CloudEvents 1.0, and is for other programs.`,
		`  llm-config audit export -f acme.ndjson
  llm-config audit export -f acme-later.ndjson --after 120000
  llm-config audit export --server --since 24h --format cloudevents
  llm-config audit export --event 'secret.*' | jq .record.actor`)
	s, out, filter := a.auditScope(c), a.outputFlag(c, listFormats...), newAuditFilter(c)
	x := &auditExport{app: a}
	var options client.ExportOptions
	c.Flags().StringVarP(&x.File, "file", "f", "-", "`FILE` to write, - for standard output")
	c.Flags().StringVar(&options.Form, "format", formNDJSON, "the `FORM` of the export: ndjson, cloudevents")
	c.Flags().Int64Var(&options.After, "after", 0, "begin behind the record of this `NUMBER`")
	complete(c, "format", cobra.FixedCompletions([]cobra.Completion{formNDJSON, formCloudEvents}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		switch {
		case options.Form != formNDJSON && options.Form != formCloudEvents:
			return failf("there is no form %q of an export", options.Form).hint("there are ndjson and cloudevents")
		case options.After < 0:
			return failf("%d is not the number of a record", options.After).hint("give --after one from 0 up")
		case x.File == "-" && c.Flags().Changed("output"):
			return failf("-o is how to print what was written, and to standard output the export itself goes").hint("name a file with -f, or leave -o out")
		}
		if options.Query, err = filter.query(c, time.Now()); err != nil {
			return err
		}
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		x.Format = options.Form
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := x.run(ctx, from, options); err != nil || x.File == "-" {
			return err
		}
		return out.show(view{data: x, values: []string{x.File}, people: func(p *printer) {
			p.printf("%s holds %s (%s)\n", clean(x.File), counted(int(x.Records), "record"), sizeText(x.Bytes))
		}})
	}
	return c
}

// auditExport is one `audit export`: what was written, and where.
type auditExport struct {
	app *app

	File    string `json:"file"`
	Format  string `json:"format"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
}

func (x *auditExport) run(ctx context.Context, from *client.AuditChain, options client.ExportOptions) error {
	write := func(w io.Writer) error { return x.download(ctx, from, options, w) }
	var err error
	if x.File == "-" {
		err = write(x.app.stdout)
	} else {
		err = writeWhole(x.File, write)
	}
	if ctx.Err() != nil && x.File != "-" {
		return failf("the export was interrupted, and %s is not written", x.File).hint("run it again")
	}
	return err
}

func (x *auditExport) download(ctx context.Context, from *client.AuditChain, options client.ExportOptions, w io.Writer) (err error) {
	body, err := from.Export(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	shown := x.app.telling()
	defer shown.end()
	lines := &exportLines{}
	_, err = io.Copy(io.MultiWriter(w, lines), &countingReader{Reader: body, told: func() {
		if x.File != "-" || !isTerminal(w) { // where it would stand between the records
			shown.tell("exporting: %d records, %s", lines.records(x.Format), sizeText(lines.bytes))
		}
	}})
	x.Records, x.Bytes = lines.records(x.Format), lines.bytes
	if err == nil && !lines.whole(x.Format) {
		err = failf("the export was cut off after %s: its last line, the end, is missing", counted(int(x.Records), "record")).
			hint("run it again; the server's log has the cause")
	}
	return err
}

// exportLines counts the lines of an export as it passes by.
type exportLines struct {
	bytes   int64
	lines   int64
	links   int64  // lines that are records
	current []byte // how the line begins that is being read
	ended   bool   // the last line is the end
}

// lineStart is how much of a line tells what it is.
const lineStart = 8

func (l *exportLines) Write(p []byte) (int, error) {
	l.bytes += int64(len(p))
	for rest := p; len(rest) > 0; {
		line, next, whole := bytes.Cut(rest, []byte{'\n'})
		l.current = append(l.current, line[:min(len(line), lineStart-len(l.current))]...)
		l.ended = false
		if whole {
			l.lines++
			l.ended = bytes.HasPrefix(l.current, []byte(`{"end":`))
			if bytes.HasPrefix(l.current, []byte(`{"hash":`)) {
				l.links++
			}
			l.current = l.current[:0]
		}
		rest = next
	}
	return len(p), nil
}

// records are how many the export holds: of cloudevents every line is one.
func (l *exportLines) records(form string) int64 {
	if form == formCloudEvents {
		return l.lines
	}
	return l.links
}

// whole says that the export was not cut off. Of cloudevents, which have no end,
// only the last line can be told to be whole; that the rest is, is the
// connection's to say.
func (l *exportLines) whole(form string) bool {
	if form == formCloudEvents {
		return len(l.current) == 0
	}
	return l.ended
}

// writeWhole makes a file that only its owner can read when all of it is
// written. A file that is there is replaced then, and left as it is otherwise.
func writeWhole(name string, write func(io.Writer) error) (err error) {
	// Hidden, so that what a crash leaves is not taken for the file.
	next, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return about(name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(next.Name()))
		}
	}()
	if err = write(next); err != nil {
		return errors.Join(err, next.Close())
	}
	err = errors.Join(next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), name)
	}
	return about(name, err)
}

// about says of what file somebody named an error of the system is, in the place
// of one that only the program knows.
func about(name string, err error) error {
	if of, ok := errors.AsType[*os.PathError](err); ok {
		return &os.PathError{Op: "write", Path: name, Err: of.Err}
	}
	if of, ok := errors.AsType[*os.LinkError](err); ok {
		return &os.PathError{Op: "write", Path: name, Err: of.Err}
	}
	return err
}

// telling tells a person at a terminal how far work is whose end is not known.
// Work that is done within a second says nothing.
type telling struct {
	p            *printer
	began, shown time.Time
}

func (a *app) telling() *telling { return &telling{p: a.errors(), began: time.Now()} }

// tell shows a line, if it is time to.
func (t *telling) tell(format string, args ...any) {
	now := time.Now()
	if !t.p.terminal || now.Sub(t.began) < progressAfter || now.Sub(t.shown) < progressEvery {
		return
	}
	t.shown = now
	t.p.printf("\r\x1b[K"+format, args...)
}

// end takes the line away.
func (t *telling) end() {
	if !t.shown.IsZero() {
		t.p.printf("\r\x1b[K")
	}
}

// countingReader counts what is read, and calls told after each read.
type countingReader struct {
	io.Reader
	bytes int64
	told  func()
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.bytes += int64(n)
	r.told()
	return n, err
}
