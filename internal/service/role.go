package service

import (
	"context"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// maxDescriptionBytes bounds what a role says of itself.
const maxDescriptionBytes = 512

// Role is a role of a tenant's own, or a built-in one.
type Role struct {
	policy.Role
	Row store.Rule // zero of a built-in one
}

// RoleRequest defines a role of a tenant's own, or deletes it.
type RoleRequest struct {
	Description string
	Includes    []string
	Delete      bool
	Message     string
	IfVersion   *config.Version
}

// RoleResult says what a write of a role did.
type RoleResult struct {
	Outcome
	Role   Role
	Report policy.Report
}

// Roles answers the built-in roles and the tenant's own.
func (s *Service) Roles(ctx context.Context, who Caller, tenant string) ([]Role, error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: "roles"})
	if err != nil {
		return nil, err
	}
	rules := state.rules.Load()
	var all []Role
	for _, role := range policy.BuiltinRoles() {
		all = append(all, Role{Role: role})
	}
	for _, role := range rules.source.Roles {
		all = append(all, Role{role, rules.heads[ruleKey{store.RuleRole, role.Name}]})
	}
	return all, nil
}

// Role answers a role, or a version of one of the tenant's own.
func (s *Service) Role(ctx context.Context, who Caller, tenant, name string, version config.Version) (Role, error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: "roles/" + name})
	if err != nil {
		return Role{}, err
	}
	for _, role := range policy.BuiltinRoles() {
		if role.Name == name && version == 0 {
			return Role{Role: role}, nil
		}
	}
	row, err := s.ruleVersion(ctx, state, store.RuleRole, name, version)
	if err != nil || row.Deleted {
		return Role{policy.Role{Name: name}, row}, err
	}
	body, err := openRuleBody[policy.Role](ctx, s, state.tenant.ID, row)
	body.Name = name
	return Role{body, row}, err
}

// PutRole defines a role of the tenant's own, or deletes it. Nobody gives a role
// what he does not have himself.
func (s *Service) PutRole(ctx context.Context, who Caller, tenant, name string, in RoleRequest) (RoleResult, error) {
	state, err := s.guard(ctx, who, access.PolicyWrite, tenant, access.Resource{Name: "roles/" + name})
	if err != nil {
		return RoleResult{}, err
	}
	if err := in.check(name); err != nil {
		return RoleResult{}, err
	}
	end, err := s.policyTurn(ctx, state)
	if err != nil {
		return RoleResult{}, err
	}
	defer end()
	return once(ctx, s, who, state.tenant.ID, func() (RoleResult, error) {
		var result RoleResult
		outcome, err := s.commit(ctx, state, rulesQueue, func(ctx context.Context, n *snapshot) (*proposal, error) {
			var now *rules
			var err error
			if result, now, err = s.plannedRole(ctx, who, state, name, in); err != nil || result.Status == Unchanged {
				return nil, err
			}
			event, text := "role.put", "role "+name+" was defined"
			if in.Delete {
				event, text = "role.delete", "role "+name+" was deleted"
			}
			record := s.record(who, event, access.PolicyWrite, resourceName(access.Resource{Tenant: n.tenant, Name: "roles/" + name}))
			p, err := s.proposeEntry(who, n, store.EntryRule, name, in.Message, text, record)
			if err != nil {
				return nil, err
			}
			if err := s.proposeRules(ctx, state, now, p, ruleWrite{kind: store.RuleRole, name: name, body: result.Role.Role, deleted: in.Delete}); err != nil {
				return nil, err
			}
			result.Role.Row = store.Rule{Kind: store.RuleRole, Name: name, Version: p.write.Rules[0].Version, Author: who.Principal.Author()}
			answer := result
			answer.Status = Committed
			return p, s.keep(ctx, who, n.tenant, &p.write, answer)
		})
		result.Outcome = outcome
		if outcome.Status == Committed {
			result.Role.Row.Revision, result.Role.Row.Time = outcome.Revision, outcome.Time
		}
		return result, err
	})
}

