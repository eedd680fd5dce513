package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

// audited is a server whose chains are looked at, by its own settings file.
type audited struct {
	*runningServer
	t        *testing.T
	dir      string // of everything
	data     string
	file     string // of settings
	operator string
}

// newAudited starts a server with these lines of settings.
func newAudited(t *testing.T, settings ...string) *audited {
	t.Helper()
	dir := t.TempDir()
	a := &audited{t: t, dir: dir, data: filepath.Join(dir, "data"), file: filepath.Join(dir, "settings.yaml")}
	a.configure(settings...)
	a.start()
	return a
}

func (a *audited) configure(lines ...string) {
	a.t.Helper()
	if err := os.WriteFile(a.file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *audited) start() {
	a.t.Helper()
	a.operator = freeAddress(a.t)
	a.runningServer = startServer(a.t, a.data, "--settings", a.file, "--admin-listen", a.operator, "--log-level", "debug")
}

func (a *audited) restart() {
	a.t.Helper()
	stop(a.t, a.runningServer)
	a.start()
}

// log is what the server said, once it has ended.
func (a *audited) log() string { return a.cmd.Stderr.(*bytes.Buffer).String() }

// call makes a request with an id of its own.
func (a *audited) call(token, method, target, body, id string) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.client.Address()+target, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", api.TypeJSON)
	r.Header.Set(api.HeaderRequestID, id)
	response, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, errors.Join(err, response.Body.Close())
}

// must is call for what has to be answered like this.
func (a *audited) must(token, method, target, body, id string, want int) []byte {
	a.t.Helper()
	status, answer, err := a.call(token, method, target, body, id)
	if err != nil || status != want {
		a.t.Fatalf("%s %s: %d %s, %v", method, target, status, answer, err)
	}
	return answer
}

// viewer is a token of somebody who may only read documents.
func (a *audited) viewer() string {
	a.t.Helper()
	issued, err := a.client.CreateToken(a.t.Context(), api.NewToken{Name: "viewer", TokenRights: api.TokenRights{Roles: []string{"viewer"}}})
	if err != nil {
		a.t.Fatal(err)
	}
	return issued.Value
}

// metric is the value of a metric, "" for one that is not there.
func (a *audited) metric(name string) string {
	a.t.Helper()
	answer, err := http.Get("http://" + a.operator + "/metrics")
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "llm_config_manager_"+name+" "); ok {
			return rest
		}
	}
	return ""
}

// chains are those of the tenant and of the server.
func (a *audited) chains() map[string]*client.AuditChain {
	return map[string]*client.AuditChain{"tenant": a.client.Audit(), "server": a.client.ServerAudit()}
}

// found are the records that a search finds, the newest first.
func (a *audited) found(chain *client.AuditChain, query client.AuditQuery) (all []audit.Record) {
	a.t.Helper()
	for r, err := range chain.All(a.t.Context(), query, client.Page{Limit: 1000}) {
		if err != nil {
			a.t.Fatal(err)
		}
		record, err := audit.ParseRecord(r.Record)
		if err != nil {
			a.t.Fatal(err)
		}
		all = append(all, record)
	}
	return all
}

// exportedLine is a line of an export, or of a sink's file.
type exportedLine struct {
	Chain    string          `json:"chain"`
	Hash     string          `json:"hash"`
	Record   json.RawMessage `json:"record"`
	Sequence uint64          `json:"sequence"`
}

// export saves an export, and answers its records.
func (a *audited) export(chain *client.AuditChain) (file, origin string, all []exportedLine) {
	a.t.Helper()
	in, err := chain.Export(a.t.Context(), client.ExportOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err := errors.Join(err, in.Close()); err != nil {
		a.t.Fatal(err)
	}
	file = filepath.Join(a.t.TempDir(), "export.ndjson")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	for _, l := range a.lines(text) {
		if l.Chain != "" {
			origin = l.Chain
		}
		if l.Record != nil {
			all = append(all, l)
		}
	}
	return file, origin, all
}

func (a *audited) lines(text []byte) (all []exportedLine) {
	a.t.Helper()
	for line := range bytes.Lines(text) {
		var l exportedLine
		if err := json.Unmarshal(line, &l); err != nil {
			a.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, l)
	}
	return all
}

// independent builds the program that trusts nobody.
var independent = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "verify")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "llm-config-verify")
	said, err := exec.Command("go", "build", "-o", program, "../llm-config-verify").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return program, nil
})

