package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// heedEvery is how many rows a scan reads between looks at its context.
const heedEvery = 1024

// errPageFull ends a scan whose page is full.
var errPageFull = errors.New("the page is full")

// ScanLayers implements store.Layers.
func (s *Store) ScanLayers(ctx context.Context, tenant config.TenantID, scan store.Scan) ([]store.Layer, store.Cursor, error) {
	sc := scanner[store.Layer]{
		scan:  scan,
		kind:  "layers",
		below: scanLayersBelow,
		exact: scanLayer,
		older: selectLayerAt,
		item:  layerOf,
		live:  func(l store.Layer) bool { return l.State != store.Deleted },
		path:  func(l store.Layer) config.Path { return l.Path },
	}
	return sc.read(ctx, s, tenant)
}

const (
	scanLayers = `
SELECT ` + layerColumns + `
FROM layers h CROSS JOIN layer_versions v ON v.row = h.row
WHERE h.tenant = ? AND h.environment IN (SELECT value FROM json_each(?)) `

	scanLayersBelow = scanLayers + `AND h.path > ? AND h.path < ? ORDER BY h.path, h.environment`
	scanLayer       = scanLayers + `AND h.path = ? ORDER BY h.environment`

	selectLayerAt = `
SELECT ` + layerColumns + ` FROM layer_versions v
WHERE v.tenant = ? AND v.path = ? AND v.environment = ? AND v.revision <= ? ORDER BY v.revision DESC LIMIT 1`
)

// scanner reads what environments have at paths, in the order of the paths, and
// collects what is at one path until the next begins. A row begins with path,
// environment, version and revision.
type scanner[T any] struct {
	scan  store.Scan
	kind  string // what the cursor is bound to
	below string // finds the rows between two paths
	exact string // finds the rows at one
	older string // finds a row as it stood at scan.At
	item  func(row) (T, error)
	live  func(T) bool // selects the path
	path  func(T) config.Path

	*conn
	ctx          context.Context
	tenant       config.TenantID
	environments string      // as JSON
	rows         int         // read so far
	at           config.Path // being collected
	match        bool        // the glob selects it
	collected    []T         // at it, in the environments asked for
	paths        int         // selected so far
	items        []T         // of the paths selected
}

// read answers a page.
func (s *scanner[T]) read(ctx context.Context, from *Store, tenant config.TenantID) ([]T, store.Cursor, error) {
	if err := checkLimit(s.scan.Page.Limit); err != nil {
		return nil, "", err
	}
	query := store.Query{Tenant: tenant, Parts: []string{
		s.kind, fmt.Sprint(s.scan.At), fmt.Sprint(s.scan.Environments), s.scan.Prefix.String(), s.scan.Glob.String(),
	}}
	after, err := store.DecodeCursor(query, s.scan.Page.Cursor)
	if err != nil {
		return nil, "", err
	}
	environments, err := json.Marshal(s.scan.Environments)
	if err != nil {
		return nil, "", err
	}
	s.ctx, s.tenant, s.environments = ctx, tenant, string(environments)
	err = from.snapshot(ctx, func(c *conn) error { s.conn = c; return s.run(after) })
	switch {
	case err == nil:
		return s.items, "", nil
	case errors.Is(err, errPageFull):
		return s.items, store.EncodeCursor(query, s.path(s.items[len(s.items)-1]).String()), nil
	}
	return nil, "", err
}

// run scans the paths behind after. A prefix is two ranges: the path itself and,
// after siblings such as "gateway-eu", what is below it: "/" to before "0".
func (s *scanner[T]) run(after string) error {
	low, high := after, "\x7f"
	if prefix := s.scan.Prefix.String(); prefix != "" {
		if after == "" {
			if err := s.query(s.exact, s.newest, s.tenant[:], s.environments, prefix); err != nil {
				return err
			}
		}
		low, high = max(after, prefix+"/"), prefix+"0"
	}
	if err := s.query(s.below, s.newest, s.tenant[:], s.environments, low, high); err != nil {
		return err
	}
	return s.endPath()
}

// newest takes the newest version, or the one before it that the scan's
// revision asks for.
func (s *scanner[T]) newest(r row) error {
	if s.rows++; s.rows%heedEvery == 0 && s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if r.text(0) != s.at.String() {
		if err := s.beginPath(r); err != nil {
			return err
		}
	}
	if !s.match {
		return nil
	}
	if at := s.scan.At; at != 0 && config.Revision(r.int(3)) > at {
		return s.query(s.older, s.collect, s.tenant[:], r.text(0), r.int(1), int64(at))
	}
	return s.collect(r)
}

func (s *scanner[T]) collect(r row) error {
	item, err := s.item(r)
	s.collected = append(s.collected, item)
	return err
}

func (s *scanner[T]) beginPath(r row) error {
	if err := s.endPath(); err != nil {
		return err
	}
	path, err := r.path(0)
	s.at, s.match = path, s.scan.Glob.Match(path)
	return err
}

// endPath adds what was collected at a path, if any of it is live.
func (s *scanner[T]) endPath() error {
	if slices.ContainsFunc(s.collected, s.live) {
		if s.paths == s.scan.Page.Limit {
			return errPageFull
		}
		s.paths++
		s.items = append(s.items, s.collected...)
	}
	s.collected = s.collected[:0]
	return nil
}
