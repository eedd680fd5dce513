package compliance

import (
	"fmt"
	"time"
)

// What checks measure against. No standard names these figures, but for
// LeastKept; they are ours, and a report shows them with each check.
const (
	RecentRecords  = 1000                // newest records of the chain that checks read
	RecentChanges  = 1000                // newest revisions whose records are looked for
	SampledBodies  = 100                 // stored bodies that are read raw
	MostAdmins     = 10                  // standing credentials with all rights
	LongestIdle    = 90 * 24 * time.Hour // time for which a standing token may go unused
	LongestGrant   = 4 * time.Hour       // break-glass access
	LeastKept      = 6 * 366 * 24 * time.Hour
	MostClockAhead = time.Minute // how far a record's time may be out: ahead of the clock, or behind the record before it
)

// CheckName names a check.
type CheckName string

// The checks.
const (
	DenyByDefault        CheckName = "deny-by-default"
	StrangersRefused     CheckName = "strangers-refused"
	TenantIsolation      CheckName = "tenant-isolation"
	AdminsFew            CheckName = "admins-few"
	TokensExpire         CheckName = "tokens-expire"
	BreakGlassBounded    CheckName = "break-glass-bounded"
	PoliciesTested       CheckName = "policies-tested"
	DenialsRecorded      CheckName = "denials-recorded"
	ChangesRecorded      CheckName = "changes-recorded"
	RecordsComplete      CheckName = "records-complete"
	SecretValuesAbsent   CheckName = "secret-values-absent"
	ClockSteady          CheckName = "clock-steady"
	ChainVerified        CheckName = "chain-verified"
	CheckpointFresh      CheckName = "checkpoint-fresh"
	CheckpointsElsewhere CheckName = "checkpoints-elsewhere"
	RetentionConfigured  CheckName = "retention-configured"
	HoldRespected        CheckName = "hold-respected"
	AlertsOn             CheckName = "alerts-on"
	SealedAtRest         CheckName = "sealed-at-rest"
	KeysInTime           CheckName = "keys-in-time"
	MasterKeyKept        CheckName = "master-key-kept"
	SecretsRotated       CheckName = "secrets-rotated"
	TransportEncrypted   CheckName = "transport-encrypted"
	LimitsOn             CheckName = "limits-on"
)

// Scope says in whose reports a check runs.
type Scope string

// The scopes.
const (
	OfServer Scope = "server"
	OfTenant Scope = "tenant"
	OfBoth   Scope = "both"
)

// includes says whether a check of scope s runs in a report of scope of.
func (s Scope) includes(of Scope) bool { return s == OfBoth || s == of }

// Check is one thing that a running server finds out about itself.
type Check struct {
	Name  CheckName
	Title string // what holds when it passes
	How   string // what it does, and when it fails
	Scope Scope
}

