package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Whether the tenant has policies of its own, and what becomes of decisions.
const (
	policiesNone = "none" // the built-in ones decide
	policiesKept = "kept" // a hundred more; what was decided is kept
	policiesAnew = "anew" // some of them depend on labels and on the time, so that each read is decided anew
)

// ownPolicies are a hundred policies of ten teams, in five files. A third of them
// speak of reading documents, and a few of those that are read here.
func ownPolicies(kind string) (files []string) {
	texts := make([]strings.Builder, 5)
	actions := []string{`action == Action::"config.read"`, `action in Action::"operate"`, `action == Action::"secret.read"`}
	conditions := []string{``, ` when { context has source && context.source.isInRange(ip("127.0.0.0/8")) }`}
	for i := range 100 {
		place := fmt.Sprintf(`resource in Folder::"production/team-%d"`, i%10)
		if i%30 == 0 {
			place = `resource in Folder::"production/load"`
		}
		fmt.Fprintf(&texts[i%len(texts)], "permit (principal in Role::\"team-%d\", %s, %s)%s;\n", i%4, actions[i%len(actions)], place, conditions[i/3%len(conditions)])
	}
	for i := range texts {
		files = append(files, texts[i].String())
	}
	if kind == policiesAnew {
		files = append(files, `forbid (principal, action == Action::"config.read", resource) when { resource.hasTag("frozen") && resource.getTag("frozen") == "yes" };`+"\n"+
			`forbid (principal, action == Action::"config.read", resource in Folder::"production/load") when { context.time < datetime("2020-01-01T00:00:00Z") };`+"\n")
	}
	return files
}

// readerToken is the token that reads: that of the server, or one of an
// application in two teams that policies of the tenant's own speak of.
func readerToken(ctx context.Context, a *arena, kind string) (string, error) {
	if kind == policiesNone {
		return a.token, nil
	}
	const tenant = "/api/v1/tenants/default/"
	w, err := dial(ctx, a.server.address)
	if err != nil {
		return "", err
	}
	defer w.close()
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	for i := range 4 {
		if _, err := w.must(request("PUT", fmt.Sprintf("%sroles/team-%d", tenant, i), a.token, []byte("{}"))); err != nil {
			return "", err
		}
	}
	for i, text := range ownPolicies(kind) {
		if _, err := w.must(request("PUT", fmt.Sprintf("%spolicies/team-%d", tenant, i), a.token, fmt.Appendf(nil, `{"text":%q}`, text))); err != nil {
			return "", err
		}
	}
	if _, err := w.must(request("POST", tenant+"tokens", a.token, []byte(`{"name":"load","roles":["application","team-0","team-1"]}`))); err != nil {
		return "", err
	}
	var issued struct{ Value string }
	err = json.Unmarshal(w.body, &issued)
	return issued.Value, err
}
