package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
)

// revealing are the command lines that print values: a verb, and a flag of it or
// "" where it does so by itself in a pipe.
var revealing = map[string][]string{
	"llm-config secret get": {"", "--reveal", "-o value"},
	"llm-config get":        {"--reveal"},
}

// demanded are flags without which a verb does nothing. A verb that is not here
// is run all the same.
var demanded = map[string][]string{
	"llm-config break-glass request": {"--reason=canary"},
	"llm-config env set":             {"--isolate-secrets=false"},
	"llm-config env set-parent":      {"--root"},
	"llm-config key backup":          {"--file=never.backup"},
	"llm-config key generate":        {"--file=a.key"},
	"llm-config key retire":          {"--version=1"},
	"llm-config layer destroy":       {"--version=1"},
	"llm-config policy rollback":     {"--to=1"},
	"llm-config promote":             {"--from=base", "--to=production"},
	"llm-config rollback":            {"--to=2"},
	"llm-config secret activate":     {"--version=1"},
	"llm-config secret delete":       {"--force"},
	"llm-config secret destroy":      {"--version=1"},
	"llm-config secret rotate":       {"--generate=hex"},
	"llm-config secret update":       {"--owner=bird"},
}

// verbs runs every verb that the program has: with nothing, with a path, with
// what its usage names, with --help, and with the flags that change what it shows.
func (c *canaryRun) verbs(t *testing.T) {
	c = c.within(t)
	home := c.found("verbs")
	c.must(home.token, "PUT", api.Build(api.RouteEnvironment, home.tenant, "staging"), `{}`)
	c.must(home.token, "PUT", api.Build(api.RouteEnvironment, home.tenant, "production"), `{}`)
	var leaves []*cobra.Command
	everyCommand(newRootCommand(&app{}), func(v *cobra.Command) {
		if len(v.Commands()) == 0 {
			leaves = append(leaves, v)
		}
	})
	var running sync.WaitGroup
	var worked atomic.Int64
	slots := make(chan struct{}, 4)
	for i, leaf := range leaves {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if c.verb(home, leaf, fmt.Sprintf("walk/v%d", i)) {
				worked.Add(1)
			}
		})
	}
	running.Wait()
	if len(leaves) < 50 || int(worked.Load()) < len(leaves)*2/3 {
		t.Errorf("of %d verbs only %d worked", len(leaves), worked.Load())
	}
}

// verb runs one verb, on a secret and a document of its own.
func (c *canaryRun) verb(h habitat, v *cobra.Command, path string) (worked bool) {
	c.t.Helper()
	for range 2 {
		c.must(h.token, "PUT", api.Build(api.RouteSecret, h.tenant, "base", path), c.fields())
	}
	c.must(h.token, "PUT", api.Build(api.RouteLayer, h.tenant, "base", path), `{"a":"${secret:`+path+`}","b":{"c":"x ${secret:`+path+`#middle}"}}`)
	name := strings.Fields(v.CommandPath())[1:]
	h = c.provide(h, v, path)
	plausible := c.arguments(h, v, path)
	lines := [][]string{nil}
	for _, line := range [][]string{plausible, {path}} {
		if !slices.ContainsFunc(lines, func(known []string) bool { return slices.Equal(known, line) }) {
			lines = append(lines, line)
		}
	}
	for flag, values := range map[string][]string{"output": {"json"}, "reveal": {"true"}, "yes": {"true"}} {
		if v.Flags().Lookup(flag) == nil {
			continue
		}
		for _, value := range values {
			if slices.Contains(plausible, "--") {
				continue // behind the dashes are flags of another command
			}
			lines = append(lines, slices.Concat(plausible, []string{"--" + flag + "=" + value}))
		}
	}
	environ := c.environ(envToken+"="+h.token, envTenant+"="+h.tenant)
	switch {
	case name[0] == "tenant":
		environ = c.environ() // is the server's to do
	case name[0] == "break-glass":
		environ = c.environ(envToken+"="+c.approver, envTenant+"="+h.tenant)
	case v.CommandPath() == "llm-config quota set":
		environ = c.environ(envTenant + "=" + h.tenant)
	}
	var stdin []byte
	if name[0] == "secret" {
		stdin = []byte(c.m.core)
	}
	for _, line := range lines {
		args := slices.Concat(name, line)
		out, code := c.commandAsked(stdin, environ, args...)
		if !isRevealing(v.CommandPath(), line) {
			c.look("llm-config "+strings.Join(args, " "), []byte(out))
		}
		worked = worked || code == 0
	}
	c.helps(name)
	return worked
}

