package main

import (
	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/client"
)

func newAuditCommand(a *app) *cobra.Command {
	return a.group("audit", "What was done, by whom, and the proof that nobody altered it",
		`Each tenant has a chain of audit records, and the server has one. Every record holds
the hash of the one before it, so that none can be altered, removed or slipped in
without notice; and signed checkpoints, kept elsewhere, tell when the whole chain was
written anew.`,
		`  llm-config audit search --since 24h --event 'secret.*'
  llm-config audit tail -f
  llm-config audit verify
  llm-config audit export -f acme.ndjson`,
		newAuditSearchCommand(a), newAuditShowCommand(a), newAuditCountCommand(a), newAuditTailCommand(a), newAuditExportCommand(a),
		newAuditVerifyCommand(a), newAuditCheckpointCommand(a), newAuditKeyCommand(a), newAuditStatusCommand(a), newAuditHoldCommand(a))
}

// auditScope is the chain of a tenant, of the server, or of a tenant that was
// deleted.
type auditScope struct {
	*scope
	server  bool
	deleted string
}

func (a *app) auditScope(c *cobra.Command) *auditScope {
	s := &auditScope{scope: a.tenantFlags(c)}
	c.Flags().BoolVar(&s.server, "server", false, "the server's own records instead of a tenant's")
	c.Flags().StringVar(&s.deleted, "deleted", "", "those of a deleted tenant, by its `ID`, as an administrator of the server")
	return s
}

// client makes a client of the scope, which is of no tenant where it is the
// server that is asked.
func (s *auditScope) client(c *cobra.Command) (*client.Client, error) {
	for _, pair := range [][]string{{"server", "tenant"}, {"deleted", "tenant"}, {"server", "deleted"}} {
		if err := exclusive(c, pair...); err != nil {
			return nil, err
		}
	}
	if s.server || s.deleted != "" {
		return s.connect()
	}
	return s.scope.client(c)
}

// chain is the chain that the flags name.
func (s *auditScope) chain(c *cobra.Command) (*client.AuditChain, error) {
	from, err := s.client(c)
	if err != nil {
		return nil, err
	}
	return s.chainOf(from), nil
}

func (s *auditScope) chainOf(from *client.Client) *client.AuditChain {
	switch {
	case s.server:
		return from.ServerAudit()
	case s.deleted != "":
		return from.DeletedAudit(s.deleted)
	}
	return from.Audit()
}
