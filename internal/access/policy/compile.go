package policy

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// Set is all that governs a tenant, compiled: the built-in policies, its own, and
// its roles. It is never changed, and safe for concurrent use.
type Set struct {
	tenant     string
	generation uint64
	own        *body
	roles      roleTree
}

// generations numbers the sets of this process, so that what was decided by one
// is never taken for what another would decide.
var generations atomic.Uint64

// plain is the set of every tenant that has neither policies nor roles of its
// own. There may be many thousands of these, so that they share one.
var plain = &Set{generation: generations.Add(1), own: newBody(nil, ""), roles: builtinRoles}

// Compile makes a Set. The error is of KindInvalidPolicy or KindTooLarge. It does
// not check policies against the schema.
func Compile(src Source) (*Set, error) {
	if len(src.Files) == 0 && len(src.Roles) == 0 {
		return plain, nil
	}
	roles, err := newRoleTree(src.Roles)
	if err != nil {
		return nil, err
	}
	all, err := parseFiles(src.Files)
	if err != nil {
		return nil, err
	}
	return &Set{tenant: src.Tenant, generation: generations.Add(1), own: newBody(all, src.Tenant), roles: roles}, nil
}

// Text is a policy as its author wrote it; "" when there is none.
func (s *Set) Text(ref Ref) string {
	if r := s.find(parsed{Ref: ref}.key()); r != nil {
		return r.text
	}
	return ""
}

func (s *Set) find(key cedar.PolicyID) *statement {
	if r := s.own.byKey[key]; r != nil {
		return r
	}
	return builtin().byKey[key]
}

// String names the policy as reasons do.
func (r Ref) String() string {
	if r.File == "" {
		return "built-in policy for the role " + r.ID
	}
	return fmt.Sprintf("%s %q in file %q (line %d)", r.Effect, r.ID, r.File, r.Line)
}

// statement is a policy made ready to be asked.
type statement struct {
	parsed
	id                  cedar.PolicyID
	permit              bool
	principal, resource head
	where               places // what the head selects
	truth               truth  // of the conditions, as far as it is known beforehand
	reads               reads
	reasons             []string // why it decided, to be shared
	failure             []string // why its failing decided, to be shared
}

// head is what a policy says of the principal or of the resource before its
// conditions.
type head struct {
	of     cedar.EntityType // "" for any
	bound  bool             // to an entity
	exact  bool             // it must be the entity, not only be in it
	entity cedar.EntityUID
}

// matches says what Cedar would. In within stands all that the entity is in.
func (h head) matches(uid cedar.EntityUID, within []cedar.EntityUID) bool {
	switch {
	case h.of != "" && h.of != uid.Type:
		return false
	case !h.bound || h.entity == uid:
		return true
	}
	return !h.exact && slices.Contains(within, h.entity)
}

func headOf(scope ast.IsScopeNode) head {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return head{bound: true, exact: true, entity: s.Entity}
	case ast.ScopeTypeIn:
		return head{bound: true, entity: s.Entity}
	case ast.ScopeTypeIs:
		return head{of: s.Type}
	case ast.ScopeTypeIsIn:
		return head{of: s.Type, bound: true, entity: s.Entity}
	}
	return head{}
}

// takes says whether the head of a policy selects an action.
func takes(scope ast.IsActionScopeNode, action cedar.Entity) bool {
	in := func(uid cedar.EntityUID) bool { return uid == action.UID || action.Parents.Contains(uid) }
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return s.Entity == action.UID
	case ast.ScopeTypeIn:
		return in(s.Entity)
	case ast.ScopeTypeInSet:
		return slices.ContainsFunc(s.Entities, in)
	}
	return true
}

// body is policies with an index, by which a decision finds the few whose head
// it matches without looking at all the others.
type body struct {
	byKey   map[cedar.PolicyID]*statement
	actions map[access.Action]*bucket
}

