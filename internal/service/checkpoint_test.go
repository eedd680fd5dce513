package service_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// sql does to the database what no verb would.
func (a *auditor) sql(text string, arguments ...any) {
	a.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(filepath.Dir(a.master), "data.db")+"?_pragma=busy_timeout(10000)")
	must(a.t, err)
	defer func() { must(a.t, db.Close()) }()
	if _, err := db.ExecContext(a.t.Context(), text, arguments...); err != nil {
		a.t.Fatalf("%s: %v", text, err)
	}
}

// links are the hot links of a chain.
func (a *auditor) links(id config.TenantID) []audit.Link {
	a.t.Helper()
	links, err := a.engine.Audit(a.t.Context(), id, 0, 10_000)
	must(a.t, err)
	return links
}

// rewrite puts records into the place of those from a sequence number on, with
// hashes that are right, and adjusts where the database says that the chain ends.
func (a *auditor) rewrite(id config.TenantID, from uint64) {
	a.t.Helper()
	links := a.links(id)
	head := audit.Head{}
	for _, l := range links {
		if l.Sequence >= from {
			l = head.Next(bytes.Replace(l.Record, []byte(`"outcome":"`), []byte(`"outcome":"x`), 1))
			a.sql(`UPDATE audit SET hash = ?, record = ? WHERE tenant = ? AND sequence = ?`, l.Hash[:], l.Record, id[:], int64(l.Sequence))
		}
		head = l.Head()
	}
	a.sql(`UPDATE tenants SET audit_hash = ? WHERE id = ?`, head.Hash[:], id[:])
}

// notes are the checkpoints of a chain, oldest first.
func (a *auditor) notes(id config.TenantID) []store.Checkpoint {
	a.t.Helper()
	notes, err := a.engine.CheckpointsFrom(a.t.Context(), id, 0, 1000)
	must(a.t, err)
	return notes
}

// known says whether everybody was told that a chain does not hold: the metric,
// the log and, once, the server's chain.
func (a *auditor) known(id config.TenantID) bool {
	a.t.Helper()
	record := false
	for _, l := range a.links(config.TenantID{}) {
		r, err := audit.ParseRecord(l.Record)
		must(a.t, err)
		if r.Event == "audit.broken" && strings.Contains(r.Resource, id.String()) {
			if record {
				a.t.Error("it is on record twice")
			}
			record = r.Outcome == audit.Failed && r.Reason != ""
		}
	}
	scrape := httptest.NewRecorder()
	a.metrics.Handler().ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	counted := strings.Contains(scrape.Body.String(), "audit_chains_broken 1\n")
	logged := strings.Contains(a.log.String(), "an audit chain does not hold")
	if record != counted || record != logged {
		a.t.Errorf("on record %v, counted %v, logged %v", record, counted, logged)
	}
	return record
}

// A checkpoint is of what went on since the last one, and of nothing else.
func TestCheckpointsFollowTheChain(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(10, 0)...)
	a.sign()
	first := a.notes(a.id)
	same(t, "checkpoints", 1, len(first))
	a.sign()
	same(t, "when nothing went on", 1, len(a.notes(a.id)))
	a.append(a.id, made(5, 0)...)
	a.clock.move(time.Minute)
	a.sign()
	notes := a.notes(a.id)
	same(t, "after more", 2, len(notes))
	c, err := audit.OpenCheckpoint(notes[1].Note, a.public()...)
	must(t, err)
	same(t, "what is signed", audit.Checkpoint{Origin: audit.Origin(a.name, a.id), Head: a.stands(a.id).Head, Time: a.clock.read()}, c)
	same(t, "of the server", 1, len(a.notes(config.TenantID{})))
	a.holds("signed", a.chain())
}