// provide makes what verbs about access work on: a policy file and a role of the
// verb's own, and for those about break-glass something that was asked for.
func (c *canaryRun) provide(h habitat, v *cobra.Command, path string) habitat {
	c.t.Helper()
	switch v.Parent().Name() {
	case "policy":
		c.must(h.token, "PUT", api.Build(api.RoutePolicy, h.tenant, ruleName(path)), `{"text":"permit (principal in Role::\"viewer\", action == Action::\"tag.read\", resource);"}`)
	case "role":
		c.must(h.token, "PUT", api.Build(api.RouteRole, h.tenant, ruleName(path)), `{"includes":["viewer"]}`)
	case "break-glass":
		var asked api.GrantResult
		if err := json.Unmarshal(c.must(c.asker, "POST", api.Build(api.RouteGrants, h.tenant), `{"reason":"canary"}`).body, &asked); err != nil {
			c.t.Error(err)
		}
		h.own = asked.Grant.ID
	}
	return h
}

// ruleName is a name for a policy file or a role of the verb that has a path.
func ruleName(path string) string { return strings.ReplaceAll(path, "/", "-") }

// helps shows a verb's help text, which needs no process of its own.
func (c *canaryRun) helps(name []string) {
	c.t.Helper()
	var out bytes.Buffer
	a := &app{stdin: strings.NewReader(c.m.core), stdout: &out, stderr: &out, getenv: os.Getenv, environ: os.Environ}
	if code := a.execute(c.t.Context(), append(slices.Clone(name), "--help")); code != 0 {
		c.t.Errorf("llm-config %v --help ended with %d", name, code)
	}
	c.look(fmt.Sprint(name, " --help"), out.Bytes())
}

func isRevealing(verb string, line []string) bool {
	joined := strings.ReplaceAll(strings.Join(line, " "), "--output=", "-o ") + " "
	for _, flag := range revealing[verb] {
		if flag != "" && strings.Contains(joined, flag) || flag == "" && !strings.Contains(joined, "-o ") {
			return true
		}
	}
	return false
}

// arguments makes of the words of a usage line what they may stand for. A word
// that is new is taken for a path.
func (c *canaryRun) arguments(h habitat, v *cobra.Command, path string) (args []string) {
	harmless := c.put("harmless.json", `{"a":1}`)
	if v.Parent().Name() == "policy" {
		harmless = c.put(ruleName(path)+".cedar", "permit (principal in Role::\"viewer\", action == Action::\"tag.read\", resource);")
	}
	defer func() { args = append(args, demanded[v.CommandPath()]...) }()
	if f := v.Flags().Lookup("file"); f != nil && v.Parent().Name() != "key" {
		args = append(args, "--file="+harmless)
	}
	for _, word := range strings.Fields(v.Use)[1:] {
		optional := strings.HasPrefix(word, "[")
		switch word = strings.Trim(word, "[]…"); {
		case word == "FIELD=@FILE|FIELD=-":
			args = append(args, "value=-")
		case word == "KEY=VALUE" && v.Parent().Name() == "quota":
			args = append(args, "watchers=none")
		case word == "ACTION":
			args = append(args, "config.read")
		case word == "NAME" && slices.Contains([]string{"policy", "role"}, v.Parent().Name()):
			args = append(args, ruleName(path))
		case word == "KEY=VALUE":
			args = append(args, "a=1")
		case word == "KEY":
			args = append(args, "a")
		case word == "--":
			args = append(args, word)
		case word == "COMMAND":
			args = append(args, "true")
		case word == "FILE":
			args = append(args, harmless)
		case word == "DIR":
			args = append(args, filepath.Join(c.work, strings.ReplaceAll(path, "/", "-")))
		case word == "REVISION":
			args = append(args, "2")
		case word == "ID":
			args = append(args, h.own)
		case word == "TENANT":
			args = append(args, h.tenant)
		case word == "NAME" && v.Parent().Name() == "tenant":
			args = append(args, map[bool]string{true: h.tenant, false: "of-" + strings.ReplaceAll(path, "/", "-")}[v.Name() == "get"])
		case word == "NAME" && v.Parent().Name() == "env" && v.Name() != "create":
			args = append(args, map[bool]string{true: "production", false: "staging"}[v.Name() == "get"])
		case word == "NAME":
			args = append(args, "mark")
		case optional && (word == "PREFIX" || word == "PARENT"):
		default:
			args = append(args, path)
		}
	}
	return args
}

