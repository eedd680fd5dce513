// Package policy decides, by Cedar policies, what a principal may do in a tenant
// or on the server, and says why. It is pure: it reads nothing, keeps no time,
// and decides the same of the same request. Forbid beats permit, no match is a
// deny, and so is any policy that matches as far as its conditions and then
// fails. It trusts the roles and claims of a principal, which whoever
// authenticated it vouches for, and nothing in their text: names are compared,
// never read as patterns or paths.
package policy

// File is one file of a tenant's policies, in Cedar.
type File struct {
	Name string
	Text string
}

// Role is a role of a tenant's own.
type Role struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Includes    []string `json:"includes,omitempty"` // whose rights its holders have as well, sorted
}

// Source is all that governs a tenant besides the built-in policies.
type Source struct {
	Tenant string // its name
	Files  []File // by name
	Roles  []Role // by name

	Environments []string // those of the tenant; nil where they are not known
}

// Ref names a policy: its place in a file, "" being the built-in ones.
type Ref struct {
	File   string
	ID     string // its @id, or its number in the file
	Line   int
	Column int
	Effect string // permit or forbid
}
