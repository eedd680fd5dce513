package service

import (
	"context"
	"io"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Chain names the audit chain that a caller asks for: a tenant's, the server's,
// or that of a tenant that was deleted.
type Chain struct {
	Tenant  string // name; "" for the server's chain
	Deleted string // id of a deleted tenant, instead
}

// AuditPage is a page of records, newest first.
type AuditPage struct {
	Links []audit.Link
	Next  Cursor
}

// AuditStatus is where a chain stands, and where its records are.
type AuditStatus struct {
	store.Chain
	Origin     string
	Warm, Cold AuditTier
	Disposed   uint64
	Newest     *store.Checkpoint // nil for none
	Broken     string            // what was found wrong in the background; "" for nothing
}

// AuditTier is the records that are kept in one place.
type AuditTier struct{ Records, Segments, Bytes int64 }

// AuditCounts are records counted.
type AuditCounts struct {
	By     []audit.Dimension
	Window time.Duration
	Groups []AuditGroup // by window, and within it the most first
}

// AuditGroup is a group of them.
type AuditGroup struct {
	Start  time.Time // zero without windows
	Values []string  // by AuditCounts.By
	audit.Count
}

// ExportForm is the form of an export.
type ExportForm string

// The forms.
const (
	ExportNDJSON      ExportForm = "ndjson"      // can be verified
	ExportCloudEvents ExportForm = "cloudevents" // one event a line
)

// ExportRequest asks for an export.
type ExportRequest struct {
	Form   ExportForm
	After  uint64 // begin behind this record; 0 from the start
	Filter audit.Filter
}

// Audit answers the records of a chain that a filter selects.
func (s *Service) Audit(ctx context.Context, who Caller, chain Chain, filter audit.Filter, page Page) (AuditPage, error) {
	panic("not yet")
}

// AuditCounts counts the records of a chain that a filter selects, by at most two
// dimensions and, unless it is 0, windows of time.
func (s *Service) AuditCounts(ctx context.Context, who Caller, chain Chain, filter audit.Filter, by []audit.Dimension, window time.Duration) (AuditCounts, error) {
	panic("not yet")
}

// ExportAudit decides on an export and puts it on record; then write writes it.
// An error of write means that the export is cut off.
func (s *Service) ExportAudit(ctx context.Context, who Caller, chain Chain, request ExportRequest) (write func(io.Writer) error, err error) {
	panic("not yet")
}

// AuditTail follows a chain.
type AuditTail struct{}

// TailAudit follows the records of a chain that a filter selects, from behind a
// record on; nil begins with what comes next.
func (s *Service) TailAudit(ctx context.Context, who Caller, chain Chain, filter audit.Filter, after *uint64) (*AuditTail, error) {
	panic("not yet")
}

// Next answers what has come since, at most some hundred records, perhaps none,
// and never waits. It fails once the caller may not read the chain any more.
func (t *AuditTail) Next(ctx context.Context) ([]audit.Link, error) { panic("not yet") }

// Position is the last record that was looked at.
func (t *AuditTail) Position() uint64 { panic("not yet") }

// Close makes room for another.
func (t *AuditTail) Close() { panic("not yet") }

// VerifyAudit follows a whole chain and its checkpoints, those given included.
// progress is told at most once a second how far it is.
func (s *Service) VerifyAudit(ctx context.Context, who Caller, chain Chain, progress func(checked, of uint64)) (audit.Report, error) {
	panic("not yet")
}

// AuditStatus answers where a chain stands.
func (s *Service) AuditStatus(ctx context.Context, who Caller, chain Chain) (AuditStatus, error) {
	panic("not yet")
}

// AuditCheckpoints answers a page of the signed checkpoints of a chain, newest first.
func (s *Service) AuditCheckpoints(ctx context.Context, who Caller, chain Chain, page Page) ([]store.Checkpoint, Cursor, error) {
	panic("not yet")
}

// AuditKeys answers the public keys that checkpoints are signed with. They are for everybody
// who is somebody.
func (s *Service) AuditKeys(ctx context.Context) ([]store.SigningKey, error) { panic("not yet") }

// RotateAuditKey makes a new key for checkpoints. The first checkpoint of each
// chain after it is signed by both.
func (s *Service) RotateAuditKey(ctx context.Context, who Caller) ([]store.SigningKey, error) {
	panic("not yet")
}

// HoldAudit sets the legal hold of a chain; an empty reason lifts it.
func (s *Service) HoldAudit(ctx context.Context, who Caller, chain Chain, reason string) (*store.Hold, error) {
	panic("not yet")
}