// commands does with the command line what people do, values coming in by every
// way there is.
func (c *canaryRun) commands(t *testing.T) {
	c = c.within(t)
	works := func(stdin string, args ...string) string {
		t.Helper()
		out, code := c.command([]byte(stdin), args...)
		if code != 0 && code != 2 {
			t.Errorf("llm-config %v ended with %d: %s", args, code, out)
		}
		return out
	}
	fails := func(stdin string, args ...string) {
		t.Helper()
		if out, code := c.command([]byte(stdin), args...); code == 0 {
			t.Errorf("llm-config %v worked: %s", args, out)
		}
	}
	fields := c.put("fields.json", `{"user":"app","password":"`+c.m.core+`","more":{"`+c.m.core+`":["`+c.m.core+`"]}}`)
	dotenv := c.put("app.env", "LOG_LEVEL=debug\nOPENAI_API_KEY=sk-"+c.m.core+"\nDATABASE_URL='postgres://app:"+c.m.core+"@db/app'\nINTERNAL_TOKEN=\""+c.m.core+"\"\n")
	works(c.m.core, "secret", "set", "cli/one", "-m", "by standard input")
	works("", "secret", "set", "cli/one", "value=@"+c.secret, "--description", "by file")
	works(c.m.core, "secret", "set", "cli/bytes", "value=-", "--bytes", "value")
	works("", "secret", "set", "cli/json", "--json-file", fields)
	works("", "import", "dotenv", dotenv, "cli/env", "--dry-run")
	works("", "import", "dotenv", dotenv, "cli/env")
	works("", "import", "dotenv", dotenv, "cli/env", "--replace")
	fails("", "import", "dotenv", dotenv, "cli/env")
	for name, text := range map[string]string{
		"expands.env": "KEY=\"$(echo " + c.m.core + ")\"\n", "open.env": "KEY='" + c.m.core + "\n", "bare.env": c.m.core + "\n", "twice.env": "A_KEY=" + c.m.core + "\nA_KEY=" + c.m.core + "\n",
		"weak.env": "A_PASSWORD=" + c.m.core[:markerPiece] + "\n", "bad-name.env": "A " + c.m.core + "=" + c.m.core + "\n", "no-text.env": "KEY=" + c.m.core + "\xff\n",
	} {
		fails("", "import", "dotenv", c.put(name, text), "cli/wrong")
	}
	for name, text := range map[string]string{
		"cut.json": `{"value":"` + c.m.core, "list.json": `["` + c.m.core + `"]`, "bare.json": c.m.core, "twice.json": `{"value":"` + c.m.core + `","value":"` + c.m.core + `"}`, "key.json": `{"` + c.m.core + `":1,"` + c.m.core + `":1}`,
		"weak.json": `{"password":"` + c.m.core[:markerPiece] + `"}`, "number.json": `{"value":{"a":"` + c.m.core + `","b":1e999}}`, "large.json": `{"value":"` + strings.Repeat(c.m.core, 3000) + `"}`,
	} {
		fails("", "secret", "set", "cli/wrong", "--json-file", c.put(name, text))
		fails(text, "secret", "set", "cli/wrong", "--json-file", "-")
	}
	fails(c.m.core[:markerPiece], "secret", "set", "cli/weak")
	fails(strings.Repeat(c.m.core, 3000), "secret", "set", "cli/large")
	fails(c.m.core, "secret", "set", "cli/one", "--if-version", "77")
	fails(c.m.core, "secret", "set", "cli/one", "value=-", "other=-")
	fails("", "secret", "set", "cli/one", "value="+c.m.core)
	fails("", "secret", "set", "cli/one", c.m.core+"==")
	fails(c.m.core, "secret", "set", "cli/one", "-e", "nowhere")
	works(c.m.core, "secret", "set", "cli/one", "--stage")
	works("", "secret", "activate", "cli/one")
	works("", "secret", "diff", "cli/one")
	works("", "secret", "rotate", "cli/one", "--generate", "hex")
	works("", "secret", "revoke", "cli/one", "--now")
	works("", "set", "cli/uses", `key=${secret:cli/json#password}`, `more=${secret:cli/json#more}`)
	fails("", "secret", "delete", "cli/json")
	fails("", "get", "cli/uses", "-o", "env")
	works("", "promote", "--from", "base", "--to", "staging", "--all")
	works("", "export", filepath.Join(c.work, "exported"), "--all")
	works("", "apply", "-f", filepath.Join(c.work, "exported"))
	works("", "key", "generate", "-f", filepath.Join(c.data, "master.key"), "--add")
	works("", "key", "rotate", "--master")
	works("", "key", "rotate")
	works("", "__complete", "secret", "get", "")
	works("", "__complete", "get", "")
	for _, args := range [][]string{{"secret", "get", "cli/json#password"}, {"secret", "get", "cli/one", "--version", "1"}, {"get", "cli/uses", "--reveal"}, {"get", "cli/env", "--reveal"}} {
		if out, code := c.commandAsked(nil, c.environ(), args...); code != 0 || c.m.in([]byte(out)) == "" {
			t.Errorf("llm-config %v does not show the value: %d %s", args, code, out)
		}
	}
	works("", "secret", "delete", "cli/one", "--force")
	works("", "secret", "undelete", "cli/one")
	works("", "secret", "destroy", "cli/one", "--version", "1", "--yes")
}

