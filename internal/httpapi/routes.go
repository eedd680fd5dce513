package httpapi

import (
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/docs"
)

// What stands in the place of actions where nothing is decided.
const (
	authenticated = "authenticated" // whoever is somebody
	nobody        = ""              // of a public route
)

// register is the table of all routes, each with the action that its caller must
// be allowed. Where there are several, all are asked for or each when it is
// needed, the first before anything else.
func (s *Server) register() {
	a := s.newAPI()
	const (
		get, put, post, patch, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete
		created                    = http.StatusCreated
	)

	s.plain(get, api.RouteConfig, "config.read+secret.read", s.readConfig, readConfigOperation(s.spec))
	s.plain(get, api.RouteLayer, "config.read", s.readLayer, readLayerOperation(s.spec))
	for _, method := range []string{put, patch} {
		s.plain(method, api.RouteLayer, "config.write+secret.refer", s.writeLayer, writeLayerOperation(s.spec, method))
	}
	s.plain(del, api.RouteLayer, "config.write", s.writeLayer, writeLayerOperation(s.spec, del))
	s.plain(get, api.RouteWatch, "config.read", s.watch, watchOperation(s.spec))
	s.plain(get, api.RouteBundle, "config.read+secret.read", s.readBundle, bundleOperation(s.spec))

	s.plain(get, api.RouteSecret, "secret.list+secret.read", s.readSecret, readSecretOperation(s.spec))
	for _, method := range []string{put, patch} {
		s.plain(method, api.RouteSecret, "secret.write+secret.activate+secret.refer", s.writeSecret, writeSecretOperation(s.spec, method))
	}
	s.plain(del, api.RouteSecret, "secret.write", s.writeSecret, writeSecretOperation(s.spec, del))
	typed(a, operation{get, api.RouteSecrets, "secret.list", "list-secrets", "secrets", "List the secrets of an environment, without their values", 0}, s.listSecrets)
	typed(a, operation{get, api.RouteSecretHistory, "secret.list", "secret-history", "secrets", "List the versions of a secret of one environment, newest first", 0}, s.secretHistory)
	typed(a, operation{get, api.RouteSecretDiff, "secret.list", "secret-diff", "secrets", "Say which fields of two versions differ", 0}, s.secretDiff)
	typed(a, operation{get, api.RouteSecretAdopt, "secret.list", "secret-adoption", "secrets", "Say which live clients use which version", 0}, s.secretAdoption)
	typed(a, operation{post, api.RouteSecretRotate, "secret.activate+secret.write", "rotate-secret", "secrets", "Make a new version as the secret's rotation says", 0}, s.rotateSecret)
	typed(a, operation{post, api.RouteSecretActive, "secret.activate", "activate-secret", "secrets", "Make a version the one in use", 0}, s.activateSecret)
	typed(a, operation{post, api.RouteSecretRevoke, "secret.activate", "revoke-secret", "secrets", "Refuse a version from now on and for ever", 0}, s.revokeSecret)
	typed(a, operation{post, api.RouteSecretUndo, "secret.write", "undelete-secret", "secrets", "Bring a deleted secret back", 0}, s.undeleteSecret)
	typed(a, operation{post, api.RouteSecretDestroy, "secret.destroy", "destroy-secret", "secrets", "Make versions of a secret unreadable for ever", 0}, s.destroySecret)
	typed(a, operation{post, api.RouteAcks, "ack.write", "ack", "secrets", "Say what a client runs; it holds for 90 seconds", 0}, s.ack)
	typed(a, operation{get, api.RouteAcks, "config.read", "list-acks", "secrets", "Say what the live clients of an environment run", 0}, s.listAcks)

	typed(a, operation{get, api.RouteConfigs, "config.read", "list-configs", "configs", "List the effective documents of an environment", 0}, s.listConfigs)
	typed(a, operation{get, api.RouteHistory, "config.read", "history", "configs", "List the versions of a layer, newest first", 0}, s.history)
	typed(a, operation{get, api.RouteDiff, "config.read", "diff", "configs", "Compare two points", 0}, s.diff)
	typed(a, operation{post, api.RouteDestroy, "config.destroy", "destroy-layer-version", "layers", "Make an old version of a layer unreadable for ever", 0}, s.destroy)

	typed(a, operation{post, api.RouteChanges, "config.write+secret.refer", "change", "changes", "Commit a set of edits, all of them or none", 0}, s.change)
	typed(a, operation{get, api.RouteChanges, "config.read", "list-changes", "changes", "List revisions, newest first", 0}, s.listChanges)
	typed(a, operation{get, api.RouteChange, "config.read", "get-change", "changes", "Read one revision and what it changed", 0}, s.getChange)
	typed(a, operation{post, api.RouteRollback, "config.write+secret.refer", "rollback", "changes", "Restore an environment's own layers as they were", 0}, s.rollback)
	typed(a, operation{post, api.RouteRevert, "config.write+secret.refer", "revert", "changes", "Undo one change everywhere it touched", 0}, s.revert)
	typed(a, operation{post, api.RoutePromote, "config.write+config.read+secret.refer", "promote", "changes", "Replace one environment's layers by another's", 0}, s.promote)

	typed(a, operation{get, api.RouteTags, "tag.read", "list-tags", "tags", "List tags by name", 0}, s.listTags)
	typed(a, operation{get, api.RouteTag, "tag.read", "get-tag", "tags", "Read a tag", 0}, s.getTag)
	typed(a, operation{put, api.RouteTag, "tag.write", "set-tag", "tags", "Name a revision", 0}, s.setTag)
	typed(a, operation{del, api.RouteTag, "tag.write", "delete-tag", "tags", "Forget a tag", 0}, s.deleteTag)

	typed(a, operation{get, api.RouteEnvironments, "environment.read", "list-environments", "environments", "List the environments of a tenant", 0}, s.listEnvironments)
	typed(a, operation{get, api.RouteEnvironment, "environment.read", "get-environment", "environments", "Read an environment", 0}, s.getEnvironment)
	typed(a, operation{put, api.RouteEnvironment, "environment.write+config.read+secret.refer", "put-environment", "environments", "Create an environment or give it another parent", 0}, s.putEnvironment)
	typed(a, operation{del, api.RouteEnvironment, "environment.write", "delete-environment", "environments", "Delete an environment that is empty and no parent", 0}, s.deleteEnvironment)

	typed(a, operation{get, api.RouteTenants, "tenant.manage", "list-tenants", "tenants", "List the tenants of the server", 0}, s.listTenants)
	typed(a, operation{post, api.RouteTenants, "tenant.manage", "create-tenant", "tenants", "Create a tenant with its first token", created}, s.createTenant)
	typed(a, operation{get, api.RouteTenant, "tenant.read", "get-tenant", "tenants", "Read a tenant", 0}, s.getTenant)
	typed(a, operation{del, api.RouteTenant, "tenant.manage", "delete-tenant", "tenants", "Delete a tenant, and destroy its key", 0}, s.deleteTenant)

	typed(a, operation{get, api.RouteTokens, "token.read", "list-tokens", "tokens", "List the tokens of a tenant", 0}, s.listTokens)
	typed(a, operation{post, api.RouteTokens, "token.write", "create-token", "tokens", "Issue a token of a tenant", created}, s.createToken)
	typed(a, operation{del, api.RouteToken, "token.write", "revoke-token", "tokens", "Take a token of a tenant back", 0}, s.revokeToken)
	typed(a, operation{post, api.RouteTokenRotate, "token.write", "rotate-token", "tokens", "Give a token of a tenant a successor", created}, s.rotateToken)
	typed(a, operation{get, api.RouteServerTokens, "server-token.read", "list-server-tokens", "tokens", "List the tokens of the server", 0}, s.listServerTokens)
	typed(a, operation{post, api.RouteServerTokens, "server-token.write", "create-server-token", "tokens", "Issue a token of the server", created}, s.createServerToken)
	typed(a, operation{del, api.RouteServerToken, "server-token.write", "revoke-server-token", "tokens", "Take a token of the server back", 0}, s.revokeServerToken)
	typed(a, operation{post, api.RouteServerRotate, "server-token.write", "rotate-server-token", "tokens", "Give a token of the server a successor", created}, s.rotateServerToken)

	typed(a, operation{get, api.RouteKeys, "key.read", "tenant-keys", "keys", "Say which versions of the tenant's key there are, and when the next is due", 0}, s.tenantKeys)
	typed(a, operation{post, api.RouteKeysRotate, "key.write", "rotate-tenant-key", "keys", "Make a new version of the tenant's key", 0}, s.rotateTenantKey)
	typed(a, operation{post, api.RouteKeysRetire, "key.write", "retire-tenant-key", "keys", "Take an old version of the tenant's key away for good", 0}, s.retireTenantKey)
	typed(a, operation{get, api.RouteMasterKeys, "server-key.read", "master-keys", "keys", "Say which versions of the master key there are, and when the next is due", 0}, s.masterKeys)
	typed(a, operation{post, api.RouteMasterRotate, "server-key.write", "rotate-master-key", "keys", "Read the master key anew, and wrap every tenant's key with it", 0}, s.rotateMasterKey)

	typed(a, operation{get, api.RoutePolicies, "policy.read", "list-policies", "policies", "List the files of a tenant's policies, and the built-in ones", 0}, s.listPolicies)
	typed(a, operation{get, api.RoutePolicy, "policy.read", "get-policy", "policies", "Read a version of a file of policies", 0}, s.getPolicy)
	typed(a, operation{put, api.RoutePolicy, "policy.write", "put-policy", "policies", "Check a file of policies and write it", 0}, s.putPolicy)
	typed(a, operation{del, api.RoutePolicy, "policy.write", "delete-policy", "policies", "Delete a file of policies; its versions stay", 0}, s.deletePolicy)
	typed(a, operation{get, api.RoutePolicyHistory, "policy.read", "policy-history", "policies", "List the versions of a file of policies, newest first", 0}, s.policyHistory)
	typed(a, operation{get, api.RoutePolicyDiff, "policy.read", "policy-diff", "policies", "Compare two versions of a file of policies", 0}, s.policyDiff)
	typed(a, operation{post, api.RoutePolicyUndo, "policy.write", "rollback-policy", "policies", "Write an older version of a file of policies anew", 0}, s.rollbackPolicy)
	typed(a, operation{post, api.RoutePolicyTest, "policy.read", "test-policies", "policies", "Run the test cases of all files, as they stand or with one in mind", 0}, s.testPolicies)
	typed(a, operation{post, api.RoutePolicyTry, "policy.read", "simulate-policies", "policies", "Say which past decisions would have been others with a file", 0}, s.simulatePolicies)
	s.plain(get, api.RoutePolicySchema, authenticated, s.policySchema(), policySchemaOperation())
	typed(a, operation{get, api.RouteRoles, "policy.read", "list-roles", "roles", "List the roles of a tenant, the built-in ones first", 0}, s.listRoles)
	typed(a, operation{get, api.RouteRole, "policy.read", "get-role", "roles", "Read a role", 0}, s.getRole)
	typed(a, operation{put, api.RouteRole, "policy.write", "put-role", "roles", "Define a role of the tenant's own", 0}, s.putRole)
	typed(a, operation{del, api.RouteRole, "policy.write", "delete-role", "roles", "Delete a role of the tenant's own", 0}, s.deleteRole)
	typed(a, operation{get, api.RouteRoleHistory, "policy.read", "role-history", "roles", "List the versions of a role, newest first", 0}, s.roleHistory)
	typed(a, operation{post, api.RouteExplain, "policy.read", "explain-decision", "policies", "Say what would be decided, and why", 0}, s.explainDecision)

	typed(a, operation{get, api.RouteQuota, "quota.read", "get-quota", "quotas", "Read the limits of a tenant, and what it uses of them", 0}, s.getQuota)
	typed(a, operation{put, api.RouteQuota, "quota.write", "put-quota", "quotas", "Set the limits of a tenant", 0}, s.putQuota)
	typed(a, operation{get, api.RouteGrants, "grant.read", "list-grants", "grants", "Say who has, had or wants access by break-glass", 0}, s.listGrants)
	typed(a, operation{post, api.RouteGrants, "grant.request", "request-grant", "grants", "Ask for access to a tenant for a while", created}, s.requestGrant)
	typed(a, operation{post, api.RouteGrantApprove, "grant.approve", "approve-grant", "grants", "Give the access that another asked for", 0}, s.approveGrant)
	typed(a, operation{del, api.RouteGrant, "grant.end", "end-grant", "grants", "End access, or take back a request for it", 0}, s.endGrant)

	typed(a, operation{get, api.RouteAudit, "audit.read", "search-audit", "audit", "Search the audit records of a tenant, newest first", 0}, searchAudit[searchTenantAuditIn](s))
	typed(a, operation{get, api.RouteAuditCounts, "audit.read", "count-audit", "audit", "Count the audit records of a tenant", 0}, countAudit[countTenantAuditIn](s))
	s.getOnly(api.RouteAuditExport, "audit.read", s.exportAudit, exportAuditOperation(s.spec, api.RouteAudit, "export-audit", "Stream the audit records of a tenant, to be kept or verified"))
	s.plain(get, api.RouteAuditTail, "audit.read", s.tailAudit, tailAuditOperation(s.spec, api.RouteAudit, "tail-audit", "Follow the audit records of a tenant as they come"))
	s.getOnly(api.RouteAuditVerify, "audit.read", s.verifyAudit, verifyAuditOperation(s.spec, api.RouteAudit, "verify-audit", "Check the whole audit chain of a tenant"))
	typed(a, operation{get, api.RouteAuditStatus, "audit.read", "audit-status", "audit", "Say where the audit chain of a tenant stands, and where its records are", 0}, readAuditStatus[InTenant](s))
	typed(a, operation{get, api.RouteAuditNotes, "audit.read", "audit-checkpoints", "audit", "List the signed checkpoints of a tenant's audit chain, newest first", 0}, listCheckpoints[tagsIn](s))
	typed(a, operation{put, api.RouteAuditHold, "audit.hold", "hold-audit", "audit", "Keep a tenant's audit records from being disposed of", 0}, holdAudit[holdTenantAuditIn](s))
	typed(a, operation{del, api.RouteAuditHold, "audit.hold", "lift-audit-hold", "audit", "Let a tenant's audit records be disposed of again when they are due", 0}, liftAuditHold[liftTenantHoldIn](s))
	typed(a, operation{get, api.RouteServerAudit, "server-audit.read", "search-server-audit", "audit", "Search the audit records of the server, newest first", 0}, searchAudit[searchServerAuditIn](s))
	typed(a, operation{get, api.RouteServerCounts, "server-audit.read", "count-server-audit", "audit", "Count the audit records of the server", 0}, countAudit[countServerAuditIn](s))
	s.getOnly(api.RouteServerExport, "server-audit.read", s.exportAudit, exportAuditOperation(s.spec, api.RouteServerAudit, "export-server-audit", "Stream the audit records of the server, to be kept or verified"))
	s.plain(get, api.RouteServerTail, "server-audit.read", s.tailAudit, tailAuditOperation(s.spec, api.RouteServerAudit, "tail-server-audit", "Follow the audit records of the server as they come"))
	s.getOnly(api.RouteServerVerify, "server-audit.read", s.verifyAudit, verifyAuditOperation(s.spec, api.RouteServerAudit, "verify-server-audit", "Check the whole audit chain of the server"))
	typed(a, operation{get, api.RouteServerStatus, "server-audit.read", "server-audit-status", "audit", "Say where the audit chain of the server stands, and where its records are", 0}, readAuditStatus[OfServer](s))
	typed(a, operation{get, api.RouteServerNotes, "server-audit.read", "server-audit-checkpoints", "audit", "List the signed checkpoints of the server's audit chain, newest first", 0}, listCheckpoints[serverCheckpointsIn](s))
	typed(a, operation{put, api.RouteServerHold, "audit.hold", "hold-server-audit", "audit", "Keep the server's audit records from being disposed of", 0}, holdAudit[holdServerAuditIn](s))
	typed(a, operation{del, api.RouteServerHold, "audit.hold", "lift-server-audit-hold", "audit", "Let the server's audit records be disposed of again when they are due", 0}, liftAuditHold[liftServerHoldIn](s))
	typed(a, operation{get, api.RouteAuditKeys, authenticated, "audit-keys", "audit", "Read the public keys that checkpoints are signed with, oldest first", 0}, s.auditKeys)
	typed(a, operation{post, api.RouteAuditRotate, "server-key.write", "rotate-audit-key", "audit", "Make a new key for checkpoints", 0}, s.rotateAuditKey)

	s.getOnly(api.RouteCompliance, "audit.read", s.complianceReport, complianceOperation(s.spec, "compliance", "Say how a tenant stands to a framework of compliance", in("path", "tenant", "string", "Name of the tenant")))
	s.getOnly(api.RouteServerComply, "server-audit.read", s.complianceReport, complianceOperation(s.spec, "server-compliance", "Say how the server stands to a framework of compliance"))

	typed(a, operation{get, api.RouteIdentity, authenticated, "identity", "server", "Say who the caller is", 0}, s.identity)
	typed(a, operation{get, api.RouteVersion, authenticated, "version", "server", "Say what build the server is", 0}, s.buildVersion)
	typed(a, operation{get, api.RouteLoginMethods, nobody, "login-methods", "server", "Say at which issuers people log in", 0}, s.loginMethods)
	s.handle(get, api.RouteLogin, nobody, s.login)
	s.handle(get, api.RouteLoginCallback, nobody, s.loginCallback)
	s.handle(post, api.RouteLogout, nobody, s.logout)
	s.plain(get, api.RouteLive, nobody, s.live, healthOperation(s.spec, "live", "Say whether the process is alive"))
	s.plain(get, api.RouteReady, nobody, s.readiness, healthOperation(s.spec, "ready", "Say whether requests will be served"))
	s.plain(get, api.RouteStartup, nobody, s.readiness, healthOperation(s.spec, "startup", "Say whether the start is over"))

	s.describe()
	s.handle(get, api.RouteOpenAPI, nobody, newPage(s.openAPI(), openAPIHeader).ServeHTTP)
	s.handle(get, api.RouteDocumentation, nobody, newPage(s.documentation(), documentationHeader).ServeHTTP)
	s.handle(get, api.RouteAuditSchema, nobody, newPage(docs.AuditSchema, auditSchemaHeader).ServeHTTP)
	s.mux.HandleFunc("/", s.unrouted)
}
