package service

import (
	"context"
	"maps"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// labelsMember is the member of a document that holds its labels.
const labelsMember = "labels"

// labelsOf are the labels that policies see of a resource, as it stands now:
// those of the secret that counts, or the texts in the labels member of the
// effective document. What is not there has none; what is there and cannot be
// read may have any, which is an error, or a forbid would be lifted by it.
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
	if config.KindOf(err) == config.KindNotFound {
		return nil, nil
	}
	return nil, err
}

// unknowable says whether labels cannot be read however often one tries: their
// document was destroyed, or refers to what is not there.
func unknowable(err error) bool {
	kind := config.KindOf(err)
	return kind == config.KindGone || kind == config.KindInvalidReference
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

// guardLabelled asks for the right to do something to what would have labels.
func (s *Service) guardLabelled(ctx context.Context, who Caller, action access.Action, state *tenantState, r access.Resource, labels map[string]string) error {
	rules := state.rules.Load()
	request := s.question(ctx, who, action, state, r, rules)
	request.Labels = func() (map[string]string, error) { return labels, nil }
	return s.answer(ctx, who, action, state, r, ruling{Decision: rules.set.Decide(&request)})
}

// guardSecretLabels is guardPlan for a secret: whoever gives it other labels, in
// its environment or in those that have it from there, needs the right to do what
// he does with the labels before and after. What comes into being where nothing
// was inherited is asked about only where it is written.
func (s *Service) guardSecretLabels(ctx context.Context, w secretWork, tree *config.Tree, heads secretHeads, after *secretHead) error {
	if !w.state.rules.Load().labelled || w.who.Principal.Method == access.MethodSystem {
		return nil
	}
	next := maps.Clone(heads)
	next[after.Environment] = after
	for _, heir := range tree.Heirs(after.Environment) {
		was, is := heads.supplied(tree, heir), next.supplied(tree, heir)
		if is == nil || was == nil && heir != after.Environment || maps.Equal(was.labels(), is.record.Labels) {
			continue
		}
		r := secretResource(tree.Name(heir), w.path)
		if err := s.guardIn(ctx, w.who, w.action, w.state, r); err != nil {
			return err
		}
		if err := s.guardLabelled(ctx, w.who, w.action, w.state, r, is.record.Labels); err != nil {
			return err
		}
	}
	return nil
}

func (h *secretHead) labels() map[string]string {
	if h == nil {
		return nil
	}
	return h.record.Labels
}
