package policy

import (
	"iter"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

var (
	becauseNobody     = []string{"there is no principal: nobody is asking"}
	becauseMethod     = []string{"policies do not speak of principals that came in this way"}
	becauseForeign    = []string{"the principal has nothing to do with this tenant"}
	becauseServer     = []string{"the server is managed by server admins alone"}
	becauseLabels     = []string{"the labels that a policy looks at cannot be read"}
	becauseImpossible = []string{"the action is not taken on such a thing"}
)

// becauseNothing are the reasons of the usual deny, made once.
var becauseNothing = func() map[access.Action][]string {
	all := make(map[access.Action][]string, len(access.Actions))
	for _, info := range access.Actions {
		all[info.Action] = []string{"no policy permits " + string(info.Action) + " here"}
	}
	return all
}()

// question is a request on the way to its decision, with what was found of it.
type question struct {
	world
	info       access.ActionInfo
	insider    bool         // of the tenant, or on the server
	statements []*statement // that take the action, and whose heads match
}

// questions are kept for reuse: their slices would be made anew otherwise.
var questions = sync.Pool{New: func() any { return new(question) }}

func ask(r *access.Request) *question {
	q := questions.Get().(*question)
	q.request = r
	return q
}

func (q *question) done() {
	clear(q.statements)
	*q = question{world: world{roles: q.roles[:0], places: q.places[:0]}, statements: q.statements[:0]}
	questions.Put(q)
}

// Decide answers a request. It is the same for the same request, and reads
// nothing but the labels.
func (s *Set) Decide(r *access.Request) access.Decision {
	d, _ := s.decide(r)
	return d
}

// decide also says what the decision depends on besides principal, action and
// resource.
func (s *Set) decide(r *access.Request) (access.Decision, reads) {
	q := ask(r)
	defer q.done()
	if d, refused := q.enter(); refused {
		return d, 0
	}
	if !r.Principal.Scope.Contains(r.Action, r.Resource) {
		return access.Decision{Reasons: []string{narrowing(r.Principal.Scope)}}, 0
	}
	q.look(s)
	return q.judge(), q.reads
}

// enter refuses what no policy needs to be asked for.
func (q *question) enter() (d access.Decision, refused bool) {
	p, r := &q.request.Principal, &q.request.Resource
	onServer := r.Tenant == config.TenantID{}
	q.insider = onServer || r.Tenant == p.Tenant
	if p.ID == "" {
		return access.Decision{Foreign: !onServer, Reasons: becauseNobody}, true
	}
	if !q.insider && !p.ServerAdmin { // a server admin may list tenants, so there is nothing to hide
		return access.Decision{Foreign: true, Reasons: becauseForeign}, true
	}
	kind, known := principalTypes[p.Method]
	info, found := access.InfoOf(q.request.Action)
	subject := subjectOf(r)
	switch {
	case !known:
		return access.Decision{Reasons: becauseMethod}, true
	case !found:
		return access.Decision{Reasons: []string{"no policy knows the action " + string(q.request.Action)}}, true
	case subject&info.On == 0:
		return access.Decision{Reasons: becauseImpossible}, true
	case onServer && !p.ServerAdmin:
		return access.Decision{Reasons: becauseServer}, true
	}
	q.info, q.action = info, actionEntities[info.Action]
	q.principal = cedar.NewEntityUID(kind, cedar.String(p.ID))
	q.resource, q.places = nameResource(subject, r, q.places)
	return access.Decision{}, false
}

// look finds the policies whose heads match. What a principal is in depends on
// where they are: their roles are of their tenant, and nothing elsewhere.
func (q *question) look(s *Set) {
	q.nameRoles(s)
	q.collect(builtin())
	if q.asksTenant() {
		q.collect(s.own)
	}
	for _, r := range q.statements {
		q.reads |= r.reads
	}
}

func (q *question) nameRoles(s *Set) {
	if q.insider && q.resource.Type != typeServer {
		q.roles = s.roles.of(q.request.Principal.Roles, q.roles)
	}
	if q.request.Principal.ServerAdmin {
		q.roles = append(q.roles, serverAdminRole)
	}
}

// asksTenant says whether the tenant's own policies have a say. They have none on
// the server, nor in what is for server admins alone; and in what server admins
// may do in every tenant they have one only towards the tenant's own people.
func (q *question) asksTenant() bool {
	serving := q.action.Parents.Contains(cedar.NewEntityUID(typeAction, cedar.String(access.Serve)))
	switch {
	case q.resource.Type == typeServer:
		return false
	case q.insider:
		return !serving || len(q.info.Groups) > 1
	}
	return !serving
}

// collect takes the statements of a body whose heads match. It may drop none that
// Cedar would find to match, and need not take one more.
func (q *question) collect(b *body) {
	k := b.actions[q.info.Action]
	if k == nil {
		return
	}
	if len(k.resources) > 0 {
		q.add(k.resources[q.resource])
		for _, place := range q.places {
			q.add(k.resources[place])
		}
	}
	if len(k.principals) > 0 {
		q.add(k.principals[q.principal])
		for _, role := range q.roles {
			q.add(k.principals[role])
		}
	}
	q.add(k.open)
}

func (q *question) add(statements []*statement) {
	for _, r := range statements {
		if q.binds(r) && r.resource.matches(q.resource, q.places) {
			q.statements = append(q.statements, r)
		}
	}
}

// binds says whether the head of a statement is about the principal. A tenant that
// permits something to everybody means its own people: whom it lets in from
// elsewhere, it has to name.
func (q *question) binds(r *statement) bool {
	return (q.insider || r.principal.bound || !r.permit) && r.principal.matches(q.principal, q.roles)
}

// All gives the statements to Cedar.
func (q *question) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range q.statements {
			if !yield(r.id, r.policy) {
				return
			}
		}
	}
}

