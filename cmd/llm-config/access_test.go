package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
)

// teller answers each request with what the test says for its method and path
// below the tenant, and keeps what it was asked.
type teller struct {
	*session
	answers map[string]any // "GET /policies" → a body, or an api.Problem
	asked   []string       // method, URI below the tenant and body
}

const belowTenant = "/api/v1/tenants/acme"

func newTeller(t *testing.T, answers map[string]any) *teller {
	t.Helper()
	told := &teller{answers: answers}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		told.asked = append(told.asked, strings.TrimSpace(r.Method+" "+strings.TrimPrefix(r.RequestURI, belowTenant)+" "+string(body)))
		switch a := told.answers[r.Method+" "+strings.TrimPrefix(r.URL.Path, belowTenant)].(type) {
		case nil:
			problem(rw, api.Problem{Code: api.CodeNotFound, Detail: "not there"})
		case api.Problem:
			problem(rw, a)
		case string:
			rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(rw, a)
		default:
			answer(rw, a)
		}
	}))
	t.Cleanup(server.Close)
	told.session = newSession(t, &wire{url: server.URL})
	return told
}

// tells runs a command line that must end with the code and say these things,
// on standard output or, of an error, on the other.
func (s *teller) tells(t *testing.T, code int, line string, wants ...string) {
	t.Helper()
	s.out.Reset()
	s.err.Reset()
	s.asked = nil
	s.run(t, code, strings.Fields(line)...)
	for _, want := range wants {
		if all := s.out.String() + s.err.String(); !strings.Contains(all, want) {
			t.Errorf("%s does not say %q:\n%s", line, want, all)
		}
	}
}

// sends checks the last request of the command line before.
func (s *teller) sends(t *testing.T, want string) {
	t.Helper()
	if len(s.asked) == 0 {
		t.Errorf("nothing was sent, want %s", want)
		return
	}
	if got := s.asked[len(s.asked)-1]; got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
}

