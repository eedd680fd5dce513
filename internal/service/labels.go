package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// labelsMember is the member of a document that holds its labels.
const labelsMember = "labels"

// labelsOf are the labels that policies see of a resource, as it stands now:
// those of the secret that counts, or the texts in the labels member of the
// effective document. What is not there has none.
func (s *Service) labelsOf(ctx context.Context, state *tenantState, r access.Resource) (map[string]string, error) {
	if r.Path.IsZero() {
		return nil, nil
	}
	tree := state.tree.Load()
	env, err := tree.Named(r.Environment)
	if err != nil {
		return nil, nil //nolint:nilerr // an environment that is not there holds nothing
	}
	if r.Secret {
		heads, err := s.heads(ctx, state.tenant.ID, r.Path)
		if head := heads.supplied(tree.Tree, env.ID); err == nil && head != nil {
			return head.record.Labels, nil
		}
		return nil, err
	}
	read, err := s.config(ctx, state, r.Environment, r.Path, config.At{})
	if err == nil {
		return documentLabels(read.Document.Document), nil
	}
	switch config.KindOf(err) {
	case config.KindNotFound, config.KindGone, config.KindInvalidReference:
		return nil, nil
	}
	return nil, err
}

// documentLabels are the texts in the labels member of a document.
func documentLabels(doc config.Document) map[string]string {
	members, _ := doc.Root()[labelsMember].(map[string]any)
	var labels map[string]string
	for name, value := range members {
		if text, ok := value.(string); ok {
			if labels == nil {
				labels = map[string]string{}
			}
			labels[name] = text
		}
	}
	return labels
}
