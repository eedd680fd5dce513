package access

import (
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Action is what a principal wants to do.
type Action string

// The actions. One that is missing from the table below is denied to everybody.
const (
	ConfigRead       Action = "config.read"     // documents, layers, history, diffs, changes, bundles, watches
	ConfigWrite      Action = "config.write"    // layers, by whichever verb
	ConfigDestroy    Action = "config.destroy"  // make a layer's version unreadable for ever
	SecretRefer      Action = "secret.refer"    // write a ${secret:…} reference
	SecretList       Action = "secret.list"     // that a secret exists, its metadata, versions, adoption; never a value
	SecretRead       Action = "secret.read"     // the value of a secret
	SecretWrite      Action = "secret.write"    // values, metadata, deleting and undeleting
	SecretActivate   Action = "secret.activate" // which version counts: activate, rotate, revoke
	SecretDestroy    Action = "secret.destroy"  // make a secret's version unreadable for ever
	AckWrite         Action = "ack.write"       // say what one runs
	KeyRead          Action = "key.read"        // versions, ages and use of a tenant's keys
	KeyWrite         Action = "key.write"       // rotate and retire a tenant's keys
	EnvironmentRead  Action = "environment.read"
	EnvironmentWrite Action = "environment.write"
	TagRead          Action = "tag.read"
	TagWrite         Action = "tag.write"
	TokenRead        Action = "token.read"
	TokenWrite       Action = "token.write"
	AuditRead        Action = "audit.read"
	TenantRead       Action = "tenant.read"   // that a tenant exists, and its name
	TenantManage     Action = "tenant.manage" // create, list, delete

	ServerTokenRead  Action = "server-token.read"
	ServerTokenWrite Action = "server-token.write"
	ServerAuditRead  Action = "server-audit.read"
	ServerKeyRead    Action = "server-key.read"
	ServerKeyWrite   Action = "server-key.write"
	SettingsRead     Action = "settings.read"
	SettingsWrite    Action = "settings.write"
)

// scope says who may take an action, and on what.
type scope uint8

const (
	ownTenant scope = 1 << iota // a tenant's admin, in that tenant
	theServer                   // a server admin, on the server itself
	anyTenant                   // a server admin, on whichever tenant
)

// scopes is the whole policy. A server admin appears nowhere near documents.
var scopes = map[Action]scope{
	ConfigRead:       ownTenant,
	ConfigWrite:      ownTenant,
	ConfigDestroy:    ownTenant,
	SecretRefer:      ownTenant,
	SecretList:       ownTenant,
	SecretRead:       ownTenant,
	SecretWrite:      ownTenant,
	SecretActivate:   ownTenant,
	SecretDestroy:    ownTenant,
	AckWrite:         ownTenant,
	KeyRead:          ownTenant,
	KeyWrite:         ownTenant,
	EnvironmentRead:  ownTenant,
	EnvironmentWrite: ownTenant,
	TagRead:          ownTenant,
	TagWrite:         ownTenant,
	TokenRead:        ownTenant,
	TokenWrite:       ownTenant,
	AuditRead:        ownTenant,
	TenantRead:       ownTenant | anyTenant,
	TenantManage:     theServer | anyTenant,
	ServerTokenRead:  theServer,
	ServerTokenWrite: theServer,
	ServerAuditRead:  theServer,
	ServerKeyRead:    theServer,
	ServerKeyWrite:   theServer,
	SettingsRead:     theServer,
	SettingsWrite:    theServer,
}

// Resource is what an action is taken on. With the zero tenant it is the server itself.
type Resource struct {
	Tenant      config.TenantID
	Environment string
	Path        config.Path
	Secret      bool   // Path is a secret's, not a document's
	Name        string // of a tag, a token, …
}

// Decision is the answer of a Guard; the zero Decision denies.
type Decision struct {
	Allowed bool
	// Foreign says that the resource is in a tenant which the principal must
	// not know of: to them it is absent, not forbidden.
	Foreign bool
	// Reasons say what decided. They are for logs and explanations; others
	// share them, so nobody may change them.
	Reasons []string
}

// Guard decides.
type Guard struct{}

var (
	allowedTenantAdmin = []string{"an admin of the tenant may do everything in it"}
	allowedServerAdmin = []string{"a server admin manages the server and its tenants"}
	deniedNobody       = []string{"there is no principal: nobody is asking"}
	deniedForeign      = []string{"the principal has nothing to do with this tenant"}
	deniedServerAdmin  = []string{"a server admin has no rights inside a tenant"}
)

// Decide says whether p may take an action on a resource.
func (g *Guard) Decide(p Principal, a Action, r Resource) Decision {
	scope, known := scopes[a]
	onServer := r.Tenant == config.TenantID{}
	own := !onServer && r.Tenant == p.Tenant
	switch {
	case p.ID == "":
		return Decision{Foreign: !onServer, Reasons: deniedNobody}
	case !known:
		return deny(p, own, onServer, "no rule knows the action "+string(a))
	case own && p.TenantAdmin && scope&ownTenant != 0:
		return Decision{Allowed: true, Reasons: allowedTenantAdmin}
	case onServer && p.ServerAdmin && scope&theServer != 0,
		!onServer && p.ServerAdmin && scope&anyTenant != 0:
		return Decision{Allowed: true, Reasons: allowedServerAdmin}
	}
	return deny(p, own, onServer, needs(a, scope))
}

func deny(p Principal, own, onServer bool, reason string) Decision {
	switch {
	case own || onServer:
		return Decision{Reasons: []string{reason}}
	case p.ServerAdmin: // may list tenants, so there is nothing to hide
		return Decision{Reasons: append([]string{reason}, deniedServerAdmin...)}
	}
	return Decision{Foreign: true, Reasons: deniedForeign}
}

func needs(a Action, s scope) string {
	switch {
	case s&ownTenant != 0:
		return string(a) + " needs an admin of the tenant"
	case s&anyTenant != 0:
		return string(a) + " needs a server admin"
	}
	return string(a) + " needs a server admin, and is taken on the server itself"
}
