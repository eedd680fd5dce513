package httpapi

import (
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// register is the table of all routes.
func (s *Server) register() {
	a := s.newAPI()
	const (
		get, put, post, patch, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete
		created                    = http.StatusCreated
	)

	s.plain(get, api.RouteConfig, s.readConfig, readConfigOperation(s.spec))
	s.plain(get, api.RouteLayer, s.readLayer, readLayerOperation(s.spec))
	for _, method := range []string{put, patch, del} {
		s.plain(method, api.RouteLayer, s.writeLayer, writeLayerOperation(s.spec, method))
	}
	s.plain(get, api.RouteWatch, s.watch, watchOperation(s.spec))
	s.plain(get, api.RouteBundle, s.readBundle, bundleOperation(s.spec))

	s.plain(get, api.RouteSecret, s.readSecret, readSecretOperation(s.spec))
	for _, method := range []string{put, patch, del} {
		s.plain(method, api.RouteSecret, s.writeSecret, writeSecretOperation(s.spec, method))
	}
	typed(a, operation{get, api.RouteSecrets, "list-secrets", "secrets", "List the secrets of an environment, without their values", 0}, s.listSecrets)
	typed(a, operation{get, api.RouteSecretHistory, "secret-history", "secrets", "List the versions of a secret of one environment, newest first", 0}, s.secretHistory)
	typed(a, operation{get, api.RouteSecretDiff, "secret-diff", "secrets", "Say which fields of two versions differ", 0}, s.secretDiff)
	typed(a, operation{get, api.RouteSecretAdopt, "secret-adoption", "secrets", "Say which live clients use which version", 0}, s.secretAdoption)
	typed(a, operation{post, api.RouteSecretRotate, "rotate-secret", "secrets", "Make a new version as the secret's rotation says", 0}, s.rotateSecret)
	typed(a, operation{post, api.RouteSecretActive, "activate-secret", "secrets", "Make a version the one in use", 0}, s.activateSecret)
	typed(a, operation{post, api.RouteSecretRevoke, "revoke-secret", "secrets", "Refuse a version from now on and for ever", 0}, s.revokeSecret)
	typed(a, operation{post, api.RouteSecretUndo, "undelete-secret", "secrets", "Bring a deleted secret back", 0}, s.undeleteSecret)
	typed(a, operation{post, api.RouteSecretDestroy, "destroy-secret", "secrets", "Make versions of a secret unreadable for ever", 0}, s.destroySecret)
	typed(a, operation{post, api.RouteAcks, "ack", "secrets", "Say what a client runs; it holds for 90 seconds", 0}, s.ack)
	typed(a, operation{get, api.RouteAcks, "list-acks", "secrets", "Say what the live clients of an environment run", 0}, s.listAcks)

	typed(a, operation{get, api.RouteConfigs, "list-configs", "configs", "List the effective documents of an environment", 0}, s.listConfigs)
	typed(a, operation{get, api.RouteHistory, "history", "configs", "List the versions of a layer, newest first", 0}, s.history)
	typed(a, operation{get, api.RouteDiff, "diff", "configs", "Compare two points", 0}, s.diff)
	typed(a, operation{post, api.RouteDestroy, "destroy-layer-version", "layers", "Make an old version of a layer unreadable for ever", 0}, s.destroy)

	typed(a, operation{post, api.RouteChanges, "change", "changes", "Commit a set of edits, all of them or none", 0}, s.change)
	typed(a, operation{get, api.RouteChanges, "list-changes", "changes", "List revisions, newest first", 0}, s.listChanges)
	typed(a, operation{get, api.RouteChange, "get-change", "changes", "Read one revision and what it changed", 0}, s.getChange)
	typed(a, operation{post, api.RouteRollback, "rollback", "changes", "Restore an environment's own layers as they were", 0}, s.rollback)
	typed(a, operation{post, api.RouteRevert, "revert", "changes", "Undo one change everywhere it touched", 0}, s.revert)
	typed(a, operation{post, api.RoutePromote, "promote", "changes", "Replace one environment's layers by another's", 0}, s.promote)

	typed(a, operation{get, api.RouteTags, "list-tags", "tags", "List tags by name", 0}, s.listTags)
	typed(a, operation{get, api.RouteTag, "get-tag", "tags", "Read a tag", 0}, s.getTag)
	typed(a, operation{put, api.RouteTag, "set-tag", "tags", "Name a revision", 0}, s.setTag)
	typed(a, operation{del, api.RouteTag, "delete-tag", "tags", "Forget a tag", 0}, s.deleteTag)

	typed(a, operation{get, api.RouteEnvironments, "list-environments", "environments", "List the environments of a tenant", 0}, s.listEnvironments)
	typed(a, operation{get, api.RouteEnvironment, "get-environment", "environments", "Read an environment", 0}, s.getEnvironment)
	typed(a, operation{put, api.RouteEnvironment, "put-environment", "environments", "Create an environment or give it another parent", 0}, s.putEnvironment)
	typed(a, operation{del, api.RouteEnvironment, "delete-environment", "environments", "Delete an environment that is empty and no parent", 0}, s.deleteEnvironment)

	typed(a, operation{get, api.RouteTenants, "list-tenants", "tenants", "List the tenants of the server", 0}, s.listTenants)
	typed(a, operation{post, api.RouteTenants, "create-tenant", "tenants", "Create a tenant with its first token", created}, s.createTenant)
	typed(a, operation{get, api.RouteTenant, "get-tenant", "tenants", "Read a tenant", 0}, s.getTenant)
	typed(a, operation{del, api.RouteTenant, "delete-tenant", "tenants", "Delete a tenant, and destroy its key", 0}, s.deleteTenant)

	typed(a, operation{get, api.RouteTokens, "list-tokens", "tokens", "List the tokens of a tenant", 0}, s.listTokens)
	typed(a, operation{post, api.RouteTokens, "create-token", "tokens", "Issue a token of a tenant", created}, s.createToken)
	typed(a, operation{del, api.RouteToken, "revoke-token", "tokens", "Take a token of a tenant back", 0}, s.revokeToken)
	typed(a, operation{post, api.RouteTokenRotate, "rotate-token", "tokens", "Give a token of a tenant a successor", created}, s.rotateToken)
	typed(a, operation{get, api.RouteServerTokens, "list-server-tokens", "tokens", "List the tokens of the server", 0}, s.listServerTokens)
	typed(a, operation{post, api.RouteServerTokens, "create-server-token", "tokens", "Issue a token of the server", created}, s.createServerToken)
	typed(a, operation{del, api.RouteServerToken, "revoke-server-token", "tokens", "Take a token of the server back", 0}, s.revokeServerToken)
	typed(a, operation{post, api.RouteServerRotate, "rotate-server-token", "tokens", "Give a token of the server a successor", created}, s.rotateServerToken)

	typed(a, operation{get, api.RouteKeys, "tenant-keys", "keys", "Say which versions of the tenant's key there are, and when the next is due", 0}, s.tenantKeys)
	typed(a, operation{post, api.RouteKeysRotate, "rotate-tenant-key", "keys", "Make a new version of the tenant's key", 0}, s.rotateTenantKey)
	typed(a, operation{post, api.RouteKeysRetire, "retire-tenant-key", "keys", "Take an old version of the tenant's key away for good", 0}, s.retireTenantKey)
	typed(a, operation{get, api.RouteMasterKeys, "master-keys", "keys", "Say which versions of the master key there are, and when the next is due", 0}, s.masterKeys)
	typed(a, operation{post, api.RouteMasterRotate, "rotate-master-key", "keys", "Read the master key anew, and wrap every tenant's key with it", 0}, s.rotateMasterKey)

	typed(a, operation{get, api.RouteIdentity, "identity", "server", "Say who the caller is", 0}, s.identity)
	typed(a, operation{get, api.RouteVersion, "version", "server", "Say what build the server is", 0}, s.buildVersion)
	s.plain(get, api.RouteLive, s.live, healthOperation(s.spec, "live", "Say whether the process is alive"))
	s.plain(get, api.RouteReady, s.readiness, healthOperation(s.spec, "ready", "Say whether requests will be served"))
	s.plain(get, api.RouteStartup, s.readiness, healthOperation(s.spec, "startup", "Say whether the start is over"))

	s.describe()
	s.handle(get, api.RouteOpenAPI, newPage(s.openAPI(), openAPIHeader).ServeHTTP)
	s.handle(get, api.RouteDocumentation, newPage(s.documentation(), documentationHeader).ServeHTTP)
	s.mux.HandleFunc("/", s.unrouted)
}
