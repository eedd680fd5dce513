package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// maxNeeded bounds how many permits an explanation goes into.
const maxNeeded = 10

// Explanation says why a request is decided as it is. It tells of policies,
// claims and labels, so that only those who may read policies may see it.
type Explanation struct {
	Decision  access.Decision
	Narrowing string    // what the token is narrowed to, if that alone denies the request
	Deciding  []Ref     // the forbids that denied, else the permits that allowed
	Failed    []Failure // policies that could not be evaluated, which denies as well
	Missing   []string  // what policies look at and the request does not have
	Needed    []Need    // permits of the action, those first that lack the least
}

// Failure is a policy that could not be evaluated.
type Failure struct {
	Ref     Ref
	Message string
}

// Need is what a permit lacks to allow the request.
type Need struct {
	Ref     Ref
	Lacking []string
}

// Explain answers a request, and says why. It takes far longer than Decide.
func (s *Set) Explain(r *access.Request) Explanation {
	e := Explanation{Decision: s.Decide(r)}
	q := ask(r)
	defer q.done()
	if _, refused := q.enter(); refused {
		return e
	}
	if !r.Principal.Scope.Contains(r.Action, r.Resource) {
		e.Narrowing = narrowing(r.Principal.Scope)
	}
	q.look(s)
	q.reads |= readsClaims | readsPlace | readsContext
	candidates := q.candidates(s)
	for _, c := range candidates {
		q.reads |= c.reads
	}
	if _, err := q.readLabels(); err != nil {
		return e
	}
	e.decide(q)
	e.Missing = q.missing()
	if !e.Decision.Allowed {
		e.Needed = q.needed(candidates)
	}
	return e
}

// candidates are all permits of the action that have a say, whatever their heads.
func (q *question) candidates(s *Set) (all []*statement) {
	bodies := []*body{builtin()}
	if q.asksTenant() {
		bodies = append(bodies, s.own)
	}
	for _, b := range bodies {
		if k := b.actions[q.info.Action]; k != nil {
			all = append(all, k.all...)
		}
	}
	return slices.DeleteFunc(all, func(c *statement) bool { return !c.permit || !q.insider && !c.principal.bound })
}

func (e *Explanation) decide(q *question) {
	allowed, found := q.evaluate()
	for _, reason := range found.Reasons {
		if allowed == cedar.Deny || e.Decision.Allowed { // permits decide nothing where something else denies
			e.Deciding = append(e.Deciding, q.statement(reason.PolicyID).Ref)
		}
	}
	for _, failed := range found.Errors {
		e.Failed = append(e.Failed, Failure{q.statement(failed.PolicyID).Ref, failed.Message})
	}
}

// needed says of each permit what it lacks.
func (q *question) needed(permits []*statement) (all []Need) {
	context := q.context()
	for _, p := range permits {
		if lacking := q.lacking(p, context); len(lacking) > 0 {
			all = append(all, Need{p.Ref, lacking})
		}
	}
	slices.SortStableFunc(all, func(a, b Need) int { return len(a.Lacking) - len(b.Lacking) })
	return all[:min(len(all), maxNeeded)]
}

func (q *question) lacking(s *statement, context cedar.Record) (all []string) {
	all = append(all, s.principal.lacking("principal", q.principal, q.roles)...)
	all = append(all, s.resource.lacking("resource", q.resource, q.places)...)
	env := eval.Env{Entities: &q.world, Principal: q.principal, Action: q.action.UID, Resource: q.resource, Context: context}
	for _, c := range s.ast.Conditions {
		value, err := eval.Eval(c.Body, env)
		holds, ok := value.(cedar.Boolean)
		switch {
		case err != nil || !ok:
			all = append(all, "its condition cannot be evaluated: "+conditionText(c))
		case bool(holds) != bool(c.Condition):
			all = append(all, "its condition is false: "+conditionText(c))
		}
	}
	return all
}

// lacking says what keeps the head from matching.
func (h head) lacking(what string, uid cedar.EntityUID, within []cedar.EntityUID) (all []string) {
	if h.of != "" && h.of != uid.Type {
		all = append(all, fmt.Sprintf("the %s is not a %s", what, h.of))
	}
	switch {
	case !h.bound || uid == h.entity:
	case h.exact:
		all = append(all, fmt.Sprintf("the %s is not %s", what, h.entity))
	case !slices.Contains(within, h.entity):
		all = append(all, fmt.Sprintf("the %s is not in %s", what, h.entity))
	}
	return all
}

// conditionText is a condition in Cedar.
func conditionText(c ast.ConditionType) string {
	policy := cedarast.Policy(*ast.Permit())
	policy.Conditions = []ast.ConditionType{c}
	text := string(cedar.NewPolicyFromAST(&policy).MarshalCedar())
	_, text, _ = strings.Cut(text, ")")
	return strings.TrimSpace(strings.TrimSuffix(text, ";"))
}

// missing finds what conditions look at by name and the request does not have, in
// all policies whose heads match.
func (q *question) missing() (all []string) {
	for _, s := range q.statements {
		for _, c := range s.ast.Conditions {
			ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
				if text := q.lacks(n); text != "" && !slices.Contains(all, text) {
					all = append(all, text)
				}
				return true
			})
		}
	}
	slices.Sort(all)
	return all
}

// lacks says what a node looks at in vain; "" for nothing.
func (q *question) lacks(n ast.IsNode) string {
	switch n := n.(type) {
	case ast.NodeTypeHasTag:
		return q.lacksTag(n.Left, n.Right)
	case ast.NodeTypeGetTag:
		return q.lacksTag(n.Left, n.Right)
	case ast.NodeTypeHas:
		return q.lacksMember(n.Arg, n.Value)
	case ast.NodeTypeAccess:
		return q.lacksMember(n.Arg, n.Value)
	}
	return ""
}

func (q *question) lacksTag(of, name ast.IsNode) string {
	variable, isVariable := of.(ast.NodeTypeVariable)
	literal, isLiteral := name.(ast.NodeValue)
	if !isVariable || !isLiteral {
		return ""
	}
	tag, isText := literal.Value.(cedar.String)
	uid := map[types.String]cedar.EntityUID{"principal": q.principal, "resource": q.resource}[variable.Name]
	entity, known := q.Get(uid)
	if !isText || !known {
		return ""
	}
	if _, has := entity.Tags.Get(tag); has {
		return ""
	}
	return fmt.Sprintf("%s tag %q", variable.Name, string(tag))
}

// lacksMember looks into the context, and one level into its records.
func (q *question) lacksMember(of ast.IsNode, name types.String) string {
	outer, nested := of.(ast.NodeTypeAccess)
	if nested {
		of = outer.Arg
	}
	if v, ok := of.(ast.NodeTypeVariable); !ok || v.Name != "context" {
		return ""
	}
	record, path := q.context(), "context."
	if nested {
		value, _ := record.Get(outer.Value)
		inner, ok := value.(cedar.Record)
		if !ok {
			return "" // the outer one is told of
		}
		record, path = inner, path+string(outer.Value)+"."
	}
	if _, has := record.Get(name); has {
		return ""
	}
	return path + string(name)
}
