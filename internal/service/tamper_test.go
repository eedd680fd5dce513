package service_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/audit/audittest"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

// verifier is the program for auditors, built.
type verifier string

func newVerifier(t testing.TB) verifier {
	t.Helper()
	program := filepath.Join(t.TempDir(), "llm-config-verify")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/llm-devops/llm-config-manager/cmd/llm-config-verify").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return verifier(program)
}

// run answers the exit status of the program for an export.
func (v verifier) run(t testing.TB, export []byte, public []string, args ...string) (code int, text string) {
	t.Helper()
	for _, key := range public {
		args = append(args, "-key", key)
	}
	command := exec.CommandContext(t.Context(), string(v), append(args, "-")...)
	command.Stdin = bytes.NewReader(export)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(out)
}

// crime is a scene: a chain as it was, in files that are put back after each tampering.
type crime struct {
	*auditor
	dir      string
	files    map[string][]byte // of the database, closed
	lines    [][]byte          // of the export of the chain as it was
	links    []audit.Link
	key      *audit.SigningKey
	verifier verifier
	packed   uint64 // the last record that is in a segment, 0 for none
	close    func()
}

// signingKey is the first key of checkpoints of a chain that is tampered with:
// whoever makes tamperings needs it to sign with.
func signingKey(t testing.TB, a *auditor) *audit.SigningKey {
	t.Helper()
	_, err := a.s.AuditKeys(t.Context()) // there is one now
	must(t, err)
	keys, err := a.engine.SigningKeys(t.Context())
	must(t, err)
	plain, err := a.keyring.Open(t.Context(), seal.Place{Kind: seal.AuditKey, Path: "audit key", Version: int64(keys[0].Version)}, keys[0].Sealed)
	must(t, err)
	key, err := audit.NewSigningKey(keys[0].Name, [32]byte(plain))
	must(t, err)
	return key
}

// newCrime makes a chain of records by verbs of a tenant, signed every so often
// and at its end, rows or, aged, in a segment or in the archive but for the last.
func newCrime(t *testing.T, records, every int, age time.Duration) *crime {
	t.Helper()
	c := &crime{auditor: newAuditor(t), verifier: newVerifier(t)}
	c.key, c.dir = signingKey(t, c.auditor), filepath.Dir(c.master)
	for i := 0; ; i++ {
		n := int(c.stands(c.id).Head.Sequence)
		if n == records-1 && age > 0 {
			c.clock.move(age)
		}
		if n == records {
			break
		}
		switch {
		case records-n > 5000:
			c.append(c.id, made(every-n%every, n)...)
		case i%3 == 0:
			c.set("base", "a/b", fmt.Sprintf(`{"n":%d}`, i))
		case i%3 == 1:
			_, err := c.s.Tenant(t.Context(), service.Caller{Principal: c.who.Principal}, c.tenant)
			must(t, err)
			c.append(c.id, made(1, i)...)
		default:
			c.issue(service.TokenRequest{Name: fmt.Sprintf("t%d", i)})
		}
		if int(c.stands(c.id).Head.Sequence)%every == 0 {
			c.sign()
			if age > 0 {
				c.clock.move(oneDay) // so that the checkpoint stays when they are thinned
			}
		}
	}
	c.sign()
	for age > 0 && c.tiers(c.id) == [3]int{} {
		c.retain()
	}
	if age > 30*oneDay {
		c.retain()
	}
	c.lines = audittest.Lines(c.plain())
	must(t, c.engine.Close())
	c.files = map[string][]byte{}
	body, err := os.ReadFile(filepath.Join(c.dir, "data.db"))
	must(t, err)
	c.files["data.db"] = body
	c.close = func() {}
	return c
}

// plain is the export of the chain as it is, without the record of an export.
func (c *crime) plain() []byte {
	c.t.Helper()
	all := audittest.Lines(c.export(c.chain(), service.ExportRequest{}))
	last := len(all) - 2 // the record of the export, and the end
	i, err := audit.NewImporter(bytes.NewReader(bytes.Join(all, nil)))
	must(c.t, err)
	var head audit.Head
	for range last - 1 {
		line, err := i.Next()
		must(c.t, err)
		if line.Link != nil {
			head = line.Link.Head()
			l := *line.Link
			l.Record = bytes.Clone(l.Record)
			c.links = append(c.links, l)
		}
	}
	end := fmt.Appendf(nil, `{"end":{"hash":"%x","sequence":%d}}`+"\n", head.Hash, head.Sequence)
	return bytes.Join(append(slices.Clone(all[:last]), end), nil)
}

