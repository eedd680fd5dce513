package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// What follows decides requests without Cedar, in the plainest way: policies are
// data, each is tried on every request, and what an entity is in is found by
// walking from parent to parent.

// name is an entity.
type name struct{ kind, id string }

func (n name) String() string { return n.kind + "::" + quote(n.id) }

// quote writes a text as Cedar does.
func quote(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r > '~':
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

// clause is the head of a policy for principal or resource.
type clause struct {
	form   string // "", ==, in, is, is in
	kind   string
	entity name
}

func (c clause) text(variable string) string {
	switch c.form {
	case "==", "in":
		return variable + " " + c.form + " " + c.entity.String()
	case "is":
		return variable + " is " + c.kind
	case "is in":
		return variable + " is " + c.kind + " in " + c.entity.String()
	}
	return variable
}

func (c clause) holds(entity name, ancestors map[name]bool) bool {
	in := entity == c.entity || ancestors[c.entity]
	switch c.form {
	case "==":
		return entity == c.entity
	case "in":
		return in
	case "is":
		return entity.kind == c.kind
	case "is in":
		return entity.kind == c.kind && in
	}
	return true
}

// rule is one policy of a random set.
type rule struct {
	permit              bool
	principal, resource clause
	actionForm          string // "", ==, in, list
	actions             []string
	conditions          []condition
}

type condition struct {
	unless bool
	body   expression
}

func (r rule) String() string {
	effect, action := "forbid", "action"
	if r.permit {
		effect = "permit"
	}
	var names []string
	for _, a := range r.actions {
		names = append(names, name{"Action", a}.String())
	}
	switch r.actionForm {
	case "==", "in":
		action += " " + r.actionForm + " " + names[0]
	case "list":
		action += " in [" + strings.Join(names, ", ") + "]"
	}
	text := fmt.Sprintf("%s (%s, %s, %s)", effect, r.principal.text("principal"), action, r.resource.text("resource"))
	for _, c := range r.conditions {
		word := "when"
		if c.unless {
			word = "unless"
		}
		text += fmt.Sprintf(" %s { %s }", word, c.body.text)
	}
	return text + ";"
}

func (r rule) takes(a access.Action) bool {
	info, _ := access.InfoOf(a)
	for _, named := range r.actions {
		grouped := slices.Contains(info.Groups, access.Group(named)) && r.actionForm != "=="
		if named == string(a) || grouped {
			return true
		}
	}
	return r.actionForm == ""
}

// expression is a condition: its text, what it comes to, and whether it looks at
// the labels of the resource.
type expression struct {
	text     string
	value    func(m *moment) (holds, fails bool)
	labelled bool
}

// moment is a request with all that its principal and resource are in.
type moment struct {
	request                      *access.Request
	principal, resource          name
	principalAncestors, resAbove map[name]bool
	claims                       map[string][]string
	labels                       map[string]string
}

// closure is all that can be reached from an entity.
func closure(from name, parents func(name) []name) map[name]bool {
	reached := map[name]bool{}
	for todo := parents(from); len(todo) > 0; todo = todo[1:] {
		if !reached[todo[0]] {
			reached[todo[0]] = true
			todo = append(todo, parents(todo[0])...)
		}
	}
	return reached
}

// resourceParents goes up one step.
func resourceParents(tenant string) func(name) []name {
	up := func(path string) (string, bool) {
		i := strings.LastIndexByte(path, '/')
		return path[:max(i, 0)], i > 0
	}
	return func(n name) []name {
		environment, path, _ := strings.Cut(n.id, "/")
		switch n.kind {
		case "Document", "Secret":
			return []name{{"Folder", n.id}}
		case "Folder":
			parents := []name{{"Path", path}, {"Environment", environment}}
			if above, ok := up(path); ok {
				parents = append(parents, name{"Folder", environment + "/" + above})
			}
			return parents
		case "Path":
			if above, ok := up(n.id); ok {
				return []name{{"Path", above}}
			}
		case "Environment":
			return []name{{"Tenant", tenant}}
		}
		return nil
	}
}

func nameOf(r access.Resource) (name, access.Subject) {
	switch {
	case r.Tenant == config.TenantID{}:
		return name{"Server", "server"}, access.OnServer
	case r.Environment == "":
		return name{"Tenant", r.TenantName}, access.OnTenant
	case !r.Path.IsZero() && r.Secret:
		return name{"Secret", r.Environment + "/" + r.Path.String()}, access.OnSecret
	case !r.Path.IsZero():
		return name{"Document", r.Environment + "/" + r.Path.String()}, access.OnDocument
	case r.Prefix.String() != "":
		return name{"Folder", r.Environment + "/" + r.Prefix.String()}, access.OnFolder
	}
	return name{"Environment", r.Environment}, access.OnEnvironment
}

// naive is a tenant's policies and roles.
type naive struct {
	rules []rule
	roles map[string][]string // role → what it includes
}

// outcome is what naive and the product must agree on.
type outcome struct {
	verdict
	failed bool // the labels could not be read
}

var ladder = map[string][]string{"viewer": nil, "application": nil, "operator": {"viewer"}, "admin": {"operator"}}

func (n naive) decide(r *access.Request) outcome {
	p, onServer := r.Principal, r.Resource.Tenant == config.TenantID{}
	inside := !onServer && p.Tenant == r.Resource.Tenant
	if p.ID == "" {
		if onServer {
			return outcome{verdict: deny}
		}
		return outcome{verdict: absent}
	}
	if !onServer && !inside && !p.ServerAdmin {
		return outcome{verdict: absent}
	}
	info, known := access.InfoOf(r.Action)
	resource, subject := nameOf(r.Resource)
	if !known || info.On&subject == 0 || onServer && !p.ServerAdmin || !inScope(p.Scope, r.Action, r.Resource) {
		return outcome{verdict: deny}
	}
	m := n.moment(r, resource, inside)
	forServers := slices.Contains(info.Groups, access.Serve)
	var asked []rule
	for _, rule := range n.rules {
		named := rule.principal.form == "==" || rule.principal.form == "in" || rule.principal.form == "is in"
		switch {
		case onServer, forServers && !inside, forServers && len(info.Groups) == 1:
		case !inside && rule.permit && !named:
		case rule.takes(r.Action) && rule.principal.holds(m.principal, m.principalAncestors) && rule.resource.holds(m.resource, m.resAbove):
			asked = append(asked, rule)
		}
	}
	return n.combine(m, asked, builtinPermits(m, info))
}

// combine lets forbid beat permit, and a failure beat both.
func (n naive) combine(m *moment, asked []rule, permitted bool) outcome {
	looks := func(r rule) bool {
		return slices.ContainsFunc(r.conditions, func(c condition) bool { return c.body.labelled })
	}
	if m.request.Labels != nil && slices.ContainsFunc(asked, looks) {
		var err error
		if m.labels, err = m.request.Labels(); err != nil {
			return outcome{deny, true}
		}
	}
	forbidden := false
	for _, r := range asked {
		matched := true
		for _, c := range r.conditions {
			holds, fails := c.body.value(m)
			if fails {
				return outcome{verdict: deny}
			}
			if holds == c.unless {
				matched = false
				break
			}
		}
		permitted = permitted || matched && r.permit
		forbidden = forbidden || matched && !r.permit
	}
	if permitted && !forbidden {
		return outcome{verdict: allow}
	}
	return outcome{verdict: deny}
}

func (n naive) moment(r *access.Request, resource name, inside bool) *moment {
	p := r.Principal
	m := &moment{request: r, resource: resource, resAbove: closure(resource, resourceParents(r.Resource.TenantName))}
	m.principal = name{map[string]string{access.MethodToken: "Token", access.MethodIdentity: "Identity", access.MethodCertificate: "Workload"}[p.Method], p.ID}
	if p.Method != access.MethodToken {
		m.claims = p.Claims
	}
	if m.resAbove[name{"Folder", resource.id}] || resource.kind == "Folder" { // whatever has a path is in its tenant
		m.resAbove[name{"Tenant", r.Resource.TenantName}] = true
	}
	m.principalAncestors = closure(m.principal, func(of name) (parents []name) {
		switch {
		case of == m.principal && inside:
			for _, role := range p.Roles {
				if _, known := n.roles[role]; known {
					parents = append(parents, name{"Role", role})
				}
			}
		case of.kind == "Role":
			for _, role := range n.roles[of.id] {
				parents = append(parents, name{"Role", role})
			}
		}
		if of == m.principal && p.ServerAdmin {
			parents = append(parents, name{"Role", "server-admin"})
		}
		return parents
	})
	return m
}

func builtinPermits(m *moment, info access.ActionInfo) bool {
	for role, group := range map[string]access.Group{
		"viewer": access.View, "application": access.Run, "operator": access.Operate, "admin": access.Administer, "server-admin": access.Serve,
	} {
		if m.principalAncestors[name{"Role", role}] && slices.Contains(info.Groups, group) {
			return true
		}
	}
	return false
}

// inScope is what a token's narrowing means.
func inScope(s *access.Scope, a access.Action, r access.Resource) bool {
	if s == nil {
		return true
	}
	if len(s.Actions) > 0 && !slices.Contains(s.Actions, a) {
		return false
	}
	if len(s.Environments) == 0 && len(s.Paths) == 0 {
		return true
	}
	if r.Environment == "" {
		return a == access.TenantRead || a == access.TagRead || a == access.EnvironmentRead
	}
	if len(s.Environments) > 0 && !slices.Contains(s.Environments, r.Environment) {
		return false
	}
	if len(s.Paths) == 0 || a == access.EnvironmentRead || a == access.AckWrite {
		return true
	}
	info, _ := access.InfoOf(a)
	path := r.Path.String()
	if path == "" {
		path = r.Prefix.String()
	}
	return info.Path && path != "" && slices.ContainsFunc(s.Paths, func(p config.Prefix) bool {
		return path == p.String() || strings.HasPrefix(path, p.String()+"/")
	})
}

// ---- What random sets and requests are made of. It is little, so that things meet.

var (
	environments = []string{"production", "staging", "production-2"}
	paths        = []string{"gateway", "gateway/eu-1", "gateway/eu-1/models", "gateway-2", "gateway-2/eu-1", "models", "production/gateway"}
	// Texts that would mean something if they were read as anything but texts.
	hostile   = []string{"alice", "Alice", "*", "ali*", "..", "a/../b", `a"b`, `a\b`, "a\nb", "é", "é", `alice", action, resource); permit (principal`, "production/gateway", "admin", "a:b", "a", ""}
	roleNames = []string{"viewer", "application", "operator", "admin", "deployer", "chief", "server-admin", "ghost"}
	tagNames  = []string{"team", "repository", "a b", "*"}
	weekStart = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) // a Monday
	sources   = []string{"10.0.0.1", "10.9.0.1", "192.168.0.1", "::ffff:10.0.0.1", "2001:db8::1", ""}
	actions   = func() (all []string) {
		for _, info := range access.Actions {
			all = append(all, string(info.Action))
		}
		return all
	}()
)