// verified has both verifiers follow the chains; notes are checkpoints that were
// kept elsewhere, by chain.
func (a *audited) verified(notes map[string][]string) {
	a.t.Helper()
	program, err := independent()
	if err != nil {
		a.t.Fatal(err)
	}
	keys, err := a.client.AuditKeys(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	for name, chain := range a.chains() {
		report, err := chain.Verify(a.t.Context(), nil)
		if err != nil || !report.Holds {
			a.t.Errorf("the server's verifier of the chain of the %s: %+v, %v", name, report, err)
		}
		file, origin, _ := a.export(chain)
		var args []string
		for _, key := range keys.Keys {
			args = append(args, "-key", key.Public)
		}
		for _, note := range notes[origin] {
			args = append(args, "-checkpoint", note)
		}
		if said, err := exec.CommandContext(a.t.Context(), program, append(args, file)...).CombinedOutput(); err != nil {
			a.t.Errorf("the independent verifier of the chain of the %s: %v\n%s", name, err, said)
		}
	}
}

// anchored are the notes in a folder by their chains.
func (a *audited) anchored(folder string) map[string][]string {
	a.t.Helper()
	notes, err := filepath.Glob(filepath.Join(folder, "*", "*", "checkpoints", "*.note"))
	if err != nil {
		a.t.Fatal(err)
	}
	deeper, err := filepath.Glob(filepath.Join(folder, "*", "tenants", "*", "checkpoints", "*.note"))
	if err != nil {
		a.t.Fatal(err)
	}
	all := map[string][]string{}
	for _, note := range append(notes, deeper...) {
		text, err := os.ReadFile(note)
		if err != nil {
			a.t.Fatal(err)
		}
		origin, _, _ := strings.Cut(string(text), "\n")
		all[origin] = append(all[origin], note)
	}
	return all
}

// heads opens the data of a server that has ended, and answers where the chains
// end, by the last part of their names.
func (a *audited) heads() map[string]uint64 {
	a.t.Helper()
	ctx := a.t.Context()
	s, err := sqlite.Open(ctx, a.data, sqlite.Options{Clock: time.Now})
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			a.t.Error(err)
		}
	}()
	tenant, err := s.TenantNamed(ctx, "default")
	if err != nil {
		a.t.Fatal(err)
	}
	all := map[string]uint64{}
	chain, err := s.Chain(ctx, tenant.ID)
	if err != nil {
		a.t.Fatal(err)
	}
	all[tenant.ID.String()] = chain.Head.Sequence
	if chain, err = s.Chain(ctx, [16]byte{}); err != nil {
		a.t.Fatal(err)
	}
	all["server"] = chain.Head.Sequence
	return all
}

// deed is something that was asked for, and the event that it is on record by.
type deed struct {
	event, outcome string
	acknowledged   bool
}

// deeds are all that was asked for, by the ids of the requests.
type deeds struct {
	mu  sync.Mutex
	all map[string]deed
	n   int
}

// next makes the id of a request that is about to be made.
func (d *deeds) next(event, outcome string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	id := "deed-" + strconv.Itoa(d.n)
	d.all[id] = deed{event, outcome, false}
	return id
}

func (d *deeds) acknowledge(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	done := d.all[id]
	done.acknowledged = true
	d.all[id] = done
}

