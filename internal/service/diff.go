package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// DiffPoint is one of the two points that are compared.
type DiffPoint struct {
	Environment string
	At          config.At
	Before      bool // as it was before the newest change of any of the document's layers; At is not looked at
}

// Diff is how two points differ at a path.
type Diff struct {
	DocumentDiff
	From, To DiffSide
}

// DiffSide is what one of the points came to.
type DiffSide struct {
	Environment string
	Revision    config.Revision
	Version     config.Version // of the layer, when layers are compared
}

// Diff compares the effective documents, or the layers, of a path at two
// points, which may be of two environments.
func (s *Service) Diff(ctx context.Context, who Caller, tenant string, path config.Path, from, to DiffPoint, layers bool) (Diff, error) {
	before, fromSide, err := s.diffSide(ctx, who, tenant, path, from, layers)
	if err != nil {
		return Diff{}, err
	}
	after, toSide, err := s.diffSide(ctx, who, tenant, path, to, layers)
	if err != nil {
		return Diff{}, err
	}
	if !before.Exists() && !after.Exists() {
		return Diff{}, noDocument(to.Environment, path)
	}
	return Diff{DocumentDiff: documentDiff(to.Environment, path, before, after), From: fromSide, To: toSide}, nil
}

func (s *Service) diffSide(ctx context.Context, who Caller, tenant string, path config.Path, point DiffPoint, layers bool) (config.Document, DiffSide, error) {
	state, err := s.guardRead(ctx, who, tenant, access.Resource{Environment: point.Environment, Path: path})
	if err != nil {
		return config.Document{}, DiffSide{}, err
	}
	n, err := s.diffSnapshot(ctx, state, path, point)
	if err != nil {
		return config.Document{}, DiffSide{}, err
	}
	env, err := n.tree.Named(point.Environment)
	if err != nil {
		return config.Document{}, DiffSide{}, err
	}
	side := DiffSide{Environment: point.Environment, Revision: n.at}
	if err := n.readAll(ctx, path); err != nil {
		return config.Document{}, side, err
	}
	if layers {
		l := n.layer(place{env.ID, path})
		side.Version = l.Version
		return l.doc, side, l.gone
	}
	effective, err := n.view(nil).effective(place{env.ID, path})
	if err != nil {
		return config.Document{}, side, err
	}
	return effective.Document, side, s.guardTargets(ctx, who, state, point.Environment, effective.Targets)
}

// diffSnapshot is the snapshot that a point means.
func (s *Service) diffSnapshot(ctx context.Context, state *tenantState, path config.Path, point DiffPoint) (*snapshot, error) {
	if !point.Before {
		return s.past(ctx, state, point.Environment, path, point.At)
	}
	n, err := s.newest(ctx, state)
	if err != nil {
		return nil, err
	}
	env, err := n.tree.Named(point.Environment)
	if err != nil {
		return nil, err
	}
	if err := n.read(ctx, path); err != nil {
		return nil, err
	}
	var newest config.Revision
	for _, environment := range n.tree.Chain(env.ID) {
		newest = max(newest, n.layer(place{environment, path}).Revision)
	}
	if newest == 0 {
		return nil, noDocument(point.Environment, path)
	}
	return s.snapshot(ctx, state, newest-1)
}
