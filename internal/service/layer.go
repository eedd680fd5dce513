package service

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// LayerRead is one version of what one environment itself says at a path.
type LayerRead struct {
	Document config.Document
	Origin   Origin
	Read     config.Revision // the revision it was read at
}

// Origin is a version of a layer and how it came to be.
type Origin struct {
	Environment string
	Version     config.Version
	Revision    config.Revision
	Author      string
	Time        time.Time
	Message     string // filled in where it is asked for
}

func originOf(tree *config.Tree, row store.Layer) Origin {
	return Origin{
		Environment: tree.Name(row.Environment), Version: row.Version, Revision: row.Revision,
		Author: row.Author, Time: row.Time,
	}
}

// Layer answers what an environment itself says at a path, removal marks included.
func (s *Service) Layer(ctx context.Context, who Caller, tenant, environment string, path config.Path, o ReadOptions) (LayerRead, error) {
	state, err := s.guardRead(ctx, who, tenant, access.Resource{Environment: environment, Path: path})
	if err != nil {
		return LayerRead{}, err
	}
	if err := s.await(ctx, state, o.MinRevision); err != nil {
		return LayerRead{}, err
	}
	n, err := s.past(ctx, state, environment, path, o.At)
	if err != nil {
		return LayerRead{}, err
	}
	env, err := n.tree.Named(environment)
	if err != nil {
		return LayerRead{}, err
	}
	if err := n.read(ctx, path); err != nil {
		return LayerRead{}, err
	}
	l := n.layer(place{env.ID, path})
	if l.gone != nil {
		return LayerRead{}, l.gone
	}
	if !l.doc.Exists() {
		return LayerRead{}, noLayer(environment, path)
	}
	return LayerRead{Document: l.doc, Origin: originOf(n.tree, l.Layer), Read: n.at}, nil
}

func noLayer(environment string, path config.Path) error {
	return config.Errorf(config.KindNotFound, "%s says nothing of its own at %s", environment, path).
		Hint("it may inherit the document: read it without asking for the layer")
}