// compare holds a chain against what was asked for: each acknowledged deed once,
// each other at most once, and nothing else.
func (d *deeds) compare(t *testing.T, records []exportedLine) {
	t.Helper()
	seen := map[string]int{}
	for _, l := range records {
		r, err := audit.ParseRecord(l.Record)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(r.RequestID, "deed-") {
			continue
		}
		seen[r.RequestID]++
		if done, ok := d.all[r.RequestID]; !ok || done.event != r.Event || done.outcome != string(r.Outcome) || r.Actor == "" || r.Tenant == "" || r.Source != "127.0.0.1" {
			t.Errorf("%s was %+v, and is on record as %s", r.RequestID, done, l.Record)
		}
	}
	acknowledged := 0
	for id, done := range d.all {
		if n := seen[id]; n > 1 || done.acknowledged && n != 1 {
			t.Errorf("%s, %+v, is on record %d times", id, done, n)
		}
		if done.acknowledged {
			acknowledged++
		}
	}
	t.Logf("%d of %d deeds were acknowledged, %d are on record", acknowledged, len(d.all), len(seen))
}

// kinds are what the doers do: a change, a secret read, a denial and a search.
func (a *audited) kind(i, n int, viewer string) (event, outcome, token, method, target, body string, want int) {
	at := func(route string, values ...string) string {
		return api.Build(route, append([]string{"default"}, values...)...)
	}
	switch i % 4 {
	case 0:
		return "config.change", "success", a.token, "PUT", at(api.RouteLayer, "base", fmt.Sprintf("doer/%d", i)), fmt.Sprintf(`{"n":%d}`, n), 200
	case 1:
		return "secret.read", "success", a.token, "GET", at(api.RouteSecret, "base", "deed") + "?reveal=true", "", 200
	case 2:
		return "authorization.denied", "denied", viewer, "PUT", at(api.RouteLayer, "base", fmt.Sprintf("doer/%d", i)), `{}`, 403
	}
	return "audit.read", "success", a.token, "GET", at(api.RouteAudit) + "?limit=1", "", 200
}

// doUntilKilled has doers do things until the server was killed.
func (a *audited) doUntilKilled(d *deeds, viewer string, after int) {
	a.t.Helper()
	acks, done := make(chan struct{}), make(chan struct{})
	var doers sync.WaitGroup
	begin := d.n
	for i := range 8 {
		doers.Go(func() {
			for n := begin; ; n++ {
				event, outcome, token, method, target, body, want := a.kind(i, n, viewer)
				if event == "config.change" {
					body = fmt.Sprintf(`{"at":"%d"}`, time.Now().UnixNano()) // which changes something
				}
				if i%4 == 2 && n%5 != 0 { // more than 600 denials a minute are not recorded
					event, outcome, token, want = "config.change", "success", a.token, 200
					body = fmt.Sprintf(`{"at":"%d"}`, time.Now().UnixNano())
				}
				id := d.next(event, outcome)
				status, answer, err := a.call(token, method, target, body, id)
				if err != nil {
					return // the server is gone; whether it was done is open
				}
				if status != want && status != http.StatusTooManyRequests {
					a.t.Errorf("%s %s: %d %s", method, target, status, answer)
					return
				}
				if status == want {
					d.acknowledge(id)
				}
				acks <- struct{}{}
			}
		})
	}
	go func() { doers.Wait(); close(done) }()
	for left := after; ; left-- {
		select {
		case <-acks:
		case <-done:
			_ = a.cmd.Wait()
			return
		}
		if left == 0 {
			if err := a.cmd.Process.Kill(); err != nil {
				a.t.Error(err)
			}
		}
	}
}

