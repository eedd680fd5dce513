package policy

import (
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func TestTestCasesReadAndPrint(t *testing.T) {
	for line, want := range map[string]string{
		`//test allow role:deployer config.write document staging/gateway/models`:                "",
		"  //test\tdeny \t role:viewer,operator secret.read   secret production/openai ":         `//test deny role:viewer,operator secret.read secret production/openai`,
		`//test deny token:t1 as role:viewer config.read folder production/gateway`:              "",
		`//test deny token:"a b" environment.read environment production`:                        "",
		`//test deny "token:a b" environment.read environment production`:                        `//test deny token:"a b" environment.read environment production`,
		`//test allow identity:ci:repo:acme/x:ref tag.read tenant method=identity`:               "",
		`//test allow workload:spiffe://td/ns/x as role:application ack.write tenant`:            "",
		`//test allow workload:dns:eu.example.org config.read environment production`:            "",
		`//test deny role:viewer secret.list secret p/a claim.team="a b" claim.team=c label.x=`:  `//test deny role:viewer secret.list secret p/a claim.team="a b" claim.team=c label.x=""`,
		`//test deny role:viewer secret.list secret p/a time=2026-11-22T03:00:00Z source=::1`:    "",
		`//test deny role:viewer secret.list secret p/a certificate.spiffe=spiffe://a/b`:         "",
		`//test deny role:viewer secret.list secret p/a certificate.dns=a certificate.dns=b`:     "",
		`//test deny role:viewer secret.list secret p/a method=certificate label.a="\u00e9\t\""`: `//test deny role:viewer secret.list secret p/a method=certificate label.a="é\t\""`,
	} {
		if want == "" {
			want = line
		}
		c, fault := parseTestLine(line)
		if fault != nil {
			t.Errorf("%s: column %d: %s", line, fault.column, fault.message)
		} else if c.String() != want {
			t.Errorf("%s\nprints as %s", line, c)
		}
	}
}

func TestMalformedTestCases(t *testing.T) {
	for line, want := range map[string]struct {
		column  int
		message string
	}{
		`//test`:                                                                    {7, "neither allow nor deny"},
		`//test maybe role:x`:                                                       {8, "neither allow nor deny"},
		`//test allow`:                                                              {13, "who asks"},
		`//test allow rôle:x`:                                                       {14, "who asks"},
		`//test allow token:`:                                                       {14, "who asks"},
		`//test allow identity:me`:                                                  {14, "who asks"},
		`//test allow identity:Me:x`:                                                {14, "who asks"},
		`//test allow workload:eu`:                                                  {14, "who asks"},
		`//test allow workload:spiffe://`:                                           {14, "who asks"},
		`//test allow role:`:                                                        {14, "roles are written"},
		`//test allow role:a,`:                                                      {14, "roles are written"},
		`//test allow role:A`:                                                       {14, "roles are written"},
		`//test allow token:é as viewer`:                                            {25, "roles are written"},
		`//test allow role:a as role:b`:                                             {21, "no action"},
		`//test allow role:a config.guess`:                                          {21, "no action"},
		`//test allow role:a view`:                                                  {21, "no action"},
		`//test allow role:a config.read`:                                           {32, "what is asked for"},
		`//test allow role:a config.read path gateway`:                              {33, "what is asked for"},
		`//test allow role:a config.read secret p/a`:                                {33, "never taken"},
		`//test allow role:a tag.read environment p`:                                {30, "never taken"},
		`//test allow role:a config.read document p`:                                {42, "not called"},
		`//test allow role:a config.read document p/../a`:                           {42, "not called"},
		`//test allow role:a config.read document P/a`:                              {42, "not called"},
		`//test allow role:a config.read folder p/`:                                 {40, "not called"},
		`//test allow role:a config.read environment p/a`:                           {45, "not called"},
		`//test allow role:a config.read environment p now`:                         {47, "key=value"},
		`//test allow role:a config.read environment p color=red`:                   {47, "not by color="},
		`//test allow role:a config.read environment p label.a=b`:                   {47, "cannot be"},
		`//test allow role:a config.read environment p label.=b`:                    {47, "not by label.="},
		`//test allow role:a config.read environment p source=localhost`:            {47, "cannot be"},
		`//test allow role:a config.read environment p source=fe80::1%eth0`:         {47, "cannot be"},
		`//test allow role:a config.read environment p time=noon`:                   {47, "cannot be"},
		`//test allow role:a config.read environment p source=::1 source=::2`:       {58, "twice"},
		`//test allow role:a config.read environment p method=system`:               {47, "cannot be"},
		`//test allow token:a config.read environment p method=identity`:            {48, "cannot be"},
		`//test allow token:a config.read environment p claim.x=y`:                  {48, "cannot be"},
		`//test allow role:a config.read environment p method=token claim.x=y`:      {60, "cannot be"},
		`//test allow role:a config.read environment p claim.x=y method=token`:      {57, "cannot be"},
		`//test allow role:a config.read environment p "claim.a b=c"`:               {47, "key=value"},
		`//test allow role:a config.read environment p claim.a="b`:                  {47, "not closed"},
		`//test allow role:a config.read environment p claim.a="b"c`:                {47, "midst"},
		`//test allow role:a config.read environment p claim.a="\xff"`:              {47, "not UTF-8"},
		"//test allow role:a config.read environment p claim.a=\xff":                {1, "not UTF-8"},
		`//test allow role:a config.read environment p certificate.spiffe=dns:x`:    {47, "cannot be"},
		`//test allow role:a config.read environment p certificate.fingerprint=abc`: {47, "not by certificate.fingerprint="},
	} {
		_, fault := parseTestLine(line)
		if fault == nil {
			t.Errorf("%q parses", line)
		} else if fault.column != want.column || !strings.Contains(fault.message, want.message) {
			t.Errorf("%q: column %d: %s; want column %d: %s", line, fault.column, fault.message, want.column, want.message)
		}
	}
}

// Only lines of their own are test cases.
func TestTestCasesAreFound(t *testing.T) {
	text := "// test allow x\n//testing\n//test allow role:viewer tag.read tenant\r\npermit (principal, action, resource); //test allow\n\t//test deny role:viewer tag.write tenant"
	cases, err := testCases(File{Name: "team", Text: text})
	if err != nil || len(cases) != 2 || cases[0].line != 3 || cases[1].line != 5 || !cases[0].allow || cases[1].allow {
		t.Errorf("got %+v, %v", cases, err)
	}
	_, err = testCases(File{Name: "team", Text: "\n //test perhaps"})
	if config.KindOf(err) != config.KindInvalidPolicy || !strings.Contains(err.Error(), `line 2, column 9`) {
		t.Errorf("got %v", err)
	}
}

// What a test case says comes through to the policies.
func TestTestCasesDecide(t *testing.T) {
	src := Source{Tenant: "acme", Roles: []Role{{Name: "deployer", Includes: []string{"viewer"}}}, Files: []File{{Name: "team", Text: `
permit (principal in Role::"deployer", action == Action::"config.write", resource in Folder::"staging/gateway");
permit (principal == Token::"t 1", action == Action::"tag.write", resource == Tenant::"acme");
permit (principal is Identity, action == Action::"secret.read", resource in Tenant::"acme")
  when { context has issuer && context.issuer == "ci" && principal.hasTag("repo") && principal.getTag("repo").contains("acme/x") };
permit (principal is Workload, action == Action::"secret.read", resource in Tenant::"acme")
  when { context has certificate && context.certificate has spiffe && context.certificate.spiffe == "spiffe://td/x" };
permit (principal == Workload::"dns:eu", action == Action::"config.read", resource)
  when { context has certificate && context.certificate.dns.contains("eu") };
permit (principal in Role::"viewer", action == Action::"secret.write", resource is Secret)
  when { resource.hasTag("team") && resource.getTag("team") == "ml" && context has source && context.source.isLoopback() && context.weekday == 7 };
permit (principal in Role::"server-admin", action == Action::"audit.read", resource);
permit (principal, action == Action::"token.read", resource);

//test allow role:deployer config.write document staging/gateway/models
//test allow role:deployer config.write folder staging/gateway
//test deny  role:deployer config.write environment staging
//test allow role:deployer config.read document production/other
//test deny  role:viewer config.write document staging/gateway/models
//test allow token:"t 1" tag.write tenant
//test deny  token:t1 tag.write tenant
//test allow token:t1 as role:admin tag.write tenant
//test allow identity:ci:me secret.read secret p/a claim.repo=acme/x claim.repo=acme/y
//test deny  identity:ci:me secret.read secret p/a claim.repo=acme/xy
//test deny  identity:other:ci secret.read secret p/a claim.repo=acme/x
//test allow workload:spiffe://td/x secret.read secret p/a
//test deny  workload:spiffe://td/y secret.read secret p/a
//test allow role:viewer secret.read secret p/a method=certificate certificate.spiffe=spiffe://td/x
//test allow workload:dns:eu config.read document p/a
//test deny  workload:dns:us config.read document p/a certificate.dns=eu
//test allow role:viewer secret.write secret p/a label.team=ml source=127.0.0.1 time=2026-11-22T03:00:00Z
//test deny  role:viewer secret.write secret p/a label.team=ml source=127.0.0.1
//test deny  role:viewer secret.write secret p/a label.team=ops source=127.0.0.1 time=2026-11-22T03:00:00Z
//test deny  role:viewer secret.write secret p/a label.team=ml source=10.0.0.1 time=2026-11-22T03:00:00Z
//test allow role:server-admin audit.read tenant
//test deny  role:server-admin config.read document p/a
//test allow role:viewer token.read tenant
//test deny  role:server-admin token.read tenant
//test allow role:server-admin,viewer config.read document p/a
`}}}
	set, err := Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	results, err := set.runTests(t.Context(), src.Files)
	if err != nil || len(results) != 25 {
		t.Fatalf("got %d results, %v", len(results), err)
	}
	for _, r := range results {
		if !r.Passed || r.Got != r.Want || r.File != "team" || len(r.Reasons) == 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestTestCasesFail(t *testing.T) {
	files := []File{{Name: "team", Text: "//test allow role:viewer tag.write tenant\n//test deny role:ghost tag.write tenant"}}
	set, err := Compile(Source{Tenant: "acme", Files: files})
	if err != nil {
		t.Fatal(err)
	}
	results, err := set.runTests(t.Context(), files)
	if err != nil || len(results) != 2 {
		t.Fatalf("got %v, %v", results, err)
	}
	if r := results[0]; r.Passed || r.Want != "allow" || r.Got != "deny" || r.Line != 1 {
		t.Errorf("got %+v", r)
	}
	if r := results[1]; r.Passed || r.Got != "" || r.Line != 2 || !strings.Contains(r.Reasons[0], "ghost") {
		t.Errorf("a role that is not there: got %+v", r)
	}
	many := []File{{Name: "team", Text: strings.Repeat("//test deny role:viewer tag.write tenant\n", MaxTests+1)}}
	if _, err := set.runTests(t.Context(), many); config.KindOf(err) != config.KindTooLarge {
		t.Errorf("got %v", err)
	}
}

func FuzzTestCase(f *testing.F) {
	f.Add(`//test allow role:deployer config.write document staging/gateway/models`)
	f.Add(`//test deny identity:ci:"a b" as role:a,b secret.read secret p/a source=::1 time=2026-11-22T03:00:00Z claim.a="x\ty" label.b=`)
	f.Add(`//test deny workload:dns:eu tag.read tenant method=certificate certificate.dns=a certificate.spiffe=spiffe://a`)
	set, err := Compile(Source{Tenant: "acme"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, fault := parseTestLine(line)
		if fault != nil {
			if fault.column < 1 || fault.message == "" {
				t.Errorf("%q: %+v", line, fault)
			}
			return
		}
		printed := c.String()
		again, fault := parseTestLine(printed)
		if fault != nil || again.String() != printed {
			t.Fatalf("%q prints as %q, which reads as %q, %+v", line, printed, again.String(), fault)
		}
		if a, b := *c.request("acme"), *again.request("acme"); a.Principal.Key != b.Principal.Key || a.Resource != b.Resource || a.Source != b.Source || !a.Time.Equal(b.Time) {
			t.Fatalf("%q and %q ask different things", line, printed)
		}
		if info, ok := access.InfoOf(c.action); !ok || info.On&c.kind == 0 {
			t.Fatalf("%q asks what nobody can", line)
		}
		set.runTest("fuzz", c)
	})
}