func (in *RoleRequest) check(name string) error {
	if err := policy.CheckName(name); err != nil {
		return err
	}
	if slices.Contains(access.BuiltinRoles, name) || name == access.RoleServerAdmin {
		return config.Errorf(config.KindAlreadyExists, "the role %s is built in", name).Hint("choose another name")
	}
	if len(in.Description) > maxDescriptionBytes {
		return config.Errorf(config.KindTooLarge, "the description is too long").At("/description").Over(maxDescriptionBytes, int64(len(in.Description)))
	}
	for _, included := range in.Includes {
		if policy.CheckName(included) != nil {
			return config.Errorf(config.KindInvalidName, "one of the included roles has no name of a role").At("/includes").
				Hint("include roles of the tenant's own, or %s", strings.Join(access.BuiltinRoles, ", "))
		}
	}
	in.Includes = slices.Clone(in.Includes)
	slices.Sort(in.Includes)
	in.Includes = slices.Compact(in.Includes)
	return checkMessage(in.Message)
}

func (s *Service) plannedRole(ctx context.Context, who Caller, state *tenantState, name string, in RoleRequest) (RoleResult, *rules, error) {
	role := policy.Role{Name: name, Description: in.Description, Includes: in.Includes}
	result := RoleResult{Role: Role{Role: role}}
	now, err := s.rulesNow(ctx, state)
	if err != nil {
		return result, nil, err
	}
	head, there := now.heads[ruleKey{store.RuleRole, name}]
	if err := ruleUnmoved(head, in.IfVersion, "the role "+name); err != nil {
		return result, nil, err
	}
	if in.Delete && !there {
		return result, nil, noRule(store.RuleRole, name, 0)
	}
	before := roleNamed(now.source, name)
	if there && !in.Delete && before.Description == role.Description && slices.Equal(before.Includes, role.Includes) {
		result.Status, result.Role.Row = Unchanged, head
		return result, now, nil
	}
	next := withRole(now.source, role, in.Delete)
	if in.Delete {
		result.Role.Role = before
	}
	if _, err := policy.Compile(next); err != nil {
		return result, nil, err
	}
	if in.Delete {
		if err := s.unheld(ctx, state, name); err != nil {
			return result, nil, err
		}
		err = policy.MayRemove(now.source, s.principalIn(who, state), name)
	} else {
		err = policy.MayDefine(now.source, s.principalIn(who, state), role)
	}
	if err != nil {
		return result, nil, err
	}
	if result.Report, err = policy.CheckContext(ctx, withEnvironments(state, next), ""); err != nil {
		return result, nil, err
	}
	result.Report.Findings = append(result.Report.Findings, s.lockedOut(ctx, who, state, next, "")...)
	return result, now, s.refused(ctx, who, access.PolicyWrite, state.tenant.ID, access.Resource{Name: "roles/" + name}, refusedPolicy(result.Report))
}

// unheld refuses while tokens that stand have a role: if another of its name came,
// they would have that.
func (s *Service) unheld(ctx context.Context, state *tenantState, role string) error {
	held, now := 0, s.clock()
	for page := (store.Page{Limit: MaxPage}); ; {
		tokens, next, err := s.store.Tokens(ctx, state.tenant.ID, page)
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if t.Revoked.IsZero() && now.Before(t.Expires) && slices.Contains(tokenInfo(t).Grants.Roles, role) {
				held++
			}
		}
		if next == "" {
			break
		}
		page.Cursor = next
	}
	if held == 0 {
		return nil
	}
	return config.Errorf(config.KindInUse, "%d tokens have the role %s", held, role).
		Hint("revoke them, or let them expire; `llm-config token ls` lists them")
}

func roleNamed(src policy.Source, name string) policy.Role {
	for _, role := range src.Roles {
		if role.Name == name {
			return role
		}
	}
	return policy.Role{}
}

// withRole is a source with a role defined, or deleted.
func withRole(src policy.Source, role policy.Role, deleted bool) policy.Source {
	src.Roles = slices.DeleteFunc(slices.Clone(src.Roles), func(r policy.Role) bool { return r.Name == role.Name })
	if !deleted {
		src.Roles = append(src.Roles, role)
		slices.SortFunc(src.Roles, func(a, b policy.Role) int { return strings.Compare(a.Name, b.Name) })
	}
	return src
}
