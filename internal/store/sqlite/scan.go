package sqlite

import (
	"context"
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
	sc := scanner{ctx: ctx, tenant: tenant, scan: scan}
	err = s.snapshot(ctx, func(c *conn) error { sc.conn = c; return sc.run(after) })
	switch {
	case err == nil:
		return sc.layers, "", nil
	case errors.Is(err, errPageFull):
		return sc.layers, store.EncodeCursor(query, sc.layers[len(sc.layers)-1].Path.String()), nil
	}
	return nil, "", err
}

// scanner reads heads in the order of their paths and collects those of one
// path until the next begins.
type scanner struct {
	*conn
	ctx    context.Context
	tenant config.TenantID
	scan   store.Scan

	rows   int           // read so far
	path   config.Path   // being collected
	match  bool          // the glob selects it
	heads  []scannedHead // of path, in the environments asked for
	paths  int           // selected so far
	layers []store.Layer
}

type scannedHead struct {
	row   int64 // of layer_versions
	state store.LayerState
}

const (
	headColumns = `path, environment, revision, state, row`

	scanHeads   = `SELECT ` + headColumns + ` FROM layers WHERE tenant = ? AND path > ? AND path < ? ORDER BY path, environment`
	scanHeadsOf = `SELECT ` + headColumns + ` FROM layers WHERE tenant = ? AND path = ? ORDER BY environment`
)

// run scans the paths behind after. A prefix is two ranges: the path itself and,
// after siblings such as "gateway-eu", what is below it: "/" to before "0".
func (s *scanner) run(after string) error {
	low, high := after, "\x7f"
	if prefix := s.scan.Prefix.String(); prefix != "" {
		if after == "" {
			if err := s.query(scanHeadsOf, s.head, s.tenant[:], prefix); err != nil {
				return err
			}
		}
		low, high = max(after, prefix+"/"), prefix+"0"
	}
	if err := s.query(scanHeads, s.head, s.tenant[:], low, high); err != nil {
		return err
	}
	return s.endPath()
}

// head takes one row of headColumns.
func (s *scanner) head(r row) error {
	if s.rows++; s.rows%heedEvery == 0 && s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if r.text(0) != s.path.String() {
		if err := s.beginPath(r); err != nil {
			return err
		}
	}
	environment := config.EnvironmentID(r.int(1))
	if !s.match || !slices.Contains(s.scan.Environments, environment) {
		return nil
	}
	if at := s.scan.At; at != 0 && config.Revision(r.int(2)) > at {
		return s.headAt(environment, at)
	}
	s.heads = append(s.heads, scannedHead{r.int(4), store.LayerState(r.int(3))})
	return nil
}

const selectHeadAt = `
SELECT row, state FROM layer_versions
WHERE tenant = ? AND path = ? AND environment = ? AND revision <= ? ORDER BY revision DESC LIMIT 1`

// headAt takes the version that was the newest at a revision, if there was one.
func (s *scanner) headAt(environment config.EnvironmentID, at config.Revision) error {
	return s.query(selectHeadAt, func(r row) error {
		s.heads = append(s.heads, scannedHead{r.int(0), store.LayerState(r.int(1))})
		return nil
	}, s.tenant[:], s.path.String(), int64(environment), int64(at))
}

func (s *scanner) beginPath(r row) error {
	if err := s.endPath(); err != nil {
		return err
	}
	path, err := r.path(0)
	s.path, s.match, s.heads = path, s.scan.Glob.Match(path), s.heads[:0]
	return err
}

const selectVersionRow = `
SELECT ` + layerColumns + ` FROM layer_versions v WHERE v.row = ?`

// endPath adds the layers collected at a path, if any of them says something.
func (s *scanner) endPath() error {
	if !slices.ContainsFunc(s.heads, func(h scannedHead) bool { return h.state != store.Deleted }) {
		return nil
	}
	if s.paths == s.scan.Page.Limit {
		return errPageFull
	}
	s.paths++
	for _, h := range s.heads {
		err := s.query(selectVersionRow, func(r row) error {
			layer, err := layerOf(r)
			s.layers = append(s.layers, layer)
			return err
		}, h.row)
		if err != nil {
			return err
		}
	}
	s.heads = s.heads[:0]
	return nil
}
