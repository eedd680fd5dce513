package sqlite

import (
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// checkRulesOnce refuses a write that cannot be meant: two versions of one rule.
func checkRulesOnce(rules []store.RuleWrite) error {
	type place struct {
		kind store.RuleKind
		name string
	}
	seen := make(map[place]bool, len(rules))
	for i := range rules {
		at := place{rules[i].Kind, rules[i].Name}
		if seen[at] {
			return fmt.Errorf("one write holds two versions of the %s %q", at.kind, at.name)
		}
		seen[at] = true
	}
	return nil
}

const selectRuleVersion = `
SELECT version FROM rules WHERE tenant = ? AND kind = ? AND name = ?`

func (c *commit) checkRules(t *tx) error {
	if c.write.Expect.Rules && c.state.rules > c.write.Expect.Revision {
		return moved("the rules")
	}
	for i := range c.write.Rules {
		w := &c.write.Rules[i]
		last, err := t.count(selectRuleVersion, c.tenant[:], string(w.Kind), w.Name)
		if err != nil {
			return err
		}
		if w.Version != config.Version(last)+1 {
			return moved(fmt.Sprintf("the %s %q", w.Kind, w.Name))
		}
	}
	return nil
}

const (
	insertRuleVersion = `
INSERT INTO rule_versions (tenant, kind, name, version, revision, time, author, deleted, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

	upsertRule = `
INSERT INTO rules (tenant, kind, name, version, deleted) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET version = excluded.version, deleted = excluded.deleted`
)

func (c *commit) storeRules(t *tx) error {
	for i := range c.write.Rules {
		w := &c.write.Rules[i]
		c.state.rules = c.receipt.Revision
		tenant, kind, version, deleted := c.tenant[:], string(w.Kind), int64(w.Version), toInt(w.Deleted)
		err := t.exec(insertRuleVersion, tenant, kind, w.Name, version, int64(c.receipt.Revision), c.state.nanos,
			c.write.Entry.Author, deleted, w.Sealed)
		if err != nil {
			return err
		}
		if err := t.exec(upsertRule, tenant, kind, w.Name, version, deleted); err != nil {
			return err
		}
	}
	return nil
}
