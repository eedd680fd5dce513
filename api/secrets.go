package api

import (
	"encoding/json"
	"time"
)

// SecretInput writes a new version of a secret, and changes what is said about
// it. Fields or Generate makes the version; what is left out of the rest stays.
type SecretInput struct {
	Fields       map[string]json.RawMessage `json:"fields,omitempty" doc:"Names and values: text, JSON, or bytes in base64"`
	Base64       []string                   `json:"base64,omitempty" doc:"Fields whose text is base64 of bytes"`
	Generate     *Generator                 `json:"generate,omitempty" doc:"Draw the value instead of giving one"`
	ExpiresAt    *time.Time                 `json:"expires_at,omitempty" doc:"When this version ends; left out, never"`
	Stage        bool                       `json:"stage,omitempty" doc:"Keep the version for later; activate makes it count"`
	GraceSeconds *int64                     `json:"grace_seconds,omitempty" minimum:"0" doc:"How long the version before stays valid; left out, as the secret's rotation says, else 7 days"`
	Now          bool                       `json:"now,omitempty" doc:"Revoke the version before at once"`
	AllowWeak    string                     `json:"allow_weak,omitempty" doc:"Why a weak value is to be taken all the same; it is on record"`
	IfVersion    *int64                     `json:"if_version,omitempty" minimum:"0" doc:"The newest version must be this; 0 means that there must be no secret"`
	Message      string                     `json:"message,omitempty" doc:"Why; at most 4096 bytes"`
	SecretMetadata
}

// SecretMetadata is what is said about a secret. It is sealed, and never a place
// for values.
type SecretMetadata struct {
	Description *string           `json:"description,omitempty" doc:"What it is for; at most 1024 bytes"`
	Owner       *string           `json:"owner,omitempty" doc:"Who looks after it; at most 256 bytes"`
	Labels      map[string]string `json:"labels,omitempty" doc:"At most 32; an empty value takes a label away"`
	Rotation    *SecretRotation   `json:"rotation,omitempty" doc:"How it is rotated; an empty object takes that away"`
}

// SecretUpdate changes what is said about a secret, and no value.
type SecretUpdate struct {
	SecretMetadata
	Message string `json:"message,omitempty"`
}

// Generator draws a value that is always strong enough.
type Generator struct {
	Kind   string `json:"kind" enum:"password,hex,base64,uuid,rsa-4096,ed25519"`
	Length int    `json:"length,omitempty" minimum:"0" doc:"password: characters; hex, base64: bytes; left out, 32"`
	Field  string `json:"field,omitempty" doc:"The field it becomes; left out, value. Key pairs become private_key and public_key"`
}

// SecretRotation says how a secret is rotated.
type SecretRotation struct {
	EverySeconds int64          `json:"every_seconds,omitempty" minimum:"0" doc:"How often; 0 means only by hand"`
	GraceSeconds int64          `json:"grace_seconds,omitempty" minimum:"0" doc:"How long the version before stays valid; 0 means 7 days"`
	Overlap      string         `json:"overlap,omitempty" enum:"deadline,adoption" doc:"adoption ends the grace early, once every live client has the new version"`
	Generator    *Generator     `json:"generator,omitempty" doc:"Draws the next value"`
	Webhook      *SecretWebhook `json:"webhook,omitempty" doc:"Is asked to make or take over the next value"`
}

// SecretWebhook is called to rotate a secret. It is never sent a value.
type SecretWebhook struct {
	URL     string `json:"url" doc:"On a host that the server's settings allow"`
	Signing string `json:"signing" doc:"Path of the secret whose field value is the whsec_… key that requests are signed with (Standard Webhooks)"`
}

// Secret is what may be known of a secret without its values.
type Secret struct {
	Environment string            `json:"environment" doc:"The environment that supplies it"`
	Path        string            `json:"path"`
	Description string            `json:"description,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Rotation    *SecretRotation   `json:"rotation,omitempty"`
	NextRotate  *time.Time        `json:"next_rotation,omitempty" doc:"When the schedule rotates it next"`
	Failure     *SecretFailure    `json:"failure,omitempty" doc:"Why the last rotation failed"`
	Current     int64             `json:"current,omitempty" doc:"The version in use"`
	Refused     string            `json:"refused,omitempty" enum:"expired,revoked,destroyed" doc:"Why no version is in use any more: what became of the last one"`
	Previous    int64             `json:"previous,omitempty" doc:"The version in grace"`
	Staged      int64             `json:"staged,omitempty" doc:"The version that waits"`
	Deleted     *time.Time        `json:"deleted,omitempty"`
	Record      int64             `json:"record" doc:"Counts every change of the secret; its ETag"`
	Revision    int64             `json:"revision" doc:"The revision of the last change"`
	Time        time.Time         `json:"time"`
	Author      string            `json:"author"`
	Versions    []SecretVersion   `json:"versions,omitempty" doc:"Newest first; left out in lists"`
}

// SecretFailure is a rotation that did not come about. The version before stayed in use.
type SecretFailure struct {
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"`
}

