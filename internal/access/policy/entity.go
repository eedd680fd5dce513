package policy

import (
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// The types of entities, as the schema has them.
const (
	typeRole        = cedar.EntityType("Role")
	typeToken       = cedar.EntityType("Token")
	typeIdentity    = cedar.EntityType("Identity")
	typeWorkload    = cedar.EntityType("Workload")
	typeAction      = cedar.EntityType("Action")
	typeServer      = cedar.EntityType("Server")
	typeTenant      = cedar.EntityType("Tenant")
	typeEnvironment = cedar.EntityType("Environment")
	typePath        = cedar.EntityType("Path")
	typeFolder      = cedar.EntityType("Folder")
	typeDocument    = cedar.EntityType("Document")
	typeSecret      = cedar.EntityType("Secret")
)

// principalTypes says how a principal is named by how it proved who it is. One
// that proved it in another way is nobody's.
var principalTypes = map[string]cedar.EntityType{
	access.MethodToken:       typeToken,
	access.MethodIdentity:    typeIdentity,
	access.MethodCertificate: typeWorkload,
}

// kinds are the types of what actions are taken on.
var kinds = map[access.Subject]cedar.EntityType{
	access.OnServer:      typeServer,
	access.OnTenant:      typeTenant,
	access.OnEnvironment: typeEnvironment,
	access.OnFolder:      typeFolder,
	access.OnDocument:    typeDocument,
	access.OnSecret:      typeSecret,
}

// serverAdminRole is the one role that no tenant gives.
var serverAdminRole = cedar.NewEntityUID(typeRole, access.RoleServerAdmin)

// actionEntities holds each action with the groups that it is in.
var actionEntities = func() map[access.Action]cedar.Entity {
	all := make(map[access.Action]cedar.Entity, len(access.Actions))
	for _, info := range access.Actions {
		groups := make([]cedar.EntityUID, len(info.Groups))
		for i, group := range info.Groups {
			groups[i] = cedar.NewEntityUID(typeAction, cedar.String(group))
		}
		uid := cedar.NewEntityUID(typeAction, cedar.String(info.Action))
		all[info.Action] = cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(groups...)}
	}
	return all
}()

// subjectOf says what kind of thing a resource is; 0 for what there is not.
func subjectOf(r *access.Resource) access.Subject {
	switch {
	case r.Tenant == config.TenantID{}:
		return access.OnServer
	case r.Environment == "" && !r.Path.IsZero():
		return 0
	case r.Environment == "":
		return access.OnTenant
	case r.Path.IsZero() && r.Prefix == config.Prefix{}:
		return access.OnEnvironment
	case r.Path.IsZero():
		return access.OnFolder
	case r.Secret:
		return access.OnSecret
	}
	return access.OnDocument
}

// world is what Cedar may know in one request. It holds the names of all that
// principal and resource are in, and makes their entities when they are asked for.
// Ancestors are all told at once, so that Cedar need not go from one to the next:
// it knows no entities but these three.
type world struct {
	request             *access.Request
	reads               reads // what the policies that are asked look at
	principal, resource cedar.EntityUID
	action              cedar.Entity
	roles               []cedar.EntityUID // what the principal is in
	places              []cedar.EntityUID // what the resource is in
	labels              map[string]string

	principalEntity, resourceEntity cedar.Entity // zero until they are asked for
}

var _ types.EntityGetter = (*world)(nil)

// Get makes an entity that Cedar asks for.
func (w *world) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch uid {
	case w.principal:
		if w.principalEntity.UID != uid {
			w.principalEntity = w.makePrincipal()
		}
		return w.principalEntity, true
	case w.resource:
		if w.resourceEntity.UID != uid {
			w.resourceEntity = w.makeResource()
		}
		return w.resourceEntity, true
	case w.action.UID:
		return w.action, true
	}
	return cedar.Entity{}, false
}

func (w *world) makePrincipal() cedar.Entity {
	e := cedar.Entity{UID: w.principal, Parents: cedar.NewEntityUIDSet(w.roles...)}
	if w.reads&readsClaims == 0 || w.principal.Type == typeToken {
		return e
	}
	tags := cedar.RecordMap{}
	for name, values := range w.request.Principal.Claims {
		tags[cedar.String(name)] = setOf(values, asIs)
	}
	e.Tags = cedar.NewRecord(tags)
	return e
}

