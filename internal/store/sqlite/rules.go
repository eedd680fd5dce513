package sqlite

import (
	"context"
	"strconv"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	ruleColumns = `v.kind, v.name, v.version, v.revision, v.time, v.author, v.deleted, v.sealed`

	selectRules = `
SELECT ` + ruleColumns + `
FROM rules h CROSS JOIN rule_versions v
ON v.tenant = h.tenant AND v.kind = h.kind AND v.name = h.name AND v.version = h.version
WHERE h.tenant = ? AND h.deleted = 0 ORDER BY h.kind, h.name`
)

// Rules implements store.Rules.
func (s *Store) Rules(ctx context.Context, tenant config.TenantID) ([]store.Rule, error) {
	var rules []store.Rule
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectRules, func(r row) error { rules = append(rules, ruleOf(r)); return nil }, tenant[:])
	})
	return rules, err
}

const (
	selectRule = `
SELECT ` + ruleColumns + ` FROM rule_versions v
WHERE v.tenant = ? AND v.kind = ? AND v.name = ? AND v.version = ?`

	selectNewestRule = `
SELECT ` + ruleColumns + ` FROM rule_versions v
WHERE v.tenant = ? AND v.kind = ? AND v.name = ? AND v.version > ? ORDER BY v.version DESC LIMIT 1`
)

// Rule implements store.Rules.
func (s *Store) Rule(
	ctx context.Context, tenant config.TenantID, kind store.RuleKind, name string, version config.Version,
) (store.Rule, error) {
	text := selectRule
	if version == 0 {
		text = selectNewestRule
	}
	var rule store.Rule
	err := s.read(ctx, func(c *conn) error {
		return c.query(text, func(r row) error { rule = ruleOf(r); return nil }, tenant[:], string(kind), name, int64(version))
	})
	if err == nil && rule.Version == 0 {
		err = noRule(kind, name, version)
	}
	return rule, err
}

const selectRuleVersions = `
SELECT v.kind, v.name, v.version, v.revision, v.time, v.author, v.deleted, NULL FROM rule_versions v
WHERE v.tenant = ? AND v.kind = ? AND v.name = ? AND v.version < ? ORDER BY v.version DESC LIMIT ?`

// RuleVersions implements store.Rules.
func (s *Store) RuleVersions(
	ctx context.Context, tenant config.TenantID, kind store.RuleKind, name string, page store.Page,
) ([]store.Rule, store.Cursor, error) {
	list := list[store.Rule]{
		query:    store.Query{Tenant: tenant, Parts: []string{"rule versions", string(kind), name}},
		page:     page,
		position: func(r *store.Rule) string { return strconv.FormatInt(int64(r.Version), 10) },
	}
	return list.read(ctx, s, func(c *conn, after string, limit int64, add func(store.Rule)) error {
		before := int64(newest)
		if after != "" {
			var err error
			if before, err = strconv.ParseInt(after, 10, 64); err != nil {
				return err
			}
		}
		return c.query(selectRuleVersions, func(r row) error { add(ruleOf(r)); return nil },
			tenant[:], string(kind), name, before, limit)
	})
}

// ruleOf reads a row of ruleColumns.
func ruleOf(r row) store.Rule {
	return store.Rule{
		Kind: store.RuleKind(r.text(0)), Name: r.text(1), Version: config.Version(r.int(2)), Revision: config.Revision(r.int(3)),
		Time: r.time(4), Author: r.text(5), Deleted: r.bool(6), Sealed: r.bytes(7),
	}
}

func noRule(kind store.RuleKind, name string, version config.Version) error {
	if version == 0 {
		return config.Errorf(config.KindNotFound, "there is no %s %q", kind, name)
	}
	return config.Errorf(config.KindNotFound, "the %s %q has no version %d", kind, name, version)
}
