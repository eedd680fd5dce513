package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// sheds says whether a new token with these roles could be free of what may deny
// the author: of a forbid for that one principal, for a role that the token is not
// to have, or on conditions that come out by who somebody is. To have a role is
// then not enough to give it.
func (h *holder) sheds(roles []string) bool {
	for _, r := range h.rules {
		if !h.deniedBy(r) || r.bindsTokens(h.sheet, roles) {
			continue
		}
		for a := range r.heads() {
			if h.isIn(r, a) {
				return true
			}
		}
	}
	return false
}

// deniedBy says whether a rule may deny the author what others might then have, as
// far as its conditions ask for roles; its head is not looked at.
func (h *holder) deniedBy(r *rule) bool {
	if !r.denies() || !h.strict && r.sparesNobody() {
		return false
	}
	condition := conditionFor(r.ast, func(role string) truth {
		if role == access.RoleServerAdmin {
			return truthOf(h.author.ServerAdmin)
		}
		return truthOf(h.hasRole(role))
	})
	return condition.truth != never
}

// sparesNobody says that a forbid denies all of the tenant alike, such as at
// certain times: whoever is given something is denied as its giver is.
func (r *rule) sparesNobody() bool {
	return !r.permits() && !r.byWho && !r.byRole && !r.who.bound() && r.who.types == anyType
}

// bindsTokens says whether a rule denies every token with these roles as it
// denies everybody else.
func (r *rule) bindsTokens(s *sheet, roles []string) bool {
	if r.byWho || r.who.types&tokens == 0 || r.who.uid != (cedar.EntityUID{}) {
		return false
	}
	has := func(role string) bool {
		return slices.ContainsFunc(roles, func(given string) bool { return s.in(given, role) })
	}
	if r.who.role != "" && !has(r.who.role) {
		return false
	}
	return !r.byRole || conditionFor(r.ast, func(role string) truth { return truthOf(has(role)) }).truth == always
}

// asksWho says whether the conditions of a policy look at anything that is not
// the same for all who may come with the same roles from the same place.
func asksWho(p *ast.Policy) (found bool) {
	const same = readsTime | readsSource | readsLabels | readsPlace
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			if in, ok := n.(ast.NodeTypeIn); ok {
				if _, role := askedRole(in); role {
					return false
				}
			}
			if v, ok := n.(ast.NodeTypeVariable); ok && v.Name == "principal" {
				found = true
			}
			return !found
		})
	}
	return found || readsOf(p)&^same != 0
}
