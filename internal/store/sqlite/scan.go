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
	if err := checkLimit(scan.Page.Limit); err != nil {
		return nil, "", err
	}
	query := store.Query{Tenant: tenant, Parts: []string{
		"layers", fmt.Sprint(scan.At), fmt.Sprint(scan.Environments), scan.Prefix.String(), scan.Glob.String(),
	}}
	after, err := store.DecodeCursor(query, scan.Page.Cursor)
	if err != nil {
		return nil, "", err
	}
	environments, err := json.Marshal(scan.Environments)
	if err != nil {
		return nil, "", err
	}
	sc := scanner{ctx: ctx, tenant: tenant, scan: scan, environments: string(environments)}
	err = s.snapshot(ctx, func(c *conn) error { sc.conn = c; return sc.run(after) })
	switch {
	case err == nil:
		return sc.layers, "", nil
	case errors.Is(err, errPageFull):
		return sc.layers, store.EncodeCursor(query, sc.layers[len(sc.layers)-1].Path.String()), nil
	}
	return nil, "", err
}

// scanner reads layers in the order of their paths and collects those of one
// path until the next begins.
type scanner struct {
	*conn
	ctx          context.Context
	tenant       config.TenantID
	scan         store.Scan
	environments string // as JSON

	rows      int           // read so far
	path      config.Path   // being collected
	match     bool          // the glob selects it
	collected []store.Layer // of path, in the environments asked for
	paths     int           // selected so far
	layers    []store.Layer // of the paths selected
}

const (
	scanLayers = `
SELECT ` + layerColumns + `
FROM layers h CROSS JOIN layer_versions v ON v.row = h.row
WHERE h.tenant = ? AND h.environment IN (SELECT value FROM json_each(?)) `

	scanBelow = scanLayers + `AND h.path > ? AND h.path < ? ORDER BY h.path, h.environment`
	scanPath  = scanLayers + `AND h.path = ? ORDER BY h.environment`
)

// run scans the paths behind after. A prefix is two ranges: the path itself and,
// after siblings such as "gateway-eu", what is below it: "/" to before "0".
func (s *scanner) run(after string) error {
	low, high := after, "\x7f"
	if prefix := s.scan.Prefix.String(); prefix != "" {
		if after == "" {
			if err := s.query(scanPath, s.newest, s.tenant[:], s.environments, prefix); err != nil {
				return err
			}
		}
		low, high = max(after, prefix+"/"), prefix+"0"
	}
	if err := s.query(scanBelow, s.newest, s.tenant[:], s.environments, low, high); err != nil {
		return err
	}
	return s.endPath()
}

// newest takes the newest version of a layer, or the one before it that the
// scan's revision asks for.
func (s *scanner) newest(r row) error {
	if s.rows++; s.rows%heedEvery == 0 && s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if r.text(0) != s.path.String() {
		if err := s.beginPath(r); err != nil {
			return err
		}
	}
	if !s.match {
		return nil
	}
	if at := s.scan.At; at != 0 && config.Revision(r.int(3)) > at {
		return s.query(selectLayerAt, s.collect, s.tenant[:], r.text(0), r.int(1), int64(at))
	}
	return s.collect(r)
}

const selectLayerAt = `
SELECT ` + layerColumns + ` FROM layer_versions v
WHERE v.tenant = ? AND v.path = ? AND v.environment = ? AND v.revision <= ? ORDER BY v.revision DESC LIMIT 1`

func (s *scanner) collect(r row) error {
	layer, err := layerOf(r)
	s.collected = append(s.collected, layer)
	return err
}

func (s *scanner) beginPath(r row) error {
	if err := s.endPath(); err != nil {
		return err
	}
	path, err := r.path(0)
	s.path, s.match = path, s.scan.Glob.Match(path)
	return err
}

// endPath adds the layers collected at a path, if any of them says something.
func (s *scanner) endPath() error {
	if slices.ContainsFunc(s.collected, func(l store.Layer) bool { return l.State != store.Deleted }) {
		if s.paths == s.scan.Page.Limit {
			return errPageFull
		}
		s.paths++
		s.layers = append(s.layers, s.collected...)
	}
	s.collected = s.collected[:0]
	return nil
}
