package sqlite

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (s *Store) Chain(ctx context.Context, tenant config.TenantID) (store.Chain, error) {
	panic("not yet")
}
func (s *Store) ScanChains(ctx context.Context, scan store.ChainScan) ([]store.Chain, error) {
	panic("not yet")
}
func (s *Store) AuditBack(ctx context.Context, tenant config.TenantID, before uint64, limit int) ([]audit.Link, error) {
	panic("not yet")
}
func (s *Store) AuditOf(ctx context.Context, tenant config.TenantID, sequences []uint64) ([]audit.Link, error) {
	panic("not yet")
}
func (s *Store) AuditFeed(ctx context.Context, after int64, limit int) ([]store.FedLink, error) {
	panic("not yet")
}
func (s *Store) Segments(ctx context.Context, tenant config.TenantID, after uint64, limit int) ([]store.Segment, error) {
	panic("not yet")
}
func (s *Store) FedSegment(ctx context.Context, after int64) (store.Segment, error) { panic("not yet") }
func (s *Store) SegmentBody(ctx context.Context, tenant config.TenantID, first uint64) ([]byte, error) {
	panic("not yet")
}
func (s *Store) PackLinks(ctx context.Context, tenant config.TenantID, segment store.Segment, body []byte) error {
	panic("not yet")
}
func (s *Store) ArchiveSegment(ctx context.Context, tenant config.TenantID, first uint64, location string) error {
	panic("not yet")
}
func (s *Store) DisposeSegment(ctx context.Context, tenant config.TenantID, first uint64, record audit.Record) error {
	panic("not yet")
}
func (s *Store) ForgetLocation(ctx context.Context, tenant config.TenantID, first uint64) error {
	panic("not yet")
}
func (s *Store) Hold(ctx context.Context, tenant config.TenantID, hold store.Hold, record audit.Record) error {
	panic("not yet")
}
func (s *Store) PutBlock(ctx context.Context, tenant config.TenantID, block store.Block) error {
	panic("not yet")
}
func (s *Store) Blocks(ctx context.Context, tenant config.TenantID, before uint64, limit int) ([]store.Block, error) {
	panic("not yet")
}
func (s *Store) PutCheckpoints(ctx context.Context, checkpoints []store.Checkpoint) error {
	panic("not yet")
}
func (s *Store) Checkpoints(ctx context.Context, tenant config.TenantID, page store.Page) ([]store.Checkpoint, store.Cursor, error) {
	panic("not yet")
}
func (s *Store) CheckpointsFrom(ctx context.Context, tenant config.TenantID, sequence uint64, limit int) ([]store.Checkpoint, error) {
	panic("not yet")
}
func (s *Store) CheckpointFeed(ctx context.Context, after int64, limit int) ([]store.Checkpoint, error) {
	panic("not yet")
}
func (s *Store) ThinCheckpoints(ctx context.Context, tenant config.TenantID, before time.Time) error {
	panic("not yet")
}
func (s *Store) SigningKeys(ctx context.Context) ([]store.SigningKey, error) { panic("not yet") }
func (s *Store) AddSigningKey(ctx context.Context, key store.SigningKey, record audit.Record) error {
	panic("not yet")
}
func (s *Store) Position(ctx context.Context, consumer string) (int64, error) { panic("not yet") }
func (s *Store) PutPosition(ctx context.Context, consumer string, position int64) error {
	panic("not yet")
}