// judge asks Cedar.
func (q *question) judge() access.Decision {
	if len(q.statements) == 0 {
		return access.Decision{Reasons: becauseNothing[q.info.Action]}
	}
	d := access.Decision{}
	if d.Labelled, d.Err = q.readLabels(); d.Err != nil {
		d.Reasons = becauseLabels
		return d
	}
	allowed, found := q.evaluate()
	switch {
	case len(found.Errors) > 0: // Cedar would pass over a forbid that fails
		d.Reasons = q.statement(found.Errors[0].PolicyID).failure
	case len(found.Reasons) == 0:
		d.Reasons = becauseNothing[q.info.Action]
	default:
		d.Allowed = allowed == cedar.Allow
		d.Reasons = q.statement(found.Reasons[0].PolicyID).reasons
	}
	return d
}

func (q *question) evaluate() (cedar.Decision, cedar.Diagnostic) {
	return cedar.Authorize(q, &q.world, cedar.Request{
		Principal: q.principal, Action: q.action.UID, Resource: q.resource, Context: q.context(),
	})
}

// readLabels reads the labels if a statement looks at them, and says whether it did.
func (q *question) readLabels() (asked bool, err error) {
	if q.reads&readsLabels == 0 || q.request.Labels == nil {
		return false, nil
	}
	q.labels, err = q.request.Labels()
	return true, err
}

func (q *question) statement(id cedar.PolicyID) *statement {
	for _, r := range q.statements {
		if r.id == id {
			return r
		}
	}
	panic("policy: Cedar decided by a policy that it was not given")
}

// narrowing says what a token is narrowed to.
func narrowing(s *access.Scope) string {
	var parts []string
	list := func(what string, texts []string) {
		if len(texts) > 0 {
			parts = append(parts, what+" "+strings.Join(texts, ", "))
		}
	}
	var paths, actions []string
	for _, p := range s.Paths {
		paths = append(paths, p.String())
	}
	for _, a := range s.Actions {
		actions = append(actions, string(a))
	}
	list("the environments", s.Environments)
	list("the paths", paths)
	list("the actions", actions)
	return "the token is narrowed to " + strings.Join(parts, "; ")
}
