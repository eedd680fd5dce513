package access

import (
	"net/netip"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Resource is what an action is taken on: the server itself with the zero
// tenant, a document or a secret with a Path, else everything of an environment
// below Prefix, or of the tenant.
type Resource struct {
	Tenant      config.TenantID
	TenantName  string // as policies name it
	Environment string
	Path        config.Path
	Prefix      config.Prefix // of a collection; unused with a Path
	Secret      bool          // Path is a secret's, not a document's
	Name        string        // of a tag, a token, …; for records only
}

// Request is one question.
type Request struct {
	Principal Principal
	Action    Action
	Resource  Resource
	Time      time.Time
	Source    netip.Addr // whence it came; the zero Addr when that is unknown
	// Labels finds the labels of the resource, asked only where a policy looks at
	// them; nil for a resource that has none. Its error is a deny.
	Labels func() (map[string]string, error)
}

// Decision is the answer; the zero Decision denies.
type Decision struct {
	Allowed bool
	// Foreign says that the resource is in a tenant which the principal must
	// not know of: to them it is absent, not forbidden.
	Foreign bool
	// Labelled says that the labels of the resource had a part in it.
	Labelled bool
	// Err is why labels could not be read; the answer is then no decision.
	Err error
	// Reasons say what decided. They are for logs and explanations; others
	// share them, so nobody may change them.
	Reasons []string
}

// Contains says whether a token narrowed to this scope may be used for an action
// on a resource. What is wider than the scope is not within it.
func (s *Scope) Contains(a Action, r Resource) bool {
	if s == nil {
		return true
	}
	return s.hasAction(a) && s.hasPlace(a, r)
}

// Touches says whether anything of a collection can be within the scope.
func (s *Scope) Touches(a Action, r Resource) bool {
	if s == nil {
		return true
	}
	if !s.hasAction(a) || r.Environment != "" && !s.hasEnvironment(r.Environment) {
		return false
	}
	if len(s.Paths) == 0 || !r.Path.IsZero() {
		return s.hasPlace(a, r) || r.Path.IsZero()
	}
	for _, prefix := range s.Paths {
		if within(r.Prefix, prefix) || within(prefix, r.Prefix) {
			return true
		}
	}
	return false
}

func (s *Scope) hasAction(a Action) bool {
	for _, action := range s.Actions {
		if action == a {
			return true
		}
	}
	return len(s.Actions) == 0
}

func (s *Scope) hasEnvironment(name string) bool {
	for _, environment := range s.Environments {
		if environment == name {
			return true
		}
	}
	return len(s.Environments) == 0
}

// hasPlace leaves to a narrowed token, of what belongs to the whole tenant, only
// the names of things.
func (s *Scope) hasPlace(a Action, r Resource) bool {
	if r.Environment == "" && len(s.Environments) > 0 || r.Environment == "" && len(s.Paths) > 0 {
		return a == TenantRead || a == TagRead || a == EnvironmentRead
	}
	if !s.hasEnvironment(r.Environment) {
		return false
	}
	info, _ := InfoOf(a)
	if len(s.Paths) == 0 || !info.Path {
		return len(s.Paths) == 0 || a == EnvironmentRead || a == AckWrite
	}
	for _, prefix := range s.Paths {
		if !r.Path.IsZero() && prefix.Contains(r.Path) || r.Path.IsZero() && within(prefix, r.Prefix) {
			return true
		}
	}
	return false
}

// within says whether all that inner selects is selected by outer.
func within(outer, inner config.Prefix) bool {
	if inner.String() == "" {
		return outer.String() == ""
	}
	path, err := config.ParsePath(inner.String())
	return err == nil && outer.Contains(path)
}