// reopen puts the database back as it was, tampers with it and starts a server over it.
func (c *crime) reopen(tamper func(*sql.Tx)) {
	c.t.Helper()
	c.close()
	for _, name := range []string{"data.db-wal", "data.db-shm"} {
		if err := os.Remove(filepath.Join(c.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			c.t.Fatal(err)
		}
	}
	path := filepath.Join(c.dir, "data.db")
	must(c.t, os.WriteFile(path, c.files["data.db"], 0o600))
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(OFF)")
	must(c.t, err)
	tx, err := db.BeginTx(c.t.Context(), nil)
	must(c.t, err)
	tamper(tx)
	must(c.t, tx.Commit())
	must(c.t, db.Close())
	data, err := sqlite.Open(c.t.Context(), c.dir, sqlite.Options{Clock: c.clock.read})
	must(c.t, err)
	c.close = func() { must(c.t, data.Close()) }
	c.engine = &engine{Store: data}
	c.restart()
}

// put puts links in the place of those of the chain: as rows, or where the
// segment lies with whatever of them was packed; and where the database says that
// the chain ends. It answers what lies there then, in the order of the segment and
// of the table, in which there is one row for a number.
func (c *crime) put(tx *sql.Tx, links []audit.Link) (lie []audit.Link) {
	c.t.Helper()
	exec := func(text string, arguments ...any) {
		c.t.Helper()
		if _, err := tx.ExecContext(c.t.Context(), text, arguments...); err != nil {
			c.t.Fatalf("%s: %v", text, err)
		}
	}
	var first, last int64
	var state int
	var location string
	err := tx.QueryRowContext(c.t.Context(), `SELECT first, last, state, location FROM audit_segments WHERE tenant = ?`, c.id[:]).Scan(&first, &last, &state, &location)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		c.t.Fatal(err)
	}
	rows := links
	c.packed = uint64(last)
	if last > 0 {
		at := min(len(links), int(last))
		for at > 1 && at < len(links) && links[at-1].Sequence > uint64(last) {
			at--
		}
		packed := links[:at]
		lie, rows = slices.Clone(packed), links[at:]
		body, err := audit.PackSegment(audit.Origin(c.name, c.id), audit.Head{}, packed)
		must(c.t, err)
		digest := sha256.Sum256(body)
		var hash [32]byte
		if at > 0 {
			hash = packed[at-1].Hash
		}
		exec(`UPDATE audit_segments SET hash = ?, digest = ?, bytes = ? WHERE tenant = ?`, hash[:], digest[:], len(body), c.id[:])
		if state == 2 {
			c.archive.objects[location] = body
		} else {
			exec(`UPDATE audit_segment_bodies SET body = ? WHERE tenant = ?`, body, c.id[:])
		}
	}
	exec(`DELETE FROM audit WHERE tenant = ?`, c.id[:])
	var head audit.Head
	for i, l := range rows {
		exec(`INSERT OR REPLACE INTO audit (row, tenant, sequence, hash, record) VALUES (?, ?, ?, ?, ?)`, int64(1_000_000+i), c.id[:], int64(l.Sequence), l.Hash[:], l.Record)
	}
	for _, l := range links {
		if l.Sequence >= head.Sequence {
			head = l.Head()
		}
	}
	exec(`UPDATE tenants SET audit_sequence = ?, audit_hash = ? WHERE id = ?`, int64(head.Sequence), head.Hash[:], c.id[:])
	table := map[uint64]audit.Link{}
	for _, l := range rows {
		table[l.Sequence] = l
	}
	for _, sequence := range slices.Sorted(maps.Keys(table)) {
		lie = append(lie, table[sequence])
	}
	return lie
}

// first is the first bad record of a chain as it lies, held against the checkpoints.
func (c *crime) first(links []audit.Link) uint64 {
	var head audit.Head
	wrong := uint64(0)
	for _, l := range links {
		next := head.Next(l.Record)
		if l.Sequence < next.Sequence {
			return l.Sequence
		}
		if l.Sequence != next.Sequence || l.Hash != next.Hash || len(l.Record) == 0 || l.Record[0] != '{' {
			return next.Sequence
		}
		if n := l.Sequence; n > uint64(len(c.links)) || l.Hash != c.links[n-1].Hash {
			wrong = n
			if c.signed(n) {
				return n // the chain holds up to the checkpoint, which is of another
			}
		}
		head = l.Head()
	}
	if head.Sequence < uint64(len(c.links)) {
		return head.Sequence + 1
	}
	return wrong
}

// signed says whether a checkpoint is of a record.
func (c *crime) signed(sequence uint64) bool {
	return slices.ContainsFunc(c.lines, func(line []byte) bool {
		return bytes.HasPrefix(line, []byte(`{"checkpoint":"`+audit.Origin(c.name, c.id)+fmt.Sprintf(`\n%d\n`, sequence)))
	})
}