func (w *world) makeResource() cedar.Entity {
	e := cedar.Entity{UID: w.resource, Parents: cedar.NewEntityUIDSet(w.places...)}
	r := &w.request.Resource
	if w.reads&readsPlace != 0 && w.resource.Type != typeTenant && w.resource.Type != typeEnvironment && w.resource.Type != typeServer {
		e.Attributes = cedar.NewRecord(cedar.RecordMap{"environment": cedar.String(r.Environment), "path": cedar.String(pathOf(r))})
	}
	if len(w.labels) > 0 {
		tags := cedar.RecordMap{}
		for name, value := range w.labels {
			tags[cedar.String(name)] = cedar.String(value)
		}
		e.Tags = cedar.NewRecord(tags)
	}
	return e
}

// context tells how the request came, as far as the policies look at it.
func (w *world) context() cedar.Record {
	if w.reads&readsContext == 0 {
		return cedar.Record{}
	}
	r, p := w.request, &w.request.Principal
	fields := cedar.RecordMap{}
	if w.reads&readsTime != 0 {
		fields["time"] = cedar.NewDatetime(r.Time)
		fields["weekday"] = cedar.Long(weekday(r.Time))
	}
	if source := sourceOf(r); w.reads&readsSource != 0 && source.IsValid() {
		fields["source"] = types.IPAddr(netip.PrefixFrom(source, source.BitLen()))
	}
	if w.reads&readsMethod != 0 {
		fields["method"] = cedar.String(p.Method)
	}
	if w.reads&readsIssuer != 0 && p.Issuer != "" {
		fields["issuer"] = cedar.String(p.Issuer)
	}
	if w.reads&readsCertificate != 0 && p.Certificate != nil {
		fields["certificate"] = certificateRecord(p.Certificate)
	}
	if w.reads&readsToken != 0 && p.Method == access.MethodToken {
		fields["token"] = tokenRecord(p)
	}
	return cedar.NewRecord(fields)
}

// weekday counts from Monday, which is 1, to Sunday, which is 7.
func weekday(t time.Time) int {
	if day := int(t.UTC().Weekday()); day != 0 {
		return day
	}
	return 7
}

func certificateRecord(c *access.Certificate) cedar.Record {
	fields := cedar.RecordMap{
		"fingerprint": cedar.String(hex.EncodeToString(c.Fingerprint[:])),
		"dns":         setOf(c.DNS, asIs),
	}
	if c.SPIFFE != "" {
		fields["spiffe"] = cedar.String(c.SPIFFE)
	}
	return cedar.NewRecord(fields)
}

func tokenRecord(p *access.Principal) cedar.Record {
	scope := p.Scope
	if scope == nil {
		scope = &access.Scope{}
	}
	return cedar.NewRecord(cedar.RecordMap{
		"id":           cedar.String(p.ID),
		"environments": setOf(scope.Environments, asIs),
		"paths":        setOf(scope.Paths, config.Prefix.String),
		"actions":      setOf(scope.Actions, func(a access.Action) string { return string(a) }),
	})
}

// setOf is a set of texts.
func setOf[T any](values []T, text func(T) string) cedar.Set {
	all := make([]cedar.Value, len(values))
	for i, v := range values {
		all[i] = cedar.String(text(v))
	}
	return cedar.NewSet(all...)
}

func asIs(text string) string { return text }

// pathOf is the path of a document or secret, or the prefix of a collection.
func pathOf(r *access.Resource) string {
	if r.Path.IsZero() {
		return r.Prefix.String()
	}
	return r.Path.String()
}

// sourceOf is whence a request came, written as policies write addresses.
func sourceOf(r *access.Request) netip.Addr { return r.Source.Unmap().WithZone("") }