// What was rewritten before the last checkpoint is never signed; everybody is
// told once, and what is there stays as it is.
func TestRewrittenChainsAreNotSigned(t *testing.T) {
	for name, c := range map[string]struct {
		bend func(a *auditor)
		want string
	}{
		"from the beginning":     {func(a *auditor) { a.rewrite(a.id, 1) }, "written anew"},
		"from before the last":   {func(a *auditor) { a.rewrite(a.id, 22) }, "written anew"},
		"the record of the last": {func(a *auditor) { a.rewrite(a.id, a.notes(a.id)[1].Sequence) }, "written anew"},
		"edited behind it": {func(a *auditor) {
			a.sql(`UPDATE audit SET record = CAST('{}' AS BLOB) WHERE tenant = ? AND sequence = 38`, a.id[:])
		}, "record 38"},
		"removed behind it":         {func(a *auditor) { a.sql(`DELETE FROM audit WHERE tenant = ? AND sequence = 38`, a.id[:]) }, "record 38"},
		"the end removed":           {func(a *auditor) { a.truncate(a.id, 25) }, "ends before"},
		"its checkpoint removed":    {func(a *auditor) { a.dropNote(a.notes(a.id)[1]) }, "removed from the database or replaced"},
		"all checkpoints removed":   {func(a *auditor) { a.sql(`DELETE FROM audit_checkpoints WHERE tenant = ?`, a.id[:]) }, "removed from the database or replaced"},
		"an older checkpoint there": {func(a *auditor) { a.putNote(a.notes(a.id)[1], a.notes(a.id)[0].Note) }, "not the one that this server signed"},
		"another chain's":           {func(a *auditor) { a.putNote(a.notes(a.id)[1], a.notes(config.TenantID{})[0].Note) }, "not the one that this server signed"},
		"no checkpoint":             {func(a *auditor) { a.putNote(a.notes(a.id)[1], []byte("no note")) }, "not the one that this server signed"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuditor(t)
			a.append(a.id, made(19, 0)...)
			a.sign()
			a.append(a.id, made(10, 0)...)
			a.sign()
			a.append(a.id, made(10, 0)...)
			signed := len(a.notes(a.id))
			c.bend(a)
			before := len(a.notes(a.id))
			a.restart()
			a.sign()
			a.sign()
			same(t, "checkpoints", before, len(a.notes(a.id)))
			if before > signed {
				t.Fatal("it was signed")
			}
			if !a.known(a.id) {
				t.Fatal("nobody knows")
			}
			status, err := a.s.AuditStatus(t.Context(), a.who, a.chain())
			must(t, err)
			if !strings.Contains(status.Broken, c.want) {
				t.Errorf("%q, want %q", status.Broken, c.want)
			}
			rows := len(a.links(a.id))
			a.clock.move(100 * oneYear)
			a.retain()
			same(t, "rows after retention", rows, len(a.links(a.id)))
			if report, _ := a.s.VerifyAudit(t.Context(), a.who, a.chain(), nil); report.Broken == nil {
				t.Error("it verifies")
			}
		})
	}
}

// truncate cuts a chain off behind a record.
func (a *auditor) truncate(id config.TenantID, last uint64) {
	a.t.Helper()
	hash := a.links(id)[last-1].Hash
	a.sql(`DELETE FROM audit WHERE tenant = ? AND sequence > ?`, id[:], int64(last))
	a.sql(`UPDATE tenants SET audit_sequence = ?, audit_hash = ? WHERE id = ?`, int64(last), hash[:], id[:])
	// It is listed only while its head is behind its checkpoint, as the attacker knows.
	a.sql(`UPDATE audit_chains SET checkpoint = 0 WHERE tenant = ?`, id[:])
}

func (a *auditor) dropNote(note store.Checkpoint) {
	a.t.Helper()
	a.sql(`DELETE FROM audit_checkpoints WHERE row = ?`, note.Position)
}

func (a *auditor) putNote(in store.Checkpoint, note []byte) {
	a.t.Helper()
	a.sql(`UPDATE audit_checkpoints SET note = ? WHERE row = ?`, note, in.Position)
}

// Retention finds by itself what is not what its checkpoints say.
func TestRetentionAsksCheckpoints(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(20, 0)...)
	a.sign()
	a.append(a.id, made(1, 0)...)
	a.rewrite(a.id, 5)
	a.clock.move(9 * oneDay)
	a.retain()
	same(t, "tiers", [3]int{}, a.tiers(a.id))
	if !a.known(a.id) {
		t.Error("nobody knows")
	}
}

// The first checkpoint after a rotation opens with the old key and with the new,
// also where several rotations lie between two checkpoints.
func TestKeyRotation(t *testing.T) {
	a := newAuditor(t)
	opens := func(what string, note []byte, want ...bool) {
		t.Helper()
		for i, public := range a.public() {
			if _, err := audit.OpenCheckpoint(note, public); (err == nil) != want[i] {
				t.Errorf("%s: with key %d: %v", what, i+1, err)
			}
		}
	}
	next := func() []byte {
		t.Helper()
		a.append(a.id, made(3, 0)...)
		a.sign()
		notes := a.notes(a.id)
		return notes[len(notes)-1].Note
	}
	rotate := func() {
		t.Helper()
		_, err := a.s.RotateAuditKey(t.Context(), a.root)
		must(t, err)
	}
	opens("before", next(), true)
	rotate()
	opens("after it", next(), true, true)
	opens("and then", next(), false, true)
	rotate()
	rotate()
	opens("after two", next(), false, true, false, true)
	opens("and then", next(), false, false, false, true)
	a.holds("rotated", a.chain())
	_, err := a.s.RotateAuditKey(t.Context(), a.who)
	mustBe(t, config.KindForbidden, err)
}

