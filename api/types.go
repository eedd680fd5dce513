package api

import (
	"encoding/json"
	"time"
)

// Tenant is the unit of isolation.
type Tenant struct {
	ID      string    `json:"id" doc:"Never reused"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// NewTenant asks for a tenant. Its first environments come with it.
type NewTenant struct {
	Name  string    `json:"name" doc:"1 to 64 of a-z, 0-9 and -, beginning with a letter"`
	Token *NewToken `json:"token,omitempty" doc:"The tenant's first administrator token; left out, one named admin for 30 days"`
}

// FoundedTenant is a new tenant with its first token, which is shown only here.
type FoundedTenant struct {
	Tenant Tenant      `json:"tenant"`
	Token  IssuedToken `json:"token"`
}

// TenantList is a page of tenants.
type TenantList struct {
	Tenants []Tenant `json:"tenants"`
	Next    string   `json:"next_cursor,omitempty" doc:"Where the next page begins; absent on the last"`
}

// Environment is where settings apply.
type Environment struct {
	Name    string `json:"name"`
	Parent  string `json:"parent,omitempty" doc:"Whose layers lie below; absent for a root"`
	Isolate bool   `json:"isolate_secrets,omitempty" doc:"It inherits no secrets, though it inherits documents"`
	Version int64  `json:"version"`
}

// EnvironmentInput creates an environment or gives it another parent.
type EnvironmentInput struct {
	Parent  *string `json:"parent,omitempty" doc:"Default base for a new environment; an empty string makes a root"`
	Isolate *bool   `json:"isolate_secrets,omitempty" doc:"Inherit no secrets; left out, as it is"`
	Message string  `json:"message,omitempty"`
}

// EnvironmentResult says what a write of an environment did.
type EnvironmentResult struct {
	Committed
	Environment Environment `json:"environment"`
}

// EnvironmentList is all environments of a tenant.
type EnvironmentList struct {
	Environments []Environment `json:"environments"`
	Revision     int64         `json:"revision"`
}

// Committed says whether and where a write landed.
type Committed struct {
	Status   Status     `json:"status" enum:"committed,unchanged,planned"`
	Revision int64      `json:"revision" doc:"The revision it made; for unchanged and planned, the one it was compared with"`
	Time     *time.Time `json:"time,omitempty" doc:"When it was committed"`
}

// Status is the outcome of a write that did not fail.
type Status string

// The outcomes.
const (
	StatusCommitted Status = "committed"
	StatusUnchanged Status = "unchanged" // it changes nothing, so no revision was made
	StatusPlanned   Status = "planned"   // dry_run: this is what would happen
)

// Op is what an edit does to a layer.
type Op string

// The edits.
const (
	OpPut    Op = "put"
	OpPatch  Op = "patch"
	OpDelete Op = "delete"
)

// Edit changes one layer.
type Edit struct {
	Op          Op              `json:"op" enum:"put,patch,delete"`
	Environment string          `json:"environment"`
	Path        string          `json:"path"`
	Document    json.RawMessage `json:"document,omitempty" doc:"put: the whole layer"`
	Patch       json.RawMessage `json:"patch,omitempty" doc:"patch: an object is a merge patch (RFC 7396), an array a JSON Patch (RFC 6902)"`
	IfVersion   *int64          `json:"if_version,omitempty" minimum:"0" doc:"The layer's version must be this; 0 means that there must be no layer"`
}

// Change is one atomic set of edits: all of them land, or none.
type Change struct {
	Message string `json:"message,omitempty" doc:"Why; at most 4096 bytes"`
	Edits   []Edit `json:"edits" doc:"At most 1000, one per environment and path"`
	DryRun  bool   `json:"dry_run,omitempty" doc:"Answer the plan and change nothing"`
}

// ChangeResult says what a change did, or would do.
type ChangeResult struct {
	Committed
	Message   string         `json:"message,omitempty"`
	Edits     []EditResult   `json:"edits" doc:"Edits that change nothing are left out"`
	Effective []DocumentDiff `json:"effective,omitempty" doc:"dry_run: what it would do to effective documents"`
	Lost      []Lost         `json:"lost,omitempty" doc:"promote: what the target says now and would say no more"`
	Notes     []string       `json:"notes,omitempty" doc:"What a person should know, such as a value that is inherited and so stays"`
}

// EditResult is one edit that changed something.
type EditResult struct {
	Op          Op     `json:"op" enum:"put,delete"`
	Environment string `json:"environment"`
	Path        string `json:"path"`
	Version     int64  `json:"version" doc:"The layer's new version"`
}

// DocumentDiff is how an effective document, or a layer, differs.
type DocumentDiff struct {
	Environment string       `json:"environment"`
	Path        string       `json:"path"`
	Before      bool         `json:"before" doc:"It exists before"`
	After       bool         `json:"after" doc:"It exists after"`
	Differences []Difference `json:"differences"`
}

// Difference is one place at which two documents differ.
type Difference struct {
	Op      string          `json:"op" enum:"add,remove,replace"`
	Pointer string          `json:"pointer"`
	From    json.RawMessage `json:"from,omitempty" doc:"The value before"`
	To      json.RawMessage `json:"to,omitempty" doc:"The value after"`
}

// Lost is a value in a promotion's target that the promotion would take away.
type Lost struct {
	Path    string          `json:"path"`
	Pointer string          `json:"pointer"`
	Value   json.RawMessage `json:"value"`
}

// Diff is the answer to a comparison of two points.
type Diff struct {
	From DiffSide `json:"from"`
	To   DiffSide `json:"to"`
	DocumentDiff
}

// DiffSide is one of the two points compared.
type DiffSide struct {
	Environment string `json:"environment"`
	Revision    int64  `json:"revision"`
	Version     int64  `json:"version,omitempty" doc:"The layer's version, when layers are compared"`
}

// ConfigList is a page of the effective documents of an environment.
type ConfigList struct {
	Configs  []ConfigEntry `json:"configs"`
	Revision int64         `json:"revision"`
	Next     string        `json:"next_cursor,omitempty" doc:"Where the next page begins; absent on the last"`
}

// ConfigEntry is one effective document in a list.
type ConfigEntry struct {
	Path     string     `json:"path"`
	Revision int64      `json:"revision" doc:"The newest revision among its layers"`
	Time     time.Time  `json:"time"`
	Author   string     `json:"author"`
	Layers   []LayerRef `json:"layers" doc:"What it is made of, from the environment up"`
}

// LayerRef names one version of a layer.
type LayerRef struct {
	Environment string `json:"environment"`
	Version     int64  `json:"version"`
}

// Explanation says where each leaf of an effective document comes from.
type Explanation struct {
	Environment string        `json:"environment"`
	Path        string        `json:"path"`
	Revision    int64         `json:"revision"`
	Digest      string        `json:"digest"`
	Leaves      []Leaf        `json:"leaves"`
	Removals    []Removal     `json:"removals,omitempty" doc:"What a removal mark takes away"`
	Layers      []LayerOrigin `json:"layers" doc:"The layers, from the environment up"`
}

// LayerOrigin is a version of a layer and how it came to be.
type LayerOrigin struct {
	Environment string    `json:"environment"`
	Version     int64     `json:"version"`
	Revision    int64     `json:"revision"`
	Author      string    `json:"author"`
	Time        time.Time `json:"time"`
	Message     string    `json:"message,omitempty"`
}

// Leaf is one value of an effective document.
type Leaf struct {
	Pointer   string          `json:"pointer"`
	Value     json.RawMessage `json:"value"`
	Origin    LayerOrigin     `json:"origin" doc:"The layer that wins"`
	Reference string          `json:"reference,omitempty" doc:"The text that was resolved to this value"`
	Shadows   []Shadow        `json:"shadows,omitempty" doc:"What other layers say here, nearest first"`
}

// Shadow is what a layer says that another one overrides.
type Shadow struct {
	Origin LayerOrigin     `json:"origin"`
	Value  json.RawMessage `json:"value"`
}

// Removal is a removal mark at work.
type Removal struct {
	Pointer string      `json:"pointer"`
	Origin  LayerOrigin `json:"origin" doc:"The layer with the mark"`
	Removes []Shadow    `json:"removes" doc:"What it takes away, nearest first"`
}

// History is a page of the versions of a layer, newest first.
type History struct {
	Environment string         `json:"environment"`
	Path        string         `json:"path"`
	Entries     []HistoryEntry `json:"entries"`
	Next        string         `json:"next_cursor,omitempty"`
}

// HistoryEntry is one version of a layer.
type HistoryEntry struct {
	LayerOrigin
	State string `json:"state" enum:"live,deleted,destroyed"`
}

// LogList is a page of changes, newest first.
type LogList struct {
	Changes []LogEntry `json:"changes"`
	Next    string     `json:"next_cursor,omitempty"`
}

// LogEntry is one revision.
type LogEntry struct {
	Revision  int64             `json:"revision"`
	Time      time.Time         `json:"time"`
	Kind      string            `json:"kind" doc:"change, destroy, environment, tag, token, tenant, secret or key"`
	Author    string            `json:"author"`
	Message   string            `json:"message,omitempty"`
	Summary   string            `json:"summary,omitempty" doc:"What it was, for kinds other than change"`
	Edits     []EditResult      `json:"edits,omitempty"`
	Effective []EffectiveChange `json:"effective,omitempty" doc:"The effective documents it changed; only when one revision is asked for"`
}

// EffectiveChange is an effective document that a revision changed.
type EffectiveChange struct {
	Environment string    `json:"environment,omitempty" doc:"Left out in a watch, which has one environment"`
	Path        string    `json:"path"`
	Digest      string    `json:"digest,omitempty" doc:"Absent when the document is no more"`
	Cause       *LayerRef `json:"cause,omitempty" doc:"The layer whose edit did it"`
}

// Rollback restores an environment's own layers as they were at a point.
type Rollback struct {
	Environment string `json:"environment"`
	Path        string `json:"path,omitempty" doc:"Only this path; left out, all of the environment's layers"`
	To          string `json:"to" doc:"An AT: revision, v3, time or tag"`
	Message     string `json:"message,omitempty"`
	DryRun      bool   `json:"dry_run,omitempty"`
}

// Revert undoes one change everywhere it touched.
type Revert struct {
	Revision int64  `json:"revision"`
	Force    bool   `json:"force,omitempty" doc:"Also undo layers that changed since"`
	Message  string `json:"message,omitempty"`
	DryRun   bool   `json:"dry_run,omitempty"`
}

// Promote replaces the target's own layers by the source's.
type Promote struct {
	From    string   `json:"from" doc:"The source environment"`
	To      string   `json:"to" doc:"The target environment"`
	Paths   []string `json:"paths,omitempty" doc:"Paths to promote"`
	All     bool     `json:"all,omitempty" doc:"All paths at which the source says something"`
	At      string   `json:"at,omitempty" doc:"The source as it was at this AT"`
	Prune   bool     `json:"prune,omitempty" doc:"Also delete the target's layers where the source says nothing"`
	Message string   `json:"message,omitempty"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

// Tag is a name for a revision.
type Tag struct {
	Name     string    `json:"name"`
	Revision int64     `json:"revision" doc:"The revision it names"`
	Author   string    `json:"author"`
	Time     time.Time `json:"time"`
}

// TagInput sets a tag.
type TagInput struct {
	Revision int64  `json:"revision,omitempty" doc:"Left out, the newest"`
	Message  string `json:"message,omitempty"`
}

// TagResult says what setting a tag did.
type TagResult struct {
	Committed
	Tag Tag `json:"tag"`
}

// TagList is a page of tags by name.
type TagList struct {
	Tags []Tag  `json:"tags"`
	Next string `json:"next_cursor,omitempty"`
}

// Destroyed says that a version of a layer was made unreadable.
type Destroyed struct {
	Committed
	Environment string `json:"environment"`
	Path        string `json:"path"`
	Version     int64  `json:"version"`
}

// Deleted says that something that is no document was deleted.
type Deleted struct {
	Committed
	Name string `json:"name"`
}

// Token is an API token without its secret.
type Token struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Tenant      string `json:"tenant,omitempty" doc:"Name of the tenant; absent for a token of the server alone"`
	TenantAdmin bool   `json:"tenant_admin"`
	ServerAdmin bool   `json:"server_admin"`
	TokenRights
	LastUsed *time.Time `json:"last_used,omitempty" doc:"To about a minute; absent while it never was"`
	Author   string     `json:"author"`
	Created  time.Time  `json:"created"`
	Expires  time.Time  `json:"expires"`
	Revoked  *time.Time `json:"revoked,omitempty"`
}