// SecretVersion is one version of a secret without its value.
type SecretVersion struct {
	Version    int64      `json:"version"`
	State      string     `json:"state" enum:"staged,active,grace,retired,revoked,destroyed"`
	Source     string     `json:"source" enum:"set,generated,webhook"`
	Fields     []string   `json:"fields"`
	Created    time.Time  `json:"created"`
	Author     string     `json:"author"`
	Message    string     `json:"message,omitempty"`
	Activated  *time.Time `json:"activated,omitempty"`
	GraceUntil *time.Time `json:"grace_until,omitempty"`
	Ended      *time.Time `json:"ended,omitempty"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	Weak       string     `json:"weak,omitempty" doc:"Why a weak value was taken"`
}

// SecretList is a page of secrets.
type SecretList struct {
	Secrets  []Secret `json:"secrets"`
	Revision int64    `json:"revision"`
	Next     string   `json:"next_cursor,omitempty"`
}

// SecretHistory is the versions of a secret of one environment, newest first.
type SecretHistory struct {
	Environment string          `json:"environment"`
	Path        string          `json:"path"`
	Versions    []SecretVersion `json:"versions"`
}

// RevealedSecret is a secret with its values.
type RevealedSecret struct {
	Environment string `json:"environment" doc:"The environment that supplies it"`
	Path        string `json:"path"`
	Revision    int64  `json:"revision"`
	RevealedVersion
	Previous *RevealedVersion `json:"previous,omitempty" doc:"The version in grace, which is still valid"`
}

// RevealedVersion is one version with its values.
type RevealedVersion struct {
	Version   int64                      `json:"version"`
	State     string                     `json:"state"`
	Fields    map[string]json.RawMessage `json:"fields"`
	Base64    []string                   `json:"base64,omitempty" doc:"Fields whose text is base64 of bytes"`
	Until     *time.Time                 `json:"until,omitempty" doc:"When it stops being valid; absent when that is not known"`
	ExpiresAt *time.Time                 `json:"expires_at,omitempty"`
}

// SecretResult says what a write of a secret did.
type SecretResult struct {
	Committed
	Environment string   `json:"environment"`
	Path        string   `json:"path"`
	Version     int64    `json:"version,omitempty" doc:"The version it was about"`
	State       string   `json:"state,omitempty" doc:"What the version is now"`
	Current     int64    `json:"current,omitempty" doc:"The version in use now"`
	Previous    int64    `json:"previous,omitempty" doc:"The version in grace now"`
	Record      int64    `json:"record"`
	Notes       []string `json:"notes,omitempty" doc:"What a person should know"`
}

// SecretDiff says which fields of two versions differ, and no values.
type SecretDiff struct {
	From   SecretSide        `json:"from"`
	To     SecretSide        `json:"to"`
	Path   string            `json:"path"`
	Fields []SecretFieldDiff `json:"fields"`
}

// SecretSide is one of two versions compared.
type SecretSide struct {
	Environment string `json:"environment"`
	Version     int64  `json:"version"`
}

// SecretFieldDiff is one field of two versions compared.
type SecretFieldDiff struct {
	Field  string `json:"field"`
	Change string `json:"change" enum:"same,changed,added,removed"`
}

// SecretRotate rotates a secret as its rotation says, or by the generator given.
type SecretRotate struct {
	Generate     *Generator `json:"generate,omitempty" doc:"Left out, what the secret's rotation says"`
	Stage        bool       `json:"stage,omitempty" doc:"Only stage the new version"`
	GraceSeconds *int64     `json:"grace_seconds,omitempty" minimum:"0"`
	Now          bool       `json:"now,omitempty" doc:"Revoke the version before at once"`
	Message      string     `json:"message,omitempty"`
}

// SecretActivate makes a version current.
type SecretActivate struct {
	Version      int64  `json:"version,omitempty" minimum:"0" doc:"Left out, the staged one"`
	GraceSeconds *int64 `json:"grace_seconds,omitempty" minimum:"0"`
	Now          bool   `json:"now,omitempty" doc:"Revoke the version before at once"`
	Message      string `json:"message,omitempty"`
}

// SecretRevoke makes a version refused for ever.
type SecretRevoke struct {
	Version int64  `json:"version,omitempty" minimum:"0" doc:"Left out, the one in grace"`
	Message string `json:"message,omitempty"`
}

// SecretUndelete brings a deleted secret back.
type SecretUndelete struct {
	Message string `json:"message,omitempty"`
}

// SecretDestroy makes versions unreadable for ever.
type SecretDestroy struct {
	Versions []int64 `json:"versions,omitempty"`
	All      bool    `json:"all,omitempty" doc:"Every version of a deleted secret"`
	Message  string  `json:"message,omitempty"`
}

// Ack is what a client says it runs. It holds for 90 seconds.
type Ack struct {
	Client   string           `json:"client" doc:"Name of the running instance; 1 to 128 printable characters"`
	Revision int64            `json:"revision" minimum:"0" doc:"It is current up to this revision"`
	Digest   string           `json:"digest,omitempty" doc:"Set digest of the documents that it runs on"`
	Secrets  map[string]int64 `json:"secrets,omitempty" doc:"Path and version of each secret that it uses; only versions that it was given"`
}

// AckResult says until when an acknowledgement holds.
type AckResult struct {
	ExpiresAt time.Time `json:"expires_at"`
}

// AckList is what live clients of an environment run.
type AckList struct {
	Environment string        `json:"environment"`
	Revision    int64         `json:"revision" doc:"The newest"`
	Clients     []ClientState `json:"clients"`
}

// ClientState is what one client runs.
type ClientState struct {
	Client    string           `json:"client"`
	Principal string           `json:"principal"`
	Revision  int64            `json:"revision"`
	Behind    int64            `json:"behind" doc:"Revisions between it and the newest"`
	Digest    string           `json:"digest,omitempty"`
	Secrets   map[string]int64 `json:"secrets,omitempty"`
	Time      time.Time        `json:"time"`
	ExpiresAt time.Time        `json:"expires_at"`
}

// SecretAdoption says which live clients use which version of a secret.
type SecretAdoption struct {
	Environment string          `json:"environment" doc:"The environment that supplies it"`
	Path        string          `json:"path"`
	Current     int64           `json:"current,omitempty"`
	Previous    int64           `json:"previous,omitempty"`
	GraceUntil  *time.Time      `json:"grace_until,omitempty"`
	Overlap     string          `json:"overlap" doc:"What ends the grace: deadline or adoption"`
	Adopted     int             `json:"adopted" doc:"Live clients with the version in use"`
	Waiting     int             `json:"waiting" doc:"Live clients with another one"`
	Clients     []SecretAdopter `json:"clients"`
}

// SecretAdopter is a live client that uses a secret.
type SecretAdopter struct {
	Client      string    `json:"client"`
	Principal   string    `json:"principal"`
	Environment string    `json:"environment"`
	Version     int64     `json:"version"`
	Time        time.Time `json:"time"`
}

// TenantKeys is the state of a tenant's keys.
type TenantKeys struct {
	Rotated  time.Time    `json:"rotated" doc:"When the newest version was made"`
	Due      time.Time    `json:"due" doc:"When the next rotation is due"`
	Overdue  bool         `json:"overdue"`
	Master   uint32       `json:"master" doc:"The version of the master key that wraps it"`
	Pending  int64        `json:"pending" doc:"Data keys that are still to be wrapped anew"`
	Versions []KeyVersion `json:"versions"`
}

// KeyVersion is one version of a tenant's key.
type KeyVersion struct {
	Version uint32    `json:"version"`
	Created time.Time `json:"created"`
	Keys    int64     `json:"keys" doc:"Data keys that it wraps"`
	Newest  bool      `json:"newest"`
}

// MasterKeys is the state of the master key.
type MasterKeys struct {
	Due      time.Time       `json:"due" doc:"When the next rotation is due"`
	Overdue  bool            `json:"overdue"`
	Pending  int64           `json:"pending" doc:"Tenant keys that are still to be wrapped anew"`
	Versions []MasterVersion `json:"versions"`
	Server   TenantKeys      `json:"server" doc:"The server's own key, which seals its log"`
}

// MasterVersion is one version of the master key.
type MasterVersion struct {
	Version uint32     `json:"version"`
	Keeper  string     `json:"keeper"`
	Created time.Time  `json:"created"`
	Retired *time.Time `json:"retired,omitempty"`
	Tenants int64      `json:"tenants" doc:"Tenant keys that it wraps"`
	Newest  bool       `json:"newest"`
}

// KeyRotate rotates a key.
type KeyRotate struct {
	Message string `json:"message,omitempty"`
}

// KeyRetire takes an old version of a tenant's key away for good.
type KeyRetire struct {
	Version uint32 `json:"version" minimum:"1"`
	Message string `json:"message,omitempty"`
}

// KeyResult says what became of a key.
type KeyResult struct {
	Committed
	Version uint32 `json:"version" doc:"The version that was made or taken away"`
	Pending int64  `json:"pending" doc:"Keys that are still to be wrapped anew; that goes on by itself"`
}

// TokenRotate gives a token a successor of the same name and rights.
type TokenRotate struct {
	TTLSeconds   int64  `json:"ttl_seconds,omitempty" minimum:"1" doc:"How long the successor is valid; left out, as long as the old one was to be"`
	GraceSeconds *int64 `json:"grace_seconds,omitempty" minimum:"0" doc:"How long the old one stays valid; left out, 7 days"`
	Now          bool   `json:"now,omitempty" doc:"Revoke the old one at once"`
}

// SecretNotice is a secret that changed, in a watch.
type SecretNotice struct {
	Path    string `json:"path"`
	Version int64  `json:"version,omitempty" doc:"The version in use now; absent when there is none"`
}

// SecretRef names a version of a secret.
type SecretRef struct {
	Environment string `json:"environment"`
	Path        string `json:"path"`
	Version     int64  `json:"version,omitempty" doc:"The version in use"`
}
