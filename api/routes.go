package api

import (
	"strconv"
	"strings"
)

// Headers of the product's own.
const (
	HeaderRevision   = "X-Config-Revision"    // the revision a read was answered at
	HeaderDigest     = "X-Config-Digest"      // the document's digest
	HeaderVersion    = "X-Config-Version"     // the layer's version
	HeaderRequestID  = "X-Request-ID"         // taken from the request, else made
	HeaderIdempotent = "Idempotency-Key"      // on writes
	HeaderReplayed   = "Idempotency-Replayed" // true on an answer given before
	HeaderMessage    = "X-Config-Message"     // a write's message, where the body is the document; percent-encoded
	HeaderSecrets    = "X-Config-Secrets"     // of a revealed document: path and version of each secret in it, as in "db/main 3, openai 7"
)

// Prefix of the native API.
const Prefix = "/api/v1"

// Media types of documents and patches.
const (
	TypeJSON       = "application/json"
	TypeYAML       = "application/yaml"
	TypeTOML       = "application/toml"
	TypeMergePatch = "application/merge-patch+json"
	TypeJSONPatch  = "application/json-patch+json"
	TypeEvents     = "text/event-stream"
	TypeNDJSON     = "application/x-ndjson" // a JSON value a line
	TypeMarkdown   = "text/markdown"
)

// Route patterns, in the form of net/http's ServeMux. {path...} holds slashes.
const (
	RouteTenants       = Prefix + "/tenants"
	RouteTenant        = Prefix + "/tenants/{tenant}"
	RouteServerTokens  = Prefix + "/tokens"
	RouteServerToken   = Prefix + "/tokens/{id}"
	RouteIdentity      = Prefix + "/identity"
	RouteVersion       = Prefix + "/version"
	RouteEnvironments  = RouteTenant + "/environments"
	RouteEnvironment   = RouteTenant + "/environments/{environment}"
	RouteConfigs       = RouteEnvironment + "/configs"
	RouteConfig        = RouteEnvironment + "/configs/{path...}"
	RouteLayer         = RouteEnvironment + "/layers/{path...}"
	RouteHistory       = RouteEnvironment + "/history/{path...}"
	RouteDiff          = RouteEnvironment + "/diff/{path...}"
	RouteDestroy       = RouteEnvironment + "/destroy/{path...}"
	RouteBundle        = RouteEnvironment + "/bundle"
	RouteWatch         = RouteEnvironment + "/watch"
	RouteAcks          = RouteEnvironment + "/acks"
	RouteSecrets       = RouteEnvironment + "/secrets"
	RouteSecret        = RouteEnvironment + "/secrets/{path...}"
	RouteSecretHistory = RouteEnvironment + "/secret-history/{path...}"
	RouteSecretDiff    = RouteEnvironment + "/secret-diff/{path...}"
	RouteSecretAdopt   = RouteEnvironment + "/secret-adoption/{path...}"
	RouteSecretRotate  = RouteEnvironment + "/secret-rotate/{path...}"
	RouteSecretActive  = RouteEnvironment + "/secret-activate/{path...}"
	RouteSecretRevoke  = RouteEnvironment + "/secret-revoke/{path...}"
	RouteSecretUndo    = RouteEnvironment + "/secret-undelete/{path...}"
	RouteSecretDestroy = RouteEnvironment + "/secret-destroy/{path...}"
	RouteKeys          = RouteTenant + "/keys"
	RouteKeysRotate    = RouteTenant + "/keys/rotate"
	RouteKeysRetire    = RouteTenant + "/keys/retire"
	RouteMasterKeys    = Prefix + "/keys"
	RouteMasterRotate  = Prefix + "/keys/rotate"
	RouteChanges       = RouteTenant + "/changes"
	RouteChange        = RouteTenant + "/changes/{revision}"
	RouteRollback      = RouteTenant + "/rollback"
	RouteRevert        = RouteTenant + "/revert"
	RoutePromote       = RouteTenant + "/promote"
	RouteTags          = RouteTenant + "/tags"
	RouteTag           = RouteTenant + "/tags/{tag}"
	RouteTokens        = RouteTenant + "/tokens"
	RouteToken         = RouteTenant + "/tokens/{id}"
	RouteTokenRotate   = RouteTenant + "/tokens/{id}/rotate"
	RouteServerRotate  = Prefix + "/tokens/{id}/rotate"
	RoutePolicies      = RouteTenant + "/policies"
	RoutePolicy        = RouteTenant + "/policies/{policy}"
	RoutePolicyHistory = RouteTenant + "/policy-history/{policy}"
	RoutePolicyDiff    = RouteTenant + "/policy-diff/{policy}"
	RoutePolicyUndo    = RouteTenant + "/policy-rollback/{policy}"
	RoutePolicyTest    = RouteTenant + "/policy-test"
	RoutePolicyTry     = RouteTenant + "/policy-simulate"
	RouteRoles         = RouteTenant + "/roles"
	RouteRole          = RouteTenant + "/roles/{role}"
	RouteRoleHistory   = RouteTenant + "/role-history/{role}"
	RouteExplain       = RouteTenant + "/authz/explain"
	RouteQuota         = RouteTenant + "/quota"
	RouteGrants        = RouteTenant + "/grants"
	RouteGrant         = RouteTenant + "/grants/{id}"
	RouteGrantApprove  = RouteTenant + "/grants/{id}/approve"
	RouteAudit         = RouteTenant + "/audit"
	RouteAuditCounts   = RouteTenant + "/audit/counts"
	RouteAuditExport   = RouteTenant + "/audit/export"
	RouteAuditTail     = RouteTenant + "/audit/tail"
	RouteAuditVerify   = RouteTenant + "/audit/verify"
	RouteAuditStatus   = RouteTenant + "/audit/status"
	RouteAuditNotes    = RouteTenant + "/audit/checkpoints"
	RouteAuditHold     = RouteTenant + "/audit/hold"
	RouteCompliance    = RouteTenant + "/compliance/{framework}"
	RouteServerAudit   = Prefix + "/audit"
	RouteServerCounts  = Prefix + "/audit/counts"
	RouteServerExport  = Prefix + "/audit/export"
	RouteServerTail    = Prefix + "/audit/tail"
	RouteServerVerify  = Prefix + "/audit/verify"
	RouteServerStatus  = Prefix + "/audit/status"
	RouteServerNotes   = Prefix + "/audit/checkpoints"
	RouteServerHold    = Prefix + "/audit/hold"
	RouteAuditKeys     = Prefix + "/audit/keys"
	RouteAuditRotate   = Prefix + "/audit/keys/rotate"
	RouteServerComply  = Prefix + "/compliance/{framework}"
	RoutePolicySchema  = Prefix + "/policy-schema"
	RouteLoginMethods  = Prefix + "/login"
	RouteLogin         = "/login"
	RouteLoginCallback = "/login/callback"
	RouteLogout        = "/logout"
	RouteLive          = "/health/live"
	RouteReady         = "/health/ready"
	RouteStartup       = "/health/startup"
	RouteOpenAPI       = "/openapi.json"
	RouteDocumentation = "/docs"
)

