package service

import (
	"context"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Explanation says where each leaf of an effective document comes from.
type Explanation struct {
	config.Explanation
	Environment string
	Path        config.Path
	Revision    config.Revision
	Digest      canon.Digest
	Layers      []Origin // what the explanation's layer numbers mean
	References  map[string]string
}

// Explain answers for every leaf of an effective document which layer it is
// from, who wrote that, and what it shadows.
func (s *Service) Explain(ctx context.Context, who Caller, tenant, environment string, path config.Path, o ReadOptions) (Explanation, error) {
	state, err := s.guardRead(ctx, who, tenant, access.Resource{Environment: environment, Path: path})
	if err != nil {
		return Explanation{}, err
	}
	if err := s.await(ctx, state, o.MinRevision); err != nil {
		return Explanation{}, err
	}
	n, err := s.past(ctx, state, environment, path, o.At)
	if err != nil {
		return Explanation{}, err
	}
	env, err := n.tree.Named(environment)
	if err != nil {
		return Explanation{}, err
	}
	doc, err := n.document(ctx, place{env.ID, path})
	if err != nil {
		return Explanation{}, err
	}
	if err := s.guardTargets(ctx, who, state, environment, doc.Targets); err != nil {
		return Explanation{}, err
	}
	e := Explanation{Environment: environment, Path: path, Revision: n.at, Digest: doc.Digest}
	if err := e.layers(ctx, s, n, place{env.ID, path}); err != nil {
		return Explanation{}, err
	}
	e.resolved(doc.Document)
	hidden := func(layer int) bool {
		environment := e.Layers[layer].Environment
		return environment != e.Environment && !s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: environment, Path: path})
	}
	e.forget(hidden)
	for i := range e.Layers {
		if hidden(i) { // that it is there can be told from what is inherited
			e.Layers[i].Message, e.Layers[i].Author = "", ""
		}
	}
	return e, nil
}

// forget leaves out what layers say that is not to be seen in the document.
func (e *Explanation) forget(hidden func(layer int) bool) {
	keep := func(all []config.Said) []config.Said {
		return slices.DeleteFunc(all, func(said config.Said) bool { return hidden(said.Layer) })
	}
	for i := range e.Leaves {
		e.Leaves[i].Shadows = keep(e.Leaves[i].Shadows)
	}
	for i := range e.Removals {
		e.Removals[i].Removes = keep(e.Removals[i].Removes)
	}
}

// layers explains the merge of the layers, with who made each.
func (e *Explanation) layers(ctx context.Context, s *Service, n *snapshot, at place) error {
	var docs []config.Document
	for _, environment := range n.tree.Chain(at.environment) {
		if l := n.layer(place{environment, at.path}); l.doc.Exists() {
			docs = append(docs, l.doc)
			e.Layers = append(e.Layers, originOf(n.tree, l.Layer))
		}
	}
	e.Explanation = config.Explain(docs)
	return s.addMessages(ctx, n.tenant, e.Layers)
}

// resolved puts what references stand for in the place of their text.
func (e *Explanation) resolved(effective config.Document) {
	e.References = map[string]string{}
	for i := range e.Leaves {
		leaf := &e.Leaves[i]
		pointer, err := config.ParsePointer(leaf.Pointer)
		if err != nil {
			continue // explain writes nothing else
		}
		value, found := pointer.Lookup(effective.Root())
		if !found || config.Equal(value, leaf.Value) {
			continue
		}
		if text, ok := leaf.Value.(string); ok {
			e.References[leaf.Pointer] = text
		}
		leaf.Value = value
	}
}

// addMessages fills in why each version was written.
func (s *Service) addMessages(ctx context.Context, tenant config.TenantID, origins []Origin) error {
	revisions := make([]config.Revision, 0, len(origins))
	for _, o := range origins {
		revisions = append(revisions, o.Revision)
	}
	entries, err := s.store.EntriesOf(ctx, tenant, revisions)
	if err != nil {
		return err
	}
	messages := map[config.Revision]string{}
	for _, entry := range entries {
		body, err := s.openEntry(ctx, tenant, entry)
		if err != nil {
			return err
		}
		messages[entry.Revision] = body.Message
	}
	for i := range origins {
		origins[i].Message = messages[origins[i].Revision]
	}
	return nil
}
