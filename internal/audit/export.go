package audit

import (
	"io"
)

// Format is the version of the export's form.
const Format = "llm-config-audit/1"

// MaxLine bounds a line of an export in bytes.
const MaxLine = 4 << 20

// Stub stands for records that were disposed of.
type Stub struct {
	First, Last uint64
	From        [32]byte // hash of the link before First
	Hash        [32]byte // hash of link Last
}

// DisposeEvent is the event of the record that attests a Stub; its details are
// those of DisposeDetails.
const DisposeEvent = "audit.dispose"

// DisposeDetails are the details of the record that attests a Stub: first, last,
// from, hash.
func (s Stub) DisposeDetails() map[string]string { panic("not yet") }

// Exporter writes an export.
type Exporter struct {
	w io.Writer
}

// NewExporter begins an export of a chain behind from with its header line.
// filtered says that records are left out on purpose.
func NewExporter(w io.Writer, origin string, from Head, filtered bool) (*Exporter, error) {
	panic("not yet")
}

// Link writes a record.
func (e *Exporter) Link(l Link) error { panic("not yet") }

// Stub writes what stands for records that were disposed of.
func (e *Exporter) Stub(s Stub) error { panic("not yet") }

// Checkpoint writes a signed note.
func (e *Exporter) Checkpoint(note []byte) error { panic("not yet") }

// End writes the last line: where the chain stands after what was written.
func (e *Exporter) End() error { panic("not yet") }

// Line is one line of an export that was read: one of its members is set.
type Line struct {
	Link       *Link
	Stub       *Stub
	Checkpoint []byte
	End        *Head
}

// Importer reads an export line by line, in memory of one line.
type Importer struct {
	Origin   string
	From     Head
	Filtered bool
}

// NewImporter reads the header.
func NewImporter(r io.Reader) (*Importer, error) { panic("not yet") }

// Next answers the next line; io.EOF after the last one. The error names the
// line. What Line holds is good until the next call.
func (i *Importer) Next() (Line, error) { panic("not yet") }

// AppendCloudEvent writes a record as a CloudEvents 1.0 event in JSON: id is the
// sequence number, source the chain's origin, type the event.
func AppendCloudEvent(b []byte, origin string, l Link) ([]byte, error) { panic("not yet") }
