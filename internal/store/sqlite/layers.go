package sqlite

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// newest stands for the newest revision in statements that take one.
const newest = math.MaxInt64

func revisionOr(at config.Revision) int64 {
	if at == 0 {
		return newest
	}
	return int64(at)
}

const selectRevision = `
SELECT revision FROM tenants WHERE id = ? AND deleted = 0`

// Revision implements store.Layers.
func (s *Store) Revision(ctx context.Context, tenant config.TenantID) (config.Revision, error) {
	var revision config.Revision
	found := false
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectRevision, func(r row) error { revision, found = config.Revision(r.int(0)), true; return nil }, tenant[:])
	})
	if err == nil && !found {
		err = noTenant()
	}
	return revision, err
}

const selectEnvironments = `
SELECT e.id, e.name, e.parent, e.isolate_secrets, e.version FROM environments e
WHERE e.tenant = ?1 AND e.deleted = 0 AND e.revision <= ?2 AND NOT EXISTS (
    SELECT 1 FROM environments later
    WHERE later.tenant = ?1 AND later.id = e.id AND later.version > e.version AND later.revision <= ?2)
ORDER BY e.id`

// Environments implements store.Layers.
func (s *Store) Environments(ctx context.Context, tenant config.TenantID, at config.Revision) ([]config.Environment, error) {
	var environments []config.Environment
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectEnvironments, func(r row) error {
			environments = append(environments, config.Environment{
				ID: config.EnvironmentID(r.int(0)), Name: r.text(1),
				Parent: config.EnvironmentID(r.int(2)), IsolateSecrets: r.bool(3), Version: config.Version(r.int(4)),
			})
			return nil
		}, tenant[:], revisionOr(at))
	})
	return environments, err
}

const selectLastEnvironment = `
SELECT max(id) FROM environments WHERE tenant = ?`

// NextEnvironment implements store.Layers.
func (s *Store) NextEnvironment(ctx context.Context, tenant config.TenantID) (config.EnvironmentID, error) {
	var last config.EnvironmentID
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectLastEnvironment, func(r row) error { last = config.EnvironmentID(r.int(0)); return nil }, tenant[:])
	})
	return last + 1, err
}

const (
	layerColumns = `v.path, v.environment, v.version, v.revision, v.time, v.author, v.state, v.sealed`

	selectLayers = `
SELECT ` + layerColumns + `
FROM layers h CROSS JOIN layer_versions v ON v.row = h.row
WHERE h.tenant = ? AND h.path = ? ORDER BY h.environment`

	selectLayersAt = `
SELECT ` + layerColumns + `
FROM layers h CROSS JOIN layer_versions v
ON v.tenant = ?1 AND v.path = ?2 AND v.environment = h.environment AND v.revision = (
    SELECT max(revision) FROM layer_versions
    WHERE tenant = ?1 AND path = ?2 AND environment = h.environment AND revision <= ?3)
WHERE h.tenant = ?1 AND h.path = ?2 ORDER BY h.environment`
)

// LayersAt implements store.Layers.
func (s *Store) LayersAt(ctx context.Context, tenant config.TenantID, at config.Revision, paths []config.Path) ([]store.Layer, error) {
	var layers []store.Layer
	add := func(r row) error {
		layer, err := layerOf(r)
		layers = append(layers, layer)
		return err
	}
	if len(paths) == 1 {
		err := s.read(ctx, func(c *conn) error { return c.layersAt(tenant, at, paths[0], add) })
		return layers, err
	}
	paths = slices.Compact(slices.SortedFunc(slices.Values(paths), config.Path.Compare))
	err := s.snapshot(ctx, func(c *conn) error {
		for _, path := range paths {
			if err := c.layersAt(tenant, at, path, add); err != nil {
				return err
			}
		}
		return nil
	})
	return layers, err
}

func (c *conn) layersAt(tenant config.TenantID, at config.Revision, path config.Path, add func(row) error) error {
	if at == 0 {
		return c.query(selectLayers, add, tenant[:], path.String())
	}
	return c.query(selectLayersAt, add, tenant[:], path.String(), int64(at))
}

// layerOf reads a row of layerColumns.
func layerOf(r row) (store.Layer, error) {
	path, err := r.path(0)
	return store.Layer{
		Path: path, Environment: config.EnvironmentID(r.int(1)), Version: config.Version(r.int(2)),
		Revision: config.Revision(r.int(3)), Time: r.time(4), Author: r.text(5), State: store.LayerState(r.int(6)), Sealed: r.bytes(7),
	}, err
}

const selectReferrers = `
SELECT from_path, environment FROM edges WHERE tenant = ? AND to_path = ?`

// Referrers implements store.Layers.
func (s *Store) Referrers(ctx context.Context, tenant config.TenantID, to []config.Path) ([]store.Edge, error) {
	return s.referrers(ctx, selectReferrers, tenant, to)
}

// referrers answers the edges that a statement finds to each path.
func (s *Store) referrers(ctx context.Context, text string, tenant config.TenantID, to []config.Path) ([]store.Edge, error) {
	var edges []store.Edge
	to = slices.Compact(slices.SortedFunc(slices.Values(to), config.Path.Compare))
	err := s.snapshot(ctx, func(c *conn) error {
		for _, path := range to {
			err := c.query(text, func(r row) error {
				from, err := r.path(0)
				edges = append(edges, store.Edge{From: from, Environment: config.EnvironmentID(r.int(1)), To: path})
				return err
			}, tenant[:], path.String())
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(edges, func(a, b store.Edge) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Environment, b.Environment), a.To.Compare(b.To))
	})
	return edges, err
}
