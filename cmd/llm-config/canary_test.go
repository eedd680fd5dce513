package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
)

// asked lists the requests whose answers hold values of secrets. Nothing else
// may: no other answer, no line of the log, no file, no process.
var asked = []*regexp.Regexp{
	regexp.MustCompile(`^GET /api/v1/tenants/[^/]+/environments/[^/]+/secrets/[^?]+\?(.*&)?reveal=true(&|$)`),
	regexp.MustCompile(`^GET /api/v1/tenants/[^/]+/environments/[^/]+/configs/[^?]+\?(.*&)?reveal=true(&|$)`),
	regexp.MustCompile(`^GET /api/v1/tenants/[^/]+/environments/[^/]+/bundle\?(.*&)?reveal=true(&|$)`),
}

// canaryPath is where the document and the secret are that everything is tried on.
const canaryPath = "llm/canary"

// canaryRun is a server whose secrets hold a marker, and everybody around it who
// might see the marker.
type canaryRun struct {
	t       *testing.T
	m       *marker   // is the value of secrets, and nowhere else
	stuffed *marker   // is put where values do not belong; what is refused must not say it
	rules   *marker   // is in policies, roles and what is said of them, which those read who may and nobody keeps open
	tokens  []*marker // the secret halves of tokens

	input   string // folder of files that hold the marker; everything else is below scanned
	secret  string // in input: the marker alone
	scan    string
	data    string
	trusted string // in input: the file of identities
	work    string // where commands run, with their homes and temporary files

	server   *runningServer
	operator string // address of the operators' routes
	hooks    *canaryHooks
	issuer   *issuertest.Issuer
	asker    string   // token of a server administrator who asks for access by break-glass
	approver string   // token of another, who approves
	said     []string // the logs of servers that ended

	strangers atomic.Int64 // callers with credentials that are nobody's

	mu    sync.Mutex
	shown map[string]bool // which of asked showed the marker
}

