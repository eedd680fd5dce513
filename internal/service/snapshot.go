package service

import (
	"cmp"
	"context"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/cache"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// maxRead bounds the paths that one request can lead to.
const maxRead = 2 * maxAffected

// maxStored bounds effective documents that are read: more than any setting of
// the bound on documents could have let in.
const maxStored = seal.MaxPlainBytes

// opened is a layer's document with the documents it refers to.
type opened struct {
	doc     config.Document
	targets []config.Path
	secrets []config.Path // that its own text refers to
	gone    error         // of KindGone when the version was destroyed
}

func (o opened) weight() int { return 4*len(o.doc.Canonical()) + 64 }

// layer is one environment's layer in a snapshot.
type layer struct {
	store.Layer
	opened
}

// place names a layer, or an effective document.
type place struct {
	environment config.EnvironmentID
	path        config.Path
}

// snapshot is a tenant at one revision, read path by path as it is needed.
type snapshot struct {
	s      *Service
	tenant config.TenantID
	at     config.Revision
	tree   *config.Tree

	paths map[config.Path]map[config.EnvironmentID]layer // every path that was read, also those without layers

	mayLead func(environment string, path config.Path) bool // what a plan may newly refer to; nil for anything
}

func (s *Service) snapshot(ctx context.Context, state *tenantState, at config.Revision) (*snapshot, error) {
	tree, err := s.treeAtRevision(ctx, state, at)
	if err != nil {
		return nil, err
	}
	return &snapshot{
		s: s, tenant: state.tenant.ID, at: at, tree: tree,
		paths: map[config.Path]map[config.EnvironmentID]layer{},
	}, nil
}

// newest is the snapshot of all that was acknowledged so far.
func (s *Service) newest(ctx context.Context, state *tenantState) (*snapshot, error) {
	return s.snapshot(ctx, state, state.newest())
}

// read reads the layers at paths that were not read yet.
func (n *snapshot) read(ctx context.Context, paths ...config.Path) error {
	var missing []config.Path
	for _, path := range paths {
		if _, known := n.paths[path]; !known {
			missing = append(missing, path)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := n.s.store.LayersAt(ctx, n.tenant, n.at, missing)
	if err != nil {
		return err
	}
	for _, path := range missing {
		n.paths[path] = nil
	}
	for _, row := range rows {
		if err := n.add(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// add opens a row and makes it part of the snapshot.
func (n *snapshot) add(ctx context.Context, row store.Layer) error {
	o, err := n.s.open(ctx, n.tenant, n.tree, row)
	if err != nil {
		return err
	}
	if n.paths[row.Path] == nil {
		n.paths[row.Path] = map[config.EnvironmentID]layer{}
	}
	n.paths[row.Path][row.Environment] = layer{row, o}
	return nil
}

// readAll reads paths and every document that they lead to by references, as
// far as a reference may lead. One that was read before is followed all the same.
func (n *snapshot) readAll(ctx context.Context, paths ...config.Path) error {
	followed := map[config.Path]bool{}
	for depth := 0; len(paths) > 0 && depth <= config.MaxReferenceDepth+1; depth++ {
		if total := len(n.paths) + len(paths); total > maxRead {
			return config.Errorf(config.KindTooLarge, "the documents refer to too many others").
				Hint("refer to fewer documents").Over(maxRead, int64(total))
		}
		if err := n.read(ctx, paths...); err != nil {
			return err
		}
		var next []config.Path
		for _, path := range paths {
			followed[path] = true
			for _, l := range n.paths[path] {
				next = append(next, l.targets...)
			}
		}
		paths = slices.DeleteFunc(sorted(next), func(p config.Path) bool { return followed[p] })
	}
	return nil
}

// sorted sorts paths in place and leaves each in once.
func sorted(paths []config.Path) []config.Path {
	slices.SortFunc(paths, config.Path.Compare)
	return slices.Compact(paths)
}

// layer is what an environment itself says at a path that was read.
func (n *snapshot) layer(at place) layer { return n.paths[at.path][at.environment] }

// view is a snapshot with some layers replaced: what is, or what would be.
type view struct {
	*snapshot
	replaced map[place]config.Document
	merged   map[place]merged
	bytes    int // bound of an effective document
}

// merged is what an environment says in all, references unresolved.
type merged struct {
	doc  config.Document
	gone error // of KindGone when it cannot be known any more
}

func (n *snapshot) view(replaced map[place]config.Document) *view {
	v := &view{snapshot: n, replaced: replaced, merged: map[place]merged{}, bytes: n.s.limits().Document}
	if replaced == nil {
		v.bytes = max(v.bytes, maxStored) // what was taken once is read whatever the bound is now
	}
	return v
}

// merge lays the layers of an environment's chain over each other.
func (v *view) merge(at place) merged {
	if m, ok := v.merged[at]; ok {
		return m
	}
	var m merged
	chain := v.tree.Chain(at.environment)
	layers := make([]config.Document, len(chain))
	for i, environment := range chain {
		own := place{environment, at.path}
		doc, ok := v.replaced[own]
		if !ok {
			l := v.layer(own)
			doc, m.gone = l.doc, cmp.Or(m.gone, l.gone)
		}
		layers[i] = doc
	}
	m.doc = config.Merge(layers)
	v.merged[at] = m
	return m
}

// effective is what the environment says in all. Everything it leads to must have been read.
func (v *view) effective(at place) (config.Effective, error) {
	var gone error
	effective, err := config.Resolve(at.path, func(path config.Path) config.Document {
		m := v.merge(place{at.environment, path})
		gone = cmp.Or(gone, m.gone)
		return m.doc
	}, v.bytes)
	if gone != nil {
		return config.Effective{}, gone
	}
	return effective, err
}

// open answers the document of a row, from memory if it was opened before.
func (s *Service) open(ctx context.Context, tenant config.TenantID, tree *config.Tree, row store.Layer) (opened, error) {
	switch row.State {
	case store.Deleted:
		return opened{}, nil
	case store.Destroyed:
		return opened{gone: config.Errorf(config.KindGone, "version %d of %s in %s was destroyed", row.Version, row.Path, tree.Name(row.Environment)).
			Hint("ask for another point in history")}, nil
	}
	key := cache.VersionKey{Tenant: tenant, Environment: row.Environment, Path: row.Path, Version: row.Version}
	if o, ok := s.layers.Get(key); ok {
		return o, nil
	}
	text, err := s.keyring.Open(ctx, layerPlace(tenant, row.Environment, row.Path, row.Version), row.Sealed)
	if err != nil {
		return opened{}, err
	}
	root, err := canon.Decode(text, canon.Limits{Bytes: len(text) + 1})
	if err != nil {
		return opened{}, unavailable(err, "a stored layer does not parse")
	}
	object, _ := root.(map[string]any)
	o, err := openedOf(row.Path, config.NewDocument(object))
	if err != nil {
		return opened{}, err
	}
	s.layers.Set(key, o)
	return o, nil
}

func openedOf(path config.Path, doc config.Document) (opened, error) {
	targets, err := config.ConfigTargets(path, doc)
	if err != nil {
		return opened{}, err
	}
	secrets, err := config.SecretPaths(doc)
	return opened{doc: doc, targets: targets, secrets: secrets}, err
}

func layerPlace(tenant config.TenantID, environment config.EnvironmentID, path config.Path, version config.Version) seal.Place {
	return seal.Place{Kind: seal.Layer, Tenant: tenant, Environment: environment, Path: path.String(), Version: int64(version)}
}