// refuses runs a command line that must send nothing.
func (s *teller) refuses(t *testing.T, line string, wants ...string) {
	t.Helper()
	s.tells(t, exitFailed, line, wants...)
	if len(s.asked) > 0 {
		t.Errorf("%s sent %s", line, s.asked)
	}
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestPolicyLists(t *testing.T) {
	s := newTeller(t, map[string]any{
		"GET /policies": api.PolicyList{
			Policies: []api.Policy{{Name: "night", Version: 3, Policies: 2, Tests: 4, Author: "ana", Time: noon}},
			Builtin:  []api.Policy{{Name: "roles", Policies: 5}},
		},
		"GET /policy-history/night": api.PolicyHistory{Versions: []api.Policy{
			{Name: "night", Version: 2, Revision: 9, Deleted: true, Author: "ana", Time: noon}, {Name: "night", Version: 1, Revision: 4, Policies: 1, Tests: 2, Author: "ben", Time: noon},
		}},
		"GET /policies/night": api.Policy{Name: "night", Version: 3, Text: "permit (principal, action, resource);\n\t// a\n"},
		"GET /policies/gone":  api.Policy{Name: "gone", Version: 2, Deleted: true},
	})
	s.tells(t, exitDone, "policy ls", "night  3         2         4      ana     2026-11-22T12:00:00Z\n", "roles  built-in  5         0      -       -\n")
	s.tells(t, exitDone, "policy ls -o value", "night\n")
	s.tells(t, exitDone, "policy history night", "VERSION  STATE    REVISION  TIME                  AUTHOR\n2        deleted  9 ", "1        live     4 ")
	s.tells(t, exitDone, "policy get night", "permit (principal, action, resource);\n\t// a\n")
	s.sends(t, "GET /policies/night")
	s.tells(t, exitDone, "policy get night --version v3 -o json", `"version": 3`)
	s.sends(t, "GET /policies/night?version=3")
	s.tells(t, exitFailed, "policy get gone", "gone was deleted in version 2, which has no text; `llm-config policy history gone`")
	s.tells(t, exitFailed, "policy get none", "not there")
	s.refuses(t, "policy get night --version 0", `a version is a number from 1 up, and "0" is none`)
	s.answers["GET /api/v1/policy-schema"] = "entity Role in [Role];\n"
	s.tells(t, exitDone, "policy schema", "entity Role in [Role];\n")
	s.tells(t, exitDone, "policy schema -o json", `"schema": "entity Role in [Role];\n"`)
}

func TestPolicyPut(t *testing.T) {
	odd := api.Finding{File: "night", Line: 3, Column: 5, Kind: "shadowed", Certainty: "certain", Message: "it never decides", Other: "roles/2:9"}
	refused := api.Finding{File: "night", Line: 1, Column: 1, Kind: "delegation", Refused: true, Message: "you may not read secrets"}
	failing := api.TestRun{Passed: 3, Failed: 1, Cases: []api.TestResult{{File: "day", Line: 7, Text: "allow role:viewer config.read", Want: "allow", Got: "deny", Reasons: []string{"no policy permits it"}}}}
	result := func(status string, tests api.TestRun, findings ...api.Finding) api.PolicyResult {
		return api.PolicyResult{Status: status, Revision: 12, Name: "night", Version: 4, Findings: findings, Tests: tests}
	}
	s := newTeller(t, map[string]any{"PUT /policies/night": result("committed", api.TestRun{Passed: 1}, odd)})
	file := written(t, "night.cedar", "text")
	s.tells(t, exitDone, "policy put night -f "+file+" -m why --if-version 0",
		"night:3:5  shadowed  certain    it never decides (roles/2:9)\n", "1 test case passed\nrevision 12: policy file night is version 4\n")
	s.sends(t, `PUT /policies/night {"text":"text","message":"why","if_version":0}`)
	s.tells(t, exitDone, "policy put night -o value -f "+file, "12\n")
	s.tells(t, exitDone, "policy put night -o json -f "+file, `"kind": "shadowed"`)

	s.answers["PUT /policies/night"] = result("unchanged", api.TestRun{})
	s.tells(t, exitDone, "policy put night -f "+file, "no test cases\nunchanged at revision 12\n")

	s.answers["PUT /policies/night"] = result("planned", api.TestRun{Passed: 2}, odd)
	s.tells(t, exitDone, "policy put night --dry-run -f "+file, "2 test cases passed\nplanned on revision 12; nothing is changed yet\n")
	s.sends(t, `PUT /policies/night {"text":"text","dry_run":true}`)
	s.answers["PUT /policies/night"] = result("planned", api.TestRun{Passed: 2}, odd, refused)
	s.tells(t, exitFailed, "policy put night --dry-run -f "+file, "night:1:1  delegation  -", "llm-config: night would be refused for 1 finding; mend")
	s.answers["PUT /policies/night"] = result("planned", failing)
	s.tells(t, exitFailed, "policy check -f "+file, "day:7  failed  allow  deny  allow role:viewer config.read  no policy permits it\n", "night would be refused: 3 test cases passed, 1 failed; ")
	s.sends(t, `PUT /policies/night {"text":"text","dry_run":true}`)

	s.answers["PUT /policies/night"] = api.Problem{Code: api.CodeInvalidPolicy, Detail: "2 things are wrong with the policies", Pointer: "3:5", Next: "mend them", Errors: []api.Violation{
		{Path: "night", Pointer: "3:5", Message: "there is no action config.raed"}, {Path: "day", Pointer: "7", Message: "the case fails"},
	}}
	s.tells(t, exitFailed, "policy put night -f "+file,
		"llm-config: 2 things are wrong with the policies; mend them\n  night:3:5: there is no action config.raed\n  day:7: the case fails\n")
	s.stdin = strings.NewReader("from a pipe")
	s.tells(t, exitFailed, "policy put night -f -")
	s.sends(t, `PUT /policies/night {"text":"from a pipe"}`)
	s.refuses(t, "policy put night", "no file is given; name one with -f FILE")
	s.refuses(t, "policy put night -f none.cedar", "cannot open none.cedar")
	s.refuses(t, "policy check -f "+written(t, "Night_Shift.cedar", ""), "does not tell what the policy file is called")
	s.stdin = strings.NewReader("")
	s.refuses(t, "policy check -f -", "standard input does not tell what the policy file is called; name it")
}

func TestPolicyDeleteAndRollback(t *testing.T) {
	s := newTeller(t, map[string]any{
		"DELETE /policies/night":        api.PolicyResult{Status: "committed", Revision: 13, Name: "night", Version: 5},
		"POST /policy-rollback/night":   api.PolicyResult{Status: "committed", Revision: 14, Name: "night", Version: 6},
		"POST /policy-rollback/unnamed": api.Problem{Code: api.CodeNotFound, Detail: "there is no version 9"},
	})
	s.tells(t, exitDone, "policy rm night --if-version 4 --dry-run -m bye", "revision 13: policy file night is deleted\n")
	s.sends(t, "DELETE /policies/night?dry_run=true&if_version=4&message=bye")
	s.tells(t, exitDone, "policy rollback night --to 2 --dry-run", "revision 14: policy file night is version 6\n")
	s.sends(t, `POST /policy-rollback/night {"to":2,"dry_run":true}`)
	s.refuses(t, "policy rollback night", "no version to return to is given; name it with --to; `llm-config policy history night` lists them")
	s.tells(t, exitFailed, "policy rollback unnamed --to 9", "there is no version 9")
}

func TestPolicyDiff(t *testing.T) {
	s := newTeller(t, map[string]any{"GET /policy-diff/night": api.PolicyDiff{Name: "night", From: 1, To: 2, Unified: "--- night 1\n+++ night 2\n@@ -1 +1 @@\n-a\n+b\n"}})
	s.tells(t, exitDifference, "policy diff night", "--- night 1\n+++ night 2\n@@ -1 +1 @@\n-a\n+b\n")
	s.sends(t, "GET /policy-diff/night")
	s.tells(t, exitDifference, "policy diff night --from 1 --to v2 -o json", `"unified": "--- night`)
	s.sends(t, "GET /policy-diff/night?from=1&to=2")
	s.answers["GET /policy-diff/night"] = api.PolicyDiff{Name: "night", From: 1, To: 3}
	s.tells(t, exitDone, "policy diff night --from 1", "no difference between versions 1 and 3 of night\n")
	var out strings.Builder
	printUnified(&printer{w: &out, terminal: true, colour: true}, &api.PolicyDiff{Unified: "--- a\n@@ -1 +1 @@\n-a\n+\tb\x1b[0m\n c\n"})
	if want := "\x1b[1m--- a\x1b[0m\n\x1b[2m@@ -1 +1 @@\x1b[0m\n\x1b[31m-a\x1b[0m\n\x1b[32m+\tb\\x1b[0m\x1b[0m\n c\n"; out.String() != want {
		t.Errorf("on a terminal %q\nwant %q", out.String(), want)
	}
}

func TestPolicyTests(t *testing.T) {
	s := newTeller(t, map[string]any{"POST /policy-test": api.TestReport{Tests: api.TestRun{Passed: 5}}})
	file := written(t, "night.cedar", "text")
	s.tells(t, exitDone, "policy test", "5 test cases passed\n")
	s.sends(t, `POST /policy-test {}`)
	s.tells(t, exitDone, "policy test --all -f "+file)
	s.sends(t, `POST /policy-test {"name":"night","text":"text","all":true}`)
	s.tells(t, exitDone, "policy test other -f "+file)
	s.sends(t, `POST /policy-test {"name":"other","text":"text"}`)
	s.refuses(t, "policy test night", "no file is given for night; name one with -f FILE")
	s.answers["POST /policy-test"] = api.TestReport{Tests: api.TestRun{Passed: 1, Failed: 1, Cases: []api.TestResult{{File: "night", Line: 2, Text: "deny x", Want: "deny", Got: "allow"}}}}
	s.tells(t, exitFailed, "policy test", "night:2  failed  deny  allow  deny x  -\n", "llm-config: 1 test case passed, 1 failed; mend")
	s.tells(t, exitFailed, "policy test -o value", "night:2\n")
	s.answers["POST /policy-test"] = api.TestReport{Findings: []api.Finding{{File: "night", Line: 2, Kind: "syntax", Refused: true, Message: "a word too many"}}}
	s.tells(t, exitFailed, "policy test -f "+file, "night would be refused for 1 finding")
}

func TestPolicySimulation(t *testing.T) {
	s := newTeller(t, map[string]any{"POST /policy-simulate": api.Simulation{Decisions: 40, Changed: []api.SimulatedChange{
		{Principal: `Token::"t1"`, Name: "ci", Action: "config.write", Resource: `Document::"staging/a"`, Last: noon, Before: "allow", After: "deny", Reasons: []string{"night/1 forbids it"}},
	}}})
	file := written(t, "night.cedar", "text")
	s.tells(t, exitDifference, "policy simulate night -f "+file, `Token::"t1"  ci    config.write  Document::"staging/a"  2026-11-22T12:00:00Z  allow   deny   night/1 forbids it`, "of 40 decisions, 1 would have been another\n")
	s.sends(t, `POST /policy-simulate {"name":"night","text":"text","limit":1000}`)
	s.answers["POST /policy-simulate"] = api.Simulation{Decisions: 40}
	s.tells(t, exitDone, "policy simulate night --delete --limit 5", "of 40 decisions, 0 would have been another\n")
	s.sends(t, `POST /policy-simulate {"name":"night","limit":5}`)
	s.refuses(t, "policy simulate night", "neither a file nor --delete is given")
	s.refuses(t, "policy simulate night --delete -f "+file, "--file and --delete exclude each other")
	s.refuses(t, "policy simulate night --delete --limit 0", "--limit is how many")
}

func TestPolicyEdit(t *testing.T) {
	file := api.Policy{Name: "night", Version: 3, Text: "// theirs\nold\n"}
	done := api.PolicyResult{Status: "committed", Revision: 9, Name: "night", Version: 4}
	refusal := api.Problem{Code: api.CodeInvalidPolicy, Detail: "1 thing is wrong", Errors: []api.Violation{{Path: "night", Pointer: "2:1", Message: "no \x1b[31msuch\n action"}}}

	s := newTeller(t, map[string]any{"GET /policies/night": file, "PUT /policies/night": done})
	shown := editor(t, s.session, `sed -i s/old/new/ "$1"`)
	s.tells(t, exitDone, "policy edit night -m why", "revision 9: policy file night is version 4\n")
	s.sends(t, `PUT /policies/night {"text":"// theirs\nnew\n","message":"why","if_version":3}`)
	if want := "//: night, version 3. An empty file changes nothing.\n// theirs\nold\n"; shown(0) != want {
		t.Errorf("the editor showed %q, want %q", shown(0), want)
	}
	if kept := keptFile(t, s.session); kept != "" {
		t.Errorf("it kept %q", kept)
	}

	for _, step := range []string{"true", `: > "$1"`} {
		editor(t, s.session, step)
		s.tells(t, exitDone, "policy edit night", "unchanged\n")
		keptFile(t, s.session)
	}

	s.answers["PUT /policies/night"] = refusal
	shown = editor(t, s.session, `sed -i s/old/worse/ "$1"`, "true")
	s.tells(t, exitFailed, "policy edit night", "nothing was written; your text is in ")
	if kept := keptFile(t, s.session); kept != "// theirs\nworse\n" {
		t.Errorf("it kept %q", kept)
	}
	if want := "//: REFUSED: 1 thing is wrong\n//: night:2:1: no \\x1b[31msuch\n//:  action\n//: Save it as it is, or empty, to leave it.\n// theirs\nworse\n"; shown(1) != want {
		t.Errorf("the editor showed %q, want %q", shown(1), want)
	}

	s.answers["PUT /policies/night"] = api.Problem{Code: api.CodeForbidden, Detail: "it gives too much", Errors: refusal.Errors}
	editor(t, s.session, `sed -i s/old/more/ "$1"`, ": > \"$1\"")
	s.tells(t, exitFailed, "policy edit night", "nothing was written; your text is in ")
	if kept := keptFile(t, s.session); kept != "// theirs\nmore\n" {
		t.Errorf("it kept %q", kept)
	}
	s.answers["PUT /policies/night"] = api.Problem{Code: api.CodeForbidden, Detail: "you may not"}
	editor(t, s.session, `sed -i s/old/more/ "$1"`)
	s.tells(t, exitFailed, "policy edit night", "you may not; your text is in ")

	s.answers["PUT /policies/night"] = api.Problem{Code: api.CodePreconditionFailed, Detail: "night is at version 4"}
	editor(t, s.session, `echo more >> "$1"`)
	s.tells(t, exitFailed, "policy edit night", "night is at version 4; your text is in ")
	if kept := keptFile(t, s.session); !strings.HasSuffix(kept, "// theirs\nold\nmore\n") {
		t.Errorf("it kept %q", kept)
	}
	editor(t, s.session, "exit 3")
	s.tells(t, exitFailed, "policy edit night", "the editor failed: exit status 3; your text is in ")

	delete(s.answers, "GET /policies/night")
	s.answers["GET /policies"], s.answers["PUT /policies/night"] = api.PolicyList{}, done
	editor(t, s.session, `echo new >> "$1"`)
	s.tells(t, exitDone, "policy edit night")
	s.sends(t, `PUT /policies/night {"text":"new\n","if_version":0}`)
	delete(s.answers, "GET /policies")
	s.tells(t, exitFailed, "policy edit night", "not there")
}

func TestRoles(t *testing.T) {
	deployer := api.Role{Name: "deployer", Description: "writes staging", Includes: []string{"viewer"}, Version: 2, Author: "ana", Time: &noon}
	s := newTeller(t, map[string]any{
		"GET /roles":                  api.RoleList{Roles: []api.Role{{Name: "viewer", Builtin: true, Description: "reads"}, deployer}},
		"GET /roles/deployer":         deployer,
		"PUT /roles/deployer":         api.RoleResult{Status: "committed", Revision: 7, Role: api.Role{Name: "deployer", Version: 3}, Tests: api.TestRun{Passed: 2}},
		"PUT /roles/new":              api.RoleResult{Status: "unchanged", Revision: 7, Role: api.Role{Name: "new", Version: 1}},
		"DELETE /roles/deployer":      api.RoleResult{Status: "committed", Revision: 8, Role: api.Role{Name: "deployer", Version: 4}},
		"GET /role-history/deployer":  api.PolicyHistory{Versions: []api.Policy{{Name: "deployer", Version: 2, Revision: 6, Author: "ana", Time: noon}}},
		"GET /roles/unreadable":       api.Problem{Code: api.CodeForbidden, Detail: "you may not"},
		"DELETE /roles/unforgettable": api.Problem{Code: api.CodeInUse, Detail: "it is included", Errors: []api.Violation{{Path: "deployer", Message: "includes it"}}},
	})
	s.tells(t, exitDone, "role ls", "viewer    -         built-in  -       -                     reads\n", "deployer  viewer    2         ana     2026-11-22T12:00:00Z  writes staging\n")
	s.tells(t, exitDone, "role get deployer --version 1 -o value", "deployer\n")
	s.sends(t, "GET /roles/deployer?version=1")
	s.tells(t, exitDone, "role set deployer --include viewer,operator -m more", "2 test cases passed\nrevision 7: role deployer is version 3\n")
	s.sends(t, `PUT /roles/deployer {"description":"writes staging","includes":["viewer","operator"],"message":"more","if_version":2}`)
	s.tells(t, exitDone, "role set deployer --description less")
	s.sends(t, `PUT /roles/deployer {"description":"less","includes":["viewer"],"if_version":2}`)
	s.tells(t, exitDone, "role set deployer --include=")
	s.sends(t, `PUT /roles/deployer {"description":"writes staging","if_version":2}`)
	s.tells(t, exitDone, "role set new --include viewer", "unchanged at revision 7\n")
	s.sends(t, `PUT /roles/new {"includes":["viewer"],"if_version":0}`)
	s.tells(t, exitFailed, "role set unreadable", "you may not")
	s.tells(t, exitDone, "role rm deployer --if-version 3 -m bye", "revision 8: role deployer is deleted\n")
	s.sends(t, "DELETE /roles/deployer?if_version=3&message=bye")
	s.tells(t, exitFailed, "role delete unforgettable", "it is included\n  deployer: includes it\n")
	s.tells(t, exitDone, "role history deployer", "VERSION  STATE  REVISION  TIME                  AUTHOR\n2        live   6 ")
}

func TestExplain(t *testing.T) {
	permit := api.DecidedBy{Policy: "operator", Line: 3, Column: 1, Effect: "permit", Text: "permit (\n  principal\n);\n"}
	forbid := api.DecidedBy{File: "night", Policy: "1", Line: 2, Column: 1, Effect: "forbid", Text: "forbid (principal);"}
	s := newTeller(t, map[string]any{"POST /authz/explain": api.ExplainedDecision{
		Decision: "deny", Principal: `Token::"t1"`, Roles: []string{"operator"}, Action: "config.write", Resource: `Document::"staging/a"`,
		Reasons: []string{"night/1 forbids it"}, Deciding: []api.DecidedBy{forbid}, Missing: []string{"context.source"},
		Failed: []api.FailedPolicy{{DecidedBy: forbid, Message: "no such attribute"}}, Needed: []api.NeededPermits{{DecidedBy: permit, Lacking: []string{"role admin"}}},
	}})
	s.tells(t, exitDifference, "authz explain config.write a", `deny  config.write on Document::"staging/a"
for Token::"t1", roles operator
  night/1 forbids it

decided by
  forbid 1 (night:2:1)
    forbid (principal);

could not be evaluated, each of which is a deny
  forbid 1 (night:2:1)
    forbid (principal);
    no such attribute

looked at, and not there
  context.source

would permit it, but for
  permit operator (built-in:3:1)
    permit (
      principal
    );
    role admin
`)
	s.sends(t, `POST /authz/explain {"action":"config.write","environment":"staging","path":"a"}`)
	s.tells(t, exitDifference, "authz explain config.write a -o value", "deny\n")
	s.answers["POST /authz/explain"] = api.ExplainedDecision{Decision: "allow", Principal: "anybody"}
	for line, want := range map[string]string{
		"policy.write":                                                           `{"action":"policy.write"}`,
		"environment.read -e qa":                                                 `{"action":"environment.read","environment":"qa"}`,
		"config.read --prefix gateway":                                           `{"action":"config.read","environment":"staging","prefix":"gateway"}`,
		"secret.read a/b --secret -e qa --for token:t1":                          `{"action":"secret.read","environment":"qa","path":"a/b","secret":true,"token":"t1"}`,
		"tag.read --for role:a,b --role c":                                       `{"action":"tag.read","roles":["a","b","c"]}`,
		"tag.read --role c --time 2026-11-22T03:00:00Z":                          `{"action":"tag.read","roles":["c"],"time":"2026-11-22T03:00:00Z"}`,
		"tag.read --for workload:spiffe://td/x --role a":                         `{"action":"tag.read","principal":"workload:spiffe://td/x","roles":["a"]}`,
		"tag.read --source 10.1.2.3 --certificate dns:ci":                        `{"action":"tag.read","source":"10.1.2.3","certificate":"dns:ci"}`,
		"tag.read --for identity:gh:repo:x --claim a=1 --claim a=b=c --claim b=": `{"action":"tag.read","principal":"identity:gh:repo:x","claims":{"a":["1","b=c"],"b":[""]}}`,
	} {
		s.tells(t, exitDone, "authz explain "+line, "allow  ", "for anybody, roles none\n")
		s.sends(t, "POST /authz/explain "+want)
	}
	s.refuses(t, "authz explain config.read a --prefix b", "a path and --prefix exclude each other")
	s.refuses(t, "authz explain config.read a//b", "a//b")
	s.refuses(t, "authz explain tag.read --for ana", `"ana" says nobody; write --for token:ID`)
	s.refuses(t, "authz explain tag.read --for user:ana", `there is no kind of principal "user"`)
	s.refuses(t, "authz explain tag.read --for token:t1 --role viewer", "a token has its own roles")
	s.refuses(t, "authz explain tag.read --claim a", `"a" is not NAME=VALUE`)
	s.refuses(t, "authz explain tag.read --time noon", `"noon" is not a time; write it like`)
	delete(s.env, envEnvironment)
	s.refuses(t, "authz explain config.read a", "no environment is given; name one with --env, -e")
}

func TestTokenRights(t *testing.T) {
	s := newTeller(t, map[string]any{"POST /tokens": api.IssuedToken{Token: api.Token{ID: "t1", Name: "ci"}, Value: "v"}})
	s.tells(t, exitDone, "token create ci --role viewer,deployer --only-env staging --path gateway --path models --action config.read --address 10.1.0.0/16 --certificate dns:ci.example.com", "token ci (t1)")
	s.sends(t, `POST /tokens {"name":"ci","ttl_seconds":2592000,"roles":["viewer","deployer"],"environments":["staging"],"paths":["gateway","models"],"actions":["config.read"],"addresses":["10.1.0.0/16"],"certificate":"dns:ci.example.com"}`)
	s.tells(t, exitDone, "token create ci --ttl 1h")
	s.sends(t, `POST /tokens {"name":"ci","ttl_seconds":3600}`)
	s.refuses(t, "token create ci -e staging", "unknown shorthand flag: 'e'")

	der := derCertificate(t)
	sum := sha256.Sum256(der)
	file := written(t, "edge.pem", "a comment\n"+string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}))+string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.tells(t, exitDone, "token create edge --certificate @"+file)
	s.sends(t, `POST /tokens {"name":"edge","ttl_seconds":2592000,"certificate":"`+hex.EncodeToString(sum[:])+`"}`)
	s.refuses(t, "token create edge --certificate @none.pem", "cannot open none.pem")
	s.refuses(t, "token create edge --certificate @"+written(t, "key.pem", "nothing"), "holds no certificate; name the PEM file with the client's certificate")
	s.refuses(t, "token create edge --certificate @"+written(t, "bad.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))), "cannot be read")

	all := api.TokenRights{Roles: []string{"deployer", "viewer"}, Environments: []string{"staging", "qa"}, Paths: []string{"gateway"}, Actions: []string{"config.read"}, Addresses: []string{"10.1.0.0/16"}, Certificate: hex.EncodeToString(sum[:])}
	s.answers["GET /tokens"] = api.TokenList{Tokens: []api.Token{
		{ID: "t1", Name: "ci", Tenant: "acme", TokenRights: all, LastUsed: &noon, Author: "ana", Created: noon, Expires: noon},
		{ID: "t2", Name: "ops", Tenant: "acme", TenantAdmin: true, ServerAdmin: true, Author: "ana", Created: noon, Expires: noon, Revoked: &noon},
		{ID: "t3", Name: "none", Tenant: "acme", Author: "ana", Created: noon, Expires: noon},
	}}
	s.tells(t, exitDone, "token ls", "ID  NAME  ROLES                ", "LAST USED",
		"t1  ci    deployer, viewer     in staging, qa; below gateway; config.read; from 10.1.0.0/16; with certificate "+hex.EncodeToString(sum[:])[:12]+"…  2026",
		"t2  ops   server admin, admin  -  ", "t3  none  none ")
	s.answers["GET /api/v1/identity"] = api.Identity{ID: "t1", Name: "ci", Method: "token", Tenant: "acme", Roles: all.Roles, TokenRights: &api.TokenRights{Paths: []string{"gateway"}, Certificate: "dns:ci"}, Expires: noon}
	s.tells(t, exitDone, "whoami", "ci    t1  token  deployer, viewer of acme  below gateway; with dns:ci  2026-11-22T12:00:00Z\n")
	s.answers["GET /api/v1/identity"] = api.Identity{ID: "o", Name: "ana", Method: "identity", ServerAdmin: true, Expires: noon}
	s.tells(t, exitDone, "whoami", "ana   o   identity  server admin  -         2026-11-22T12:00:00Z\n")
}

func TestBreakGlass(t *testing.T) {
	later := noon.Add(time.Hour)
	grant := api.Grant{ID: "g1", State: "requested", Role: "operator", Reason: "incident 4711", Requester: "a1", Name: "ana", Requested: noon, Seconds: 3600, Expires: &later}
	active := grant
	active.State, active.Approver = "active", "b2"
	ended := active
	ended.State, ended.EndedBy, ended.Ended = "ended", "c3", &noon
	s := newTeller(t, map[string]any{
		"GET /grants":             api.GrantList{Grants: []api.Grant{active, grant, ended}},
		"POST /grants":            api.GrantResult{Status: "committed", Revision: 4, Grant: grant},
		"POST /grants/g1/approve": api.GrantResult{Status: "committed", Revision: 5, Grant: active},
		"DELETE /grants/g1":       api.GrantResult{Status: "committed", Revision: 6, Grant: ended},
		"DELETE /grants/g2":       api.GrantResult{Status: "unchanged", Revision: 6, Grant: ended},
	})
	s.tells(t, exitDone, "break-glass request --role operator --reason incident --for 90m", "revision 4: operator of acme is asked for, as g1; another administrator of the server approves it: `llm-config break-glass approve -t acme g1`\n")
	s.sends(t, `POST /grants {"role":"operator","reason":"incident","seconds":5400}`)
	s.tells(t, exitDone, "break-glass request --reason incident -o value", "g1\n")
	s.sends(t, `POST /grants {"reason":"incident"}`)
	s.refuses(t, "break-glass request --role operator", "no reason is given; say why with --reason")
	s.refuses(t, "break-glass request --reason x --for soon", "write a duration like 12h")
	s.tells(t, exitDone, "break-glass approve g1", "revision 5: ana is operator of acme until 2026-11-22T13:00:00Z\n")
	s.sends(t, "POST /grants/g1/approve")
	s.tells(t, exitDone, "break-glass end g1 -m over", "revision 6: ana is no longer operator of acme\n")
	s.sends(t, "DELETE /grants/g1?message=over")
	s.tells(t, exitDone, "break-glass end g2", "unchanged at revision 6\n")
	s.tells(t, exitDone, "break-glass ls",
		"g1  active     operator  ana  2026-11-22T12:00:00Z  b2           2026-11-22T13:00:00Z  -         incident 4711\n",
		"g1  requested  operator  ana  2026-11-22T12:00:00Z  -            2026-11-22T13:00:00Z  -         incident 4711\n",
		"g1  ended      operator  ana  2026-11-22T12:00:00Z  b2           2026-11-22T12:00:00Z  c3        incident 4711\n")
	s.tells(t, exitFailed, "break-glass approve none", "not there")
}

func TestQuota(t *testing.T) {
	quota := api.Quota{Version: 3, Limits: api.QuotaLimits{Watchers: new(int64(5)), Documents: new(int64(0)), Bytes: new(int64(512 << 20))}, Used: api.QuotaUsed{Watchers: 5, Documents: 17, Bytes: 1500, Secrets: 2}}
	s := newTeller(t, map[string]any{"GET /quota": quota, "PUT /quota": quota})
	s.tells(t, exitDone, "quota show", `LIMIT                USED    ALLOWED
requests-per-minute  -       default
watchers             5       5
connections          0       default
documents            17      no limit
bytes                1.5KiB  512MiB
secrets              2       default
`)
	s.tells(t, exitDone, "quota show -o value", "requests-per-minute=default\nwatchers=5\nconnections=default\ndocuments=none\nbytes=536870912\n")
	s.tells(t, exitDone, "quota set requests-per-minute=600 watchers=default secrets=none bytes=1GiB -m agreed", "LIMIT")
	s.sends(t, `PUT /quota {"limits":{"requests_per_minute":600,"documents":0,"bytes":1073741824,"secrets":0},"message":"agreed","if_version":3}`)
	for arg, want := range map[string]string{
		"watchers":             `"watchers" is not KEY=VALUE`,
		"wachters=1":           `there is no limit "wachters"; there are requests-per-minute, watchers,`,
		"watchers=many":        "watchers=many is no number; write it like watchers=600",
		"watchers=0":           "watchers=0 would allow nothing; give at least 1; none is no limit",
		"watchers=-1":          "would allow nothing",
		"watchers=1MiB":        "watchers=1MiB is no number",
		"bytes=1MB":            "bytes=1MB is no size; write it like 512MiB",
		"bytes=0KiB":           "would allow nothing",
		"bytes=9999999999TiB":  "is no size",
		"bytes=":               "is no size",
		"bytes=1 watchers=2 x": `"x" is not KEY=VALUE`,
		"bytes=1 bytes=2":      "bytes is given twice",
	} {
		s.refuses(t, "quota set "+arg, want)
	}
}

// What is wrong is said of the flag that gave it.
func TestAccessMistakesNameTheirFlags(t *testing.T) {
	for line, at := range map[string]struct{ route, pointer, want string }{
		"token create ci --role none":                {"POST /tokens", "/roles/0", "wrong (in --role)"},
		"token create ci --only-env none":            {"POST /tokens", "/environments/0", "wrong (in --only-env)"},
		"token create ci --path a":                   {"POST /tokens", "/paths", "wrong (in --path)"},
		"token create ci --address 1":                {"POST /tokens", "/addresses/0", "wrong (in --address)"},
		"token create ci --certificate x":            {"POST /tokens", "/certificate", "wrong (in --certificate)"},
		"authz explain tag.read --claim a=1":         {"POST /authz/explain", "/claims", "wrong (in --claim)"},
		"authz explain tag.read --for token:x":       {"POST /authz/explain", "/token", "wrong (in --for)"},
		"authz explain tag.read --source x":          {"POST /authz/explain", "/source", "wrong (in --source)"},
		"break-glass request --reason x --for 5h":    {"POST /grants", "/seconds", "wrong (in --for)"},
		"break-glass request --reason x --role king": {"POST /grants", "/role", "wrong (in --role)"},
		"role set new --include none":                {"PUT /roles/new", "/includes/0", "wrong (in --include)"},
	} {
		s := newTeller(t, map[string]any{at.route: api.Problem{Code: api.CodeBadRequest, Detail: "wrong", Pointer: at.pointer}})
		s.tells(t, exitFailed, line, at.want)
	}
}

func TestWatchGoesOnWhenItIsTooMany(t *testing.T) {
	for code, want := range map[api.Code]bool{api.CodeRateLimited: false, api.CodeForbidden: true, api.CodeNotFound: true, api.CodeOverloaded: false} {
		if got := final(&api.Problem{Code: code, Status: code.Status()}); got != want {
			t.Errorf("%s ends a watch: %t", code, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1 << 10: "1KiB", 1500: "1.5KiB", 512 << 20: "512MiB", 1<<20 + 1: "1.0MiB", 3 << 40: "3TiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d is shown as %s, want %s", n, got, want)
		}
	}
	for _, text := range []string{"1KiB", "512MiB", "2GiB", "4TiB"} {
		n, err := parseSize(text)
		if err != nil || sizeText(n) != text {
			t.Errorf("%s is read as %d, %v", text, n, err)
		}
	}
}

func TestAccessNamesComplete(t *testing.T) {
	s := newTeller(t, map[string]any{
		"GET /policies": api.PolicyList{Policies: []api.Policy{{Name: "night"}}, Builtin: []api.Policy{{Name: "roles"}}},
		"GET /roles":    api.RoleList{Roles: []api.Role{{Name: "viewer"}, {Name: "deployer"}}},
	})
	for line, want := range map[string]string{
		"policy get": "night\n:4\n", "policy rollback": "night\n:4\n", "policy put": "night\n:4\n", "policy get night": ":4\n",
		"role set": "viewer\ndeployer\n:4\n", "token create x --role": "viewer\ndeployer\n:4\n", "authz explain a --role": "viewer\ndeployer\n:4\n",
	} {
		s.out.Reset()
		s.run(t, exitDone, append(append([]string{"__complete"}, strings.Fields(line)...), "")...)
		if diff := cmp.Diff(want, s.out.String()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", line, diff)
		}
	}
	s.answers = nil
	s.out.Reset()
	s.run(t, exitDone, "__complete", "policy", "get", "")
	if s.out.String() != ":4\n" {
		t.Errorf("of a server that cannot be asked: %q", s.out.String())
	}
}

// Every table of the group has its JSON as well, with the names of the wire.
func TestAccessAnswersAsJSON(t *testing.T) {
	s := newTeller(t, map[string]any{
		"GET /policies": api.PolicyList{}, "GET /roles": api.RoleList{}, "GET /grants": api.GrantList{}, "GET /quota": api.Quota{},
		"GET /policy-history/a": api.PolicyHistory{}, "GET /role-history/a": api.PolicyHistory{},
		"POST /policy-test": api.TestReport{}, "POST /policy-simulate": api.Simulation{}, "POST /authz/explain": api.ExplainedDecision{Decision: "allow"},
	})
	for _, line := range []string{"policy ls", "role ls", "break-glass ls", "quota show", "policy history a", "role history a", "policy test", "policy simulate a --delete", "authz explain a"} {
		s.tells(t, exitDone, line+" -o json")
		if !json.Valid(s.out.Bytes()) {
			t.Errorf("%s -o json: %s", line, &s.out)
		}
		s.tells(t, exitDone, line+" -o yaml")
	}
}

// derCertificate is a certificate that nobody issued.
func derCertificate(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: noon}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
