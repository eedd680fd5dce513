package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// auditCheck verifies a chain here, by its export, so that whoever kept the
// records need not be trusted.
type auditCheck struct {
	app   *app
	file  string
	keys  []string
	notes [][]byte // checkpoints that were kept elsewhere
}

// checked is a report and what only a check made here knows.
type checked struct {
	*api.AuditReport
	begins    uint64 // the record behind which the export begins
	unsigned  bool   // no key was given
	unchecked int    // checkpoints of what lies before the export's beginning
}

// Bounds of what is named on the command line.
const (
	maxKeyFile = 64 << 10
	maxNotes   = 10_000
)

// readKeys reads public keys: each is one, or @ and a file of them.
func readKeys(given []string) (keys []string, _ error) {
	for _, text := range given {
		if file, named := strings.CutPrefix(text, "@"); named {
			b, err := readFileBounded(file, maxKeyFile)
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		lines := strings.Fields(text)
		if len(lines) == 0 {
			return nil, failf("--key names no key").hint("`llm-config audit key ls -o value` prints the server's")
		}
		for _, key := range lines {
			if err := audit.CheckPublic(key); err != nil {
				return nil, failf("%v", err).hint("write it as `llm-config audit key ls -o value` prints it")
			}
		}
		keys = append(keys, lines...)
	}
	return keys, nil
}

func readNotes(files []string) (notes [][]byte, _ error) {
	if len(files) > maxNotes {
		return nil, failf("%d checkpoints are named, and %d may be", len(files), maxNotes).hint("the newest ones tell the most")
	}
	for _, file := range files {
		note, err := readFileBounded(file, audit.MaxNote)
		if err != nil {
			return nil, err
		}
		notes = append(notes, note)
	}
	return notes, nil
}

func readFileBounded(name string, most int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = failf("%s is over %d bytes", name, most).hint("is it the right file?")
	}
	return text, err
}

// zstdMagic is what a compressed segment begins with (RFC 8878).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// exportFile verifies the export in the file that was named.
func (k *auditCheck) exportFile() (checked, error) {
	in := k.app.stdin
	if k.file != "-" {
		file, err := os.Open(k.file)
		if err != nil {
			return checked{}, err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	start := bufio.NewReader(in)
	in = start
	if head, _ := start.Peek(len(zstdMagic)); bytes.Equal(head, zstdMagic) {
		unpacked, err := audit.NewUnpacker(start)
		if err != nil {
			return checked{}, err
		}
		defer func() { _ = unpacked.Close() }()
		in = &boundedReader{unpacked, audit.MaxSegment}
	}
	report, err := k.export(in)
	if err != nil {
		return report, fmt.Errorf("%s: %w", k.file, err)
	}
	return report, nil
}

// boundedReader fails behind so many bytes: a few that are packed can be very many.
type boundedReader struct {
	io.Reader
	left int64
}

func (r *boundedReader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, failf("unpacked, it has more than the %d bytes that a segment has at most", int64(audit.MaxSegment)).
			hint("unpack it yourself if it is a larger export: zstd -dc FILE | llm-config audit verify --file -")
	}
	n, err := r.Reader.Read(b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	return n, err
}

// export verifies an export.
func (k *auditCheck) export(in io.Reader) (checked, error) {
	shown, read := k.app.telling(), &countingReader{Reader: in}
	defer shown.end()
	read.told = func() { shown.tell("verifying: %s read", sizeText(read.bytes)) }
	lines, err := audit.NewImporter(read)
	if err != nil {
		return checked{}, err
	}
	if lines.Filtered {
		return checked{}, failf("records were left out of this export on purpose, so that it is no chain").hint("export it without filters to verify it")
	}
	f := audit.NewFollower(lines.Origin, lines.From, k.keys...)
	for _, note := range k.notes {
		if err := f.Expect(note); err != nil {
			return checked{}, fmt.Errorf("a checkpoint that was given: %w", err)
		}
	}
	if err := f.Export(lines); err != nil {
		return checked{}, err
	}
	report := f.Finish()
	return checked{reportOf(report), report.From.Sequence, len(k.keys) == 0, report.Unchecked}, nil
}

// reportOf is a report as the server would write it.
func reportOf(r audit.Report) *api.AuditReport {
	report := &api.AuditReport{
		Origin: r.Origin, Holds: r.Broken == nil,
		Last: int64(r.Head.Sequence), Hash: fmt.Sprintf("%x", r.Head.Hash),
		Records: int64(r.Records), Disposed: int64(r.Disposed), Checkpoints: int64(r.Checkpoints),
		Signed: int64(r.Signed.Head.Sequence),
	}
	if report.Records > 0 {
		report.First = report.Last - report.Records + 1
	}
	if report.Signed > 0 {
		report.SignedAt = &r.Signed.Time
	}
	if r.Broken != nil {
		report.Broken = &api.AuditBreak{Sequence: int64(r.Broken.Sequence), Reason: r.Broken.Reason}
	}
	return report
}