// commit does what a tampering says to the database, and holds that it is found.
func (c *crime) commit(t audittest.Tampering, program bool) {
	c.t.Helper()
	links := t.Links()
	if links == nil || slices.EqualFunc(links, c.links, func(a, b audit.Link) bool { return a.Head() == b.Head() && bytes.Equal(a.Record, b.Record) }) {
		return // what it does to the lines of an export has no like in the database
	}
	c.reopen(func(tx *sql.Tx) { links = c.put(tx, links) })
	want := c.first(links)
	if want == 0 {
		return // as far as the table goes, nothing was tampered with
	}
	report, err := c.s.VerifyAudit(context.Background(), c.who, c.chain(), nil)
	if report.Broken == nil {
		c.t.Errorf("%s: it was not found: %v", t.Name, err)
		return
	}
	if n := len(links); !c.signed(want) && want > c.packed && (n == 0 || want == links[n-1].Sequence+1) {
		want++ // that it was verified is on record before, behind the end that there is
	}
	if report.Broken.Sequence != want {
		c.t.Errorf("%s: want a break at record %d: %v", t.Name, want, report.Broken)
	}
	if !program {
		return
	}
	export, err := c.tryExport(c.chain(), service.ExportRequest{})
	if len(export) == 0 && err != nil {
		return // there is none
	}
	if code, out := c.verifier.run(c.t, export, []string{c.key.Public()}); code != 2 {
		c.t.Errorf("%s: the program ends with %d, and the export with %v: %s", t.Name, code, err, out)
	}
}

// tried goes through tamperings, taking one of so many of each kind.
func (c *crime) tried(tamperings iter.Seq[audittest.Tampering], of, programOf int) {
	c.t.Helper()
	kinds, n := map[string]int{}, 0
	for t := range tamperings {
		kind, _, _ := strings.Cut(t.Name, ":")
		kinds[kind]++
		if (kinds[kind]-1)%of != 0 {
			continue
		}
		n++
		c.commit(t, n%programOf == 0)
	}
	if n < 25 {
		c.t.Errorf("only %d tamperings were tried", n)
	}
}

// Every way to tamper with a record is found in the database, in a segment and in
// the archive, by the server and by the program for auditors.
func TestTamperingIsFound(t *testing.T) {
	for name, age := range map[string]time.Duration{"rows": 0, "segment": 9 * oneDay, "archive": 50 * oneDay} {
		t.Run(name, func(t *testing.T) {
			c := newCrime(t, 300, 50, age)
			c.untouched()
			of := soakOr(1, 100)
			if name == "rows" {
				of = soakOr(1, 50)
			}
			c.tried(audittest.Tamperings(t, c.lines, c.key), of, soakOr(1, 3))
			c.close()
		})
	}
}

// untouched wants the chain to hold while nobody tampered with it.
func (c *crime) untouched() {
	c.t.Helper()
	objects := map[string][]byte{}
	for key, body := range c.archive.objects {
		objects[key] = body
	}
	c.reopen(func(tx *sql.Tx) { c.put(tx, c.links) })
	c.holds("untouched", c.chain())
	if code, out := c.verifier.run(c.t, c.export(c.chain(), service.ExportRequest{}), c.public()); code != 0 {
		c.t.Fatalf("untouched: the program ends with %d: %s", code, out)
	}
	c.archive.objects = objects
}

// Random tamperings with a long chain.
func TestTamperingWithALongChainSoak(t *testing.T) {
	if os.Getenv("LLM_CONFIG_SOAK") == "" {
		t.Skip("a soak")
	}
	c := newCrime(t, 10_000, 500, 0)
	c.untouched()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c.tried(audittest.Random(t, c.lines, c.key, rand.New(rand.NewPCG(seed, 0)), 1000), 1, 10)
	c.close()
}

// A record that was put behind the end, without telling the database that the
// chain is longer, is found by whoever asks, and by the server when nobody does;
// nothing can be appended behind it, which is said to whoever tries.
func TestRecordBehindTheEndIsFound(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(10, 0)...)
	a.sign()
	head := a.stands(a.id).Head
	forged := head.Next([]byte(`{"event":"forged"}`))
	a.sql(`INSERT INTO audit (tenant, sequence, hash, record) VALUES (?, ?, ?, ?)`, a.id[:], int64(forged.Sequence), forged.Hash[:], forged.Record)
	a.restart()
	report, err := a.s.VerifyAudit(t.Context(), a.who, a.chain(), nil)
	must(t, err)
	if report.Broken == nil || report.Broken.Sequence != forged.Sequence || report.Origin == "" || report.Head != head {
		t.Errorf("%+v, want a break at record %d", report, forged.Sequence)
	}
	if !a.known(a.id) {
		t.Error("nobody knows")
	}

	a.restart() // the record is there already; the metric is not
	a.all("patrol", a.s.PatrolAudit)
	status, err := a.s.AuditStatus(t.Context(), a.who, a.chain())
	must(t, err)
	if !strings.Contains(status.Broken, "inserted") {
		t.Errorf("the status says %q", status.Broken)
	}
	err = a.engine.AppendAudit(t.Context(), a.id, made(1, 0)...)
	mustBe(t, config.KindUnavailable, err)
	var told *config.Error
	if !errors.As(err, &told) || !strings.Contains(told.Next, "llm-config audit verify") {
		t.Errorf("whoever writes is told %v", err)
	}
	a.append(config.TenantID{}, made(1, 0)...) // which takes more
}