type dice struct{ *rand.Rand }

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }

func (d dice) one(in int) bool { return d.IntN(in) == 0 }

func (d dice) some(from []string, most int) (all []string) {
	for range d.IntN(most + 1) {
		all = append(all, pick(d, from))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (d dice) place() name {
	environment, path := pick(d, environments), pick(d, paths)
	return pick(d, []name{
		{"Folder", environment + "/" + path}, {"Folder", environment + "/" + path}, {"Document", environment + "/" + path}, {"Secret", environment + "/" + path},
		{"Environment", environment}, {"Path", path}, {"Path", path}, {"Tenant", "acme"}, {"Tenant", "globex"}, {"Server", "server"}, {"Role", "viewer"}, {"Folder", "*"},
	})
}

func (d dice) somebody() name {
	return pick(d, []name{
		{"Role", pick(d, roleNames)}, {"Role", pick(d, roleNames)}, {"Role", pick(d, roleNames)},
		{"Token", pick(d, hostile)}, {"Identity", pick(d, hostile)}, {"Workload", pick(d, hostile)}, {"Token", "alice"},
	})
}

func (d dice) clause(entity func() name, kinds []string) clause {
	c := clause{form: pick(d, []string{"", "", "==", "in", "in", "in", "is", "is in"})}
	c.kind, c.entity = pick(d, kinds), entity()
	return c
}

func (d dice) rule() rule {
	r := rule{
		permit:     !d.one(4),
		principal:  d.clause(d.somebody, []string{"Token", "Identity", "Workload"}),
		resource:   d.clause(d.place, []string{"Document", "Secret", "Folder", "Environment", "Tenant"}),
		actionForm: pick(d, []string{"", "==", "in", "in", "list", "list"}),
	}
	named := append(slices.Clone(actions), "view", "run", "operate", "administer", "serve", "view", "run", "operate", "administer", "none")
	if !d.one(3) {
		named = []string{"config.read", "secret.read", "view"}
	}
	switch r.actionForm {
	case "==", "in":
		r.actions = []string{pick(d, named)}
	case "list":
		r.actions = []string{pick(d, named), pick(d, named)}
	}
	for range d.IntN(3) {
		r.conditions = append(r.conditions, condition{d.one(3), d.expression(2)})
	}
	return r
}

func (d dice) tenant(tenant string) (naive, policy.Source) {
	n := naive{roles: map[string][]string{}}
	for role, included := range ladder {
		n.roles[role] = included
	}
	src := policy.Source{Tenant: tenant}
	if d.one(2) {
		chief, deployer := d.some(roleNames[:5], 2), d.some(roleNames[:4], 2)
		n.roles["chief"], n.roles["deployer"] = chief, deployer
		src.Roles = []policy.Role{{Name: "chief", Includes: chief}, {Name: "deployer", Includes: deployer}}
	}
	texts := make([]string, 2)
	for i := range d.IntN(20) {
		r := d.rule()
		n.rules = append(n.rules, r)
		texts[i%2] += r.String() + "\n"
	}
	for i, text := range texts {
		if text != "" {
			src.Files = append(src.Files, policy.File{Name: fmt.Sprintf("f%d", i), Text: text})
		}
	}
	return n, src
}

func (d dice) principal() access.Principal {
	p := access.Principal{
		ID: pick(d, hostile), Method: pick(d, []string{access.MethodToken, access.MethodToken, access.MethodIdentity, access.MethodCertificate}),
		Tenant: acme, Roles: d.some(roleNames, 2), ServerAdmin: d.one(4),
	}
	switch d.IntN(10) {
	case 0:
		p.Tenant = globex
	case 1:
		p.Tenant = config.TenantID{}
	}
	if d.one(2) || p.ID == "" && d.one(2) {
		p.ID = "alice"
	}
	if p.Method == access.MethodIdentity {
		p.Issuer = pick(d, []string{"ci", "corp"})
	}
	if d.one(2) {
		p.Claims = map[string][]string{pick(d, tagNames): d.some(hostile, 2), pick(d, tagNames): d.some(hostile, 2)}
	}
	if d.one(5) {
		p.Scope = &access.Scope{Environments: d.some(environments, 1)}
		for _, path := range d.some(paths, 1) {
			p.Scope.Paths = append(p.Scope.Paths, prefix(path))
		}
		for _, a := range d.some([]string{"config.read", "secret.read", "tenant.read", "config.write"}, 2) {
			p.Scope.Actions = append(p.Scope.Actions, access.Action(a))
		}
	}
	p = p.Sealed()
	return p
}

// certificate is of a connection, or missing. A fingerprint stands for all that
// is in it.
func (d dice) certificate() *access.Certificate {
	if d.one(3) {
		return nil
	}
	c := &access.Certificate{Fingerprint: [32]byte{byte(d.IntN(2))}}
	if d.one(2) {
		c.Fingerprint[1], c.SPIFFE, c.DNS = 1, "spiffe://acme/gateway", []string{"gateway.acme"}
	}
	return c
}

func (d dice) request(principals []access.Principal) *access.Request {
	r := &access.Request{Principal: pick(d, principals), Action: access.Action(pick(d, actions)), Resource: access.Resource{Tenant: acme, TenantName: "acme"}}
	switch d.IntN(6) {
	case 0, 1, 2:
		r.Action = pick(d, []access.Action{access.ConfigRead, access.SecretRead, access.SecretList})
	case 3:
		r.Action = pick(d, []access.Action{access.QuotaRead, access.TenantRead, access.TenantManage})
	}
	if d.one(4) {
		r.Resource = access.Resource{Tenant: globex, TenantName: "globex"}
	}
	info, _ := access.InfoOf(r.Action)
	switch subject := d.IntN(8); {
	case subject == 0 && info.On&access.OnServer != 0:
		r.Resource = access.Resource{}
	case subject < 2 || info.On&access.OnEnvironment == 0:
	case subject == 2:
		r.Resource.Environment = pick(d, environments)
	case subject == 3:
		r.Resource.Environment, r.Resource.Prefix = pick(d, environments), prefix(pick(d, paths))
	default:
		r.Resource.Environment, r.Resource.Path = pick(d, environments), config.MustPath(pick(d, paths))
		r.Resource.Secret = info.On&access.OnDocument == 0
	}
	return r
}

// again is the same request from elsewhere, at another time.
func (d dice) again(of *access.Request) *access.Request {
	r := *of
	r.Principal.Certificate = d.certificate()
	if !r.Resource.Path.IsZero() && d.one(10) {
		r.Resource.Secret = !r.Resource.Secret
	}
	r.Time = weekStart.Add(time.Duration(d.IntN(7*24)) * time.Hour)
	r.Source = netip.Addr{}
	if text := pick(d, sources); text != "" {
		r.Source = netip.MustParseAddr(text)
	}
	labels := map[string]string{pick(d, tagNames): pick(d, hostile), pick(d, tagNames): pick(d, hostile)}
	switch d.IntN(5) {
	case 0:
		r.Labels = nil
	case 1:
		r.Labels = func() (map[string]string, error) {
			return nil, config.Errorf(config.KindUnavailable, "no labels today")
		}
	default:
		r.Labels = func() (map[string]string, error) { return labels, nil }
	}
	return &r
}
