package api

import "time"

// Policy is a file of a tenant's policies.
type Policy struct {
	Name     string    `json:"name"`
	Version  int64     `json:"version"`
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	Author   string    `json:"author"`
	Deleted  bool      `json:"deleted,omitempty"`
	Text     string    `json:"text,omitempty" doc:"In Cedar, with its test cases in lines that begin with //test; absent in lists and of a deleted version"`
	Policies int       `json:"policies,omitempty" doc:"How many there are in the file"`
	Tests    int       `json:"tests,omitempty" doc:"How many test cases there are in the file"`
}

// PolicyList is all files of a tenant's policies, by name.
type PolicyList struct {
	Policies []Policy `json:"policies"`
	Builtin  []Policy `json:"builtin" doc:"The built-in ones, which every tenant has and nobody changes"`
}

// PolicyHistory is a page of the versions of a policy file or a role, newest first.
type PolicyHistory struct {
	Versions []Policy `json:"versions"`
	Next     string   `json:"next_cursor,omitempty"`
}

// PutPolicy writes a file of policies.
type PutPolicy struct {
	Text      string `json:"text" doc:"In Cedar; at most 64 KiB"`
	Message   string `json:"message,omitempty"`
	IfVersion *int64 `json:"if_version,omitempty" doc:"The file's newest version must be this; 0: there must be none"`
	DryRun    bool   `json:"dry_run,omitempty" doc:"Check it, and write nothing"`
}

// PolicyDiff is how two versions of a policy file differ.
type PolicyDiff struct {
	Name    string `json:"name"`
	From    int64  `json:"from" doc:"0: nothing"`
	To      int64  `json:"to" doc:"0: nothing"`
	Unified string `json:"unified,omitempty" doc:"A unified diff of the texts; absent when they are the same"`
}

// RollbackPolicy writes an older version anew.
type RollbackPolicy struct {
	To      int64  `json:"to" minimum:"1" doc:"The version to write anew"`
	Message string `json:"message,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// PolicyResult says what a write of policies did, and what was found in them.
type PolicyResult struct {
	Status   string    `json:"status" enum:"committed,unchanged,planned"`
	Revision int64     `json:"revision"`
	Name     string    `json:"name"`
	Version  int64     `json:"version"`
	Findings []Finding `json:"findings"`
	Tests    TestRun   `json:"tests"`
}

// Finding is something that was found in policies.
type Finding struct {
	File      string `json:"file"`
	Policy    string `json:"policy,omitempty" doc:"Its @id, or its number in the file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	Kind      string `json:"kind" enum:"syntax,schema,contradictory,shadowed,unreachable,delegation"`
	Certainty string `json:"certainty,omitempty" enum:"certain,possible"`
	Refused   bool   `json:"refused,omitempty" doc:"The file cannot be written for it"`
	Message   string `json:"message"`
	Other     string `json:"other,omitempty" doc:"The other policy that it is about, as FILE/POLICY:LINE"`
}

// TestRun is what came of test cases.
type TestRun struct {
	Passed int          `json:"passed"`
	Failed int          `json:"failed"`
	Cases  []TestResult `json:"cases,omitempty" doc:"Those that failed; all of them where they were asked for"`
}

// TestResult is what came of one test case.
type TestResult struct {
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Text    string   `json:"text"`
	Want    string   `json:"want"`
	Got     string   `json:"got"`
	Passed  bool     `json:"passed"`
	Reasons []string `json:"reasons,omitempty"`
}

// TestPolicies asks for the test cases of all files to be run, as they stand or
// with one file put, or deleted, in mind alone.
type TestPolicies struct {
	Name string  `json:"name,omitempty" doc:"A file to put in mind alone"`
	Text *string `json:"text,omitempty" doc:"Its text; left out while name is given: as if it were deleted"`
	All  bool    `json:"all,omitempty" doc:"Answer every case, not only those that failed"`
}

// TestReport is what a run of test cases found.
type TestReport struct {
	Findings []Finding `json:"findings"`
	Tests    TestRun   `json:"tests"`
}

// SimulatePolicies asks what past decisions would have been with a file put, or
// deleted.
type SimulatePolicies struct {
	Name  string  `json:"name" doc:"The file"`
	Text  *string `json:"text,omitempty" doc:"Its text; left out: as if it were deleted"`
	Limit int     `json:"limit,omitempty" minimum:"1" maximum:"2000" doc:"The newest decisions to try, at most; left out, 1000"`
}

