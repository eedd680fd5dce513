package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Delegate finds what the author of a change to one file, from now to next, gives
// to others or lifts from them without holding it: nobody becomes able to do by a
// policy what its author cannot do. An author is asked for every action of the
// head of each policy that is new or altered, and of each forbid that goes, over
// the whole scope of the head.
//
// An author holds an action over a scope when one permit without conditions gives
// it to them over the whole of it, no forbid may apply to them anywhere in it, and
// their token is narrowed to nothing less. Several permits that hold a scope only
// together do not count, so that a refusal can be understood: the author needs one
// policy that says it. Of the file that changes, the permits of now count and the
// forbids do not, so that an admin can take back what hits all admins; but a forbid
// for the one principal, or for another role of theirs, can only others lift. A
// policy whose condition may fail is taken for a forbid as well, because failing
// denies.
//
// The author's roles must be those of this tenant; an author without a Tenant is
// a server admin who is not of it. What does not parse is refused by Check.
func Delegate(now, next Source, file string, author access.Principal) (found []Finding) {
	before, err := newSheet(now)
	if err != nil {
		return []Finding{refusal(file, FindingDelegation, err)}
	}
	after, err := newSheet(next)
	if err != nil {
		return []Finding{refusal(file, FindingDelegation, err)}
	}
	h := &holder{sheet: before, author: author, ignore: func(r *rule) bool { return r.File == file && !r.personal() }}
	for _, r := range after.of(file) {
		if !before.has(r) {
			found = append(found, h.answerFor(r, "gives")...)
		}
	}
	for _, r := range before.of(file) {
		if r.denies() && !after.has(r) {
			found = append(found, h.answerFor(r, "is lifted, and gives back")...)
		}
	}
	return found
}

// personal says that the head is bound to one principal, or to a role that is not
// every admin's.
func (r *rule) personal() bool {
	switch r.who.role {
	case "", access.RoleViewer, access.RoleOperator, access.RoleAdmin:
		return r.who.uid.Type != ""
	}
	return true
}

// of are the rules of one file.
func (s *sheet) of(file string) (rules []*rule) {
	for _, r := range s.rules {
		if r.File == file && file != "" {
			rules = append(rules, r)
		}
	}
	return rules
}

// has says whether the file of a rule holds the same rule here.
func (s *sheet) has(r *rule) bool {
	return slices.ContainsFunc(s.of(r.File), func(q *rule) bool { return q.text == r.text })
}

// holder asks what an author holds for certain by the policies of a sheet.
type holder struct {
	*sheet
	author access.Principal
	ignore func(*rule) bool // forbids that do not count
	strict bool             // forbids count that are for everybody alike
}

// answerFor finds what the author lacks of the head of a rule: at most one
// finding, which names the actions.
func (h *holder) answerFor(r *rule, verb string) []Finding {
	if !r.permits() && verb == "gives" {
		verb = "takes away"
	}
	actions, where := h.lacks(r, nil)
	if len(actions) == 0 {
		return nil
	}
	return []Finding{{
		Ref: r.Ref, Kind: FindingDelegation, Refused: true,
		Message: fmt.Sprintf("the %s %s what its author does not hold without conditions: %s on %s", r.Effect, verb, listed(actions), where),
	}}
}

// lacks are the actions of a head that the author does not hold all over its
// scope, as far as a narrowed token gets, and the scope of the first. It does not
// matter whether there is anybody whom the head selects: a role may come later.
func (h *holder) lacks(r *rule, narrowed *access.Scope) (lacking []access.Action, where places) {
	if r.condition.truth == never {
		return nil, places{}
	}
	for a, scope := range r.heads() {
		for _, part := range narrow(narrowed, a, scope) {
			if h.holds(a, part) {
				continue
			}
			if lacking == nil {
				where = part
			}
			lacking = append(lacking, a)
			break
		}
	}
	return lacking, where
}

// holds says whether the author holds an action all over a scope.
func (h *holder) holds(a access.Action, scope places) bool {
	if !inScope(h.author.Scope, a, scope) {
		return false
	}
	held := false
	for _, r := range h.rules {
		where := r.at(a)
		if where.empty() || !h.isIn(r, a) {
			continue
		}
		if h.deniedBy(r) && where.overlaps(scope) && !h.ignore(r) {
			return false
		}
		held = held || r.permits() && r.applies() && where.contains(scope)
	}
	return held
}

// isIn says whether the head of a rule selects the author, for an action.
func (h *holder) isIn(r *rule, a access.Action) bool {
	kind, known := principalTypes[h.author.Method]
	if !known || h.author.ID == "" || r.who.types&typesOf(kind) == 0 {
		return false
	}
	outsider := h.outsider()
	if outsider && (!r.who.outsider || r.File != "" && servingActions.has(a)) {
		return false
	}
	if uid := r.who.uid; uid.Type != "" && (uid.Type != kind || string(uid.ID) != h.author.ID) {
		return false
	}
	switch r.who.role {
	case "":
		return true
	case access.RoleServerAdmin:
		return h.author.ServerAdmin
	}
	return h.hasRole(r.who.role)
}

// outsider says that the author is not of the tenant.
func (h *holder) outsider() bool { return h.author.Tenant == config.TenantID{} }

// hasRole says whether the author has a role, or one that includes it.
func (h *holder) hasRole(name string) bool {
	return !h.outsider() && slices.ContainsFunc(h.author.Roles, func(role string) bool { return h.roles[role] != nil && h.in(role, name) })
}

// inScope says whether a narrowed token may be used for an action on all of a
// set of places.
func inScope(s *access.Scope, a access.Action, where places) bool {
	if s == nil {
		return true
	}
	environment := where.environment
	if environment == "" && len(s.Environments) == 0 {
		environment = "any" // they are all the same to the scope
	}
	thing := access.Resource{Tenant: testTenant, Environment: environment}
	for _, kind := range []access.Subject{access.OnTenant, access.OnEnvironment, onItems} {
		r := thing
		switch {
		case where.kinds&kind == 0:
			continue
		case kind == access.OnTenant:
			r.Environment = ""
		case environment == "":
			return false // all environments, and the scope has some
		case kind == onItems:
			r.Prefix = where.prefix
		}
		if !s.Contains(a, r) {
			return false
		}
	}
	return true
}

// listed names the first few actions.
func listed(actions []access.Action) string {
	const most = 4
	var names []string
	for _, a := range actions[:min(most, len(actions))] {
		names = append(names, string(a))
	}
	text := strings.Join(names, ", ")
	if more := len(actions) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