// bucket holds the policies that may decide on one action. Each stands in all,
// and in one of the other three.
type bucket struct {
	all        []*statement
	resources  map[cedar.EntityUID][]*statement // whose head binds the resource, by the entity
	principals map[cedar.EntityUID][]*statement // else whose head binds the principal
	open       []*statement                     // whose head binds neither
}

func newBody(all []parsed, tenant string) *body {
	b := &body{byKey: make(map[cedar.PolicyID]*statement, len(all)), actions: map[access.Action]*bucket{}}
	statements := make([]*statement, len(all))
	for i, p := range all {
		statements[i] = newStatement(p, tenant)
		b.byKey[statements[i].id] = statements[i]
	}
	for action, entity := range actionEntities {
		for _, r := range statements {
			if takes(r.ast.Action, entity) {
				b.add(action, r)
			}
		}
	}
	return b
}

func newStatement(p parsed, tenant string) *statement {
	// What cannot be read selects nothing: no place has such a name.
	where, _ := (&sheet{tenant: tenant}).readResource(p.ast.Resource)
	text := p.Ref.String()
	return &statement{
		parsed: p, id: p.key(), permit: p.Effect == "permit",
		principal: headOf(p.ast.Principal), resource: headOf(p.ast.Resource), where: where, truth: conditionOf(p.ast).truth, reads: readsOf(p.ast),
		reasons: []string{text}, failure: []string{text + " could not be evaluated"},
	}
}

func (b *body) add(action access.Action, r *statement) {
	k := b.actions[action]
	if k == nil {
		k = &bucket{resources: map[cedar.EntityUID][]*statement{}, principals: map[cedar.EntityUID][]*statement{}}
		b.actions[action] = k
	}
	k.all = append(k.all, r)
	switch {
	case r.resource.bound:
		k.resources[r.resource.entity] = append(k.resources[r.resource.entity], r)
	case r.principal.bound:
		k.principals[r.principal.entity] = append(k.principals[r.principal.entity], r)
	default:
		k.open = append(k.open, r)
	}
}

// reads are the parts of a request that conditions look at.
type reads uint16

const (
	readsTime reads = 1 << iota
	readsSource
	readsMethod
	readsIssuer
	readsCertificate
	readsToken
	readsClaims // tags of the principal
	readsLabels // tags of the resource
	readsPlace  // attributes of the resource

	readsContext = readsTime | readsSource | readsMethod | readsIssuer | readsCertificate | readsToken
)

// readsOf finds what the conditions of a policy look at, or more than that where
// it is not plain to see.
func readsOf(p *ast.Policy) (all reads) {
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			found, further := readsAt(n)
			all |= found
			return further
		})
	}
	return all
}

func readsAt(n ast.IsNode) (found reads, further bool) {
	switch n := n.(type) {
	case ast.NodeTypeAccess:
		return readsMember(n.Arg, string(n.Value))
	case ast.NodeTypeHas:
		return readsMember(n.Arg, string(n.Value))
	case ast.NodeTypeHasTag:
		return readsTags(n.Left), true
	case ast.NodeTypeGetTag:
		return readsTags(n.Left), true
	case ast.NodeTypeVariable:
		if n.Name == "context" { // all of it, as a record
			return readsContext, true
		}
	}
	return 0, true
}

// readsMember is what an attribute of something is. One of the context is looked
// up by its name, and there is then nothing more to see in it.
func readsMember(of ast.IsNode, name string) (found reads, further bool) {
	if v, ok := of.(ast.NodeTypeVariable); !ok || v.Name != "context" {
		return readsPlace, true
	}
	switch name {
	case "time", "weekday":
		return readsTime, false
	case "source":
		return readsSource, false
	case "method":
		return readsMethod, false
	case "issuer":
		return readsIssuer, false
	case "certificate":
		return readsCertificate, false
	case "token":
		return readsToken, false
	}
	return 0, false
}

func readsTags(of ast.IsNode) reads {
	if v, ok := of.(ast.NodeTypeVariable); ok {
		switch v.Name {
		case "principal":
			return readsClaims
		case "resource":
			return readsLabels
		}
	}
	return readsClaims | readsLabels
}
