package policy

import (
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// MayGive says whether an author may issue a token with these roles, narrowed to
// a scope, nil for none. They may give a role that they have, unless the token
// could be free of what may deny them, and any other of which they hold all that
// somebody comes to by it: the head of every permit that
// is bound to the role or to one that it includes, and of every policy whose
// conditions could come out otherwise for it. Holding is as for Delegate, with
// nothing left out. A permit for everybody on conditions counts as one that the
// role could meet. Whose own token is narrowed gives nothing beyond that.
//
// The error is KindForbidden and says what is lacking, KindBadRequest for a role
// that the tenant does not have.
func MayGive(now Source, author access.Principal, roles []string, scope *access.Scope) error {
	s, err := newSheet(now)
	if err != nil {
		return err
	}
	if fault := exceeds(author.Scope, scope); fault != "" {
		return config.Errorf(config.KindForbidden, "your token is narrowed to some %s, and what you give must be narrowed as well", fault).
			Hint("give only %s that your own token has", fault)
	}
	h := &holder{sheet: s, author: author, ignore: nothingIgnored}
	has := !h.sheds(roles)
	for _, role := range roles {
		if err := h.mayGive(role, has, scope); err != nil {
			return err
		}
	}
	return nil
}

func nothingIgnored(*rule) bool { return false }

// mayGive is MayGive for one role; has says whether to have it is enough.
func (h *holder) mayGive(role string, has bool, scope *access.Scope) error {
	if role == access.RoleServerAdmin {
		return config.Errorf(config.KindForbidden, "no tenant gives the role %s", role).Hint("a server admin gives it, on the server")
	}
	if h.roles[role] == nil {
		return config.Errorf(config.KindBadRequest, "there is no role %q in this tenant", role).At("roles").
			Hint("name one of %s, or one of the tenant's own", strings.Join(access.BuiltinRoles, ", "))
	}
	if has && h.hasRole(role) {
		return nil
	}
	for _, r := range h.rules {
		open := r.permits() && !r.who.bound() && !r.applies()
		fresh := r.who.types&tokens != 0 && r.who.uid.Type == "" // a new token has a new id
		if !fresh || !open && !h.meetsRole(r, role) {
			continue
		}
		if err := h.mayPass(r, scope, "give the role "+role); err != nil {
			return err
		}
	}
	return nil
}

// meetsRole says whether somebody may be allowed more by a rule because they are
// in a role.
func (s *sheet) meetsRole(r *rule, role string) bool {
	return r.byRole || r.permits() && r.who.role != "" && s.in(role, r.who.role)
}

// mayPass refuses what comes by a rule, as far as a narrowed token gets, if the
// author does not hold all of it.
func (h *holder) mayPass(r *rule, scope *access.Scope, what string) error {
	actions, where := h.lacks(r, scope)
	if len(actions) == 0 {
		return nil
	}
	return config.Errorf(config.KindForbidden, "you may not %s: it comes with %s on %s, which you do not hold without conditions", what, listed(actions), where).
		Hint("the policy is %s; ask somebody who holds all of it", r.Ref)
}

// exceeds says in which respect a scope is wider than another; "" when it is not.
func exceeds(outer, inner *access.Scope) string {
	if outer == nil {
		return ""
	}
	if inner == nil {
		inner = &access.Scope{}
	}
	switch {
	case !subset(outer.Environments, inner.Environments, func(a, b string) bool { return a == b }):
		return "environments"
	case !subset(outer.Paths, inner.Paths, below):
		return "paths"
	case !subset(outer.Actions, inner.Actions, func(a, b access.Action) bool { return a == b }):
		return "actions"
	}
	return ""
}

// subset says whether each of inner is within one of outer. An empty list stands
// for everything.
func subset[T any](outer, inner []T, within func(outer, inner T) bool) bool {
	if len(outer) == 0 {
		return true
	}
	for _, i := range inner {
		if !slices.ContainsFunc(outer, func(o T) bool { return within(o, i) }) {
			return false
		}
	}
	return len(inner) > 0
}

// narrow cuts what a token narrowed to a scope can do of an action out of a set
// of places: none, one, or several sets.
func narrow(s *access.Scope, a access.Action, where places) (parts []places) {
	if s == nil {
		return []places{where}
	}
	if len(s.Actions) > 0 && !slices.Contains(s.Actions, a) {
		return nil
	}
	keep := func(part places) {
		if part = where.intersect(part); !part.empty() && s.Contains(a, representative(part)) {
			parts = append(parts, part)
		}
	}
	keep(places{kinds: access.OnTenant})
	for _, environment := range orAll(s.Environments) {
		keep(places{kinds: access.OnEnvironment, environment: environment})
		for _, prefix := range orAll(s.Paths) {
			keep(places{kinds: onItems, environment: environment, prefix: prefix})
		}
	}
	return parts
}

// representative is a thing in a set of places that a scope contains only if it
// contains all of the set. Where the set has all environments, so has the scope.
func representative(p places) access.Resource {
	r := access.Resource{Tenant: testTenant, Environment: p.environment, Prefix: p.prefix}
	if r.Environment == "" && p.kinds != access.OnTenant {
		r.Environment = "any"
	}
	return r
}

// orAll is a list, or one zero value for all when it is empty.
func orAll[T any](list []T) []T {
	if len(list) == 0 {
		return make([]T, 1)
	}
	return list
}

// MayDefine says whether an author may make or change a role of a tenant's own.
// Whoever has the role comes to all that it newly includes, which the author must
// hold as for MayGive; and where it no longer includes a role that a forbid names,
// they are rid of the forbid, so that the author must hold what it forbids, as if
// it were not there. A role is narrowed to nothing, so that an author whose token
// is narrowed must hold all of it within that. The error is KindForbidden, or says
// why the role cannot be.
func MayDefine(now Source, author access.Principal, role Role) error {
	next := now
	next.Roles = append(without(now.Roles, role.Name), role)
	return mayChange(now, next, author, "define the role "+role.Name)
}

// MayRemove is MayDefine for removing a role altogether.
func MayRemove(now Source, author access.Principal, name string) error {
	next := now
	next.Roles = without(now.Roles, name)
	return mayChange(now, next, author, "remove the role "+name)
}

func without(roles []Role, name string) []Role {
	return slices.DeleteFunc(slices.Clone(roles), func(r Role) bool { return r.Name == name })
}

func mayChange(now, next Source, author access.Principal, what string) error {
	before, err := newSheet(now)
	if err != nil {
		return err
	}
	after, err := newSheet(next)
	if err != nil {
		return err
	}
	gained, lost := after.more(before), before.more(after)
	h := &holder{sheet: before, author: author, ignore: nothingIgnored}
	for _, r := range after.rules {
		comes := func(role string) bool {
			return (author.Scope != nil || !h.hasRole(role) || h.sheds(gained)) && after.meetsRole(r, role)
		}
		if slices.ContainsFunc(gained, comes) {
			if err := h.mayPass(r, nil, what); err != nil {
				return err
			}
		}
	}
	for _, r := range before.rules {
		h.ignore = func(q *rule) bool { return q == r }
		lifts := func(role string) bool { return r.byRole || r.denies() && r.who.role == role }
		if slices.ContainsFunc(lost, lifts) {
			if err := h.mayPass(r, nil, what); err != nil {
				return err
			}
		}
	}
	return nil
}

// more are the roles that somebody has by a role here and not there.
func (s *sheet) more(there *sheet) (names []string) {
	for name, uids := range s.roles {
		for _, uid := range uids {
			if !slices.Contains(there.roles[name], uid) && !slices.Contains(names, string(uid.ID)) {
				names = append(names, string(uid.ID))
			}
		}
	}
	slices.Sort(names)
	return names
}
