// Package access answers two questions: who is asking, and may they. It trusts
// the store for what tokens there are, and nothing that a request says.
//
// An Authenticator turns credentials into a Principal; a Guard decides on what
// a principal wants to do. Whatever neither of them knows is denied.
package access

import (
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// MethodToken is the Method of whoever came with an API token.
const MethodToken = "token"

// Principal is who asks. The zero Principal is nobody.
type Principal struct {
	ID          string
	Name        string
	Method      string          // how it proved who it is
	Tenant      config.TenantID // zero for a principal of the server alone
	TenantAdmin bool            // of Tenant
	ServerAdmin bool
	Expires     time.Time
}

// Actor names the principal in logs and audit records: it is never given to
// another, and nobody chooses it.
func (p Principal) Actor() string {
	if p.ID == "" {
		return "anonymous"
	}
	return p.Method + ":" + p.ID
}

// Author names the principal in history, for people to read.
func (p Principal) Author() string {
	if p.Name == "" {
		return p.Actor()
	}
	return p.Name
}