// Keys that the store has moved about, or invented, sign and vouch for nothing.
func TestSigningKeysOfTheStoreAreRefused(t *testing.T) {
	for name, bend := range map[string]string{
		"the seed of another version": `UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE version = 1) WHERE version = 2`,
		"the public half of another":  `UPDATE signing_keys SET public = (SELECT public FROM signing_keys WHERE version = 1) WHERE version = 2`,
		"another name":                `UPDATE signing_keys SET name = 'llm-config-0000000000000000'`,
		"one invented":                `INSERT INTO signing_keys (version, name, public, sealed, created) SELECT 3, name, public, sealed, created FROM signing_keys WHERE version = 2`,
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuditor(t)
			_, err := a.s.RotateAuditKey(t.Context(), a.root)
			must(t, err)
			a.append(a.id, made(3, 0)...)
			a.sign()
			a.append(a.id, made(3, 0)...)
			a.sql(bend)
			signed := len(a.notes(a.id))
			_, err = a.s.SignCheckpoints(t.Context())
			mustBe(t, config.KindUnavailable, err)
			same(t, "checkpoints", signed, len(a.notes(a.id)))
			_, err = a.s.VerifyAudit(t.Context(), a.who, a.chain(), nil)
			mustBe(t, config.KindUnavailable, err)
		})
	}
}

// Instances that sign at once while records come and the key is rotated take
// nothing for a break, and neither does who verifies meanwhile.
func TestSigningAtOnce(t *testing.T) {
	a := newAuditor(t)
	b := a.process(a.engine)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var jobs sync.WaitGroup
	for _, s := range []*service.Service{a.s, b} {
		jobs.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.SignCheckpoints(ctx); err != nil && ctx.Err() == nil {
					t.Error(describe(err))
					return
				}
			}
		})
	}
	for i := range soakOr(400, 40) {
		a.append(a.id, made(5, 5*i)...)
		if i%10 == 3 {
			_, err := a.s.RotateAuditKey(t.Context(), a.root)
			must(t, err)
		}
		if report := a.verified(a.chain()); report.Broken != nil {
			t.Fatal(report.Broken)
		}
	}
	stop()
	jobs.Wait()
	a.sign()
	for _, s := range []*service.Service{a.s, b} {
		status, err := s.AuditStatus(t.Context(), a.who, a.chain())
		must(t, err)
		same(t, "broken", "", status.Broken)
	}
	same(t, "signed up to", a.stands(a.id).Head.Sequence, a.stands(a.id).Checkpoint)
	a.holds("signed by two", a.chain())
}

// meddled is a store in which something happens the moment before a read is answered.
type meddled struct {
	store.Store
	checkpoints func()
	chain       func()
	back        func()
}

func once1(f *func()) {
	if do := *f; do != nil {
		*f = nil
		do()
	}
}

func (m *meddled) Checkpoints(ctx context.Context, id config.TenantID, page store.Page) ([]store.Checkpoint, store.Cursor, error) {
	once1(&m.checkpoints)
	return m.Store.Checkpoints(ctx, id, page)
}

func (m *meddled) CheckpointsFrom(ctx context.Context, id config.TenantID, sequence uint64, limit int) ([]store.Checkpoint, error) {
	once1(&m.checkpoints)
	return m.Store.CheckpointsFrom(ctx, id, sequence, limit)
}

func (m *meddled) Chain(ctx context.Context, id config.TenantID) (store.Chain, error) {
	chain, err := m.Store.Chain(ctx, id)
	once1(&m.chain)
	return chain, err
}

func (m *meddled) AuditBack(ctx context.Context, id config.TenantID, before uint64, limit int) ([]audit.Link, error) {
	links, err := m.Store.AuditBack(ctx, id, before, limit)
	once1(&m.back)
	return links, err
}

