package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // opens the data as somebody with rights on the machine can

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// bend changes the data of a server that has ended.
func (a *audited) bend(change func(*sql.DB) error) {
	a.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(a.data, "data.db"))
	if err != nil {
		a.t.Fatal(err)
	}
	if err := change(db); err != nil {
		a.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		a.t.Fatal(err)
	}
}

// ofTenant are the tenant's chain, in SQL.
const ofTenant = `tenant = (SELECT id FROM tenants WHERE name = 'default')`

func statements(all ...string) func(*sql.DB) error {
	return func(db *sql.DB) error {
		for _, s := range all {
			result, err := db.Exec(s)
			if err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				return fmt.Errorf("%s changed nothing: %w", s, err)
			}
		}
		return nil
	}
}

// rewrite edits a record and makes all hashes behind it anew, as somebody would
// who knows how they are made.
func rewrite(sequence uint64) func(*sql.DB) error {
	return func(db *sql.DB) error {
		rows, err := db.Query(`SELECT sequence, hash, record FROM audit WHERE ` + ofTenant + ` ORDER BY sequence`)
		if err != nil {
			return err
		}
		defer rows.Close()
		var links []audit.Link
		for rows.Next() {
			var l audit.Link
			var hash []byte
			if err := rows.Scan(&l.Sequence, &hash, &l.Record); err != nil {
				return err
			}
			l.Hash = [32]byte(hash)
			links = append(links, l)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		head := audit.Head{}
		for _, l := range links {
			if l.Sequence >= sequence {
				if l.Sequence == sequence {
					l.Record = []byte(strings.Replace(string(l.Record), `"success"`, `"denied"`, 1))
				}
				l.Hash = head.Next(l.Record).Hash
				if _, err := db.Exec(`UPDATE audit SET hash = ?, record = ? WHERE sequence = ? AND `+ofTenant, l.Hash[:], l.Record, l.Sequence); err != nil {
					return err
				}
			}
			head = audit.Head{Sequence: l.Sequence, Hash: l.Hash}
		}
		_, err = db.Exec(`UPDATE tenants SET audit_hash = ? WHERE name = 'default'`, head.Hash[:])
		return err
	}
}

// brokenAt has the command line verify the tenant's chain, which must not hold.
func (a *audited) brokenAt(names string) {
	a.t.Helper()
	c := exec.CommandContext(a.t.Context(), "llm-config", "audit", "verify")
	c.Env = append(withoutRaceWait(), envAddr+"="+a.client.Address(), envToken+"="+a.token, envTenant+"=default")
	said, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != 2 || !strings.Contains(string(said), " is broken at ") || !strings.Contains(string(said), names) {
		a.t.Errorf("verifying ends with %v\n%s", err, said)
	}
}

// TestAuditTampered bends a chain while the server is stopped. Verifying exits 2
// and names the record; the chain is not signed any more, everybody is told, and
// other chains go on.
func TestAuditTampered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bend  func(*sql.DB) error
		names string // how the record is named
		stuck bool   // nothing can be appended any more
	}{
		"edited":    {statements(`UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), '"success"', '"denied"') AS BLOB) WHERE sequence = 7 AND ` + ofTenant), "record 7", false},
		"deleted":   {statements(`DELETE FROM audit WHERE sequence = 7 AND ` + ofTenant), "record 7", false},
		"truncated": {statements(`DELETE FROM audit WHERE sequence > 12 AND `+ofTenant, `UPDATE tenants SET audit_sequence = 12, audit_hash = (SELECT hash FROM audit WHERE sequence = 12 AND audit.tenant = tenants.id) WHERE name = 'default'`), "removed or truncated", false},
		"rewritten": {rewrite(7), "record", false},
		"behind":    {statements(`INSERT INTO audit (tenant, sequence, hash, record) SELECT tenant, sequence + 1, hash, record FROM audit WHERE ` + ofTenant + ` ORDER BY sequence DESC LIMIT 1`), "inserted", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hook(t, nil)
			a := newAudited(t, "audit-checkpoint-every: 1s", "alert-webhooks: [\""+h.URL+"\"]")
			for i := range 20 {
				write(t, a.client, "base", "a", fmt.Sprintf(`{"n":%d}`, i))
			}
			stop(t, a.runningServer)
			a.bend(c.bend)
			a.start()
			if !c.stuck {
				write(t, a.client, "base", "a", `{"after":"it"}`) // which goes on
			} else if status, answer, err := a.call(a.token, "PUT", api.Build(api.RouteLayer, "default", "base", "a"), `{"after":"it"}`, "after"); err != nil || status != 503 || !strings.Contains(string(answer), "llm-config audit verify") {
				t.Errorf("writing to it answers %d %s, %v", status, answer, err)
			}
			a.brokenAt(c.names)
			until(t, func() bool { return a.metric("audit_chains_broken") == "1" && h.told("chain-broken") })
			status, err := a.client.Audit().Status(t.Context())
			if err != nil || status.Broken == "" {
				t.Fatalf("%+v, %v", status, err)
			}
			signed, ofServer := status.Checkpoint, int64(0)
			server, err := a.client.ServerAudit().Status(t.Context())
			if err != nil || server.Broken != "" || server.Checkpoint == nil {
				t.Fatalf("%+v, %v", server, err)
			}
			ofServer = server.Checkpoint.Sequence
			until(t, func() bool {
				if !c.stuck {
					write(t, a.client, "base", "b", fmt.Sprintf(`{"n":"%d"}`, time.Now().UnixNano()))
				}
				a.found(a.client.ServerAudit(), client.AuditQuery{})
				server, err := a.client.ServerAudit().Status(t.Context())
				return err == nil && server.Checkpoint.Sequence > ofServer
			})
			if status, err = a.client.Audit().Status(t.Context()); err != nil || (status.Checkpoint == nil) != (signed == nil) || signed != nil && status.Checkpoint.Sequence != signed.Sequence {
				t.Errorf("the chain was signed again: %+v after %+v, %v", status.Checkpoint, signed, err)
			}
			if broken := a.found(a.client.ServerAudit(), client.AuditQuery{Events: []string{"audit.broken"}}); len(broken) != 1 || broken[0].Outcome != audit.Failed {
				t.Errorf("on record is %+v", broken)
			}
			if _, err := a.client.CreateTenant(t.Context(), api.NewTenant{Name: "acme"}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAuditTiers moves records into segments and into the archive as soon as the
// settings of the running server say so, and alters them there.
func TestAuditTiers(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "archive")
	lines := func(hot, warm string) []string {
		return []string{"audit-archive: file://" + archive, "audit-hot: " + hot, "audit-warm: " + warm}
	}
	a := newAudited(t, lines("7d", "30d")...)
	secret := api.Build(api.RouteSecret, "default", "base", "deed")
	a.must(a.token, "PUT", secret, `{"generate":{"kind":"password"}}`, "first", 200)
	const readers, each = 8, 530 // so that a segment is full
	var reading sync.WaitGroup
	for i := range readers {
		reading.Go(func() {
			for n := range each {
				if status, answer, err := a.call(a.token, "GET", secret+"?reveal=true", "", fmt.Sprintf("read-%d-%d", i, n)); err != nil || status != 200 {
					t.Errorf("%d %s, %v", status, answer, err)
					return
				}
			}
		})
	}
	reading.Wait()
	status := func() *api.AuditStatus {
		t.Helper()
		status, err := a.client.Audit().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	reload := func(lines []string) {
		t.Helper()
		a.configure(lines...)
		if err := a.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if s := status(); s.Warm.Records != 0 {
		t.Fatalf("%+v", s)
	}
	until(t, func() bool { // every record of the segment is old enough
		reload(lines("1s", "30d"))
		if status().Warm.Records > 0 {
			return true
		}
		reload(lines("1001ms", "30d"))
		return status().Warm.Records > 0
	})
	a.verified(nil)

	stop(t, a.runningServer)
	var body []byte
	put := func(body []byte) func(*sql.DB) error {
		return func(db *sql.DB) error {
			_, err := db.Exec(`UPDATE audit_segment_bodies SET body = ? WHERE first = 1 AND tenant = (SELECT id FROM tenants WHERE name = 'default')`, body)
			return err
		}
	}
	a.bend(func(db *sql.DB) error {
		if err := db.QueryRow(`SELECT body FROM audit_segment_bodies WHERE first = 1 AND tenant = (SELECT id FROM tenants WHERE name = 'default')`).Scan(&body); err != nil {
			return err
		}
		altered := bytes.Clone(body)
		altered[len(altered)/2] ^= 1
		return put(altered)(db)
	})
	a.start()
	a.brokenAt("")
	stop(t, a.runningServer)
	a.bend(put(body))
	a.start()
	until(t, func() bool { // every record of the segment is old enough
		reload(lines("1s", "1s"))
		if status().Cold.Records > 0 {
			return true
		}
		reload(lines("1001ms", "1s"))
		return status().Cold.Records > 0
	})
	a.verified(nil)

	stop(t, a.runningServer)
	objects, err := filepath.Glob(filepath.Join(archive, "*", "tenants", "*", "*.ndjson.zst"))
	if err != nil || len(objects) == 0 {
		t.Fatalf("%v, %v", objects, err)
	}
	text, err := os.ReadFile(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(objects[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.brokenAt("")
}