// runs hands values to commands in every way, and looks at what the system
// shows of those commands and of what started them.
func (c *canaryRun) runs(t *testing.T) {
	c = c.within(t)
	c.must(c.server.token, "PUT", c.at(api.RouteLayer, "base", "run/env"), `{"key":"${secret:llm/canary}","text":"a ${secret:llm/canary#middle}","level":"debug"}`)
	c.must(c.server.token, "PUT", c.at(api.RouteSecret, "base", canaryPath), c.fields())
	folder := filepath.Join(c.input, "handed")
	for name, flags := range map[string][]string{
		"by file": nil, "in a folder": {"--secrets-dir", folder}, "in the environment": {"--secrets-env"}, "as references": {"--keep-references"}, "as JSON": {"--json"},
	} {
		for _, stays := range []bool{false, true} {
			args := slices.Concat([]string{"run", "run/env"}, flags)
			if stays {
				args = append(args, "--restart-on-change")
			}
			c.runOnce(name, args, stays, folder)
		}
	}
}

// runOnce runs a command that says its process's number and waits for its end.
func (c *canaryRun) runOnce(name string, args []string, stays bool, folder string) {
	t := c.t
	t.Helper()
	command := exec.CommandContext(t.Context(), "llm-config", slices.Concat(args, []string{"--", "sh", "-c", `echo $$; if [ -n "$KEY_FILE" ]; then cat "$KEY_FILE" > "$WANTED"; else printf %s "$KEY" > "$WANTED"; fi; echo ready; while [ ! -e "$ENOUGH" ]; do sleep 0.02; done`})...)
	got, enough := filepath.Join(c.input, "got"), filepath.Join(c.input, "enough")
	_ = os.Remove(enough)
	command.Env, command.Dir = c.environ("WANTED="+got, "ENOUGH="+enough), c.work
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	var word string
	if _, err := fmt.Fscan(out, &child, &word); err != nil {
		_ = command.Wait()
		t.Fatalf("%s: %v %s", name, err, said.String())
	}
	inEnvironment := name == "in the environment"
	c.lookAtProcess(name+", the command", child, inEnvironment)
	if stays == (child == command.Process.Pid) {
		t.Errorf("%s: the command is process %d, run is %d", name, child, command.Process.Pid)
	}
	if stays {
		c.lookAtProcess(name+", run itself", command.Process.Pid, false)
	}
	c.lookAtProcess(name+", the server", c.server.cmd.Process.Pid, false)
	if name == "in a folder" {
		c.wantFolder(folder)
	}
	if err := os.WriteFile(enough, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	c.look(name+", standard error", []byte(said.String()))
	text, err := os.ReadFile(got)
	if there := c.m.in(text) != ""; err != nil || there == (name == "as references") && name != "as JSON" {
		t.Errorf("%s: the command was given %q, %v", name, text, err)
	}
	if _, err := os.Stat(folder); name == "in a folder" && stays && err == nil {
		t.Error("run left its folder of secrets behind")
	}
	_ = os.RemoveAll(folder)
}

// wantFolder wants files that only their owner reads, one for each value.
func (c *canaryRun) wantFolder(folder string) {
	c.t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		c.t.Errorf("the folder has %v, %v", entries, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm()&^fs.FileMode(0o600) != 0 {
			c.t.Errorf("%s is %v, %v", entry.Name(), info.Mode(), err)
		}
	}
}
