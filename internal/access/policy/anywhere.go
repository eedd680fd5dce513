package policy

import (
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Anywhere says whether a request may be about anything that lies in its
// resource: an environment, a folder, or the tenant. It looks at heads, not at
// conditions, so that true promises nothing: each thing has still to be decided
// by itself. After false, every one of them would be denied.
func (s *Set) Anywhere(r *access.Request) bool {
	q := ask(r)
	defer q.done()
	if _, refused := q.enter(); refused || !r.Principal.Scope.Touches(r.Action, r.Resource) {
		return false
	}
	q.nameRoles(s)
	all, items := q.area()
	permitted, forbidden := q.survey(builtin(), all, items)
	if q.asksTenant() {
		p, f := q.survey(s.own, all, items)
		permitted, forbidden = permitted || p, forbidden || f
	}
	return permitted && !forbidden
}

// area is the resource with all that is in it, as far as the action is taken on
// such things, and of these the ones that would be shown.
func (q *question) area() (all, items places) {
	r, on := &q.request.Resource, q.info.On
	all = places{kinds: on, environment: r.Environment, prefix: r.Prefix}
	subject := subjectOf(r)
	switch {
	case subject&(access.OnDocument|access.OnSecret) != 0:
		prefix, _ := config.ParsePrefix(r.Path.String()) // every path is one
		all = places{kinds: subject, environment: r.Environment, prefix: prefix, exact: true}
		return all, all
	case r.Prefix.String() != "":
		all.kinds &= onItems
	case r.Environment != "":
		all.kinds &^= access.OnTenant
	}
	if items = all.only(access.OnDocument | access.OnSecret); !items.empty() {
		return all, items
	}
	if items = all.only(access.OnEnvironment); !items.empty() {
		return all, items
	}
	return all, all.only(subject)
}

// survey looks for a policy that may permit something of all, and for one that
// forbids every item whatever its conditions.
func (q *question) survey(b *body, all, items places) (permitted, forbidden bool) {
	k := b.actions[q.info.Action]
	if k == nil {
		return false, false
	}
	for _, s := range k.all {
		switch {
		case !q.binds(s) || s.truth == never:
		case s.permit:
			permitted = permitted || s.where.overlaps(all)
		case s.truth == always && s.where.contains(items):
			return false, true
		}
	}
	return permitted, false
}
