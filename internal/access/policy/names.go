package policy

import (
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// maxNameBytes bounds the names of files and roles.
const maxNameBytes = 64

// CheckName says whether text may name a file of policies or a role of a
// tenant's own: [a-z][a-z0-9-]{0,63}. The error is of KindInvalidName.
func CheckName(text string) error {
	if len(text) <= maxNameBytes && config.CheckName(text) == nil {
		return nil
	}
	return config.Errorf(config.KindInvalidName, "the name of a policy or role has 1 to %d of a–z, 0–9 and -, and begins with a letter", maxNameBytes)
}

// Count says how many policies and test cases a file has; none when it does not parse.
func Count(f File) (policies, tests int) {
	all, err := parseFile(f)
	if err != nil {
		return 0, 0
	}
	cases, err := testCases(f)
	if err != nil {
		return len(all), 0
	}
	return len(all), len(cases)
}

// BuiltinRoles are the roles that every tenant has.
func BuiltinRoles() []Role {
	return []Role{
		{Name: access.RoleViewer, Description: "reads configuration, and the names of secrets"},
		{Name: access.RoleApplication, Description: "what a running service needs: reads configuration and the values of secrets"},
		{Name: access.RoleOperator, Description: "writes configuration and secrets, without reading their values", Includes: []string{access.RoleViewer}},
		{Name: access.RoleAdmin, Description: "does everything in the tenant", Includes: []string{access.RoleOperator}},
	}
}

// Labelled says whether any policy looks at the labels of resources.
func (s *Set) Labelled() bool {
	for _, r := range s.own.byKey {
		if r.reads&readsLabels != 0 {
			return true
		}
	}
	return false
}