// TokenRights is what a token is given, narrowed to and bound to.
type TokenRights struct {
	Roles        []string `json:"roles,omitempty" doc:"In its tenant; a new token that says nothing is an admin's"`
	Environments []string `json:"environments,omitempty" doc:"The only environments that it is good for"`
	Paths        []string `json:"paths,omitempty" doc:"Prefixes: the only documents and secrets that it is good for"`
	Actions      []string `json:"actions,omitempty" doc:"The only actions that it is good for, as in config.read"`
	Addresses    []string `json:"addresses,omitempty" doc:"Addresses and networks that it may be used from"`
	Certificate  string   `json:"certificate,omitempty" doc:"The client certificate that it may be used with: the hex SHA-256 of its DER form, or a spiffe:// or dns: name in it"`
}

// NewToken asks for a token.
type NewToken struct {
	Name       string `json:"name" doc:"What it is for; 1 to 64 printable characters"`
	TTLSeconds int64  `json:"ttl_seconds,omitempty" minimum:"1" doc:"How long it is valid; left out, 30 days; at most 366 days"`
	TokenRights
}

// IssuedToken is a new token. Value is shown once and kept nowhere.
type IssuedToken struct {
	Token
	Value string `json:"value,omitempty" doc:"The token itself; absent when the answer is a replay"`
}

