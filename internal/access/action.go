package access

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
	PolicyRead       Action = "policy.read"  // policies and roles, tests, simulation, explanations of decisions
	PolicyWrite      Action = "policy.write" // policies and roles
	AuditRead        Action = "audit.read"
	QuotaRead        Action = "quota.read"    // limits of a tenant, and what it uses of them
	GrantRead        Action = "grant.read"    // who has, or wants, access to the tenant by break-glass
	GrantEnd         Action = "grant.end"     // end such access
	TenantRead       Action = "tenant.read"   // that a tenant exists, and its name
	TenantManage     Action = "tenant.manage" // create, list, delete
	QuotaWrite       Action = "quota.write"   // limits of a tenant
	GrantRequest     Action = "grant.request" // ask for access to a tenant by break-glass
	GrantApprove     Action = "grant.approve" // approve what another asked for

	ServerTokenRead  Action = "server-token.read"
	ServerTokenWrite Action = "server-token.write"
	ServerAuditRead  Action = "server-audit.read"
	AuditHold        Action = "audit.hold" // legal hold of a tenant's audit records
	ServerKeyRead    Action = "server-key.read"
	ServerKeyWrite   Action = "server-key.write"
	SettingsRead     Action = "settings.read"
	SettingsWrite    Action = "settings.write"
)

// Group is a set of actions that policies name together.
type Group string

// The groups, which are what the built-in roles may do. An action of Serve is
// decided by the built-in policies alone: no tenant gives it or takes it.
const (
	View       Group = "view"
	Run        Group = "run"
	Operate    Group = "operate"
	Administer Group = "administer"
	Serve      Group = "serve"
)

// Subject is a kind of thing that actions are taken on, named as the entity type
// it has in policies.
type Subject uint8

// The kinds. Folders stand for what lies at or below a prefix in one environment.
const (
	OnServer Subject = 1 << iota
	OnTenant
	OnEnvironment
	OnFolder
	OnDocument
	OnSecret
)

const (
	onPlaces  = OnEnvironment | OnFolder
	documents = OnTenant | onPlaces | OnDocument
	secrets   = OnTenant | onPlaces | OnSecret
)

// ActionInfo is what is known of an action.
type ActionInfo struct {
	Action Action
	Groups []Group
	On     Subject // what it may be taken on
	// Path says that the action is taken on documents or secrets: on a wider
	// thing it is asked for all that lies in it.
	Path bool
}

// Actions is the table of all actions, in the order of the documentation.
var Actions = []ActionInfo{
	{ConfigRead, []Group{View, Run, Operate, Administer}, documents, true},
	{ConfigWrite, []Group{Operate, Administer}, documents, true},
	{ConfigDestroy, []Group{Administer}, documents, true},
	{SecretRefer, []Group{Operate, Administer}, secrets, true},
	{SecretList, []Group{View, Run, Operate, Administer}, secrets, true},
	{SecretRead, []Group{Run, Administer}, secrets, true},
	{SecretWrite, []Group{Operate, Administer}, secrets, true},
	{SecretActivate, []Group{Operate, Administer}, secrets, true},
	{SecretDestroy, []Group{Administer}, secrets, true},
	{AckWrite, []Group{Run, Operate, Administer}, OnTenant | OnEnvironment, false},
	{EnvironmentRead, []Group{View, Run, Operate, Administer}, OnTenant | OnEnvironment, false},
	{EnvironmentWrite, []Group{Administer}, OnTenant | OnEnvironment, false},
	{TagRead, []Group{View, Run, Operate, Administer}, OnTenant, false},
	{TagWrite, []Group{Operate, Administer}, OnTenant, false},
	{KeyRead, []Group{Operate, Administer}, OnTenant, false},
	{KeyWrite, []Group{Administer}, OnTenant, false},
	{TokenRead, []Group{Administer}, OnTenant, false},
	{TokenWrite, []Group{Administer}, OnTenant, false},
	{PolicyRead, []Group{Operate, Administer}, OnTenant, false},
	{PolicyWrite, []Group{Administer}, OnTenant, false},
	{AuditRead, []Group{Administer}, OnTenant, false},
	{QuotaRead, []Group{View, Run, Operate, Administer, Serve}, OnTenant, false},
	{GrantRead, []Group{Administer, Serve}, OnTenant, false},
	{GrantEnd, []Group{Administer, Serve}, OnTenant, false},
	{TenantRead, []Group{View, Run, Operate, Administer, Serve}, OnTenant, false},

	{TenantManage, []Group{Serve}, OnServer | OnTenant, false},
	{QuotaWrite, []Group{Serve}, OnTenant, false},
	{GrantRequest, []Group{Serve}, OnTenant, false},
	{GrantApprove, []Group{Serve}, OnTenant, false},
	{AuditHold, []Group{Serve}, OnServer | OnTenant, false},
	{ServerTokenRead, []Group{Serve}, OnServer, false},
	{ServerTokenWrite, []Group{Serve}, OnServer, false},
	{ServerAuditRead, []Group{Serve}, OnServer, false},
	{ServerKeyRead, []Group{Serve}, OnServer, false},
	{ServerKeyWrite, []Group{Serve}, OnServer, false},
	{SettingsRead, []Group{Serve}, OnServer, false},
	{SettingsWrite, []Group{Serve}, OnServer, false},
}

// InfoOf finds an action in the table.
func InfoOf(a Action) (ActionInfo, bool) {
	info, ok := infos[a]
	return info, ok
}

var infos = func() map[Action]ActionInfo {
	all := make(map[Action]ActionInfo, len(Actions))
	for _, info := range Actions {
		all[info.Action] = info
	}
	return all
}()
