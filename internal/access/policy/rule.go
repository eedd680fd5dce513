package policy

import (
	"fmt"
	"iter"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// rule is what the checks know of a policy: whom, what and where its head
// selects, and how its conditions come out as far as they are constant. Heads are
// known exactly; a condition that is no constant may come out either way.
type rule struct {
	Ref
	text      string
	who       principals
	does      actions
	where     places
	condition verdict
	byRole    bool // its conditions look at what the principal is in
	byWho     bool // its conditions look at who the principal is otherwise, or how it came
	ast       *ast.Policy
	number    int // its place among the rules of the sheet
}

func (r *rule) permits() bool { return r.Effect == "permit" }

// applies says that the policy holds for all that its head selects.
func (r *rule) applies() bool { return r.condition.truth == always }

// denies says that what the head selects may be denied for it: a condition that
// fails denies, whatever the effect.
func (r *rule) denies() bool {
	return r.condition.truth != never && (!r.permits() || r.condition.fails)
}

// at is where the head selects anything for an action.
func (r *rule) at(a access.Action) places {
	if !r.does.has(a) {
		return places{}
	}
	info, _ := access.InfoOf(a)
	return r.where.only(info.On)
}

// heads are the actions of the rule, with the places of each.
func (r *rule) heads() iter.Seq2[access.Action, places] {
	return func(yield func(access.Action, places) bool) {
		for i, info := range access.Actions {
			if r.does&(1<<i) != 0 && !yield(info.Action, r.where.only(info.On)) {
				return
			}
		}
	}
}

// trim leaves out of the head what never happens: actions that are not taken on
// any of its places, and places on which none of its actions is taken.
func (r *rule) trim() {
	for i, info := range access.Actions {
		if r.where.only(info.On).empty() {
			r.does &^= 1 << i
		}
	}
	r.where = r.where.only(r.does.on())
}

// general says that the head selects whatever a tenant's policies decide.
func (r *rule) general() bool {
	return r.who.types == anyType && !r.who.bound() && r.does&tenantActions == tenantActions && r.where.contains(places{kinds: inTenant})
}

// actions is a set of actions, by their numbers in the table.
type actions uint64

var actionNumbers = func() map[access.Action]int {
	all := make(map[access.Action]int, len(access.Actions))
	for i, info := range access.Actions {
		all[info.Action] = i
	}
	return all
}()

// tenantActions are those that the policies of a tenant decide, and servingActions
// those of the group serve. What is both, a tenant decides for its own people only.
var tenantActions, servingActions, allActions = func() (tenant, serving, all actions) {
	for i, info := range access.Actions {
		all |= 1 << i
		if slices.Contains(info.Groups, access.Serve) {
			serving |= 1 << i
		}
		if !slices.Equal(info.Groups, []access.Group{access.Serve}) {
			tenant |= 1 << i
		}
	}
	return tenant, serving, all
}()

func (s actions) has(a access.Action) bool {
	number, ok := actionNumbers[a]
	return ok && s&(1<<number) != 0
}

// on are the kinds of things that any of the actions is taken on.
func (s actions) on() (kinds access.Subject) {
	for i, info := range access.Actions {
		if s&(1<<i) != 0 {
			kinds |= info.On
		}
	}
	return kinds
}

// actionsIn are the actions in an entity: one of the groups, or an action itself.
func actionsIn(uid cedar.EntityUID) (s actions) {
	for i, info := range access.Actions {
		in := uid.ID == cedar.String(info.Action)
		for _, group := range info.Groups {
			in = in || uid.ID == cedar.String(group)
		}
		if in && uid.Type == typeAction {
			s |= 1 << i
		}
	}
	return s
}

// typeSet is a set of types of principals.
type typeSet uint8

const (
	tokens typeSet = 1 << iota
	identities
	workloads
	anyType = tokens | identities | workloads
)

func typesOf(name cedar.EntityType) typeSet {
	switch name {
	case typeToken:
		return tokens
	case typeIdentity:
		return identities
	case typeWorkload:
		return workloads
	}
	return 0
}

// principals is a set of principals: those of some types, in a role, or one.
type principals struct {
	types    typeSet         // none: the set is empty
	role     string          // "" for whatever role they have
	uid      cedar.EntityUID // zero for all of them
	outsider bool            // server admins who are not of the tenant may be among them
}

// bound says that the set is bound to a role or to one principal.
func (p principals) bound() bool { return p.role != "" || p.uid != cedar.EntityUID{} }

// sheet is all policies that govern a tenant, the built-in ones first.
type sheet struct {
	tenant string
	roles  roleTree
	rules  []*rule

	environments []string // nil where they are not known
}

// in says whether all who are in one role are in another.
func (s *sheet) in(role, other string) bool {
	if role == other {
		return true
	}
	for _, uid := range s.roles[role] {
		if string(uid.ID) == other {
			return true
		}
	}
	return false
}

// contains says whether every principal of q is in p for certain.
func (s *sheet) contains(p, q principals) bool {
	return q.types&^p.types == 0 && (p.outsider || !q.outsider) &&
		(p.role == "" || q.role != "" && s.in(q.role, p.role)) &&
		(p.uid == cedar.EntityUID{} || p.uid == q.uid)
}

// overlap says whether a principal may be in both. Whoever is in one role may be
// in any other as well.
func (s *sheet) overlap(p, q principals) bool {
	none := cedar.EntityUID{}
	return p.types&q.types != 0 && (p.uid == none || q.uid == none || p.uid == q.uid)
}

// malformedID is an id in a policy that names nothing which there could be.
type malformedID struct{ uid cedar.EntityUID }

func (m malformedID) Error() string {
	return fmt.Sprintf("%s names nothing that there could be: the id is malformed", m.uid)
}

// add makes the rule of a policy. The error is a malformedID.
func (s *sheet) add(p parsed) error {
	r := &rule{
		Ref: p.Ref, text: p.text, who: s.readPrincipal(p.ast.Principal), does: readAction(p.ast.Action),
		condition: conditionOf(p.ast), byRole: asksForRoles(p.ast), byWho: asksWho(p.ast), ast: p.ast, number: len(s.rules),
	}
	if p.File != "" {
		r.does &= tenantActions
	}
	// A permit for everybody means the tenant's own people; and whoever is not of
	// the tenant has none of its roles.
	r.who.outsider = r.who.role == access.RoleServerAdmin || r.who.role == "" && (!r.permits() || r.who.bound())
	var err error
	r.where, err = s.readResource(p.ast.Resource)
	r.trim()
	s.rules = append(s.rules, r)
	return err
}

func (s *sheet) readPrincipal(scope ast.IsPrincipalScopeNode) principals {
	switch scope := scope.(type) {
	case ast.ScopeTypeEq:
		return principals{types: typesOf(scope.Entity.Type), uid: scope.Entity}
	case ast.ScopeTypeIs:
		return principals{types: typesOf(scope.Type)}
	case ast.ScopeTypeIn:
		return s.principalsIn(scope.Entity)
	case ast.ScopeTypeIsIn:
		p := s.principalsIn(scope.Entity)
		p.types &= typesOf(scope.Type)
		return p
	}
	return principals{types: anyType}
}

func (s *sheet) principalsIn(uid cedar.EntityUID) principals {
	if uid.Type != typeRole {
		return principals{types: typesOf(uid.Type), uid: uid}
	}
	role := string(uid.ID)
	if s.roles[role] == nil && role != access.RoleServerAdmin {
		return principals{}
	}
	return principals{types: anyType, role: role}
}

func readAction(scope ast.IsActionScopeNode) (s actions) {
	switch scope := scope.(type) {
	case ast.ScopeTypeEq:
		if _, ok := access.InfoOf(access.Action(scope.Entity.ID)); ok {
			return actionsIn(scope.Entity)
		}
		return 0
	case ast.ScopeTypeIn:
		return actionsIn(scope.Entity)
	case ast.ScopeTypeInSet:
		for _, uid := range scope.Entities {
			s |= actionsIn(uid)
		}
		return s
	}
	return allActions
}

func (s *sheet) readResource(scope ast.IsResourceScopeNode) (p places, err error) {
	var uid cedar.EntityUID
	only := everything
	switch scope := scope.(type) {
	case ast.ScopeTypeEq:
		uid = scope.Entity
		p, err = placesAt(uid, s.tenant)
	case ast.ScopeTypeIs:
		return places{kinds: kindOf(scope.Type)}, nil
	case ast.ScopeTypeIn:
		uid = scope.Entity
		p, err = placesIn(uid, s.tenant)
	case ast.ScopeTypeIsIn:
		uid, only = scope.Entity, kindOf(scope.Type)
		p, err = placesIn(uid, s.tenant)
	default:
		return places{kinds: everything}, nil
	}
	if err != nil {
		return places{}, malformedID{uid}
	}
	return p.only(only), nil
}
