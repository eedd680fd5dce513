package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// rules are all that governs a tenant, as of a revision. They are never changed:
// a write makes others.
type rules struct {
	revision config.Revision
	manifest config.Version         // of the manifest; 0 while there never was a rule
	heads    map[ruleKey]store.Rule // the newest versions that are not deleted
	source   policy.Source
	set      *policy.Set
	labelled bool // a policy looks at labels
	quota    quotaBody
	grants   []grant // those that may still be of use, by id
}

// ruleKey names a rule.
type ruleKey struct {
	kind store.RuleKind
	name string
}

// rulesQueue is what all who write rules take turns by: each writes the manifest.
const rulesQueue = ":rules"

// manifestName is the name of the one manifest.
const manifestName = "rules"

// manifest says which rules there are. It is sealed, so that a store cannot
// leave one out or bring an old one back unnoticed; and a process that has seen
// one takes no older one, nor none. A store that brings back all of them as they
// once were, to a process that has just started, is a backup that was restored.
type manifest struct {
	Rules []manifestEntry `json:"rules"`
}

type manifestEntry struct {
	Kind    store.RuleKind `json:"k"`
	Name    string         `json:"n"`
	Version config.Version `json:"v"`
}

func rulePlace(tenant config.TenantID, kind store.RuleKind, name string, version config.Version) seal.Place {
	return seal.Place{Kind: seal.Rule, Tenant: tenant, Path: string(kind) + ":" + name, Version: int64(version)}
}

// loadRules reads a tenant's rules as they stand. Rules that are not those of
// the manifest, or of one before the last that was seen, govern nothing: whoever
// asks is told that nothing can be decided.
func (s *Service) loadRules(ctx context.Context, tenant config.Tenant, seen config.Version) (*rules, error) {
	newest, err := s.newestRules(ctx, tenant.ID) // before the rules: whoever writes meanwhile makes both newer
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Rules(ctx, tenant.ID)
	if err != nil {
		return nil, err
	}
	heads := make(map[ruleKey]store.Rule, len(rows))
	for _, row := range rows {
		heads[ruleKey{row.Kind, row.Name}] = row
	}
	head := heads[ruleKey{store.RuleManifest, manifestName}]
	switch {
	case head.Version < seen:
		return nil, alteredRules(fmt.Errorf("the manifest is at version %d, and was at %d", head.Version, seen))
	case head.Revision < newest: // whoever takes rules back must take back all that came after
		return nil, alteredRules(fmt.Errorf("the manifest is of revision %d, and rules were written at %d", head.Revision, newest))
	}
	return s.openRules(ctx, tenant, heads)
}

// newestRules is the last revision that wrote rules, 0 while none did.
func (s *Service) newestRules(ctx context.Context, tenant config.TenantID) (config.Revision, error) {
	entries, _, err := s.store.Log(ctx, tenant, []store.EntryKind{store.EntryRule}, store.Page{Limit: 1})
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	return entries[0].Revision, nil
}

// rulesNow are the rules as they stand in the store, for a write.
func (s *Service) rulesNow(ctx context.Context, state *tenantState) (*rules, error) {
	return s.loadRules(ctx, state.tenant, state.rules.Load().manifest)
}

// openRules checks rules against their manifest, opens and compiles them.
func (s *Service) openRules(ctx context.Context, tenant config.Tenant, heads map[ruleKey]store.Rule) (*rules, error) {
	r := &rules{heads: heads, source: policy.Source{Tenant: tenant.Name}, manifest: heads[ruleKey{store.RuleManifest, manifestName}].Version}
	if err := s.checkManifest(ctx, tenant.ID, heads); err != nil {
		return nil, err
	}
	for _, row := range sortedRules(heads) {
		r.revision = max(r.revision, row.Revision)
		if err := s.openRule(ctx, tenant.ID, row, r); err != nil {
			return nil, err
		}
	}
	var err error
	if r.set, err = policy.Compile(r.source); err != nil {
		return nil, unavailable(err, "the policies of the tenant do not compile")
	}
	r.labelled = r.set.Labelled()
	return r, nil
}

func (s *Service) openRule(ctx context.Context, tenant config.TenantID, row store.Rule, r *rules) error {
	switch row.Kind {
	case store.RulePolicy:
		body, err := openRuleBody[policyBody](ctx, s, tenant, row)
		r.source.Files = append(r.source.Files, policy.File{Name: row.Name, Text: body.Text})
		return err
	case store.RuleRole:
		body, err := openRuleBody[policy.Role](ctx, s, tenant, row)
		body.Name = row.Name
		r.source.Roles = append(r.source.Roles, body)
		return err
	case store.RuleQuota:
		body, err := openRuleBody[quotaBody](ctx, s, tenant, row)
		r.quota = body
		return err
	case store.RuleGrant:
		body, err := openRuleBody[grant](ctx, s, tenant, row)
		r.grants = append(r.grants, body)
		return err
	case store.RuleManifest:
	}
	return nil
}

func openRuleBody[T any](ctx context.Context, s *Service, tenant config.TenantID, row store.Rule) (body T, err error) {
	text, err := s.keyring.Open(ctx, rulePlace(tenant, row.Kind, row.Name, row.Version), row.Sealed)
	if errors.Is(err, seal.ErrSealBroken) {
		return body, alteredRules(err)
	}
	if err != nil {
		return body, err
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return body, unavailable(err, "a stored rule does not parse")
	}
	return body, nil
}

