package service

import (
	"context"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// TagResult says what setting a tag did.
type TagResult struct {
	Outcome
	Tag store.Tag
}

// SetTag names a revision, the newest if it is zero; a tag that is there moves.
func (s *Service) SetTag(ctx context.Context, who Caller, tenant, name string, revision config.Revision, message string) (TagResult, error) {
	state, err := s.guard(ctx, who, access.TagWrite, tenant, access.Resource{Name: "tags/" + name})
	if err != nil {
		return TagResult{}, err
	}
	if err := config.CheckTag(name); err != nil {
		return TagResult{}, err
	}
	if err := checkMessage(message); err != nil {
		return TagResult{}, err
	}
	result, err := once(ctx, s, who, state.tenant.ID, func() (TagResult, error) {
		var result TagResult
		outcome, err := s.commit(ctx, state, name, func(ctx context.Context, n *snapshot) (*proposal, error) {
			target, err := n.tagTarget(revision)
			if err != nil {
				return nil, err
			}
			now, err := s.store.Tag(ctx, state.tenant.ID, name)
			if err == nil && now.Target == target {
				result.Tag = now
				return nil, nil
			}
			if err != nil && config.KindOf(err) != config.KindNotFound {
				return nil, err
			}
			result.Tag = store.Tag{Name: name, Target: target, Author: who.Principal.Author()}
			return s.proposeTag(ctx, who, n, result, message)
		})
		result.Outcome = outcome
		return result, err
	})
	if result.Status == Committed {
		result.Tag.Set, result.Tag.Time = result.Revision, result.Time
	}
	return result, err
}

func (n *snapshot) tagTarget(revision config.Revision) (config.Revision, error) {
	switch {
	case revision == 0:
		return n.at, nil
	case revision < 0 || revision > n.at:
		return 0, noRevision(revision)
	}
	return revision, nil
}

func (s *Service) proposeTag(ctx context.Context, who Caller, n *snapshot, result TagResult, message string) (*proposal, error) {
	name := result.Tag.Name
	record := s.record(who, "tag.set", access.TagWrite, resourceName(access.Resource{Tenant: n.tenant, Name: "tags/" + name}))
	p, err := s.proposeEntry(who, n, store.EntryTag, name, message, fmt.Sprintf("tag %s names revision %d", name, result.Tag.Target), record)
	if err != nil {
		return nil, err
	}
	p.write.SetTags = []store.Tag{{Name: name, Target: result.Tag.Target}}
	result.Status = Committed
	return p, s.keep(ctx, who, n.tenant, &p.write, result)
}

// Deleted says that something that is no document was deleted.
type Deleted struct {
	Outcome
	Name string
}

// DeleteTag forgets a tag; the revision that it named stays.
func (s *Service) DeleteTag(ctx context.Context, who Caller, tenant, name, message string) (Deleted, error) {
	state, err := s.guard(ctx, who, access.TagWrite, tenant, access.Resource{Name: "tags/" + name})
	if err != nil {
		return Deleted{}, err
	}
	if err := checkMessage(message); err != nil {
		return Deleted{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (Deleted, error) {
		result := Deleted{Name: name}
		outcome, err := s.commit(ctx, state, name, func(ctx context.Context, n *snapshot) (*proposal, error) {
			if _, err := s.store.Tag(ctx, state.tenant.ID, name); err != nil {
				return nil, noTag(name, err)
			}
			record := s.record(who, "tag.delete", access.TagWrite, resourceName(access.Resource{Tenant: n.tenant, Name: "tags/" + name}))
			p, err := s.proposeEntry(who, n, store.EntryTag, name, message, "tag "+name+" was deleted", record)
			if err != nil {
				return nil, err
			}
			p.write.DeleteTags = []string{name}
			return p, s.keep(ctx, who, n.tenant, &p.write, Deleted{Outcome{Status: Committed}, name})
		})
		result.Outcome = outcome
		return result, err
	})
}

func noTag(name string, err error) error {
	if config.KindOf(err) != config.KindNotFound {
		return err
	}
	return config.Errorf(config.KindNotFound, "there is no tag %q", name).Hint("`llm-config tag ls` lists them")
}

// Tag answers one tag.
func (s *Service) Tag(ctx context.Context, who Caller, tenant, name string) (store.Tag, error) {
	state, err := s.guard(ctx, who, access.TagRead, tenant, access.Resource{Name: "tags/" + name})
	if err != nil {
		return store.Tag{}, err
	}
	tag, err := s.store.Tag(ctx, state.tenant.ID, name)
	if err != nil {
		return tag, noTag(name, err)
	}
	return tag, nil
}

// Tags answers a page of tags by name.
func (s *Service) Tags(ctx context.Context, who Caller, tenant string, page Page) ([]store.Tag, Cursor, error) {
	state, err := s.guard(ctx, who, access.TagRead, tenant, access.Resource{})
	if err != nil {
		return nil, "", err
	}
	pages := s.pagesOf(who, state.tenant.ID, "tags")
	asked, err := pages.open(ctx, page)
	if err != nil {
		return nil, "", err
	}
	tags, next, err := s.store.Tags(ctx, state.tenant.ID, asked)
	if err != nil {
		return nil, "", err
	}
	cursor, err := pages.seal(ctx, next)
	return tags, cursor, err
}