// TokenList is a page of tokens.
type TokenList struct {
	Tokens []Token `json:"tokens"`
	Next   string  `json:"next_cursor,omitempty"`
}

// Identity is who the server takes the caller for.
type Identity struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Method      string       `json:"method" doc:"How the caller was authenticated"`
	Tenant      string       `json:"tenant,omitempty"`
	Roles       []string     `json:"roles" doc:"In its tenant"`
	TenantAdmin bool         `json:"tenant_admin"`
	ServerAdmin bool         `json:"server_admin"`
	TokenRights *TokenRights `json:"token,omitempty" doc:"What the caller's token is given, narrowed to and bound to"`
	Expires     time.Time    `json:"expires"`
}

// Bundle is every effective document of an environment below a prefix.
type Bundle struct {
	Environment string           `json:"environment"`
	Revision    int64            `json:"revision"`
	Digest      string           `json:"digest" doc:"Set digest of exactly what is in configs"`
	Configs     []BundleDocument `json:"configs"`
	Secrets     map[string]int64 `json:"secrets,omitempty" doc:"reveal: path and version of each secret in the documents"`
	Errors      []BundleError    `json:"errors,omitempty" doc:"What may not or cannot be read"`
}

// BundleDocument is one effective document in a bundle.
type BundleDocument struct {
	Path     string          `json:"path"`
	Digest   string          `json:"digest"`
	Document json.RawMessage `json:"document"`
}