// nameResource names the resource, and appends to within all that it is in: the
// tenant, the environment, and folders and paths from the widest to the narrowest.
func nameResource(subject access.Subject, r *access.Resource, within []cedar.EntityUID) (cedar.EntityUID, []cedar.EntityUID) {
	tenant := cedar.NewEntityUID(typeTenant, cedar.String(r.TenantName))
	switch subject {
	case access.OnServer:
		return cedar.NewEntityUID(typeServer, "server"), within
	case access.OnTenant:
		return tenant, within
	case access.OnEnvironment:
		return cedar.NewEntityUID(typeEnvironment, cedar.String(r.Environment)), append(within, tenant)
	}
	path := pathOf(r)
	full := r.Environment + "/" + path
	uid := cedar.NewEntityUID(kinds[subject], cedar.String(full))
	within = append(within, tenant, cedar.NewEntityUID(typeEnvironment, cedar.String(r.Environment)))
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		within = append(within, cedar.NewEntityUID(typePath, cedar.String(path[:i])))
		if folder := cedar.NewEntityUID(typeFolder, cedar.String(full[:len(r.Environment)+1+i])); folder != uid {
			within = append(within, folder)
		}
	}
	return uid, within
}

// roleTree says which roles each role of a tenant is in: itself first, then all
// that it includes.
type roleTree map[string][]cedar.EntityUID

// builtinRoles is the ladder that every tenant has. Shared; must not be changed.
var builtinRoles = roleTree{
	access.RoleViewer:      rolesOf(access.RoleViewer),
	access.RoleOperator:    rolesOf(access.RoleOperator, access.RoleViewer),
	access.RoleAdmin:       rolesOf(access.RoleAdmin, access.RoleOperator, access.RoleViewer),
	access.RoleApplication: rolesOf(access.RoleApplication),
}

func rolesOf(names ...string) []cedar.EntityUID {
	uids := make([]cedar.EntityUID, len(names))
	for i, name := range names {
		uids[i] = cedar.NewEntityUID(typeRole, cedar.String(name))
	}
	return uids
}

// of appends to roles all that somebody with the named roles is in. A name that
// the tenant does not have counts for nothing, as does the server admin's.
func (t roleTree) of(names []string, roles []cedar.EntityUID) []cedar.EntityUID {
	for _, name := range names {
		for _, role := range t[name] {
			if !slices.Contains(roles, role) {
				roles = append(roles, role)
			}
		}
	}
	return roles
}

// MaxRoles bounds a tenant's own roles.
const MaxRoles = 256

// newRoleTree reads a tenant's own roles. The errors are of KindInvalidPolicy
// and KindTooLarge.
func newRoleTree(own []Role) (roleTree, error) {
	if len(own) > MaxRoles {
		return nil, config.Errorf(config.KindTooLarge, "there are too many roles").Over(MaxRoles, int64(len(own)))
	}
	byName := make(map[string]Role, len(own))
	for _, role := range own {
		if err := checkRoleName(role.Name); err != nil {
			return nil, err
		}
		if _, twice := byName[role.Name]; twice {
			return nil, config.Errorf(config.KindInvalidPolicy, "two roles have the name %q", role.Name).At(role.Name)
		}
		byName[role.Name] = role
	}
	tree := maps.Clone(builtinRoles)
	for _, role := range own {
		if err := tree.grow(byName, role.Name, nil); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// grow adds a role after all those that it includes; above are the roles that
// lead to it.
func (t roleTree) grow(own map[string]Role, name string, above []string) error {
	if _, done := t[name]; done {
		return nil
	}
	above = append(above, name)
	uids := rolesOf(name)
	for _, included := range own[name].Includes {
		if slices.Contains(above, included) {
			return config.Errorf(config.KindInvalidPolicy, "the roles include each other: %s", strings.Join(append(above, included), " includes ")).At(name)
		}
		if _, known := own[included]; !known && builtinRoles[included] == nil {
			return config.Errorf(config.KindInvalidPolicy, "the role %q includes %q, which is none", name, included).At(name).
				Hint("include roles of the tenant's own, or %s", strings.Join(access.BuiltinRoles, ", "))
		}
		if err := t.grow(own, included, above); err != nil {
			return err
		}
		uids = t.of([]string{included}, uids)
	}
	t[name] = uids
	return nil
}

// checkRoleName says whether a role of a tenant's own may have a name.
func checkRoleName(name string) error {
	switch {
	case config.CheckName(name) != nil:
		return config.Errorf(config.KindInvalidPolicy, "a role has a name of 1 to %d of a–z, 0–9 and -, that begins with a letter", config.MaxNameBytes).At(name)
	case builtinRoles[name] != nil || name == access.RoleServerAdmin || strings.HasPrefix(name, "break-glass-"):
		return config.Errorf(config.KindInvalidPolicy, "the role name %q is taken", name).At(name).Hint("choose a name of its own for the role")
	}
	return nil
}