// TestAuditKilled kills the server while clients write, read secrets, are denied
// and search. All that was acknowledged has its record, chains hold by both
// verifiers, a file has every record in order, and an anchor has checkpoints that
// agree; at the end one of the very end.
func TestAuditKilled(t *testing.T) {
	rounds := 3
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		rounds = 25
	}
	dir := t.TempDir()
	file, anchor := filepath.Join(dir, "sink.ndjson"), filepath.Join(dir, "anchor")
	a := newAudited(t, "audit-sinks: [\"file://"+file+"\"]", "audit-checkpoints: [\"file://"+anchor+"\"]", "audit-checkpoint-every: 1s")
	viewer := a.viewer()
	a.must(a.token, "PUT", api.Build(api.RouteSecret, "default", "base", "deed"), `{"generate":{"kind":"password"}}`, "first", 200)
	until(t, func() bool { // the file is to have all from here on
		write(t, a.client, "base", "nudge", fmt.Sprintf(`{"at":"%d"}`, time.Now().UnixNano()))
		text, err := os.ReadFile(file)
		return err == nil && len(text) > 0
	})
	d := &deeds{all: map[string]deed{}}
	for round := range rounds {
		a.doUntilKilled(d, viewer, 100+round*37%300)
		verifyChains(t, a.data)
		a.start()
	}
	_, origin, records := a.export(a.client.Audit())
	d.compare(t, records)
	last := records[len(records)-1].Sequence
	until(t, func() bool { return delivered(a, file, origin) >= last })
	sameInFile(t, a, file, origin, records)
	a.verified(a.anchored(anchor))
	stop(t, a.runningServer)
	for chain, head := range a.heads() {
		notes := a.anchored(anchor)
		for origin, files := range notes {
			if strings.HasSuffix(origin, "/"+chain) && !slices.ContainsFunc(files, func(name string) bool { return strings.HasSuffix(name, fmt.Sprintf("%020d.note", head)) }) {
				t.Errorf("the server ended, and there is no checkpoint of record %d, the last of %s, among %d", head, origin, len(files))
			}
		}
		if len(notes) != 2 {
			t.Errorf("checkpoints of %d chains were kept", len(notes))
		}
	}
	a.start()
	a.verified(a.anchored(anchor))
}

// delivered is up to which record of a chain a sink's file has all.
func delivered(a *audited, file, origin string) (last uint64) {
	text, err := os.ReadFile(file)
	if err != nil {
		a.t.Fatal(err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // it is being written
	for _, l := range a.lines(text) {
		if l.Chain == origin {
			last = max(last, l.Sequence)
		}
	}
	return last
}

// sameInFile holds a sink's file against the records of a chain: from its first
// on it has each at least once, in order, as it is.
func sameInFile(t *testing.T, a *audited, file, origin string, records []exportedLine) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next, repeated := uint64(0), 0
	for _, l := range a.lines(text[:bytes.LastIndexByte(text, '\n')+1]) {
		if l.Chain != origin || l.Sequence > records[len(records)-1].Sequence {
			continue
		}
		switch {
		case next == 0 || l.Sequence == next:
			next = l.Sequence + 1
		case l.Sequence < next:
			repeated++
		default:
			t.Fatalf("record %d came where %d belongs", l.Sequence, next)
		}
		if want := records[l.Sequence-1]; want.Hash != l.Hash || !bytes.Equal(want.Record, l.Record) {
			t.Fatalf("the file has another record %d: %s", l.Sequence, l.Record)
		}
	}
	t.Logf("the file has all up to %d, %d of them more than once", next-1, repeated)
}

// TestAuditReadsCounted counts plain reads of a real server; stopped in the
// middle of a minute, it has put all of them on record.
func TestAuditReadsCounted(t *testing.T) {
	a := newAudited(t)
	write(t, a.client, "base", "a", `{"b":1}`)
	for i := range 137 {
		a.must(a.token, "GET", api.Build(api.RouteConfig, "default", []string{"base", "staging"}[i%2], "a"), "", fmt.Sprint("read-", i), 200)
	}
	a.restart()
	counted := map[string]int64{}
	for _, r := range a.found(a.client.Audit(), client.AuditQuery{Events: []string{"config.reads"}}) {
		n, err := strconv.ParseInt(r.Details["count"], 10, 64)
		if err != nil || r.Actor == "" || r.Outcome != audit.Success {
			t.Errorf("%+v", r)
		}
		counted[r.Resource[strings.LastIndex(r.Resource, "/")+1:]] += n
	}
	if counted["base"] != 69 || counted["staging"] != 68 || len(counted) != 2 {
		t.Errorf("of 69 and 68 reads there are on record %v", counted)
	}
}
