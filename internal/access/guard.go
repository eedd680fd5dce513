package access

import (
	"github.com/llm-devops/llm-config-manager/internal/config"
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
	case own && p.HasRole(RoleAdmin) && scope&ownTenant != 0:
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