// Build fills a route pattern's wildcards, in order.
func Build(route string, values ...string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(route, '{')
		if open < 0 || len(values) == 0 {
			b.WriteString(route)
			return b.String()
		}
		b.WriteString(route[:open])
		b.WriteString(values[0])
		values, route = values[1:], route[strings.IndexByte(route, '}')+1:]
	}
}

// LayerETag is the entity tag of a version of a layer.
func LayerETag(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }

// ParseLayerETag reads the version that LayerETag wrote.
func ParseLayerETag(tag string) (version int64, ok bool) {
	digits, found := strings.CutPrefix(tag, `"v`)
	if digits, ok = strings.CutSuffix(digits, `"`); !ok || !found || len(digits) == 0 || digits[0] == '0' || digits[0] == '+' || digits[0] == '-' {
		return 0, false
	}
	version, err := strconv.ParseInt(digits, 10, 64)
	return version, err == nil
}

// SecretETag is the entity tag of a secret's record.
func SecretETag(record int64) string { return `"r` + strconv.FormatInt(record, 10) + `"` }

// ParseSecretETag reads the record number that SecretETag wrote.
func ParseSecretETag(tag string) (record int64, ok bool) {
	if rest, found := strings.CutPrefix(tag, `"r`); found {
		return ParseLayerETag(`"v` + rest)
	}
	return 0, false
}
