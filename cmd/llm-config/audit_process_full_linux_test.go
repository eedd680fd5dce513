package main

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// mayWrite sets how large files may be that a server writes: with nothing, every
// write to its disk fails, as on one that is full. No rights are needed for it.
func (a *audited) mayWrite(bytes uint64) {
	a.t.Helper()
	limit := unix.Rlimit{Cur: bytes, Max: math.MaxUint64}
	if err := unix.Prlimit(a.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		a.t.Fatal(err)
	}
}

// TestAuditFullDisk takes all room from a running server. What must be on record
// fails with 503 and nothing leaves; plain reads and watches go on; with room again
// everything does, without a restart, and nothing that was acknowledged is missing.
func TestAuditFullDisk(t *testing.T) {
	a := newAudited(t)
	viewer := a.viewer()
	a.must(a.token, "PUT", api.Build(api.RouteSecret, "default", "base", "deed"), `{"generate":{"kind":"password"}}`, "first", 200)
	write(t, a.client, "base", "a", `{"b":1}`)
	d := &deeds{all: map[string]deed{}}
	do := func(want int) {
		t.Helper()
		for i := range 4 {
			for n := range 5 {
				event, outcome, token, method, target, body, well := a.kind(i, 100*want+n, viewer)
				id := d.next(event, outcome)
				status, answer, err := a.call(token, method, target, body, id)
				if err != nil {
					t.Fatal(err)
				}
				if status == well {
					d.acknowledge(id)
				}
				if want != 0 && status == want {
					var p api.Problem
					if err := json.Unmarshal(answer, &p); err != nil || p.Code != api.CodeUnavailable || p.Detail == "" || p.Next == "" || p.RequestID != id {
						t.Errorf("%s: %v %s", event, err, answer)
					}
				} else if status != well || want != 0 {
					t.Errorf("%s: %d %s", event, status, answer)
				}
			}
		}
	}
	failures := 0
	stranger := func(want int) {
		t.Helper()
		status, answer, err := a.call("llmc_x", "GET", api.RouteIdentity, "", "stranger")
		if err != nil || want != 0 && status != want {
			t.Errorf("a bad token: %d %s, %v", status, answer, err)
		}
		if status == http.StatusUnauthorized {
			failures++
		}
	}
	plain := func() {
		t.Helper()
		for _, target := range []string{api.Build(api.RouteConfig, "default", "base", "a"), api.Build(api.RouteBundle, "default", "base"), api.RouteLive} {
			a.must(a.token, "GET", target, "", "plain", 200)
		}
	}
	watched, err := openOneWatch(t.Context(), a.runningServer)
	if err != nil {
		t.Fatal(err)
	}
	do(0)
	plain()
	for range 3 {
		stranger(http.StatusUnauthorized)
	}

	a.mayWrite(0)
	for range 3 {
		do(http.StatusServiceUnavailable)
		plain()
	}
	stranger(0)
	if next, err := openOneWatch(t.Context(), a.runningServer); err != nil {
		t.Errorf("while the disk is full: %v", err)
	} else {
		_ = next.conn.Close()
	}
	a.must("", "GET", api.RouteReady, "", "ready", 200) // what is plainly read is still served

	a.mayWrite(math.MaxUint64)
	do(0)
	plain()
	stranger(http.StatusUnauthorized)
	openWatches{watched}.hearOf(t, write(t, a.client, "base", "a", `{"b":2}`))
	_, _, records := a.export(a.client.Audit())
	d.compare(t, records)
	a.restart()
	a.verified(nil)
	reads := int64(0)
	for _, r := range a.found(a.client.Audit(), client.AuditQuery{Events: []string{"config.reads"}}) {
		n, _ := strconv.ParseInt(r.Details["count"], 10, 64)
		reads += n
	}
	if want := int64(2*5 + 2); reads != want { // two of each round of plain reads, and two watches
		t.Errorf("%d reads are on record, of %d", reads, want)
	}
	if first := a.found(a.client.ServerAudit(), client.AuditQuery{Events: []string{"authentication.failed"}}); len(first) == 0 || failures < 4 {
		t.Errorf("of %d bad tokens %d are on record", failures, len(first))
	}
}