func newCanary(t *testing.T) *canaryRun {
	t.Helper()
	c := &canaryRun{t: t, m: newMarker(), stuffed: newMarker(), rules: newMarker(), input: t.TempDir(), scan: t.TempDir(), shown: map[string]bool{}}
	c.data, c.work, c.secret = filepath.Join(c.scan, "data"), filepath.Join(c.scan, "work"), filepath.Join(c.input, "value")
	for _, folder := range []string{"work", "home", "tmp"} {
		if err := os.Mkdir(filepath.Join(c.scan, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", filepath.Join(c.scan, "tmp"))
	t.Setenv("HOME", filepath.Join(c.scan, "home"))
	t.Setenv("GOTRACEBACK", "system")
	c.put("value", c.m.core)
	c.hooks = newCanaryHooks(t, c.m)
	c.trusted = c.identities()
	c.start()
	c.admins()
	return c
}

// put writes an input file.
func (c *canaryRun) put(name, text string) string {
	c.t.Helper()
	file := filepath.Join(c.input, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

func (c *canaryRun) start() {
	c.t.Helper()
	c.operator = freeAddress(c.t)
	c.server = startServer(c.t, c.data, "--log-level", "debug", "--admin-listen", c.operator, "--webhook-hosts", c.hooks.host, "--identities", c.trusted)
}

// ended takes over the log of a server that was told to end.
func (c *canaryRun) ended() string {
	text := c.server.cmd.Stderr.(*bytes.Buffer).String()
	c.said = append(c.said, text)
	return text
}

// look fails the test when a text holds the marker that nobody asked for.
func (c *canaryRun) look(where string, text []byte) bool {
	c.t.Helper()
	found := c.m.in(text)
	if found != "" {
		c.t.Errorf("%s: the value of a secret (%s) in %.2000q", where, found, text)
	}
	return found == ""
}

type canaryAnswer struct {
	status int
	header http.Header
	body   []byte
}

func (a canaryAnswer) all() []byte { return fmt.Appendf(nil, "%v\n%s", a.header, a.body) }

// call sends a request as somebody whom the server knows, and looks for the marker in the answer unless the
// request is one of those that ask for it. Headers come as names and values.
func (c *canaryRun) call(token, method, target string, body []byte, headers ...string) canaryAnswer {
	c.t.Helper()
	return c.callBy(http.DefaultTransport, token, method, target, body, headers...)
}

func (c *canaryRun) callBy(by http.RoundTripper, token, method, target string, body []byte, headers ...string) canaryAnswer {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.server.client.Address()+target, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		r.Header.Set("Content-Type", api.TypeJSON)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	answered, err := by.RoundTrip(r) // which follows no redirects
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = answered.Body.Close() }()
	if answered.Header.Get("Content-Type") == api.TypeEvents {
		defer time.AfterFunc(200*time.Millisecond, cancel).Stop() // a stream has no end
	}
	text, _ := io.ReadAll(answered.Body) // a stream ends by the line above
	a := canaryAnswer{answered.StatusCode, answered.Header, text}
	request := method + " " + target
	which := slices.IndexFunc(asked, func(e *regexp.Regexp) bool { return e.MatchString(request) })
	if which < 0 {
		c.look(request, a.all())
		return a
	}
	c.look(request+", header", fmt.Append(nil, a.header))
	if c.m.in(text) != "" {
		c.mu.Lock()
		c.shown[asked[which].String()] = true
		c.mu.Unlock()
	}
	return a
}

// must is call for requests without which the test would say nothing.
func (c *canaryRun) must(token, method, target, body string, headers ...string) canaryAnswer {
	c.t.Helper()
	a := c.call(token, method, target, []byte(body), headers...)
	if a.status >= 300 {
		c.t.Fatalf("%s %s: %d %s", method, target, a.status, a.body)
	}
	return a
}

// at is a target in the development tenant.
func (c *canaryRun) at(route string, values ...string) string {
	return api.Build(route, append([]string{"default"}, values...)...)
}

// fields hold the marker in every way in which a secret can.
func (c *canaryRun) fields() string {
	fields := map[string]any{
		"value": c.m.core, "bytes": base64.StdEncoding.EncodeToString([]byte("\xff" + c.m.core)), "middle": "a text with " + c.m.core + ` in it, <&"\é`,
		"nested": map[string]any{"deep": []any{1, map[string]any{"er": c.m.core}}, c.m.core: true},
	}
	text, err := json.Marshal(map[string]any{"fields": fields, "base64": []string{"bytes"}, "description": "a canary", "owner": "tests", "labels": map[string]string{"bird": "yes"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// canaryDocument refers to the secret alone, within a text, and by a detour.
const canaryDocument = `{"alone":"${secret:llm/canary}","text":"a ${secret:llm/canary#middle} text","nested":{"it":"${secret:llm/canary#nested}"},` +
	`"bytes":"${secret:llm/canary#bytes}","detour":"${config:llm/plain#/text}","list":["${secret:llm/canary}"]}`

// settle puts the secret, in versions of several states, and the documents
// that refer to it into an environment of a tenant.
func (c *canaryRun) settle(token, tenant, environment string) {
	c.t.Helper()
	secret := api.Build(api.RouteSecret, tenant, environment, canaryPath)
	c.must(token, "PUT", secret, c.fields(), api.HeaderIdempotent, "canary-"+tenant+environment)
	c.must(token, "PUT", secret, c.fields())
	c.must(token, "PUT", api.Build(api.RouteLayer, tenant, environment, "llm/plain"), `{"text":"${secret:llm/canary}"}`)
	c.must(token, "PUT", api.Build(api.RouteLayer, tenant, environment, canaryPath), canaryDocument)
}

// TestCanary puts a random marker into secrets and drives it through every
// route, every verb and every way in which a server and its commands can fail.
// The marker may be in what was asked to reveal it, and nowhere else.
func TestCanary(t *testing.T) {
	c := newCanary(t)
	root := c.server.token
	c.settle(root, "default", "base")
	streams := []func() string{c.watch("base"), c.watch("production")}

	t.Run("life", c.life)
	t.Run("malformed", c.malformedSecrets)
	t.Run("webhooks", c.webhooks)
	t.Run("logins", c.logins)
	t.Run("policies", c.policies)
	t.Run("routes", c.routes)
	t.Run("verbs", c.verbs)
	t.Run("commands", c.commands)
	t.Run("run", c.runs)
	t.Run("operators", c.operators)
	t.Run("process", c.process)

	for _, stream := range streams {
		text := stream()
		c.look("a watch", []byte(text))
		if !strings.Contains(text, canaryPath) {
			t.Error("a watch said nothing of the secret")
		}
	}
	stop(t, c.server)
	c.ended()
	t.Run("keys", c.restore)
	t.Run("crash", c.crash)
	c.logs()
	c.files()
	for _, e := range asked {
		if !c.shown[e.String()] {
			t.Errorf("%s: never showed the marker, so the test says nothing", e)
		}
	}
}

// watch follows an environment, documents included, and answers how to end that
// and what came.
func (c *canaryRun) watch(environment string) func() string {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.client.Address()+c.at(api.RouteWatch, environment)+"?include=data", http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.server.token)
	r.Header.Set("Last-Event-ID", "1")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		c.t.Fatalf("watch: %v", err)
	}
	var came bytes.Buffer
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(&came, answer.Body) // ends with the context
		_ = answer.Body.Close()
		close(done)
	}()
	c.t.Cleanup(cancel)
	return func() string { cancel(); <-done; return came.String() }
}

// life takes the secret through all its states.
func (c *canaryRun) life(t *testing.T) {
	c = c.within(t)
	root := c.server.token
	post := func(route, body string) { t.Helper(); c.must(root, "POST", c.at(route, "base", canaryPath), body) }
	secret := c.at(api.RouteSecret, "base", canaryPath)
	staged := strings.TrimSuffix(c.fields(), "}") + `,"stage":true}`
	c.must(root, "PUT", secret, staged)
	post(api.RouteSecretActive, `{}`)
	post(api.RouteSecretActive, `{"version":2}`)
	post(api.RouteSecretRevoke, `{"version":3}`)
	post(api.RouteSecretDestroy, `{"versions":[1]}`)
	c.must(root, "PATCH", secret, `{"description":"still a canary","rotation":{"generator":{"kind":"hex"},"overlap":"adoption"}}`)
	post(api.RouteSecretRotate, `{}`)
	post(api.RouteSecretActive, `{"version":2,"now":true}`)
	c.must(root, "PUT", secret, c.fields())
	for _, read := range []string{"", "?reveal=true", "?reveal=true&version=2", "?reveal=true&version=3", "?reveal=true&version=1", "?reveal=true&field=bytes", "?reveal=true&field=none", "?deleted=true", "?reveal=maybe"} {
		c.call(root, "GET", secret+read, nil)
		c.stranger("llmc_0000000000000000_"+strings.Repeat("0", 43), "GET", secret+read, nil)
	}
	document := c.at(api.RouteConfig, "production", canaryPath)
	c.must(root, "GET", document+"?reveal=true", "")
	c.must(root, "GET", c.at(api.RouteBundle, "production")+"?reveal=true", "")
	for _, read := range []string{"?explain=true", "?at=1", "?reveal=true&at=1", "?reveal=true&explain=true", "?reveal=true&min_revision=1", "?reveal=true&format=toml", "?reveal=true&format=yaml"} {
		c.call(root, "GET", document+read, nil)
	}
	c.must(root, "POST", c.at(api.RouteAcks, "production"), `{"client":"bird","revision":1,"secrets":{"`+canaryPath+`":2}}`)
	post2 := func(status int, method, target string) {
		t.Helper()
		if a := c.call(root, method, target, nil); a.status != status {
			t.Errorf("%s %s: %d %s", method, target, a.status, a.body)
		}
	}
	post2(409, "DELETE", secret)
	post2(200, "DELETE", secret+"?force=true")
	post2(403, "GET", document+"?reveal=true")
	post2(404, "GET", secret+"?reveal=true")
	post(api.RouteSecretUndo, `{}`)
	c.must(root, "POST", c.at(api.RouteKeysRotate), `{}`)
	if _, err := c.server.client.TenantKeys(t.Context()); err != nil {
		t.Error(err)
	}
	c.token(t)
}

// token rotates a token, whose value belongs into the answer alone.
func (c *canaryRun) token(t *testing.T) {
	t.Helper()
	issued, err := c.server.client.CreateToken(t.Context(), api.NewToken{Name: "bird"})
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.server.client.RotateToken(t.Context(), issued.ID, api.TokenRotate{})
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{issued.Value, next.Value} {
		c.tokens = append(c.tokens, markerOf(value[strings.LastIndex(value, "_")+1:]))
	}
}

// within is the canary for a part of the test.
func (c *canaryRun) within(t *testing.T) *canaryRun {
	outer := c.t
	c.t = t
	t.Cleanup(func() { c.t = outer })
	return c
}

// operators asks everything that operators may ask.
func (c *canaryRun) operators(t *testing.T) {
	c = c.within(t)
	get := func(target string) []byte {
		t.Helper()
		answer, err := http.Get("http://" + c.operator + target)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		c.look(target, text)
		c.lookKept(target, text)
		return text
	}
	if !bytes.Contains(get("/metrics"), []byte("llm_config_manager_")) {
		t.Error("there are no metrics")
	}
	index := get("/debug/pprof/")
	profiles := regexp.MustCompile(`href=['"]([a-z]+)\?`).FindAllSubmatch(index, -1)
	if len(profiles) < 6 {
		t.Errorf("only %d profiles are listed", len(profiles))
	}
	for _, p := range profiles {
		target := "/debug/pprof/" + string(p[1]) + "?seconds=1&debug="
		if slices.Contains([]string{"profile", "trace"}, string(p[1])) {
			get(target + "0")
			continue
		}
		target = strings.Replace(target, "seconds=1&", "", 1)
		for _, debug := range []string{"0", "1", "2"} {
			get(target + debug)
		}
	}
	get("/debug/pprof/cmdline")
}

// process looks at the server from outside, as others on its machine can.
func (c *canaryRun) process(t *testing.T) {
	c = c.within(t)
	c.lookAtProcess("the server", c.server.cmd.Process.Pid, false)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.server.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("the server may dump core:\n%s", limits)
	}
}

// lookAtProcess looks at what the system shows of a process to others of its
// user; inEnvironment says that it was asked to have the value there.
func (c *canaryRun) lookAtProcess(who string, pid int, inEnvironment bool) {
	c.t.Helper()
	for _, name := range []string{"cmdline", "environ", "comm", "status", "maps", "mountinfo"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		switch {
		case errors.Is(err, fs.ErrPermission) && name != "cmdline":
			continue // closed to others, as it should be
		case err != nil:
			c.t.Errorf("%s: %v", who, err)
		case name == "environ" && inEnvironment:
			if c.m.in(text) == "" {
				c.t.Errorf("%s: the value is not in the environment, where it was asked for", who)
			}
		default:
			if found := c.m.in(text); found != "" { // the rest of an environment is nobody's business
				c.t.Errorf("%s: its %s holds the value of a secret (%s)", who, name, found)
			}
		}
	}
}

// restore backs up keys and takes them back, while no server runs.
func (c *canaryRun) restore(t *testing.T) {
	c = c.within(t)
	file := filepath.Join(c.scan, "keys.backup")
	key := filepath.Join(c.data, "master.key")
	for _, verb := range []string{"backup", "restore"} {
		if _, code := c.command(nil, "key", verb, "-f", file, "--data", c.data, "--master-key-file", key); code != 0 {
			t.Errorf("key %s ended with %d", verb, code)
		}
	}
}

// crash makes a busy server print all its stacks, as an operator does to a
// server that hangs.
func (c *canaryRun) crash(t *testing.T) {
	c = c.within(t)
	c.start()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var busy, begun sync.WaitGroup
	for i := range 8 {
		begun.Add(1)
		busy.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if n == 3 {
					begun.Done()
				}
				if err := c.bother(ctx, i); err != nil && n > 3 {
					return // the server is gone
				}
			}
		})
	}
	begun.Wait()
	if err := c.server.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = c.server.cmd.Wait() // with an error, as it was told to
	cancel()
	busy.Wait()
	if log := c.ended(); !strings.Contains(log, "SIGQUIT: quit") || strings.Count(log, "goroutine ") < 10 {
		t.Errorf("there are no stacks in %.2000s", log)
	}
}

func (c *canaryRun) bother(ctx context.Context, i int) (err error) {
	to := c.server.client
	switch i % 4 {
	case 0:
		_, err = to.PutSecret(ctx, "base", "llm/busy", api.SecretInput{Fields: map[string]json.RawMessage{"value": quoted(c.m.core)}, Now: true})
	case 1:
		_, err = to.RevealSecret(ctx, "base", canaryPath, client.RevealOptions{})
	case 2:
		_, err = to.Config(ctx, "production", canaryPath, client.Read{Reveal: true})
	default:
		_, err = to.PutLayer(ctx, "base", fmt.Sprintf("busy/%d", i), []byte(canaryDocument), client.Write{})
	}
	return err
}

// logs looks at what servers said, at debug level and as they ended.
func (c *canaryRun) logs() {
	c.t.Helper()
	if strings.Count(c.said[0], `"level":"INFO"`) < 1000 {
		c.t.Errorf("hardly anything was logged: %.2000s", c.said[0])
	}
	for _, log := range c.said {
		told := 0
		for line := range strings.Lines(log) {
			if told < 10 && !c.lookAtLine([]byte(line)) {
				told++
			}
		}
	}
}

func (c *canaryRun) lookAtLine(line []byte) bool {
	c.t.Helper()
	clean := c.look("the log", line) && c.lookKept("the log", line)
	if found := c.stuffed.in(line); found != "" {
		c.t.Errorf("the log holds what stood in a request (%s): %.2000s", found, line)
		clean = false
	}
	for _, token := range c.tokens {
		if found := token.in(line); found != "" {
			c.t.Errorf("the log holds a token (%s): %.2000s", found, line)
			clean = false
		}
	}
	return clean
}

// files looks through everything that servers and commands left behind.
func (c *canaryRun) files() {
	c.t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(c.scan, func(name string, entry fs.DirEntry, err error) error {
		c.look("the name of a file", []byte(name))
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		seen[entry.Name()] = true
		text, err := os.ReadFile(name)
		if found := c.m.in(text); found != "" {
			c.t.Errorf("%s holds the value of a secret (%s)", name, found)
		}
		if found := c.rules.in(text); found != "" {
			c.t.Errorf("%s holds what stands in policies (%s)", name, found)
		}
		for _, token := range c.tokens {
			if found := token.in(text); found != "" {
				c.t.Errorf("%s holds a token (%s)", name, found)
			}
		}
		return err
	})
	if err != nil {
		c.t.Error(err)
	}
	for _, name := range []string{"data.db", "keys.db", "keys.backup"} {
		if !seen[name] {
			c.t.Errorf("there was no %s to look through", name)
		}
	}
}

// command runs the command line, with a text as its standard input, and looks
// for the marker in what it says.
func (c *canaryRun) command(stdin []byte, args ...string) (string, int) {
	c.t.Helper()
	out, code := c.commandAsked(stdin, c.environ(), args...)
	c.look("llm-config "+strings.Join(args, " "), []byte(out))
	return out, code
}

// commandAsked is command where the marker may be in the answer.
func (c *canaryRun) commandAsked(stdin []byte, environ []string, args ...string) (string, int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), c.patience(args))
	defer cancel()
	command := exec.CommandContext(ctx, "llm-config", args...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	command.Env, command.Dir, command.Stdin = environ, c.work, bytes.NewReader(stdin)
	out, err := command.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		c.t.Errorf("llm-config %v: %v", args, err)
	}
	return string(out), command.ProcessState.ExitCode()
}

// patience is how long a command may take: what follows changes never ends.
func (c *canaryRun) patience(args []string) time.Duration {
	if args[0] == "watch" {
		return time.Second
	}
	return time.Minute
}

func (c *canaryRun) environ(more ...string) []string {
	return slices.Concat(withoutRaceWait(), []string{
		envAddr + "=" + c.server.client.Address(), envToken + "=" + c.server.token, envTenant + "=default", envEnvironment + "=base", "EDITOR=true",
	}, more)
}
