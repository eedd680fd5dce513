package sqlite

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// openFirst opens a file as the first release did: it knows the first migration
// alone. The file may be of a later form.
func openFirst(t *testing.T, path, set string) *sql.DB {
	t.Helper()
	name := "00001_first.sql"
	text, err := migrations.ReadFile("migrations/" + set + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(FULL)"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, fstest.MapFS{name: {Data: text}},
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func mustExec(t *testing.T, db *sql.DB, text string, arguments ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text, arguments...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// The statements of the first release, which must work with every later form.
const (
	firstTenant = `
INSERT INTO tenants (id, name, created, deleted, revision, time, environments, audit_sequence, audit_hash)
VALUES (?, ?, 5, 0, 2, 7, 1, 0, zeroblob(32))`
	firstEnvironment = `
INSERT INTO environments (tenant, id, version, revision, name, parent, deleted) VALUES (?, ?, ?, ?, ?, ?, ?)`
	firstVersion = `
INSERT INTO layer_versions (tenant, path, environment, revision, version, time, author, state, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	firstHead = `
INSERT INTO layers (tenant, path, environment, revision, version, state, row)
VALUES (?, ?, ?, ?, ?, ?, last_insert_rowid())`
	firstDataKey   = `INSERT INTO data_keys (tenant, epoch, wrapped, reserved) VALUES (?, ?, ?, ?)`
	firstTenantKey = `INSERT INTO tenant_keys (tenant, wrapped) VALUES (?, ?) ON CONFLICT DO NOTHING`
	firstMaster    = `INSERT INTO master (only, value) VALUES (1, ?) ON CONFLICT DO NOTHING`
	firstDestroy   = `
INSERT INTO tenant_keys (tenant, wrapped) VALUES (?, NULL)
ON CONFLICT DO UPDATE SET wrapped = NULL`
	firstHeadMoves = `UPDATE layers SET revision = ?, version = ?, state = ?, row = last_insert_rowid() WHERE tenant = ? AND path = ?`
	firstRevision  = `UPDATE tenants SET revision = ? WHERE id = ?`
	firstToken     = `
INSERT INTO tokens (id, tenant, name, hash, tenant_admin, server_admin, author, created, expires, revoked, mac)
VALUES (?, ?, 'ci', zeroblob(32), 1, 0, 'ann', 5, 0, 0, zeroblob(32))`
	firstTombstone = `UPDATE tenants SET name = NULL, deleted = ? WHERE id = ?`
	firstAudit     = `INSERT INTO audit (tenant, sequence, hash, record) VALUES (?, ?, ?, ?)`
	firstAuditEnd  = `UPDATE tenants SET audit_sequence = ?, audit_hash = ? WHERE id = ?`
	firstAuditRead = `SELECT sequence, hash, record FROM audit WHERE tenant = ? AND sequence > ? ORDER BY sequence LIMIT ?`
)

// firstAppend appends a record as the first release did.
func firstAppend(t *testing.T, db *sql.DB, tenant config.TenantID, from audit.Head, record string) audit.Head {
	t.Helper()
	link := from.Next([]byte(record))
	mustExec(t, db, firstAudit, tenant[:], link.Sequence, link.Hash[:], link.Record)
	mustExec(t, db, firstAuditEnd, link.Sequence, link.Hash[:], tenant[:])
	return link.Head()
}

// TestDataOfTheFirstRelease migrates a database with rows and reads them.
func TestDataOfTheFirstRelease(t *testing.T) {
	dir := t.TempDir()
	db := openFirst(t, filepath.Join(dir, dataFile), "data")
	mustExec(t, db, firstTenant, alpha.ID[:], "alpha")
	mustExec(t, db, firstEnvironment, alpha.ID[:], 1, 1, 1, "base", 0, 0)
	mustExec(t, db, firstEnvironment, alpha.ID[:], 2, 1, 1, "production", 1, 0)
	mustExec(t, db, firstVersion, alpha.ID[:], "gateway", 1, 2, 1, 7, "ann", 1, []byte("sealed"))
	mustExec(t, db, firstHead, alpha.ID[:], "gateway", 1, 2, 1, 1)
	mustExec(t, db, firstVersion, alpha.ID[:], "models", 1, 2, 1, 7, "ann", 2, nil) // deleted
	mustExec(t, db, firstHead, alpha.ID[:], "models", 1, 2, 1, 2)
	mustExec(t, db, firstDataKey, alpha.ID[:], 1, []byte("wrapped"), 64)
	mustExec(t, db, firstToken, "a", alpha.ID[:])
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s := open(t, dir)
	environments, err := s.Environments(t.Context(), alpha.ID, 0)
	check(t, err, environments, []config.Environment{
		{ID: 1, Name: "base", Version: 1}, {ID: 2, Name: "production", Parent: 1, Version: 1},
	})
	keys, err := s.DataKeys(t.Context(), alpha.ID)
	check(t, err, keys, []store.DataKey{{Epoch: 1, Wrapped: []byte("wrapped"), KeyVersion: 1, Reserved: 64}})
	counts, err := s.KeyVersions(t.Context(), alpha.ID)
	check(t, err, counts, map[uint32]int64{1: 1})
	layers, err := s.LayersAt(t.Context(), alpha.ID, 0, []config.Path{config.MustPath("gateway")})
	check(t, err, string(layers[0].Sealed), "sealed")
	usage, err := s.Usage(t.Context(), alpha.ID)
	check(t, err, usage, store.Usage{Documents: 1, Bytes: int64(len("sealed"))})
	token, err := s.Token(t.Context(), "a")
	check(t, err, token, store.Token{
		ID: "a", Tenant: alpha.ID, Name: "ci", TenantAdmin: true, Author: "ann", Created: time.Unix(0, 5).UTC(),
	})
	secrets, err := s.SecretsAt(t.Context(), alpha.ID, []config.Path{config.MustPath("gateway")})
	check(t, err, len(secrets), 0)
	if got := mustPut(t, s, "gateway", 2, "two"); got != 3 {
		t.Errorf("the revision is %d, want 3", got)
	}
}

// TestFirstReleaseAfterwards runs the first release's statements on the form of
// today, as after going back to it, and reads what they left.
func TestFirstReleaseAfterwards(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s)
	beta := config.TenantID{2}
	if _, err := s.CreateTenant(t.Context(), config.Tenant{ID: beta, Name: "beta"}, store.Write{}, store.Write{}); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []config.TenantID{alpha.ID, beta} {
		change := putSecret("openai", 1, "value")
		change.Secrets[0].Due = time.Unix(1, 0)
		change.Secrets = append(change.Secrets, store.SecretWrite{Environment: 1, Path: config.MustPath("mistral"), Version: 1, Deleted: true})
		for i, isolated := range []bool{true, false} {
			e := config.Environment{ID: config.EnvironmentID(i + 1), Name: fmt.Sprint("e", i), Version: 1, IsolateSecrets: isolated}
			change.Environments = append(change.Environments, store.EnvironmentWrite{Environment: e})
		}
		if _, err := s.Commit(t.Context(), tenant, change); err != nil {
			t.Fatal(err)
		}
	}
	governed := put("models", 1, "one")
	governed.Rules = []store.RuleWrite{{Kind: store.RulePolicy, Name: "main", Version: 1, Sealed: []byte("permit")}}
	governed.Uses = store.Usage{Documents: 1, Bytes: int64(len("one")), Secrets: 1}
	for _, tenant := range []config.TenantID{alpha.ID, beta} {
		if _, err := s.Commit(t.Context(), tenant, governed); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	db := openFirst(t, filepath.Join(dir, dataFile), "data")
	mustExec(t, db, firstVersion, alpha.ID[:], "models", 1, 4, 2, 7, "ann", 1, []byte("longer"))
	mustExec(t, db, firstHeadMoves, 4, 2, 1, alpha.ID[:], "models")
	mustExec(t, db, firstRevision, 4, alpha.ID[:])
	mustExec(t, db, firstToken, "a", alpha.ID[:])
	mustExec(t, db, firstTenant, []byte("a later tenant.."), "later")
	mustExec(t, db, firstEnvironment, alpha.ID[:], 1, 2, 2, "renamed", 0, 0)
	mustExec(t, db, firstEnvironment, alpha.ID[:], 2, 2, 2, "renamed-too", 0, 0)
	mustExec(t, db, firstEnvironment, alpha.ID[:], 3, 1, 2, "new", 0, 0)
	mustExec(t, db, firstDataKey, alpha.ID[:], 1, []byte("wrapped"), 0)
	mustExec(t, db, firstVersion, alpha.ID[:], "gateway", 1, 2, 1, 7, "ann", 1, []byte("sealed"))
	mustExec(t, db, firstHead, alpha.ID[:], "gateway", 1, 2, 1, 1)
	mustExec(t, db, firstTombstone, 9, beta[:])
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	environments, err := s.Environments(t.Context(), alpha.ID, 0)
	check(t, err, environments, []config.Environment{
		{ID: 1, Name: "renamed", IsolateSecrets: true, Version: 2}, // isolation is not lost
		{ID: 2, Name: "renamed-too", Version: 2}, {ID: 3, Name: "new", Version: 1},
	})
	counts, err := s.KeyVersions(t.Context(), alpha.ID)
	check(t, err, counts, map[uint32]int64{1: 2})
	counts, err = s.KeyVersions(t.Context(), beta)
	check(t, err, len(counts), 0)
	due, err := s.DueSecrets(t.Context(), time.Unix(2, 0), 10)
	check(t, err, due, []store.DueSecret{{Tenant: alpha.ID, Environment: 1, Path: config.MustPath("openai"), Due: time.Unix(1, 0).UTC()}})
	layers, err := s.LayersAt(t.Context(), alpha.ID, 0, []config.Path{config.MustPath("gateway")})
	check(t, err, string(layers[0].Sealed), "sealed")
	token, err := s.Token(t.Context(), "a")
	check(t, err, len(token.Grants), 0)
	usage, err := s.Usage(t.Context(), alpha.ID) // counted again: the first release did not
	check(t, err, usage, store.Usage{Documents: 2, Bytes: int64(len("longer") + len("sealed") + len("value")), Secrets: 1})
	usage, err = s.Usage(t.Context(), config.TenantID([]byte("a later tenant..")))
	check(t, err, usage, store.Usage{})
	rules, err := s.Rules(t.Context(), alpha.ID)
	check(t, err, len(rules), 1)
	for _, table := range []string{"secrets", "secret_values", "rules", "rule_versions"} { // the first release knows of none
		check(t, nil, rowsOf(t, s, table, beta), int64(0))
	}
}

// TestAuditOfTheFirstRelease migrates chains that grew in turns, goes on with
// them, and goes back to the first release and forward again.
func TestAuditOfTheFirstRelease(t *testing.T) {
	dir := t.TempDir()
	beta := config.TenantID{2}
	db := openFirst(t, filepath.Join(dir, dataFile), "data")
	mustExec(t, db, firstTenant, alpha.ID[:], "alpha")
	mustExec(t, db, firstTenant, beta[:], "beta")
	var a, b audit.Head
	for i := range 3 {
		b = firstAppend(t, db, beta, b, fmt.Sprint("beta ", i))
		a = firstAppend(t, db, alpha.ID, a, fmt.Sprint("alpha ", i))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s := open(t, dir)
	checkChain(t, s, 3)
	check(t, nil, fedRecords(t, s), []string{"beta 0", "alpha 0", "beta 1", "alpha 1", "beta 2", "alpha 2"})
	chain, err := s.Chain(t.Context(), beta)
	check(t, err, chain, store.Chain{Tenant: beta, Head: b, Time: time.Unix(0, 7).UTC(), Hot: 1})
	links, err := s.Audit(t.Context(), alpha.ID, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	segment := store.Segment{First: 1, Last: 2, Hash: links[1].Hash}
	for _, err := range []error{
		s.PackLinks(t.Context(), alpha.ID, segment, []byte("body")),
		s.PutBlock(t.Context(), alpha.ID, store.Block{First: 1, Last: 3, Sealed: []byte("block")}),
		s.Hold(t.Context(), beta, store.Hold{Reason: "litigation"}, audit.Record{Event: "audit.hold"}, nil),
		s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	db = openFirst(t, filepath.Join(dir, dataFile), "data")
	a = firstAppend(t, db, alpha.ID, a, "alpha of the first")
	var sequence, hash, record any
	if err := db.QueryRowContext(t.Context(), firstAuditRead, alpha.ID[:], 0, 1).Scan(&sequence, &hash, &record); err != nil {
		t.Fatal(err)
	}
	check(t, nil, sequence, any(int64(3))) // what is packed is not there for it
	mustExec(t, db, firstTombstone, 9, alpha.ID[:])
	if _, err := db.ExecContext(t.Context(), firstTombstone, 9, beta[:]); err == nil || !strings.Contains(err.Error(), "legal hold") {
		t.Errorf("the first release deleted a tenant that a hold stands on: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	chain, err = s.Chain(t.Context(), alpha.ID)
	check(t, err, chain, store.Chain{Tenant: alpha.ID, Deleted: true, Head: a, Time: time.Unix(0, 7).UTC(), Hot: 3, Indexed: 3})
	fed := fedRecords(t, s)
	check(t, nil, fed[len(fed)-1], "alpha of the first")
	segments, err := s.Segments(t.Context(), alpha.ID, 0, 10)
	check(t, err, len(segments), 1)
	chain, err = s.Chain(t.Context(), beta)
	check(t, err, chain.Deleted, false)
	check(t, nil, chain.Hold.Reason, "litigation")
}

// fedRecords are the records of all chains in the order of the feed.
func fedRecords(t *testing.T, s *Store) []string {
	t.Helper()
	links, err := s.AuditFeed(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var records []string
	for _, l := range links {
		records = append(records, string(l.Record))
	}
	return records
}

// TestKeysOfTheFirstRelease migrates a key store with rows, and lets the first
// release write once more.
func TestKeysOfTheFirstRelease(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, keysFile)
	db := openFirst(t, path, "keys")
	mustExec(t, db, firstMaster, []byte("check"))
	mustExec(t, db, firstTenantKey, alpha.ID[:], []byte("of alpha"))
	mustExec(t, db, firstDestroy, []byte("tenant that was."))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-time.Minute)
	k := openKeys(t, dir)
	all, err := k.Masters(t.Context())
	check(t, err, len(all), 1)
	recent(t, before, all[0].Created)
	all[0].Created = time.Time{}
	check(t, nil, all[0], store.Master{Version: 1, Keeper: "file", Check: []byte("check")})
	key, err := k.TenantKey(t.Context(), alpha.ID)
	recent(t, before, key.Created)
	check(t, err, key, store.TenantKey{
		Tenant: alpha.ID, Wrapped: []byte("of alpha"), Master: 1, Generation: 1, Newest: 1, Created: key.Created, Rotated: key.Created,
	})
	gone := config.TenantID([]byte("tenant that was."))
	counts, err := k.MasterVersions(t.Context())
	check(t, err, counts, map[uint32]int64{1: 1})
	if err := k.AddMaster(t.Context(), store.Master{Version: 2, Keeper: "kms", Check: []byte("check 2"), Created: before}); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}

	db = openFirst(t, path, "keys")
	var value []byte
	err = db.QueryRowContext(t.Context(), `SELECT value FROM master`).Scan(&value)
	check(t, err, string(value), "check 2") // by which the first release knows the key that is used
	mustExec(t, db, firstTenantKey, []byte("a later tenant.."), []byte("later"))
	mustExec(t, db, firstDestroy, alpha.ID[:])
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	k = openKeys(t, dir)
	_, err = k.TenantKey(t.Context(), alpha.ID)
	check(t, nil, config.KindOf(err), config.KindGone)
	later, err := k.TenantKey(t.Context(), config.TenantID([]byte("a later tenant..")))
	check(t, err, [2]uint32{later.Master, later.Newest}, [2]uint32{2, 1})
	recent(t, before, later.Created)
	keys, err := k.TenantKeys(t.Context(), nil, 10)
	check(t, err, len(keys), 3)
	check(t, nil, keys[0], store.TenantKey{Tenant: alpha.ID})
	counts, err = k.MasterVersions(t.Context())
	check(t, err, counts, map[uint32]int64{2: 1})
	_, err = k.TenantKey(t.Context(), gone)
	check(t, nil, config.KindOf(err), config.KindGone)
}

// TestFirstReleaseBeginsKeys has the first release use a key store of today's
// form before anybody else.
func TestFirstReleaseBeginsKeys(t *testing.T) {
	dir := t.TempDir()
	if err := openKeys(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db := openFirst(t, filepath.Join(dir, keysFile), "keys")
	mustExec(t, db, firstMaster, []byte("check"))
	mustExec(t, db, firstTenantKey, alpha.ID[:], []byte("of alpha"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	k := openKeys(t, dir)
	all, err := k.Masters(t.Context())
	check(t, err, len(all), 1)
	check(t, nil, string(all[0].Check), "check")
	counts, err := k.MasterVersions(t.Context())
	check(t, err, counts, map[uint32]int64{1: 1})
}

// TestMigrationsAreNumbered finds a migration that would be passed over.
func TestMigrationsAreNumbered(t *testing.T) {
	for _, set := range []string{"data", "keys"} {
		files, err := fs.Glob(migrations, "migrations/"+set+"/*.sql")
		if err != nil || len(files) < 2 {
			t.Fatal(files, err)
		}
		for i, name := range files {
			var number int
			if _, err := fmt.Sscanf(filepath.Base(name), "%05d_", &number); err != nil || number != i+1 {
				t.Errorf("%s is number %d of %s (%v)", name, i+1, set, err)
			}
		}
	}
}

func openKeys(t *testing.T, dir string) *Keys {
	t.Helper()
	k, err := OpenKeys(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func recent(t *testing.T, after, got time.Time) {
	t.Helper()
	if got.Before(after) || got.After(time.Now()) {
		t.Errorf("the time is %s, want the time of the migration", got)
	}
}

// check compares what was answered without an error.
func check(t *testing.T, err error, got, want any) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b config.Path) bool { return a == b })); diff != "" {
		t.Fatalf("want -, got +:\n%s", diff)
	}
}
