package policy

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// truth is what is known of a condition without a request.
type truth uint8

const (
	unknown truth = iota
	always        // true for every request, and it never fails
	never         // false for every request, and it never fails
)

func truthOf(value bool) truth {
	if value {
		return always
	}
	return never
}

func (t truth) not() truth {
	switch t {
	case always:
		return never
	case never:
		return always
	}
	return unknown
}

// verdict is what is known of a condition, and whether evaluating it can fail for
// a request that fits the schema. It fails only where a number or a time leaves
// its range: the schema sees to types and to attributes that may be missing.
type verdict struct {
	truth truth
	fails bool // only of what is unknown
}

func (v verdict) not() verdict { return verdict{v.truth.not(), v.fails} }

// and joins two conditions of which the second is looked at only if the first holds.
func (v verdict) and(w verdict) verdict {
	switch {
	case v.truth == never, w.truth == never && !v.fails:
		return verdict{truth: never}
	case v.truth == always:
		return w
	}
	return verdict{fails: v.fails || w.fails}
}

// conditionOf judges all conditions of a policy together.
func conditionOf(p *ast.Policy) verdict {
	return conditionFor(p, func(string) truth { return unknown })
}

// conditionFor is conditionOf for a principal of whom it is known what roles they
// are in.
func conditionFor(p *ast.Policy, in inRole) verdict {
	all := verdict{truth: always}
	for _, c := range p.Conditions {
		one := judge(c.Body, in)
		if c.Condition == ast.ConditionUnless {
			one = one.not()
		}
		all = all.and(one)
	}
	return all
}

// inRole says what is known of the principal's being in a role.
type inRole func(role string) truth

// judge evaluates what is constant in a condition, and believes the rest capable
// of anything.
func judge(n ast.IsNode, in inRole) verdict {
	switch n := n.(type) {
	case ast.NodeTypeAnd:
		return judge(n.Left, in).and(judge(n.Right, in))
	case ast.NodeTypeOr:
		return judge(n.Left, in).not().and(judge(n.Right, in).not()).not()
	case ast.NodeTypeNot:
		return judge(n.Arg, in).not()
	case ast.NodeTypeIfThenElse:
		return judgeIf(judge(n.If, in), judge(n.Then, in), judge(n.Else, in))
	case ast.NodeTypeIn:
		if role, ok := askedRole(n); ok {
			return verdict{truth: in(role)}
		}
	}
	if !isConstant(n) {
		return verdict{fails: canFail(n)}
	}
	value, err := eval.Eval(n, eval.Env{})
	if b, ok := value.(cedar.Boolean); ok && err == nil {
		return verdict{truth: truthOf(bool(b))}
	}
	return verdict{fails: true}
}

func judgeIf(condition, yes, no verdict) verdict {
	switch {
	case condition.truth == always:
		return yes
	case condition.truth == never:
		return no
	case yes.truth == no.truth && yes.truth != unknown && !condition.fails:
		return yes
	}
	return verdict{fails: condition.fails || yes.fails || no.fails}
}

// askedRole is the role of a condition like principal in Role::"operator".
func askedRole(n ast.NodeTypeIn) (role string, ok bool) {
	v, _ := n.Left.(ast.NodeTypeVariable)
	value, _ := n.Right.(ast.NodeValue)
	uid, isEntity := value.Value.(cedar.EntityUID)
	if v.Name != "principal" || !isEntity || uid.Type != typeRole {
		return "", false
	}
	return string(uid.ID), true
}

// isConstant says that a node has one value whatever the request and the
// entities are. Attributes are taken to be an entity's.
func isConstant(n ast.IsNode) bool {
	constant := true
	inspect(n, func(n ast.IsNode) {
		switch n.(type) {
		case ast.NodeTypeVariable, ast.NodeTypeIn, ast.NodeTypeIsIn, ast.NodeTypeHas, ast.NodeTypeAccess, ast.NodeTypeHasTag, ast.NodeTypeGetTag:
			constant = false
		}
	})
	return constant
}

// safeCalls are the functions that answer whatever they are asked.
var safeCalls = map[string]bool{
	"isIpv4": true, "isIpv6": true, "isLoopback": true, "isMulticast": true, "isInRange": true,
	"lessThan": true, "lessThanOrEqual": true, "greaterThan": true, "greaterThanOrEqual": true,
	"toTime": true, "toMilliseconds": true, "toSeconds": true, "toMinutes": true, "toHours": true, "toDays": true,
}

// canFail says whether evaluating a node that is no constant can fail.
func canFail(n ast.IsNode) bool {
	fails := false
	inspect(n, func(n ast.IsNode) {
		switch n := n.(type) {
		case ast.NodeTypeAdd, ast.NodeTypeSub, ast.NodeTypeMult, ast.NodeTypeNegate:
			fails = true
		case ast.NodeTypeExtensionCall:
			fails = fails || !safeCalls[string(n.Name)] && !isLiteral(n)
		}
	})
	return fails
}

// isLiteral says whether a call makes a value of a text that stands there.
func isLiteral(n ast.NodeTypeExtensionCall) bool {
	if len(n.Args) != 1 {
		return false
	}
	if _, ok := n.Args[0].(ast.NodeValue); !ok {
		return false
	}
	_, err := eval.Eval(n, eval.Env{})
	return err == nil
}

// asksForRoles says whether a condition looks at what the principal is in.
func asksForRoles(p *ast.Policy) bool {
	asks := false
	for _, c := range p.Conditions {
		inspect(c.Body, func(n ast.IsNode) {
			switch n := n.(type) {
			case ast.NodeTypeIn:
				asks = asks || namesPrincipal(n.Left)
			case ast.NodeTypeIsIn:
				asks = asks || namesPrincipal(n.Left)
			}
		})
	}
	return asks
}

func namesPrincipal(n ast.IsNode) (names bool) {
	inspect(n, func(n ast.IsNode) {
		if v, ok := n.(ast.NodeTypeVariable); ok && v.Name == "principal" {
			names = true
		}
	})
	return names
}

// inspect shows a node and all below it.
func inspect(n ast.IsNode, see func(ast.IsNode)) {
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		see(n)
		return true
	})
}
