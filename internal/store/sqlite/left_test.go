package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// tenantTables are the tables that hold something of a tenant, but for what
// outlives it.
func tenantTables(t *testing.T, s *Store) []string {
	t.Helper()
	var tables []string
	err := s.read(t.Context(), func(c *conn) error {
		return c.query(`
SELECT t.name FROM sqlite_master t, pragma_table_info(t.name) c
WHERE t.type = 'table' AND c.name = 'tenant' AND t.name NOT GLOB 'audit*' ORDER BY t.name`,
			func(r row) error { tables = append(tables, r.text(0)); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func rowsOf(t *testing.T, s *Store, table string, tenant config.TenantID) int64 {
	t.Helper()
	var rows int64
	err := s.read(t.Context(), func(c *conn) (err error) {
		rows, err = c.count(fmt.Sprintf("SELECT count(*) FROM %s WHERE tenant = ?", table), tenant[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func checkNothingLeft(t *testing.T, s *Store, tenant config.TenantID) {
	t.Helper()
	for _, table := range tenantTables(t, s) {
		if rows := rowsOf(t, s, table, tenant); rows != 0 {
			t.Errorf("%s holds %d rows of a tenant that was deleted", table, rows)
		}
	}
	err := s.read(t.Context(), func(c *conn) error {
		return c.query(`SELECT documents, bytes, secrets FROM tenants WHERE id = ?`, func(r row) error {
			if r.int(0) != 0 || r.int(1) != 0 || r.int(2) != 0 {
				t.Errorf("a tenant that was deleted uses %v", r)
			}
			return nil
		}, tenant[:])
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNothingOfADeletedTenant fills every table, so that one that is new here
// cannot be forgotten where a tenant is deleted.
func TestNothingOfADeletedTenant(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s)
	change := put("gateway", 1, "text")
	change.Layers[0].AddEdges = []config.Path{config.MustPath("limits")}
	change.Layers[0].AddSecrets = []config.Path{config.MustPath("openai")}
	change.Environments = []store.EnvironmentWrite{{Environment: config.Environment{ID: 1, Name: "base", Version: 1}}}
	change.SetTags = []store.Tag{{Name: "release", Target: 1}}
	change.AddTokens = []store.Token{{ID: "a", Tenant: alpha.ID}}
	change.Secrets = putSecret("openai", 1, "value").Secrets
	change.Rules = []store.RuleWrite{{Kind: store.RulePolicy, Name: "main", Version: 1, Sealed: []byte("permit")}}
	change.Uses = store.Usage{Documents: 1, Bytes: 9, Secrets: 1}
	change.Idempotent = &store.Idempotent{Principal: "ann", Key: "key", Expires: time.Now().Add(time.Hour)}
	if _, err := s.Commit(t.Context(), alpha.ID, change); err != nil {
		t.Fatal(err)
	}
	served := []store.Served{{Principal: "ann", Environment: 1, Path: config.MustPath("openai"), Version: 1}}
	for _, err := range []error{
		s.AddDataKey(t.Context(), alpha.ID, store.DataKey{Epoch: 1, Wrapped: []byte("wrapped")}),
		s.AppendAccess(t.Context(), alpha.ID, served),
		s.PutAck(t.Context(), alpha.ID, store.Ack{Client: "client", Expires: time.Now().Add(time.Hour)}, 10),
		s.PutDecisions(t.Context(), alpha.ID, []store.PastDecision{{Key: [32]byte{1}, Time: time.Now()}}, 10),
		s.PutBlock(t.Context(), alpha.ID, store.Block{First: 1, Last: 1, Sealed: []byte("block")}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range tenantTables(t, s) {
		if rowsOf(t, s, table, alpha.ID) == 0 {
			t.Errorf("nothing is put into %s", table)
		}
	}

	// A write of the tenant in the same transaction must not bring anything back.
	last, server := put("gateway", 2, "last"), store.Write{}
	last.Uses = change.Uses
	c, err := newCommit(alpha.ID, &last)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newCommit(config.TenantID{}, &server)
	if err != nil {
		t.Fatal(err)
	}
	group := []*request{
		{ctx: t.Context(), task: c, done: make(chan struct{})},
		{ctx: t.Context(), task: &deleteTenant{tenant: alpha.ID, commit: w}, done: make(chan struct{})},
	}
	s.writer.pause(t, func() { s.writer.commit(group) })
	for i, r := range group {
		if r.err != nil {
			t.Fatalf("write %d: %v", i, r.err)
		}
	}
	checkNothingLeft(t, s, alpha.ID)
}