// Simulation says which past decisions would have been others.
type Simulation struct {
	Decisions int               `json:"decisions" doc:"How many were tried"`
	Changed   []SimulatedChange `json:"changed"`
	Findings  []Finding         `json:"findings"`
}

// SimulatedChange is one of them.
type SimulatedChange struct {
	Principal string    `json:"principal"`
	Name      string    `json:"name"`
	Action    string    `json:"action"`
	Resource  string    `json:"resource"`
	Last      time.Time `json:"last" doc:"When this was last decided"`
	Before    string    `json:"before" enum:"allow,deny"`
	After     string    `json:"after" enum:"allow,deny"`
	Reasons   []string  `json:"reasons" doc:"Why, with the file in mind"`
}

// Role is what principals can be, with what they then may: by the policies that
// name it and by the roles that it includes.
type Role struct {
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Includes    []string   `json:"includes,omitempty" doc:"Roles whose rights its holders have as well"`
	Builtin     bool       `json:"builtin,omitempty"`
	Version     int64      `json:"version,omitempty"`
	Revision    int64      `json:"revision,omitempty"`
	Time        *time.Time `json:"time,omitempty"`
	Author      string     `json:"author,omitempty"`
}

// RoleList is all roles of a tenant, the built-in ones first.
type RoleList struct {
	Roles []Role `json:"roles"`
}

// PutRole defines a role of a tenant's own.
type PutRole struct {
	Description string   `json:"description,omitempty"`
	Includes    []string `json:"includes,omitempty"`
	Message     string   `json:"message,omitempty"`
	IfVersion   *int64   `json:"if_version,omitempty"`
}

// RoleResult says what a write of a role did.
type RoleResult struct {
	Status   string    `json:"status" enum:"committed,unchanged,planned"`
	Revision int64     `json:"revision"`
	Role     Role      `json:"role"`
	Tests    TestRun   `json:"tests"`
	Findings []Finding `json:"findings"`
}

// ExplainDecision asks what would be decided, and why. Without a principal it is
// about the caller.
type ExplainDecision struct {
	Action      string `json:"action" doc:"As in config.read"`
	Environment string `json:"environment,omitempty"`
	Path        string `json:"path,omitempty" doc:"Of the document, or of the secret with secret"`
	Secret      bool   `json:"secret,omitempty"`
	Prefix      string `json:"prefix,omitempty" doc:"Of a collection, where there is no path"`

	Token       string              `json:"token,omitempty" doc:"The id of a token of the tenant, which is who asks"`
	Principal   string              `json:"principal,omitempty" doc:"Who asks, in place of the caller: identity:ISSUER:SUBJECT or workload:NAME"`
	Roles       []string            `json:"roles,omitempty" doc:"What such a principal is; alone: anybody with these roles"`
	Claims      map[string][]string `json:"claims,omitempty"`
	Source      string              `json:"source,omitempty" doc:"The address it comes from; left out, unknown, or the caller's own"`
	Time        *time.Time          `json:"time,omitempty" doc:"When; left out, now"`
	Certificate string              `json:"certificate,omitempty" doc:"A spiffe:// or dns: name in the client certificate"`
}

// ExplainedDecision is a decision with its reasons.
type ExplainedDecision struct {
	Decision  string          `json:"decision" enum:"allow,deny"`
	Principal string          `json:"principal"`
	Roles     []string        `json:"roles"`
	Action    string          `json:"action"`
	Resource  string          `json:"resource"`
	Reasons   []string        `json:"reasons"`
	Deciding  []DecidedBy     `json:"deciding" doc:"The policies that decided"`
	Failed    []FailedPolicy  `json:"failed,omitempty" doc:"Policies that could not be evaluated, each of which is a deny"`
	Missing   []string        `json:"missing,omitempty" doc:"Attributes that policies look at and the request lacks"`
	Needed    []NeededPermits `json:"needed,omitempty" doc:"Permits that come near, and what each lacks"`
}

