package api

import (
	"encoding/json"
	"time"
)

// RouteAuditSchema is the JSON Schema of records and of the lines of exports.
const RouteAuditSchema = RouteDocumentation + "/audit-schema.json"

// EventRecord names the events of an audit tail: data is an AuditRecord, id its
// sequence. Beside them there is EventProgress: no record up to id is wanted.
const EventRecord = "record"

// AuditRecord is a record in its place in a chain.
type AuditRecord struct {
	Sequence int64           `json:"sequence"`
	Hash     string          `json:"hash" doc:"Of the chain up to this record, SHA-256 in hexadecimal"`
	Record   json.RawMessage `json:"record" doc:"As it was written, in RFC 8785 form; /docs/audit-schema.json describes it"`
}

// AuditEvent is what a record says. Members that are empty are left out.
type AuditEvent struct {
	Schema    int               `json:"schema"`
	Time      time.Time         `json:"time"`
	Event     string            `json:"event"`
	Actor     string            `json:"actor,omitempty"`
	Tenant    string            `json:"tenant,omitempty"`
	Action    string            `json:"action,omitempty"`
	Resource  string            `json:"resource,omitempty"`
	Resources []string          `json:"resources,omitempty"`
	Outcome   string            `json:"outcome,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Revision  int64             `json:"revision,omitempty"`
	RequestID string            `json:"request_id,omitempty"`
	Session   string            `json:"session,omitempty"`
	Source    string            `json:"source,omitempty"`
	TraceID   string            `json:"trace_id,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"`
	Details   map[string]string `json:"details,omitempty"`
}

// AuditPage is a page of records, newest first.
type AuditPage struct {
	Records []AuditRecord `json:"records"`
	Next    string        `json:"next_cursor,omitempty"`
}

// AuditCounts is how many records there are, by what was asked for.
type AuditCounts struct {
	By     []string     `json:"by"`
	Window string       `json:"window,omitempty" doc:"Length of the windows, such as 1h0m0s"`
	Counts []AuditCount `json:"counts" doc:"By window, and within it the most first"`
}

// AuditCount is a group of records.
type AuditCount struct {
	Start   *time.Time        `json:"start,omitempty" doc:"When its window begins"`
	Group   map[string]string `json:"group"`
	Records int64             `json:"records"`
	Total   int64             `json:"total" doc:"What they stand for: a record of a count stands for as many as it says"`
}

// AuditStatus is where a chain stands.
type AuditStatus struct {
	Origin     string           `json:"origin" doc:"The chain's name in checkpoints and exports"`
	Sequence   int64            `json:"sequence" doc:"Of the newest record"`
	Hash       string           `json:"hash"`
	Time       *time.Time       `json:"time,omitempty" doc:"Of the newest record"`
	Hot        int64            `json:"hot" doc:"Records in the database"`
	Warm       AuditTier        `json:"warm" doc:"Records in compressed segments in the database"`
	Cold       AuditTier        `json:"cold" doc:"Records in segments in the archive"`
	Disposed   int64            `json:"disposed" doc:"Records that were disposed of"`
	Indexed    int64            `json:"indexed" doc:"Up to which record the search index reaches"`
	Checkpoint *AuditCheckpoint `json:"checkpoint,omitempty" doc:"The newest"`
	Hold       *AuditHold       `json:"hold,omitempty" doc:"The legal hold"`
	Broken     string           `json:"broken,omitempty" doc:"What was found wrong with the chain when it was last looked at in the background"`
}

// AuditTier is the records that are kept in one place.
type AuditTier struct {
	Records  int64 `json:"records"`
	Segments int64 `json:"segments"`
	Bytes    int64 `json:"bytes"`
}

// AuditCheckpoint is a signed note of where a chain stood.
type AuditCheckpoint struct {
	Sequence int64     `json:"sequence"`
	Time     time.Time `json:"time"`
	Note     string    `json:"note" doc:"A signed note as C2SP has it; save it as it is"`
}

// AuditCheckpoints is a page of checkpoints, newest first.
type AuditCheckpoints struct {
	Checkpoints []AuditCheckpoint `json:"checkpoints"`
	Next        string            `json:"next_cursor,omitempty"`
}

// AuditHold keeps a chain from being disposed of.
type AuditHold struct {
	Reason string    `json:"reason"`
	Author string    `json:"author"`
	Time   time.Time `json:"time"`
}

// PutAuditHold sets a legal hold.
type PutAuditHold struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1024" doc:"Why, such as the name of a case"`
}

// AuditHoldResult says that a hold was set or lifted.
type AuditHoldResult struct {
	Hold *AuditHold `json:"hold,omitempty" doc:"Absent when it was lifted"`
}

// AuditKey is a version of the key that signs checkpoints.
type AuditKey struct {
	Version int64     `json:"version"`
	Public  string    `json:"public" doc:"As verifiers take it: name+hash+base64"`
	Created time.Time `json:"created"`
}

// AuditKeys are all versions, oldest first.
type AuditKeys struct {
	Keys []AuditKey `json:"keys"`
}

// AuditProgress is a line of what verifying answers; the last one has the report.
type AuditProgress struct {
	Checked int64        `json:"checked"`
	Of      int64        `json:"of" doc:"May grow while records are written"`
	Report  *AuditReport `json:"report,omitempty"`
}

// AuditReport is what verifying a chain found.
type AuditReport struct {
	Origin      string      `json:"origin"`
	Holds       bool        `json:"holds"`
	Broken      *AuditBreak `json:"broken,omitempty" doc:"The first place at which it does not hold"`
	First       int64       `json:"first" doc:"The first record that was read; 0 for none"`
	Last        int64       `json:"last" doc:"The last record that holds"`
	Hash        string      `json:"hash" doc:"Of that record"`
	Records     int64       `json:"records" doc:"That were read and hold"`
	Disposed    int64       `json:"disposed" doc:"That were disposed of, as later records attest"`
	Checkpoints int64       `json:"checkpoints" doc:"That hold"`
	Signed      int64       `json:"signed" doc:"Up to which record a checkpoint is signed; 0 for none"`
	SignedAt    *time.Time  `json:"signed_at,omitempty"`
}

// AuditBreak is a place at which a chain does not hold.
type AuditBreak struct {
	Sequence int64  `json:"sequence"`
	Reason   string `json:"reason"`
}
