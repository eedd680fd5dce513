package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"math"
	"math/bits"
	"slices"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// newLink is a link of a tenant's chain that is yet to be inserted.
type newLink struct {
	audit.Link
	chain *tenantState
}

// linksAtOnce is how many links one statement inserts at most. Each statement
// costs about as much as the row it inserts. It is a power of two.
const linksAtOnce = 64

// append adds a record to the tenant's chain. Its row is inserted with those of
// the other writes of the group.
func (t *tx) append(s *tenantState, record audit.Record) error {
	t.touch(s)
	link := s.audit.Next(record.Canonical())
	s.audit = link.Head()
	t.links = append(t.links, newLink{link, s})
	if len(t.links) < linksAtOnce {
		return nil
	}
	return t.insertLinks()
}

// insertLinks inserts what was appended, in its order. Whoever asks the table
// audit within a transaction does so first.
func (t *tx) insertLinks() error {
	var room [4 * linksAtOnce]driver.Value
	for links := t.links; len(links) > 0; {
		n := min(bits.Len(uint(len(links))), len(linkInserts)) - 1
		arguments := room[:0]
		for i := range links[:1<<n] {
			l := &links[i]
			arguments = append(arguments, l.chain.id[:], int64(l.Sequence), l.Hash[:], l.Record)
		}
		if err := t.exec(linkInserts[n], arguments...); err != nil {
			return taken(err)
		}
		links = links[1<<n:]
	}
	clear(t.links)
	t.links = t.links[:0]
	return nil
}

// taken says of a link that could not be inserted because its number has one
// already, that this is so. Only somebody who wrote to the database can have put it
// there: the chain is broken, and takes nothing until it was seen to.
func taken(err error) error {
	var failure *sqlite.Error
	if errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
		return unavailable("the audit chain takes no record: there is one behind its end that the server did not write", err).
			Hint("`llm-config audit verify` names it; take a copy of the data before you do anything else")
	}
	return err
}

// linkInserts are the statements that insert 1, 2, 4 … linksAtOnce links.
var linkInserts = func() (texts []string) {
	const one = "(?, ?, ?, ?)"
	for n := 1; n <= linksAtOnce; n *= 2 {
		texts = append(texts, "INSERT INTO audit (tenant, sequence, hash, record) VALUES "+strings.Repeat(one+", ", n-1)+one)
	}
	return texts
}()

const (
	selectLinks = `
SELECT sequence, hash, record FROM audit WHERE tenant = ? AND sequence > ? ORDER BY sequence LIMIT ?`

	selectLinksBack = `
SELECT sequence, hash, record FROM audit WHERE tenant = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?`

	selectLink = `
SELECT sequence, hash, record FROM audit WHERE tenant = ? AND sequence = ?`
)

// Audit implements store.Auditor.
func (s *Store) Audit(ctx context.Context, tenant config.TenantID, after uint64, limit int) ([]audit.Link, error) {
	return s.links(ctx, selectLinks, tenant, after, limit)
}

// AuditBack implements store.Chains.
func (s *Store) AuditBack(ctx context.Context, tenant config.TenantID, before uint64, limit int) ([]audit.Link, error) {
	return s.links(ctx, selectLinksBack, tenant, before, limit)
}

func (s *Store) links(ctx context.Context, text string, tenant config.TenantID, from uint64, limit int) ([]audit.Link, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var links []audit.Link
	err := s.read(ctx, func(c *conn) error {
		return c.query(text, func(r row) error { links = append(links, linkOf(r)); return nil },
			tenant[:], toSequence(from), int64(limit))
	})
	return links, err
}

// AuditOf implements store.Chains.
func (s *Store) AuditOf(ctx context.Context, tenant config.TenantID, sequences []uint64) ([]audit.Link, error) {
	sequences = slices.Compact(slices.Sorted(slices.Values(sequences)))
	links := make([]audit.Link, 0, len(sequences))
	err := s.snapshot(ctx, func(c *conn) error {
		for i, sequence := range sequences {
			if i%heedEvery == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err := c.query(selectLink, func(r row) error { links = append(links, linkOf(r)); return nil },
				tenant[:], toSequence(sequence))
			if err != nil {
				return err
			}
		}
		return nil
	})
	return links, err
}

const selectFeed = `
SELECT sequence, hash, record, tenant, row FROM audit WHERE row > ? ORDER BY row LIMIT ?`

// AuditFeed implements store.Chains. Rows are in the order of commits.
func (s *Store) AuditFeed(ctx context.Context, after int64, limit int) ([]store.FedLink, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var links []store.FedLink
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectFeed, func(r row) error {
			links = append(links, store.FedLink{Link: linkOf(r), Tenant: r.tenant(3), Position: r.int(4)})
			return nil
		}, after, int64(limit))
	})
	return links, err
}

// The newest link of a chain stays hot, so that the highest row is that of a link
// which is there.
const selectFeedEnd = `SELECT coalesce(max(row), 0) FROM audit`

// FeedEnd implements store.Chains.
func (s *Store) FeedEnd(ctx context.Context) (int64, error) {
	var end int64
	err := s.read(ctx, func(c *conn) (err error) {
		end, err = c.count(selectFeedEnd)
		return err
	})
	return end, err
}

func linkOf(r row) audit.Link {
	return audit.Link{Sequence: uint64(r.int(0)), Hash: r.hash(1), Record: r.bytes(2)}
}

// toSequence is a sequence number as it is stored: the highest that can be for
// one beyond.
func toSequence(sequence uint64) int64 { return int64(min(sequence, math.MaxInt64)) }