// sortedRules are rules by kind and name.
func sortedRules(heads map[ruleKey]store.Rule) []store.Rule {
	all := make([]store.Rule, 0, len(heads))
	for _, row := range heads {
		all = append(all, row)
	}
	slices.SortFunc(all, func(a, b store.Rule) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// checkManifest refuses rules that are not exactly those that were written.
func (s *Service) checkManifest(ctx context.Context, tenant config.TenantID, heads map[ruleKey]store.Rule) error {
	if len(heads) == 0 {
		return nil
	}
	row, there := heads[ruleKey{store.RuleManifest, manifestName}]
	if !there {
		return alteredRules(errors.New("there is no manifest"))
	}
	m, err := openRuleBody[manifest](ctx, s, tenant, row)
	if err != nil {
		return err
	}
	if len(m.Rules) != len(heads)-1 {
		return alteredRules(fmt.Errorf("there are %d rules, and %d in the manifest", len(heads)-1, len(m.Rules)))
	}
	for _, e := range m.Rules {
		if head, there := heads[ruleKey{e.Kind, e.Name}]; !there || head.Version != e.Version {
			return alteredRules(fmt.Errorf("the %s %s is not the one in the manifest", e.Kind, e.Name))
		}
	}
	return nil
}

func alteredRules(how error) error {
	return unavailable(how, "the rules of the tenant are not as they were written")
}

// ruleWrite is the next version of a rule as it is wanted.
type ruleWrite struct {
	kind    store.RuleKind
	name    string
	body    any
	deleted bool
}

// proposeRules makes of rules the others that there are with some written, adds
// them to a proposal, and puts them in force when it is committed. The proposal
// stands only as long as no rule is written meanwhile.
func (s *Service) proposeRules(ctx context.Context, state *tenantState, now *rules, p *proposal, writes ...ruleWrite) error {
	heads := make(map[ruleKey]store.Rule, len(now.heads)+len(writes)+1)
	for key, row := range now.heads {
		heads[key] = row
	}
	for _, w := range writes {
		if err := s.proposeRule(ctx, state.tenant.ID, heads, p, w); err != nil {
			return err
		}
	}
	if err := s.proposeManifest(ctx, state.tenant.ID, heads, p); err != nil {
		return err
	}
	next, err := s.openRules(ctx, state.tenant, heads)
	if err != nil {
		return err
	}
	// They are read as they stand, which may be after what this process was told of.
	p.write.Expect.Revision, p.write.Expect.Rules = max(p.write.Expect.Revision, now.revision), true
	p.event.Access = true
	p.after = func(receipt store.Receipt) {
		for _, w := range p.write.Rules {
			key := ruleKey{w.Kind, w.Name}
			if row, there := next.heads[key]; there {
				row.Revision, row.Time, row.Author = receipt.Revision, receipt.Time, p.write.Entry.Author
				next.heads[key] = row
			}
		}
		next.revision = receipt.Revision
		state.govern(next)
	}
	return nil
}

func (s *Service) proposeRule(ctx context.Context, tenant config.TenantID, heads map[ruleKey]store.Rule, p *proposal, w ruleWrite) error {
	key := ruleKey{w.kind, w.name}
	version, err := s.nextRuleVersion(ctx, tenant, heads, key)
	if err != nil {
		return err
	}
	row := store.RuleWrite{Kind: w.kind, Name: w.name, Version: version, Deleted: w.deleted}
	if w.deleted {
		delete(heads, key)
	} else {
		text, err := json.Marshal(w.body)
		if err != nil {
			return err
		}
		if row.Sealed, err = s.keyring.Seal(ctx, rulePlace(tenant, w.kind, w.name, version), text); err != nil {
			return err
		}
		heads[key] = store.Rule{Kind: w.kind, Name: w.name, Version: version, Sealed: row.Sealed}
	}
	p.write.Rules = append(p.write.Rules, row)
	return nil
}

// proposeManifest adds the manifest of the rules as they will be.
func (s *Service) proposeManifest(ctx context.Context, tenant config.TenantID, heads map[ruleKey]store.Rule, p *proposal) error {
	var m manifest
	for _, row := range sortedRules(heads) {
		if row.Kind != store.RuleManifest {
			m.Rules = append(m.Rules, manifestEntry{row.Kind, row.Name, row.Version})
		}
	}
	return s.proposeRule(ctx, tenant, heads, p, ruleWrite{kind: store.RuleManifest, name: manifestName, body: m})
}

// nextRuleVersion goes on counting after a delete.
func (s *Service) nextRuleVersion(ctx context.Context, tenant config.TenantID, heads map[ruleKey]store.Rule, key ruleKey) (config.Version, error) {
	if row, there := heads[key]; there {
		return row.Version + 1, nil
	}
	row, err := s.store.Rule(ctx, tenant, key.kind, key.name, 0)
	if config.KindOf(err) == config.KindNotFound {
		return 1, nil
	}
	return row.Version + 1, err
}

// govern puts rules in force, unless newer ones are.
func (t *tenantState) govern(next *rules) {
	for {
		now := t.rules.Load()
		if now != nil && now.revision > next.revision || t.rules.CompareAndSwap(now, next) {
			return
		}
	}
}
