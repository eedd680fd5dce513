package policy

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func person(roles ...string) access.Principal {
	return access.Principal{ID: "author", Method: access.MethodToken, Tenant: testTenant, Roles: roles}.Sealed()
}

func narrowed(p access.Principal, s access.Scope) access.Principal {
	p.Scope = &s
	return p.Sealed()
}

func prefixes(texts ...string) (all []config.Prefix) {
	for _, text := range texts {
		all = append(all, prefixAt(config.MustPath(text)))
	}
	return all
}

// What an author may write into a file, beside what another file says.
func TestDelegation(t *testing.T) {
	const (
		gateway  = `resource in Folder::"production/gateway"`
		readSelf = `permit (principal == Token::"author", action == Action::"secret.read", ` + gateway + `);`
	)
	for name, c := range map[string]struct {
		author          access.Principal
		other, now, new string
		lacks           string // "" for nothing
	}{
		"an admin gives anything of the tenant":  {person("admin"), "", "", `permit (principal in Role::"guest", action in Action::"administer", resource);`, ""},
		"an admin gives all actions":             {person("admin"), "", "", `permit (principal, action, resource);`, ""},
		"on conditions too":                      {person("admin"), "", "", `permit (principal, action, resource) when { context.weekday < 6 };`, ""},
		"an admin forbids":                       {person("admin"), "", "", `forbid (principal, action, resource) when { context.weekday > 5 };`, ""},
		"an operator gives what operators do":    {person("operator"), "", "", `permit (principal in Role::"guest", action in Action::"view", ` + gateway + `);`, ""},
		"an operator gives no values of secrets": {person("operator"), "", "", `permit (principal in Role::"guest", action in [Action::"config.read", Action::"secret.read"], ` + gateway + `);`, "secret.read on everything below production/gateway"},
		"nor forbids them":                       {person("operator"), "", "", `forbid (principal, action == Action::"secret.read", resource);`, "secret.read on the whole tenant"},
		"nor on conditions":                      {person("operator"), "", "", `permit (principal in Role::"guest", action == Action::"secret.read", resource) when { context.weekday == 1 };`, "secret.read"},
		"what never applies is nothing":          {person("viewer"), "", "", `permit (principal, action, resource) when { false };`, ""},
		"a role that is not there yet":           {person("viewer"), "", "", `permit (principal in Role::"ghost", action == Action::"secret.read", resource);`, "secret.read"},
		"through an included role":               {person("lead"), "", "", `permit (principal in Role::"guest", action == Action::"config.read", resource);`, ""},
		"all that is lacking is named":           {person("viewer"), "", "", `permit (principal in Role::"guest", action in Action::"operate", resource is Secret);`, "secret.refer, secret.write, secret.activate on"},
		"nobody":                                 {access.Principal{}, "", "", `permit (principal in Role::"guest", action == Action::"tag.read", resource);`, "tag.read"},
		"the server itself has no policies":      {access.Principal{ID: "s", Method: access.MethodSystem, Tenant: testTenant, Roles: []string{"admin"}}, "", "", `permit (principal in Role::"guest", action == Action::"tag.read", resource);`, "tag.read"},

		"by a policy of their own":           {person(), readSelf, "", `permit (principal in Role::"guest", action == Action::"secret.read", resource in Folder::"production/gateway/eu");`, ""},
		"not beyond it":                      {person(), readSelf, "", `permit (principal in Role::"guest", action == Action::"secret.read", resource in Path::"gateway");`, "secret.read on everything below gateway in every environment"},
		"not beside it":                      {person(), readSelf, "", `permit (principal in Role::"guest", action == Action::"secret.read", resource in Folder::"production/gateway-2");`, "secret.read"},
		"not above it":                       {person(), readSelf, "", `permit (principal in Role::"guest", action == Action::"secret.read", resource in Environment::"production");`, "secret.read on the whole environment production"},
		"one secret of it":                   {person(), readSelf, "", `permit (principal in Role::"guest", action == Action::"secret.read", resource == Secret::"production/gateway/key");`, ""},
		"by a policy of the file itself":     {person(), "", readSelf, readSelf + "\n" + `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, ""},
		"not by what is only written now":    {person(), "", "", readSelf, "secret.read"},
		"not by another's":                   {person(), strings.ReplaceAll(readSelf, "author", "another"), "", readSelf, "secret.read"},
		"not on conditions":                  {person(), strings.TrimSuffix(readSelf, ";") + ` when { context.weekday < 6 };`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, "secret.read"},
		"on conditions that are always so":   {person(), strings.TrimSuffix(readSelf, ";") + ` when { 1 < 2 };`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, ""},
		"two halves are not the whole":       {person(), `permit (principal in Role::"lead", action == Action::"tag.read", resource); permit (principal == Token::"author", action == Action::"secret.read", resource is Secret); permit (principal == Token::"author", action == Action::"secret.read", resource is Folder);`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, "secret.read"},
		"each action by a policy of its own": {person("viewer"), readSelf, "", `permit (principal in Role::"guest", action in [Action::"secret.read", Action::"secret.list"], ` + gateway + `);`, ""},

		"forbidden to the author":             {person("admin"), `forbid (principal == Token::"author", action == Action::"secret.read", resource == Secret::"production/gateway/key");`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, "secret.read"},
		"forbidden on conditions":             {person("admin"), `forbid (principal, action == Action::"secret.read", resource in Path::"gateway") unless { context.method == "certificate" };`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, "secret.read"},
		"forbidden to everybody alike":        {person("admin"), `forbid (principal, action == Action::"secret.read", resource in Path::"gateway") when { context.weekday > 5 };`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, ""},
		"denied by a failing condition":       {person("admin"), `permit (principal, action == Action::"secret.read", resource) when { context.weekday * 5 > 5 };`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, "secret.read"},
		"forbidden elsewhere":                 {person("admin"), `forbid (principal, action == Action::"secret.read", resource in Folder::"staging/gateway");`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, ""},
		"forbidden to others":                 {person("admin"), `forbid (principal in Role::"guest", action == Action::"secret.read", resource); forbid (principal is Identity, action, resource); forbid (principal == Token::"x", action, resource);`, "", `permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`, ""},
		"what is there is not asked again":    {person(), "", `permit (principal in Role::"guest", action == Action::"secret.read", resource);`, "// a comment\n" + `permit (principal in Role::"guest", action == Action::"secret.read", resource);`, ""},
		"what is altered is":                  {person(), "", `permit (principal in Role::"guest", action == Action::"secret.read", resource);`, `permit (principal in Role::"guest", action == Action::"secret.read", resource) when { context.weekday < 6 };`, "secret.read"},
		"anybody may take back a permit":      {person(), "", `permit (principal in Role::"guest", action == Action::"secret.read", resource);`, "", ""},
		"but not a forbid":                    {person("operator"), "", `forbid (principal in Role::"guest", action == Action::"secret.read", resource);`, "", "secret.read"},
		"nor a permit that denies by failing": {person("operator"), "", `permit (principal in Role::"guest", action == Action::"secret.read", resource) when { context.weekday * 5 > 5 };`, "", "secret.read"},
		"an admin lifts a forbid":             {person("admin"), "", `forbid (principal in Role::"guest", action == Action::"secret.read", resource);`, "", ""},
		"also one for everybody":              {person("admin"), "", `forbid (principal, action, resource) when { context.weekday > 5 };`, "", ""},
		"if another forbids all alike":        {person("admin"), `forbid (principal, action == Action::"secret.read", resource);`, `forbid (principal, action == Action::"secret.read", resource) when { true };`, "", ""},
		"not if another file forbids as well": {person("admin"), `forbid (principal in Role::"admin", action == Action::"secret.read", resource);`, `forbid (principal, action == Action::"secret.read", resource) when { true };`, "", "secret.read"},

		"a token narrowed to actions": {narrowed(person("admin"), access.Scope{Actions: []access.Action{access.PolicyWrite, access.ConfigRead}}), "", "", `permit (principal in Role::"guest", action in [Action::"config.read", Action::"secret.read"], resource);`, "secret.read on"},
		"within them":                 {narrowed(person("admin"), access.Scope{Actions: []access.Action{access.PolicyWrite, access.ConfigRead}}), "", "", `permit (principal in Role::"guest", action == Action::"config.read", resource);`, ""},
		"narrowed to an environment":  {narrowed(person("admin"), access.Scope{Environments: []string{"staging"}}), "", "", `permit (principal in Role::"guest", action == Action::"config.read", resource in Folder::"staging/x");`, ""},
		"another environment":         {narrowed(person("admin"), access.Scope{Environments: []string{"staging"}}), "", "", `permit (principal in Role::"guest", action == Action::"config.read", ` + gateway + `);`, "config.read"},
		"all environments":            {narrowed(person("admin"), access.Scope{Environments: []string{"staging"}}), "", "", `permit (principal in Role::"guest", action == Action::"config.read", resource in Path::"gateway");`, "config.read"},
		"narrowed to a path":          {narrowed(person("admin"), access.Scope{Paths: prefixes("gateway")}), "", "", `permit (principal in Role::"guest", action == Action::"config.read", resource in Path::"gateway/eu");`, ""},
		"above the path":              {narrowed(person("admin"), access.Scope{Paths: prefixes("gateway/eu")}), "", "", `permit (principal in Role::"guest", action == Action::"config.read", ` + gateway + `);`, "config.read"},
		"what has no path":            {narrowed(person("admin"), access.Scope{Paths: prefixes("gateway")}), "", "", `permit (principal in Role::"guest", action == Action::"tag.write", resource);`, "tag.write on the tenant itself"},

		"a server admin from elsewhere":         {access.Principal{ID: "s", Method: access.MethodToken, ServerAdmin: true, Roles: []string{"admin"}}, "", "", `permit (principal in Role::"guest", action == Action::"tag.read", resource);`, "tag.read"},
		"whom the tenant let in":                {access.Principal{ID: "s", Method: access.MethodToken, ServerAdmin: true}, `permit (principal in Role::"server-admin", action == Action::"tag.read", resource);`, "", `permit (principal in Role::"guest", action == Action::"tag.read", resource);`, ""},
		"but not by a permit for everybody":     {access.Principal{ID: "s", Method: access.MethodToken, ServerAdmin: true}, `permit (principal, action == Action::"tag.read", resource);`, "", `permit (principal in Role::"guest", action == Action::"tag.read", resource);`, "tag.read"},
		"a tenant takes back nothing of theirs": {access.Principal{ID: "s", Method: access.MethodToken, ServerAdmin: true}, `forbid (principal, action == Action::"tenant.read", resource);`, "", `permit (principal in Role::"guest", action == Action::"tenant.read", resource);`, ""},
	} {
		src := func(text string) Source {
			return Source{Tenant: "acme", Roles: ownRoles, Files: []File{{Name: "other", Text: c.other}, {Name: "team", Text: text}}}
		}
		if report := Check(src(c.new), "team"); report.Refused() {
			t.Fatalf("%s: %+v", name, report)
		}
		found := Delegate(src(c.now), src(c.new), "team", c.author)
		switch {
		case c.lacks == "" && len(found) > 0:
			t.Errorf("%s: refused: %s", name, found[0].Message)
		case c.lacks != "" && (len(found) != 1 || !strings.Contains(found[0].Message, c.lacks)):
			t.Errorf("%s: got %+v, want %q", name, found, c.lacks)
		case len(found) > 0 && (found[0].Kind != FindingDelegation || !found[0].Refused || found[0].Ref.Line == 0):
			t.Errorf("%s: got %+v", name, found[0])
		}
	}
}

func TestDelegationOfADeletedFile(t *testing.T) {
	now := sourceWith(`forbid (principal in Role::"guest", action == Action::"secret.read", resource);`)
	next := now
	next.Files = nil
	if found := Delegate(now, next, "team", person("viewer")); len(found) != 1 {
		t.Errorf("a viewer: got %+v", found)
	}
	if found := Delegate(now, next, "team", person("admin")); len(found) != 0 {
		t.Errorf("an admin: got %+v", found)
	}
	now.Files[0].Text = "nonsense"
	if found := Delegate(now, next, "team", person("admin")); len(found) != 1 || !found[0].Refused {
		t.Errorf("what does not parse: got %+v", found)
	}
}

// Nobody comes to anything by a policy that its author could not do before: the
// forbids of the file apart, which its author may lift.
func TestDelegationNeverGrows(t *testing.T) {
	requests := smallWorld()
	random := rand.New(rand.NewPCG(7, 8))
	policies := func(n int) (all []string) {
		for range random.IntN(n) {
			all = append(all, randomPolicy(random, all...))
		}
		return all
	}
	accepted, grown := 0, 0
	for round := range 800 {
		author := requests[random.IntN(len(requests))].Principal
		other, now := strings.Join(policies(3), "\n"), policies(3)
		next := append(policies(3), now[:len(now)/2]...)
		src := func(team []string) Source {
			return Source{Tenant: "acme", Roles: ownRoles, Files: []File{{Name: "other", Text: other}, {Name: "team", Text: strings.Join(team, "\n")}}}
		}
		if len(Delegate(src(now), src(next), "team", author)) > 0 {
			continue
		}
		accepted++
		var permits []string
		for _, p := range now {
			if strings.HasPrefix(p, "permit") && !strings.Contains(p, "2000000000000000000") {
				permits = append(permits, p)
			}
		}
		before, after, author2 := decisions(t, src(now), requests), decisions(t, src(next), requests), asBy(t, src(permits), requests, author)
		for i, r := range requests {
			if after[i] && !before[i] {
				grown++
				if !author2[i] {
					t.Fatalf("round %d: %s comes to %s on %+v by %s (%v)\nother:\n%s\nnow:\n%s\nnext:\n%s", round, r.Principal.Actor(), r.Action, r.Resource, author.Actor(), author.Roles, other, strings.Join(now, "\n"), strings.Join(next, "\n"))
				}
			}
		}
	}
	if accepted < 50 || grown < 500 {
		t.Errorf("the random policies are too tame: %d accepted, %d grown", accepted, grown)
	}
}

// asBy is what somebody would be answered who asks all the questions in the
// place of others.
func asBy(t *testing.T, src Source, requests []*access.Request, who access.Principal) []bool {
	t.Helper()
	mine := make([]*access.Request, len(requests))
	for i, r := range requests {
		own := *r
		own.Principal = who
		mine[i] = &own
	}
	return decisions(t, src, mine)
}

func forbidden(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: refused: %v", what, err)
	case want != "" && (config.KindOf(err) != config.KindForbidden || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: got %v, want %q", what, err, want)
	}
}

// Which roles somebody may give to a token.
func TestGiving(t *testing.T) {
	const secrets = `permit (principal in Role::"guest", action == Action::"secret.read", resource in Environment::"production");`
	staging, gateway := &access.Scope{Environments: []string{"staging"}}, &access.Scope{Paths: prefixes("gateway")}
	for name, c := range map[string]struct {
		author   access.Principal
		policies string
		roles    string
		scope    *access.Scope
		lacks    string
	}{
		"an admin gives all that is built in":    {person("admin"), "", "viewer operator application admin", nil, ""},
		"and their own roles":                    {person("admin"), secrets, "guest lead deployer", nil, ""},
		"an operator gives what is below":        {person("operator"), "", "viewer operator", nil, ""},
		"but no admin":                           {person("operator"), "", "viewer admin", nil, "give the role admin"},
		"and no application":                     {person("operator"), "", "application", nil, "secret.read"},
		"a viewer gives roles that do no more":   {person("viewer"), "", "deployer guest", nil, ""},
		"but not one that does":                  {person("viewer"), secrets, "guest", nil, "secret.read on the whole environment production"},
		"where the token cannot go":              {person("viewer"), secrets, "guest", staging, ""},
		"nor do it":                              {person("viewer"), secrets, "guest", &access.Scope{Actions: []access.Action{access.ConfigRead}}, ""},
		"only in part":                           {person("viewer"), secrets, "guest", gateway, "secret.read on everything below production/gateway"},
		"what they have in part themselves":      {person("viewer"), secrets + `permit (principal == Token::"author", action == Action::"secret.read", resource in Path::"gateway");`, "guest", gateway, ""},
		"no server admins":                       {person("admin"), "", "server-admin", nil, "no tenant gives"},
		"a permit for everybody on conditions":   {person("viewer"), `permit (principal, action == Action::"secret.read", resource) when { context.weekday < 6 };`, "guest", nil, "secret.read"},
		"a permit for everybody":                 {person("viewer"), `permit (principal, action == Action::"secret.read", resource);`, "guest", nil, ""},
		"a permit for who has a role":            {person("viewer"), `permit (principal is Token, action == Action::"secret.read", resource) when { principal in Role::"guest" };`, "guest", nil, "secret.read"},
		"a permit for another":                   {person("viewer"), `permit (principal == Token::"x", action == Action::"secret.read", resource) when { principal in Role::"guest" };`, "guest", nil, ""},
		"a permit that no token meets":           {person("viewer"), `permit (principal is Identity in Role::"guest", action == Action::"secret.read", resource);`, "guest", nil, ""},
		"a role that a forbid spares":            {person("viewer"), `forbid (principal, action == Action::"config.read", resource) unless { principal in Role::"guest" };`, "guest", nil, "config.read"},
		"a role that a forbid spares, one's own": {person("viewer", "guest"), `forbid (principal, action == Action::"config.read", resource) unless { principal in Role::"guest" };`, "guest", nil, ""},
		"a forbid for the author alone":          {person("admin"), `forbid (principal == Token::"author", action == Action::"secret.read", resource);`, "admin", nil, "secret.read"},
		"and roles without it":                   {person("admin"), `forbid (principal == Token::"author", action == Action::"secret.read", resource);`, "operator", nil, ""},
		"a forbid for another role of theirs":    {person("admin", "guest"), `forbid (principal in Role::"guest", action == Action::"secret.read", resource);`, "admin", nil, "secret.read"},
		"and both roles together":                {person("admin", "guest"), `forbid (principal in Role::"guest", action == Action::"secret.read", resource);`, "admin guest", nil, ""},
		"a forbid by who they are":               {person("admin"), `forbid (principal, action == Action::"secret.read", resource) when { principal == Token::"author" };`, "admin", nil, "secret.read"},
		"a forbid by how they came":              {person("admin"), `forbid (principal, action == Action::"secret.read", resource) unless { context.method == "certificate" };`, "admin", nil, "secret.read"},
		"a forbid that spares them":              {person("admin"), `forbid (principal, action == Action::"secret.read", resource) unless { principal in Role::"admin" };`, "admin", nil, ""},
		"a forbid that spares others":            {person("admin"), `forbid (principal, action == Action::"config.write", resource) unless { principal in Role::"guest" };`, "admin", nil, ""},
		"but not those whom it spares":           {person("admin"), `forbid (principal, action == Action::"config.write", resource) unless { principal in Role::"guest" };`, "admin guest", nil, "config.write"},
		"and those who get less":                 {person("admin"), `forbid (principal, action == Action::"config.write", resource) unless { principal in Role::"admin" };`, "operator", nil, ""},
		"a forbid for everybody, at times":       {person("admin"), `forbid (principal, action == Action::"secret.read", resource) when { context.weekday > 5 };`, "admin", nil, ""},
		"narrowed, wider":                        {narrowed(person("admin"), *staging), "", "viewer", nil, "environments"},
		"narrowed, elsewhere":                    {narrowed(person("admin"), *staging), "", "viewer", &access.Scope{Environments: []string{"staging", "production"}}, "environments"},
		"narrowed, within":                       {narrowed(person("admin"), *gateway), "", "viewer", &access.Scope{Paths: prefixes("gateway/eu")}, ""},
		"narrowed, above":                        {narrowed(person("admin"), *gateway), "", "viewer", &access.Scope{Paths: prefixes("gateway-2")}, "paths"},
		"narrowed to actions":                    {narrowed(person("admin"), access.Scope{Actions: []access.Action{access.TokenWrite}}), "", "viewer", gateway, "actions"},
		"no roles at all":                        {narrowed(person("admin"), *gateway), "", "", nil, "paths"},
		"a server admin from elsewhere":          {access.Principal{ID: "s", Method: access.MethodToken, ServerAdmin: true, Roles: []string{"admin"}}, "", "viewer", nil, "config.read"},
	} {
		forbidden(t, name, MayGive(sourceWith(c.policies), c.author, strings.Fields(c.roles), c.scope), c.lacks)
	}
	if err := MayGive(sourceWith(""), person("admin"), []string{"ghost"}, nil); config.KindOf(err) != config.KindBadRequest {
		t.Errorf("a role that is not there: got %v", err)
	}
}

// Whoever is given a role can do no more, alone or with roles of the giver, than
// the giver: for random policies, everything in the small world.
func TestGivingNeverGrows(t *testing.T) {
	requests := smallWorld()
	random := rand.New(rand.NewPCG(9, 10))
	roles := []string{"viewer", "operator", "admin", "application", "deployer", "lead", "guest"}
	given := 0
	for range 300 {
		text := ""
		for range 1 + random.IntN(4) {
			text += randomPolicy(random) + "\n"
		}
		author, role := person(pick(random, roles)), pick(random, roles)
		src := sourceWith(text)
		if author.HasRole(role) || MayGive(src, author, []string{role}, nil) != nil {
			continue
		}
		given++
		holder := author
		holder.ID, holder.Roles = "fresh", append([]string{role}, author.Roles...)
		before, after := asBy(t, src, requests, author.Sealed()), asBy(t, src, requests, holder.Sealed())
		for i, r := range requests {
			if after[i] && !before[i] {
				t.Fatalf("with the role %s of %v: %s on %+v\n%s", role, author.Roles, r.Action, r.Resource, text)
			}
		}
	}
	if given < 30 {
		t.Errorf("only %d were given", given)
	}
}

// Who may change which role.
func TestDefiningRoles(t *testing.T) {
	const spared = `forbid (principal in Role::"guest", action == Action::"config.read", resource);`
	for name, c := range map[string]struct {
		author   access.Principal
		policies string
		role     string // and what it includes; - before it removes it
		lacks    string
	}{
		"a new role that is nothing":            {person("viewer"), "", "x", ""},
		"a new role of what one has":            {person("viewer"), "", "x viewer", ""},
		"a new role of more":                    {person("operator"), "", "x viewer admin", "environment.write"},
		"an admin":                              {person("admin"), "", "x admin application", ""},
		"to include more":                       {person("viewer"), "", "deployer viewer operator", "config.write"},
		"to include a role that does more":      {person("viewer"), `permit (principal in Role::"guest", action == Action::"secret.read", resource);`, "lead deployer guest", "secret.read"},
		"to include what is included":           {person(), "", "lead deployer viewer", ""},
		"a role that policies name already":     {person("viewer"), `permit (principal in Role::"x", action == Action::"secret.read", resource);`, "x", "secret.read"},
		"a role that conditions name already":   {person("viewer"), `permit (principal, action == Action::"secret.read", resource) when { principal in Role::"x" };`, "x", "secret.read"},
		"conditions about something else":       {person("viewer"), `permit (principal, action == Action::"secret.read", resource) when { context.weekday < 6 };`, "x viewer", ""},
		"to include less":                       {person(), "", "lead", ""},
		"to be rid of a forbid":                 {person(), spared, "guest2", ""},
		"to be rid of an included forbid":       {person(), strings.ReplaceAll(spared, "guest", "deployer"), "lead viewer", "config.read"},
		"who holds it may":                      {person("viewer"), strings.ReplaceAll(spared, "guest", "deployer"), "lead viewer", ""},
		"though it is forbidden to them":        {person("viewer", "deployer"), strings.ReplaceAll(spared, "guest", "deployer"), "lead viewer", ""},
		"to remove a role":                      {person(), "", "-guest", ""},
		"to remove one that a forbid names":     {person(), spared, "-guest", "config.read"},
		"who holds it may remove it":            {person("viewer"), spared, "-guest", ""},
		"to remove one that conditions exclude": {person(), `permit (principal, action == Action::"config.read", resource) unless { principal in Role::"guest" };`, "-guest", "config.read"},
		"a narrowed token":                      {narrowed(person("admin"), access.Scope{Actions: []access.Action{access.ConfigRead}}), "", "x viewer", "secret.list"},
		"a narrowed token, a role that it has":  {narrowed(person("guest"), access.Scope{Actions: []access.Action{access.ConfigRead}}), `permit (principal in Role::"guest", action == Action::"secret.read", resource);`, "lead deployer guest", "secret.read"},
		"a role that one has, though forbidden": {person("guest"), `permit (principal in Role::"guest", action == Action::"secret.read", resource); forbid (principal == Token::"author", action, resource);`, "lead deployer guest", "secret.read"},
		"a narrowed token, nothing new":         {narrowed(person("admin"), access.Scope{Actions: []access.Action{access.ConfigRead}}), "", "x", ""},
	} {
		words := strings.Fields(c.role)
		if gone, ok := strings.CutPrefix(words[0], "-"); ok {
			forbidden(t, name, MayRemove(sourceWith(c.policies), c.author, gone), c.lacks)
			continue
		}
		forbidden(t, name, MayDefine(sourceWith(c.policies), c.author, Role{Name: words[0], Includes: words[1:]}), c.lacks)
	}
	for _, role := range []Role{{Name: "x", Includes: []string{"ghost"}}, {Name: "x", Includes: []string{"x"}}, {Name: "admin"}} {
		if err := MayDefine(sourceWith(""), person("admin"), role); config.KindOf(err) != config.KindInvalidPolicy {
			t.Errorf("%v: got %v", role, err)
		}
	}
	if err := MayRemove(sourceWith(""), person("admin"), "viewer"); err != nil {
		t.Errorf("what is not the tenant's own is not removed: %v", err)
	}
	if err := MayRemove(sourceWith(""), person("admin"), "deployer"); config.KindOf(err) != config.KindInvalidPolicy {
		t.Errorf("a role that another includes: got %v", err)
	}
}
