package service

import (
	"context"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// PromoteRequest asks for one environment's own layers to become another's.
type PromoteRequest struct {
	From, To string
	Paths    []config.Path
	All      bool
	At       config.At // the source as it was then
	Prune    bool      // also delete what only the target says
	Message  string
	DryRun   bool
}

// Lost is a value in the target that a promotion takes away.
type Lost struct {
	Path    config.Path
	Pointer string
	Value   any
}

// Promote replaces the target's own layers by the source's. What the target
// says differently would be lost, and is listed.
func (s *Service) Promote(ctx context.Context, who Caller, tenant string, in PromoteRequest) (ChangeResult, error) {
	state, err := s.guardPromote(ctx, who, tenant, in)
	if err != nil {
		return ChangeResult{}, err
	}
	switch {
	case in.From == in.To:
		return ChangeResult{}, config.Errorf(config.KindBadRequest, "source and target are the same environment").At("to")
	case in.All == (len(in.Paths) > 0):
		return ChangeResult{}, config.Errorf(config.KindBadRequest, "a promotion is either of paths or of all").At("paths").
			Hint("name the paths, or ask for all")
	}
	return s.change(ctx, who, state, writing{"config.promote", in.Message, in.DryRun, ""}, func(ctx context.Context, n *snapshot) (wish, error) {
		from, err := s.past(ctx, state, in.From, onlyPath(in.Paths), in.At)
		if err != nil {
			return wish{}, err
		}
		w, err := n.promote(ctx, from, in)
		if err != nil {
			return w, err
		}
		return w, s.guardSource(ctx, who, state, in, w.drafts)
	})
}

// onlyPath is what a version in an AT can be of.
func onlyPath(paths []config.Path) config.Path {
	if len(paths) == 1 {
		return paths[0]
	}
	return config.Path{}
}

func (s *Service) guardPromote(ctx context.Context, who Caller, tenant string, in PromoteRequest) (*tenantState, error) {
	state, err := s.guardAny(ctx, who, access.ConfigWrite, tenant, access.Resource{Environment: in.To})
	if err == nil {
		_, err = s.guardAny(ctx, who, access.ConfigRead, tenant, access.Resource{Environment: in.From})
	}
	for _, path := range in.Paths {
		if err == nil {
			err = s.guardIn(ctx, who, access.ConfigRead, state, access.Resource{Environment: in.From, Path: path})
		}
		if err == nil {
			err = s.guardWrite(ctx, who, state, access.Resource{Environment: in.To, Path: path})
		}
	}
	return state, err
}

// guardSource asks for the right to read each layer that is promoted: a
// promotion of all that left out what the caller may not read would look whole.
func (s *Service) guardSource(ctx context.Context, who Caller, state *tenantState, in PromoteRequest, drafts []draft) error {
	for _, d := range drafts {
		if err := s.guardIn(ctx, who, access.ConfigRead, state, access.Resource{Environment: in.From, Path: d.at.path}); err != nil {
			return err
		}
	}
	return nil
}

func (n *snapshot) promote(ctx context.Context, from *snapshot, in PromoteRequest) (wish, error) {
	source, err := from.tree.Named(in.From)
	if err != nil {
		return wish{}, err
	}
	target, err := n.tree.Named(in.To)
	if err != nil {
		return wish{}, err
	}
	paths := slices.Clone(in.Paths)
	if in.All {
		if paths, err = n.promoted(ctx, from, source.ID, target.ID, in.Prune); err != nil {
			return wish{}, err
		}
	}
	paths = sorted(paths)
	if err := from.read(ctx, paths...); err != nil {
		return wish{}, err
	}
	if err := n.read(ctx, paths...); err != nil {
		return wish{}, err
	}
	w := wish{lostIn: in.To}
	for _, path := range paths {
		to, now := from.layer(place{source.ID, path}), n.layer(place{target.ID, path})
		switch {
		case to.gone != nil:
			return wish{}, to.gone
		case !to.doc.Exists() && !in.Prune:
			return wish{}, config.Errorf(config.KindNotFound, "%s says nothing of its own at %s", in.From, path).At("paths").
				Hint("prune deletes what only the target says")
		}
		w.drafts = append(w.drafts, draftTo(place{target.ID, path}, to.doc))
		w.lost = append(w.lost, lost(path, now.doc, to.doc)...)
	}
	return w, nil
}

// promoted are the paths of a promotion of all.
func (n *snapshot) promoted(ctx context.Context, from *snapshot, source, target config.EnvironmentID, prune bool) ([]config.Path, error) {
	paths, err := ownPaths(ctx, source, from)
	if err != nil || !prune {
		return paths, err
	}
	more, err := ownPaths(ctx, target, n)
	return append(paths, more...), err
}

// lost are the values of the target that the promotion removes or replaces.
func lost(path config.Path, target, source config.Document) []Lost {
	var all []Lost
	for _, d := range config.Diff(target, source) {
		if d.Op != config.DiffAdd {
			all = append(all, Lost{path, d.Pointer, d.From})
		}
	}
	return all
}