// Another instance signs further just before this one reads the newest
// checkpoint: neither signing nor verifying takes that for a chain cut off.
func TestAnotherSignsMeanwhile(t *testing.T) {
	for name, look := range map[string]func(a *auditor, s *service.Service){
		"signing": func(a *auditor, s *service.Service) {
			_, err := s.SignCheckpoints(a.t.Context())
			must(a.t, err)
		},
		"verifying": func(a *auditor, s *service.Service) {
			report, err := s.VerifyAudit(a.t.Context(), a.who, a.chain(), nil)
			must(a.t, err)
			if report.Broken != nil {
				a.t.Error(report.Broken)
			}
		},
		"exporting": func(a *auditor, s *service.Service) {
			write, err := s.ExportAudit(a.t.Context(), a.who, a.chain(), service.ExportRequest{Form: service.ExportNDJSON})
			must(a.t, err)
			var text bytes.Buffer
			must(a.t, write(&text))
			if report := a.follow(text.Bytes()); report.Broken != nil {
				a.t.Error(report.Broken)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuditor(t)
			a.append(a.id, made(5, 0)...)
			m := &meddled{Store: a.engine}
			s := a.process(m)
			_, err := s.AuditKeys(t.Context())
			must(t, err)
			m.checkpoints = func() {
				a.append(a.id, made(5, 0)...)
				a.sign()
			}
			look(a, s)
			if m.checkpoints != nil {
				t.Fatal("nothing happened meanwhile")
			}
			status, err := s.AuditStatus(t.Context(), a.who, a.chain())
			must(t, err)
			same(t, "broken", "", status.Broken)
		})
	}
}

// One chain that cannot be read does not keep the others from being signed.
func TestOneChainDoesNotStopSigning(t *testing.T) {
	a := newAuditor(t)
	a.world.found(t, "other")
	a.sign()
	a.clock.move(9 * oneDay)
	a.append(a.id, made(3, 0)...)
	a.all("retain", a.s.RetainAudit)
	a.clock.move(40 * oneDay)
	a.all("retain", a.s.RetainAudit) // the last checkpoint is of a record in the archive now
	a.restart()
	a.archive.calls, a.archive.fail = 0, 1
	before := a.stands(config.TenantID{}).Checkpoint
	a.append(config.TenantID{}, made(1, 0)...)
	if _, err := a.s.SignCheckpoints(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("the archive is not missed: %v", err)
	}
	if now := a.stands(config.TenantID{}).Checkpoint; now == before {
		t.Error("the server's chain was not signed")
	}
	a.sign()
	same(t, "signed", a.stands(a.id).Head.Sequence, a.stands(a.id).Checkpoint)
}

// anchor keeps checkpoints, and fails when it is told to.
type anchor struct {
	kept []string
	fail int // at how many kept
}

func (*anchor) Name() string { return "test" }

func (k *anchor) Keep(_ context.Context, origin string, _ uint64, note []byte) error {
	if len(k.kept) == k.fail {
		k.fail = -1
		return errDown
	}
	if !strings.HasPrefix(string(note), origin+"\n") {
		return errors.New("a note of another chain")
	}
	k.kept = append(k.kept, string(note))
	return nil
}

// An anchor that fails in the middle has every checkpoint in the end.
func TestAnchorsMissNothing(t *testing.T) {
	a := newAuditor(t)
	for range 10 {
		a.append(a.id, made(1, 0)...)
		a.append(config.TenantID{}, made(1, 0)...)
		a.sign()
	}
	all := len(a.notes(a.id)) + len(a.notes(config.TenantID{}))
	k := &anchor{fail: 7}
	_, err := a.s.KeepCheckpoints(t.Context(), k)
	if !errors.Is(err, errDown) {
		t.Fatalf("it did not fail: %v", err)
	}
	same(t, "kept before it failed", 7, len(k.kept))
	a.restart()
	a.append(a.id, made(1, 0)...)
	a.sign()
	a.all("keep", func(ctx context.Context) (bool, error) { return a.s.KeepCheckpoints(ctx, k) })
	same(t, "kept", all+1, len(k.kept))
	seen := map[string]bool{}
	for _, note := range k.kept {
		if seen[note] {
			t.Error("one was kept twice")
		}
		seen[note] = true
	}
	for _, id := range []config.TenantID{a.id, {}} {
		for _, note := range a.notes(id) {
			if !seen[string(note.Note)] {
				t.Errorf("that of record %d was missed", note.Sequence)
			}
		}
	}
}