// Checks are all checks, in the order in which reports list them.
var Checks = []Check{
	{DenyByDefault, "What no policy permits is denied",
		"Decides every action, by the policies in force, for a made-up token of the tenant without any role. Fails if one is allowed.", OfBoth},
	{StrangersRefused, "Nobody comes in without credentials that are known",
		"Authenticates nobody, a made-up API token of the right form and one that is no token at all. Fails if one of them is somebody.", OfBoth},
	{TenantIsolation, "Another tenant is as if absent",
		"Asks, as an administrator of a made-up tenant, for a tenant that there is and for one that there is not. Fails if the two answers differ or are not \"not found\".", OfBoth},
	{AdminsFew, "Few hold all rights",
		fmt.Sprintf("Counts the valid tokens that are administrators without being narrowed. Fails above %d.", MostAdmins), OfBoth},
	{TokensExpire, "Credentials end",
		fmt.Sprintf("Reads all valid API tokens. Fails if one has no end, or was issued and last used more than %d days ago.", days(LongestIdle)), OfBoth},
	{BreakGlassBounded, "Break-glass access takes two people and ends",
		fmt.Sprintf("Reads the grants. Fails if one in force has no reason, was approved by whoever asked, or lasts longer than %d hours from its approval.", LongestGrant/time.Hour), OfTenant},
	{PoliciesTested, "The tenant's policies do what their test cases say",
		"Runs the test cases of all policy files against the policies in force. Fails if one fails, or if a file with policies has none. A tenant without policies of its own has the built-in ones, and passes.", OfTenant},
	{DenialsRecorded, "A denial is on record before it is answered",
		"Has a made-up principal ask for something that is denied, now, and reads the end of the chain. Fails if the record is not there. It is named as this check's own.", OfBoth},
	{ChangesRecorded, "Every change is on record",
		fmt.Sprintf("Looks for the records of the %d newest revisions. Fails if a revision has none.", RecentChanges), OfTenant},
	{RecordsComplete, "Records say what, when, who and how it ended",
		fmt.Sprintf("Reads the %d newest records. Fails if one cannot be read, lacks event, time, actor or outcome, or names an event that the schema does not have.", RecentRecords), OfBoth},
	{SecretValuesAbsent, "Records hold no credentials",
		fmt.Sprintf("Searches the %d newest records for what has the form of an API token of this product, a private key, a provider's key or a JSON Web Token. Fails if there is one; the report names its sequence number, never its text.", RecentRecords), OfBoth},
	{ClockSteady, "Times on record follow their order",
		fmt.Sprintf("Compares the times of the %d newest records with each other and with the clock. Fails if one is earlier than the one before it, or more than %d seconds ahead of the clock.", RecentRecords, MostClockAhead/time.Second), OfBoth},
	{ChainVerified, "No record was edited, removed, inserted or moved",
		"Follows the whole chain, in the database and in the archive, and opens every checkpoint. Fails at the first record or checkpoint that does not hold, and where the server knows otherwise that the chain is broken.", OfBoth},
	{CheckpointFresh, "The end of the chain is signed",
		"Reads the newest checkpoint. Fails if records behind it are older than two intervals of checkpoints.", OfBoth},
	{CheckpointsElsewhere, "Checkpoints are kept where the server cannot rewrite them",
		"Looks whether a place apart is configured and has been sent the newest checkpoint. Fails if none is, if all are on the disk of the database, or if one is behind by more than two intervals or has another checkpoint.", OfBoth},
	{RetentionConfigured, "Records are kept as long as they have to be, and no longer",
		fmt.Sprintf("Reads the settings and the tiers of the chain. Fails if records are kept for less than %d days (six years, the longest that these frameworks name: 45 CFR 164.316(b)(2)(i)), or if one stays in a tier for a day longer than it should.", days(LeastKept)), OfBoth},
	{HoldRespected, "Under legal hold nothing is disposed of",
		"Searches the chain for disposals since the hold that is in force began. Fails if there is one. Without a hold there is nothing to find, and it passes.", OfTenant},
	{AlertsOn, "Somebody is told",
		"Reads the alert rules in force. Fails if a built-in one is off or was redefined so that it finds less, or if no webhook is set for alerts.", OfBoth},
	{SealedAtRest, "What is stored cannot be read or moved",
		fmt.Sprintf("Reads up to %d stored bodies raw and opens them. Fails if a body holds its content in clear, opens at another place, or does not open where it stands.", SampledBodies), OfBoth},
	{KeysInTime, "Keys are rotated in time",
		"Reads the ages of the keys in use: the tenant's, or the master key and the server's own. Fails if one is past the time at which its rotation is due.", OfBoth},
	{MasterKeyKept, "The master key lies apart from the data",
		"Looks at the keeper of the master key. Fails with --dev, and with a key file in the data folder.", OfBoth},
	{SecretsRotated, "Secrets are rotated in time",
		"Reads the tenant's secrets that have a schedule or an end. Fails if a rotation is overdue by more than an hour, or a secret has no version that is good.", OfTenant},
	{TransportEncrypted, "Nothing travels in clear",
		"Looks at the listener of the API. Fails unless it speaks TLS 1.3, or is on loopback, or takes plain HTTP from named trusted proxies only.", OfBoth},
	{LimitsOn, "Nobody takes it all",
		"Reads the limits in force. Fails if a tenant may make requests, or have requests worked on at once, without bound.", OfBoth},
}

func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

// CheckNamed finds a check.
func CheckNamed(name CheckName) (Check, bool) {
	for _, c := range Checks {
		if c.Name == name {
			return c, true
		}
	}
	return Check{}, false
}

// Status is how a check ended.
type Status string

// The ends of a check.
const (
	Passed    Status = "passed"
	Failed    Status = "failed"
	CannotRun Status = "cannot-run"
)

// Result is what a check found.
type Result struct {
	Check  CheckName `json:"check"`
	Status Status    `json:"status"`
	Detail string    `json:"detail,omitempty"` // in figures; never a value of a document or secret
	Ran    time.Time `json:"ran,omitzero"`
}