// DecidedBy is a policy that decided.
type DecidedBy struct {
	File   string `json:"file" doc:"Absent of a built-in policy"`
	Policy string `json:"policy"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Effect string `json:"effect" enum:"permit,forbid"`
	Text   string `json:"text"`
}

// FailedPolicy is a policy whose conditions could not be evaluated.
type FailedPolicy struct {
	DecidedBy
	Message string `json:"message"`
}

// NeededPermits is a permit that did not match, and why.
type NeededPermits struct {
	DecidedBy
	Lacking []string `json:"lacking"`
}

// Quota is a tenant's limits, and what it uses of them. A limit that is absent
// is the server's default; none means that there is no limit.
type Quota struct {
	Version int64       `json:"version" doc:"0 while nothing was set"`
	Limits  QuotaLimits `json:"limits"`
	Used    QuotaUsed   `json:"used"`
}

// QuotaLimits are limits of a tenant; 0 means none.
type QuotaLimits struct {
	RequestsPerMinute *int64 `json:"requests_per_minute,omitempty" minimum:"0"`
	Watchers          *int64 `json:"watchers,omitempty" minimum:"0" doc:"Watches open at once; also what watch opens, acknowledgements and unchanged answers a minute are bounded by"`
	Connections       *int64 `json:"connections,omitempty" minimum:"0" doc:"Requests worked on at once"`
	Documents         *int64 `json:"documents,omitempty" minimum:"0" doc:"Layers in all environments"`
	Bytes             *int64 `json:"bytes,omitempty" minimum:"0" doc:"Of the newest layers and of all values of secrets, as they are stored"`
	Secrets           *int64 `json:"secrets,omitempty" minimum:"0" doc:"Secrets in all environments"`
}

// QuotaUsed is what a tenant uses.
type QuotaUsed struct {
	Watchers    int64 `json:"watchers" doc:"On the instance that answers"`
	Connections int64 `json:"connections" doc:"On the instance that answers"`
	Documents   int64 `json:"documents"`
	Bytes       int64 `json:"bytes"`
	Secrets     int64 `json:"secrets"`
}

// PutQuota sets the limits of a tenant; those left out go back to the default.
type PutQuota struct {
	Limits    QuotaLimits `json:"limits"`
	Message   string      `json:"message,omitempty"`
	IfVersion *int64      `json:"if_version,omitempty"`
}

// Grant is access to a tenant by break-glass: for a while, and approved by another.
type Grant struct {
	ID        string     `json:"id"`
	State     string     `json:"state" enum:"requested,active,ended,expired"`
	Role      string     `json:"role"`
	Reason    string     `json:"reason"`
	Requester string     `json:"requester" doc:"The actor that has the access"`
	Name      string     `json:"requester_name"`
	Requested time.Time  `json:"requested"`
	Approver  string     `json:"approver,omitempty"`
	Approved  *time.Time `json:"approved,omitempty"`
	Seconds   int64      `json:"seconds" doc:"How long it lasts from its approval"`
	Expires   *time.Time `json:"expires,omitempty" doc:"When the access ends; of one that is not approved, when it can be no more"`
	EndedBy   string     `json:"ended_by,omitempty"`
	Ended     *time.Time `json:"ended,omitempty"`
}

// GrantList is the grants of a tenant, newest first.
type GrantList struct {
	Grants []Grant `json:"grants"`
}

// RequestGrant asks for access to a tenant.
type RequestGrant struct {
	Role    string `json:"role,omitempty" enum:"viewer,application,operator" doc:"Left out, viewer"`
	Reason  string `json:"reason" doc:"1 to 512 characters, which the tenant sees"`
	Seconds int64  `json:"seconds,omitempty" minimum:"60" maximum:"14400" doc:"Left out, an hour; at most four"`
}

// GrantResult says what was done about a grant.
type GrantResult struct {
	Status   string `json:"status" enum:"committed,unchanged"`
	Revision int64  `json:"revision"`
	Grant    Grant  `json:"grant"`
}

// LoginMethods are the issuers that people can log in at. Nothing here is secret.
type LoginMethods struct {
	Issuers []LoginIssuer `json:"issuers"`
}

// LoginIssuer is one of them.
type LoginIssuer struct {
	Name     string   `json:"name"`
	Issuer   string   `json:"issuer" doc:"Its URL"`
	ClientID string   `json:"client_id" doc:"Of a public client that may use the device flow, and a loopback redirect; empty where only browsers log in"`
	Scopes   []string `json:"scopes"`
	Browser  bool     `json:"browser" doc:"The server itself takes logins of browsers, at /login"`
}