// BundleError is one document that a bundle leaves out.
type BundleError struct {
	Path   string `json:"path"`
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
}

// Event names of a watch.
const (
	EventChange   = "change"   // data is a WatchEvent
	EventProgress = "progress" // id only: nothing visible changed up to here
	EventReset    = "reset"    // read everything anew: the position is too old, or the environments changed
)

// WatchEvent is one revision that changed something visible to the watcher. The
// event's id is the revision.
type WatchEvent struct {
	Revision int64          `json:"revision"`
	Time     time.Time      `json:"time"`
	Changes  []WatchChange  `json:"changes"`
	Secrets  []SecretNotice `json:"secrets,omitempty" doc:"Secrets that changed"`
}

// WatchChange is one effective document that changed in the watched environment.
type WatchChange struct {
	Path     string          `json:"path"`
	Digest   string          `json:"digest,omitempty" doc:"Absent when the document is no more"`
	Cause    *LayerRef       `json:"cause,omitempty" doc:"The layer whose edit did it"`
	Secret   *SecretRef      `json:"secret,omitempty" doc:"The secret that changed, which the document refers to; its digest is what it was"`
	Document json.RawMessage `json:"document,omitempty" doc:"With include=data: the effective document at this revision"`
}

// WatchReset is the data of a reset event.
type WatchReset struct {
	Revision int64  `json:"revision" doc:"Read everything at this revision or later, then go on from there"`
	Reason   string `json:"reason"`
}

// Health is the state of one part of the server.
type Health struct {
	Status string            `json:"status" enum:"ok,failing,starting,stopping"`
	Checks map[string]string `json:"checks,omitempty" doc:"Each part: ok, or what is wrong"`
}

// Version says what build the server is.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}
