package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const selectVersionRow = `
SELECT ` + layerColumns + ` FROM layer_versions v WHERE v.row = ?`

// LayerVersion implements store.History.
func (s *Store) LayerVersion(
	ctx context.Context, tenant config.TenantID, environment config.EnvironmentID, path config.Path, version config.Version,
) (store.Layer, error) {
	var layer store.Layer
	err := s.snapshot(ctx, func(c *conn) error {
		found, err := c.findVersion(tenant, environment, path, version)
		if err != nil {
			return err
		}
		return c.query(selectVersionRow, func(r row) (err error) { layer, err = layerOf(r); return err }, found.row)
	})
	return layer, err
}

// foundVersion is where a version of a layer is kept.
type foundVersion struct {
	row      int64
	revision int64
	version  config.Version
	state    store.LayerState
	newest   bool
}

const selectVersionAt = `
SELECT row, revision, version, state FROM layer_versions
WHERE tenant = ? AND path = ? AND environment = ? AND revision <= ? ORDER BY revision DESC LIMIT 1`

// findVersion finds a version by halving the revisions it can be at, because
// versions are kept by revision and grow with it. The error is of KindNotFound.
func (c *conn) findVersion(
	tenant config.TenantID, environment config.EnvironmentID, path config.Path, version config.Version,
) (foundVersion, error) {
	low, high := int64(0), int64(newest) // the version is at a revision above low, up to high
	for at := high; low < high; at = low + (high-low+1)/2 {
		found := foundVersion{}
		err := c.query(selectVersionAt, func(r row) error {
			found.row, found.revision, found.version, found.state = r.int(0), r.int(1), config.Version(r.int(2)), store.LayerState(r.int(3))
			return nil
		}, tenant[:], path.String(), int64(environment), at)
		switch {
		case err != nil:
			return found, err
		case found.version == version && version != 0:
			found.newest = at == newest
			return found, nil
		case found.version < version:
			low = at
		default:
			high = found.revision - 1
		}
	}
	return foundVersion{}, noVersion(path, version)
}

const selectVersions = `
SELECT path, environment, version, revision, time, author, state, NULL FROM layer_versions
WHERE tenant = ? AND path = ? AND environment = ? AND revision < ? ORDER BY revision DESC LIMIT ?`

// Versions implements store.History.
func (s *Store) Versions(
	ctx context.Context, tenant config.TenantID, environments []config.EnvironmentID, path config.Path, page store.Page,
) ([]store.Layer, store.Cursor, error) {
	list := list[store.Layer]{
		query:    store.Query{Tenant: tenant, Parts: []string{"versions", fmt.Sprint(environments), path.String()}},
		page:     page,
		position: func(l *store.Layer) string { return fmt.Sprintf("%d.%d", l.Revision, l.Environment) },
	}
	return list.read(ctx, s, func(c *conn, after string, limit int64, add func(store.Layer)) error {
		revision, environment := int64(newest), config.EnvironmentID(0)
		if after != "" {
			if _, err := fmt.Sscanf(after, "%d.%d", &revision, &environment); err != nil {
				return err
			}
		}
		versions, err := c.versionsBehind(tenant, environments, path, revision, environment, limit)
		for _, v := range versions[:min(len(versions), int(limit))] {
			add(v)
		}
		return err
	})
}

// versionsBehind are the versions of several layers behind a position, newest
// revision first and by environment within one, at least limit of them if there are.
func (c *conn) versionsBehind(
	tenant config.TenantID, environments []config.EnvironmentID, path config.Path,
	revision int64, environment config.EnvironmentID, limit int64,
) ([]store.Layer, error) {
	var versions []store.Layer
	for _, e := range environments {
		before := revision
		if e > environment && before != newest {
			before++
		}
		err := c.query(selectVersions, func(r row) error {
			version, err := layerOf(r)
			versions = append(versions, version)
			return err
		}, tenant[:], path.String(), int64(e), before, limit)
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(versions, func(a, b store.Layer) int {
		return cmp.Or(cmp.Compare(b.Revision, a.Revision), cmp.Compare(a.Environment, b.Environment))
	})
	return versions, nil
}

const selectTag = `
SELECT name, target, revision, time, author FROM tags WHERE tenant = ? AND name = ?`

// Tag implements store.History.
func (s *Store) Tag(ctx context.Context, tenant config.TenantID, name string) (store.Tag, error) {
	var tag store.Tag
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectTag, func(r row) error { tag = tagOf(r); return nil }, tenant[:], name)
	})
	if err == nil && tag.Set == 0 {
		err = noTag(name)
	}
	return tag, err
}

const selectTags = `
SELECT name, target, revision, time, author FROM tags WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?`

// Tags implements store.History.
func (s *Store) Tags(ctx context.Context, tenant config.TenantID, page store.Page) ([]store.Tag, store.Cursor, error) {
	list := list[store.Tag]{
		query:    store.Query{Tenant: tenant, Parts: []string{"tags"}},
		page:     page,
		position: func(t *store.Tag) string { return t.Name },
	}
	return list.read(ctx, s, func(c *conn, after string, limit int64, add func(store.Tag)) error {
		return c.query(selectTags, func(r row) error { add(tagOf(r)); return nil }, tenant[:], after, limit)
	})
}

func tagOf(r row) store.Tag {
	return store.Tag{
		Name: r.text(0), Target: config.Revision(r.int(1)), Set: config.Revision(r.int(2)), Time: r.time(3), Author: r.text(4),
	}
}

func noTag(name string) error {
	return config.Errorf(config.KindNotFound, "there is no tag %q", name).Hint("`llm-config tag` lists them")
}
