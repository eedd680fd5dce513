package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const day = 24 * time.Hour

func TestASecretGoesThroughItsStates(t *testing.T) {
	a := newTenant(t)
	a.getsNone("production", "db", config.KindNotFound)
	a.putSecret("production", "db", "one")
	a.gets("production", "db", "one")

	a.putSecret("production", "db", "two") // the version before stays valid for a week
	a.gets("production", "db", "two", "one")
	same(t, "versions", "1 grace, 2 active", a.versions("production", "db"))
	a.settle(7*day - time.Second)
	a.gets("production", "db", "two", "one")
	a.clock.move(time.Second) // by the clock alone
	a.gets("production", "db", "two")
	a.settle(0)
	same(t, "versions", "1 retired, 2 active", a.versions("production", "db"))

	a.stageSecret("production", "db", "three")
	a.gets("production", "db", "two")
	result := a.step(a.s.ActivateSecret, "production", "db", service.SecretStep{})
	same(t, "result", fmt.Sprint(3, secret.Active, 3, 2), fmt.Sprint(result.Version, result.State, result.Current, result.Previous))
	a.gets("production", "db", "three", "two")

	a.step(a.s.RevokeSecret, "production", "db", service.SecretStep{}) // the one in grace
	a.gets("production", "db", "three")
	_, err := a.revealVersion("production", "db", 2)
	mustBe(t, config.KindGone, err)

	a.put1("production", "db", service.SecretRequest{Fields: a.fields("four"), Now: true})
	a.gets("production", "db", "four")
	same(t, "versions", "1 retired, 2 revoked, 3 revoked, 4 active", a.versions("production", "db"))

	result = a.step(a.s.RevokeSecret, "production", "db", service.SecretStep{Version: 4})
	same(t, "notes", 1, len(result.Notes))
	a.getsNone("production", "db", config.KindGone)
	_, err = a.s.ActivateSecret(t.Context(), a.who, a.tenant, "production", path("db"), service.SecretStep{Version: 4})
	mustBe(t, config.KindGone, err)
	a.step(a.s.ActivateSecret, "production", "db", service.SecretStep{Version: 1}) // back to what was never taken back
	a.gets("production", "db", "one")
}

func TestTheNearestWholeSecretCounts(t *testing.T) {
	a := newTenant(t)
	a.create("team")
	a.mustMove("team", "production")
	a.put1("base", "db", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"user": "svc", "password": strong("base")})})
	for _, environment := range []string{"base", "production", "team", "staging"} {
		same(t, "supplier", "base", a.info(environment, "db").Environment)
	}
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("production")})
	a.gets("team", "db", "production") // whole: nothing of base's fields is mixed in
	same(t, "staging", strong("base")+",svc", a.revealed("staging", "db"))

	a.stageSecret("team", "db", "staged") // what is only staged supplies nothing
	a.gets("team", "db", "production")

	yes, no := true, false
	isolate := func(environment string, is *bool) {
		t.Helper()
		_, err := a.s.PutEnvironment(t.Context(), a.who, a.tenant, environment, service.EnvironmentRequest{IsolateSecrets: is})
		must(t, err)
	}
	isolate("team", &yes)
	a.getsNone("team", "db", config.KindNotFound)
	isolate("team", &no)
	isolate("production", &yes)
	a.gets("team", "db", "production") // which ends there
	a.step(a.s.RevokeSecret, "production", "db", service.SecretStep{Version: 1})
	a.getsNone("team", "db", config.KindGone) // and is not quietly replaced by base's
	isolate("production", &no)
	a.getsNone("team", "db", config.KindGone)
	_, err := a.s.DeleteSecret(t.Context(), a.who, a.tenant, "production", path("db"), false, service.SecretStep{})
	must(t, err)
	same(t, "team", strong("base")+",svc", a.revealed("team", "db"))
}

func TestAVersionExpires(t *testing.T) {
	a := newTenant(t)
	a.set("production", "app", `{"key":"${secret:db}"}`)
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("one"), Expires: midnight.Add(time.Hour)})
	w := a.resume("production", a.revision())
	a.gets("production", "db", "one")
	a.settle(59 * time.Minute)
	same(t, "told before", 0, len(told(t, w)))
	a.settle(time.Minute)
	a.getsNone("production", "db", config.KindGone)
	same(t, "told", 1, len(told(t, w)))
	revision := a.revision()
	a.settle(day)
	same(t, "revision after it was told once", revision, a.revision())
	_, err := a.tryPut("production", "db", service.SecretRequest{Fields: a.fields("two"), Expires: midnight})
	mustBe(t, config.KindBadRequest, err)
}

func TestDeleteUndeleteDestroy(t *testing.T) {
	a := newTenant(t)
	a.set("production", "app", `{"key":"${secret:db}"}`)
	a.putSecret("production", "db", "one")
	a.putSecret("production", "db", "two")
	remove := func(force bool) error {
		_, err := a.s.DeleteSecret(t.Context(), a.who, a.tenant, "production", path("db"), force, service.SecretStep{})
		return err
	}
	e := mustBe(t, config.KindReferenced, remove(false))
	same(t, "who refers", "app", e.Details[0].Path)
	must(t, remove(true))
	mustBe(t, config.KindNotFound, remove(true))
	a.getsNone("production", "db", config.KindNotFound)
	a.step(a.s.UndeleteSecret, "production", "db", service.SecretStep{})
	a.gets("production", "db", "two", "one")

	destroy := func(all bool, versions ...config.Version) error {
		_, err := a.s.DestroySecret(t.Context(), a.who, a.tenant, "production", path("db"), versions, all, service.SecretStep{})
		return err
	}
	mustBe(t, config.KindInUse, destroy(false, 2))
	mustBe(t, config.KindInUse, destroy(false, 1)) // in grace: readers were promised it
	mustBe(t, config.KindInUse, destroy(true))
	mustBe(t, config.KindBadRequest, destroy(true, 1))
	mustBe(t, config.KindNotFound, destroy(false, 9))
	a.step(a.s.RevokeSecret, "production", "db", service.SecretStep{})
	must(t, destroy(false, 1))
	a.gets("production", "db", "two")
	_, err := a.revealVersion("production", "db", 1)
	mustBe(t, config.KindGone, err)
	_, err = a.engine.SecretValue(t.Context(), a.id, 4, path("db"), 1)
	mustBe(t, config.KindNotFound, err)

	must(t, remove(true))
	must(t, destroy(true))
	a.step(a.s.UndeleteSecret, "production", "db", service.SecretStep{})
	a.getsNone("production", "db", config.KindGone)
	same(t, "the next version", config.Version(3), a.putSecret("production", "db", "three"))
	a.gets("production", "db", "three")
}

func TestCompareAndSetOfSecrets(t *testing.T) {
	a := newTenant(t)
	put := func(r service.SecretRequest) error {
		r.Fields = a.fields("x")
		_, err := a.tryPut("production", "db", r)
		return err
	}
	version := func(n config.Version) *config.Version { return &n }
	mustBe(t, config.KindPreconditionFailed, put(service.SecretRequest{IfVersion: version(1)}))
	mustBe(t, config.KindPreconditionFailed, put(service.SecretRequest{IfRecord: version(service.AnyVersion)}))
	must(t, put(service.SecretRequest{IfVersion: version(0), IfRecord: version(0)}))
	mustBe(t, config.KindPreconditionFailed, put(service.SecretRequest{IfVersion: version(0)}))
	mustBe(t, config.KindPreconditionFailed, put(service.SecretRequest{IfRecord: version(0)}))
	must(t, put(service.SecretRequest{IfVersion: version(1), IfRecord: version(1)}))
	mustBe(t, config.KindPreconditionFailed, put(service.SecretRequest{IfRecord: version(1)}))
	must(t, put(service.SecretRequest{IfRecord: version(service.AnyVersion)}))
	_, err := a.s.RevokeSecret(t.Context(), a.who, a.tenant, "production", path("db"), service.SecretStep{IfRecord: version(1)})
	mustBe(t, config.KindPreconditionFailed, err)
}

func TestWeakValuesAreRefusedWithTheReason(t *testing.T) {
	a := newTenant(t)
	weak := service.SecretRequest{Fields: a.fieldsOf(map[string]string{"value": "changeme"})}
	_, err := a.tryPut("production", "db", weak)
	e := mustBe(t, config.KindWeakSecret, err)
	if len(e.Details) == 0 || strings.Contains(describe(e), "changeme") {
		t.Errorf("the refusal says %s", describe(e))
	}
	weak.AllowWeak = "the vendor sets it"
	weak.Fields = a.fieldsOf(map[string]string{"value": "changeme"})
	a.put1("production", "db", weak)
	same(t, "value", "changeme", a.revealed("production", "db"))
	records := a.chain(t, a.id)
	if last := records[len(records)-2]; !strings.Contains(last, "the vendor sets it") {
		t.Errorf("the override is not on record: %s", last)
	}
}

func TestGeneratedValues(t *testing.T) {
	a := newTenant(t)
	for _, kind := range []secret.GeneratorKind{secret.GeneratePassword, secret.GenerateHex, secret.GenerateBase64, secret.GenerateUUID, secret.GenerateEd25519} {
		at := "gen/" + string(kind)
		a.put1("production", at, service.SecretRequest{Generate: &secret.Generator{Kind: kind}})
		same(t, "source", secret.FromGenerator, a.info("production", at).Versions[0].Source)
		if len(a.revealed("production", at)) < 32 {
			t.Errorf("%s drew too little", kind)
		}
	}
	_, err := a.tryPut("production", "db", service.SecretRequest{Generate: &secret.Generator{Kind: "guess"}})
	mustBe(t, config.KindBadRequest, err)
}

func TestSecretsAreListedWithoutOpeningThem(t *testing.T) {
	a := newTenant(t)
	a.putSecret("base", "db/main", "a")
	a.put1("base", "db/replica", service.SecretRequest{Fields: a.fields("b"), Metadata: service.SecretMetadata{Labels: map[string]string{"team": "data", "tier": "1"}}})
	a.putSecret("production", "db/main", "c")
	a.putSecret("production", "llm/openai", "d")
	_, err := a.s.DeleteSecret(t.Context(), a.who, a.tenant, "production", path("llm/openai"), false, service.SecretStep{})
	must(t, err)
	list := func(r service.SecretListRequest) string {
		t.Helper()
		r.Page = page(10)
		found, err := a.s.Secrets(t.Context(), a.who, a.tenant, r)
		must(t, err)
		var texts []string
		for _, s := range found.Secrets {
			texts = append(texts, s.Environment+":"+s.Path.String())
		}
		return strings.Join(texts, " ")
	}
	before := len(a.chain(t, a.id))
	glob, err := config.ParseGlob("db/*")
	must(t, err)
	prefix, err := config.ParsePrefix("llm")
	must(t, err)
	same(t, "all", "production:db/main base:db/replica", list(service.SecretListRequest{Environment: "production"}))
	same(t, "own", "production:db/main", list(service.SecretListRequest{Environment: "production", Own: true}))
	same(t, "deleted", "production:db/main base:db/replica production:llm/openai", list(service.SecretListRequest{Environment: "production", Deleted: true}))
	same(t, "labels", "base:db/replica", list(service.SecretListRequest{Environment: "staging", Labels: map[string]string{"team": "data", "tier": ""}}))
	same(t, "other labels", "", list(service.SecretListRequest{Environment: "staging", Labels: map[string]string{"team": "web"}}))
	same(t, "glob", "base:db/main base:db/replica", list(service.SecretListRequest{Environment: "staging", Glob: glob}))
	same(t, "prefix", "", list(service.SecretListRequest{Environment: "staging", Prefix: prefix}))
	same(t, "records of reads of values", before, len(a.chain(t, a.id)))
}

func TestADiffRevealsNothing(t *testing.T) {
	a := newTenant(t)
	a.put1("production", "db", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"user": "svc", "password": strong("1"), "old": strong("o")})})
	a.put1("production", "db", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"user": "svc", "password": strong("2"), "new": strong("o")})})
	d, err := a.s.SecretDiff(t.Context(), a.who, a.tenant, path("db"), service.SecretPoint{Environment: "production", Version: 1}, service.SecretPoint{Environment: "production"})
	must(t, err)
	same(t, "diff", fmt.Sprint([]service.FieldDiff{{Field: "new", Change: "added"}, {Field: "old", Change: "removed"}, {Field: "password", Change: "changed"}, {Field: "user", Change: "same"}}), fmt.Sprint(d.Fields))
}

func TestMetadataAlone(t *testing.T) {
	a := newTenant(t)
	text := func(s string) *string { return &s }
	update := service.SecretRequest{Metadata: service.SecretMetadata{Description: text("main database"), Owner: text("data"), Labels: map[string]string{"a": "1", "b": "2"}}}
	_, err := a.tryPut("production", "db", update)
	mustBe(t, config.KindNotFound, err)
	a.putSecret("production", "db", "one")
	a.put1("production", "db", update)
	same(t, "again", service.Unchanged, a.put1("production", "db", update).Status)
	a.put1("production", "db", service.SecretRequest{Metadata: service.SecretMetadata{Labels: map[string]string{"a": ""}}})
	info := a.info("production", "db")
	same(t, "metadata", "main database data map[b:2]", fmt.Sprint(info.Description, " ", info.Owner, " ", info.Labels))
	same(t, "versions", "1 active", a.versions("production", "db"))
}

func TestEveryReadOfAValueIsOnRecordFirst(t *testing.T) {
	a := newTenant(t)
	a.putSecret("base", "db", "one")
	a.set("production", "app", `{"key":"${secret:db}"}`)
	reads := func() int {
		n := 0
		for _, record := range a.chain(t, a.id) {
			if strings.Contains(record, `"event":"secret.read"`) && strings.Contains(record, "/environments/base/secrets/db") {
				n++
			}
		}
		return n
	}
	a.gets("production", "db", "one")
	same(t, "records", 1, reads())
	_, err := a.s.RevealConfig(t.Context(), a.who, a.tenant, "production", path("app"), service.ReadOptions{})
	must(t, err)
	same(t, "records", 2, reads())
	_, err = a.s.Bundle(t.Context(), a.who, a.tenant, "production", config.Prefix{}, service.ReadOptions{Reveal: true})
	must(t, err)
	same(t, "records", 3, reads())
	a.engine.auditDown.Store(true)
	a.getsNone("production", "db", config.KindUnavailable)
	_, err = a.s.RevealConfig(t.Context(), a.who, a.tenant, "production", path("app"), service.ReadOptions{})
	mustBe(t, config.KindUnavailable, err)
	_, err = a.s.Bundle(t.Context(), a.who, a.tenant, "production", config.Prefix{}, service.ReadOptions{Reveal: true})
	mustBe(t, config.KindUnavailable, err)
	a.reads("production", "app", `{"key":"${secret:db}"}`) // which reveals nothing
}

func TestReveal(t *testing.T) {
	a := newTenant(t)
	a.put1("base", "db", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"user": "svc", "password": strong("p")})})
	a.set("base", "shared", `{"dsn":"postgres://${secret:db#user}:${secret:db#password}@db/x"}`)
	a.set("production", "app", `{"dsn":"${config:shared#/dsn}","text":"$${secret:db#user}","list":["${secret:db#user}"]}`)
	read, err := a.s.RevealConfig(t.Context(), a.who, a.tenant, "production", path("app"), service.ReadOptions{})
	must(t, err)
	same(t, "revealed", `{"dsn":"postgres://svc:`+strong("p")+`@db/x","list":["svc"],"text":"${secret:db#user}"}`, string(read.Reveal().Canonical()))
	same(t, "used", fmt.Sprint([]service.UsedSecret{{Environment: "base", Path: path("db"), Version: 1}}), fmt.Sprint(read.Secrets))
	plain, err := a.s.Config(t.Context(), a.who, a.tenant, "production", path("app"), service.ReadOptions{})
	must(t, err)
	same(t, "digest", plain.Document.Digest, read.Digest)

	for _, refers := range []string{`{"a":{"b":"${secret:nowhere}"}}`, `{"a":{"b":"x ${secret:db#nothing}"}}`} {
		a.set("production", "broken", refers)
		_, err = a.s.RevealConfig(t.Context(), a.who, a.tenant, "production", path("broken"), service.ReadOptions{})
		same(t, "pointer", "/a/b", mustBe(t, config.KindSecretUnavailable, err).Pointer)
	}
	_, err = a.s.RevealConfig(t.Context(), a.who, a.tenant, "production", path("app"), service.ReadOptions{At: at(t, "1")})
	mustBe(t, config.KindBadRequest, err)
	bundle, err := a.s.Bundle(t.Context(), a.who, a.tenant, "production", config.Prefix{}, service.ReadOptions{Reveal: true})
	must(t, err)
	same(t, "documents and errors of the bundle", "2 1", fmt.Sprint(len(bundle.Documents), len(bundle.Errors)))

	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf(`"${secret:many/s%d}"`, i)
		a.putSecret("production", fmt.Sprintf("many/s%d", i), "x")
	}
	a.set("production", "many", `{"a":[`+strings.Join(many, ",")+`]}`)
	_, err = a.s.RevealConfig(t.Context(), a.who, a.tenant, "production", path("many"), service.ReadOptions{})
	mustBe(t, config.KindTooLarge, err)
}

func TestASecretsChangeWakesWhoRefersToIt(t *testing.T) {
	a := newTenant(t)
	a.set("base", "shared", `{"k":"${secret:db}"}`)
	a.set("production", "app", `{"k":"${config:shared#/k}"}`)
	a.set("production", "other", `{"k":1}`)
	w := a.resume("production", a.revision())
	staging := a.resume("staging", a.revision())
	take := func(w *service.Watcher) []string {
		t.Helper()
		notices, err := w.Take(t.Context())
		must(t, err)
		var lines []string
		for _, n := range notices {
			for _, c := range n.Changes {
				lines = append(lines, fmt.Sprintf("%s by %s v%d of %s", c.Path, c.Secret.Path, c.Secret.Version, w.EnvironmentName(c.Secret.Environment)))
			}
			for _, s := range n.Secrets {
				lines = append(lines, fmt.Sprintf("secret %s v%d", s.Path, s.Version))
			}
		}
		return lines
	}
	a.putSecret("base", "db", "one")
	want := []string{"app by db v1 of base", "shared by db v1 of base", "secret db v1"}
	same(t, "told", want, take(w))
	same(t, "told staging", want[1:], take(staging))
	a.putSecret("production", "db", "two")
	same(t, "told", []string{"app by db v1 of production", "shared by db v1 of production", "secret db v1"}, take(w))
	same(t, "told staging", []string(nil), take(staging))
	a.putSecret("base", "db", "three") // which counts in production no more
	same(t, "told", []string(nil), take(w))
	a.stageSecret("production", "db", "staged")
	same(t, "told of what is staged", []string(nil), take(w))

	// The same from the log, which another process reads.
	other := a.over(a.start())
	again := other.resume("production", w.Position()-4)
	same(t, "told from the log", append(want, "app by db v1 of production", "shared by db v1 of production", "secret db v1"), take(again))
}

func TestNoReferrerIsMissedByRaces(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "db", "one")
	intruder, done := a.over(a.s), false
	restore := a.engine.onCommit(func(w *store.Write) {
		if len(w.Secrets) > 0 && !done {
			done = true
			intruder.set("production", "app", `{"k":"${secret:db}"}`)
		}
	})
	w := a.resume("production", a.revision())
	a.putSecret("production", "db", "two")
	restore()
	same(t, "told", 2, len(told(t, w))) // of the document, and that its secret changed
}

func TestOneSecretHasTwoValidVersionsAtMost(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "db", "one")
	same(t, "notes", 0, len(a.put1("production", "db", service.SecretRequest{Fields: a.fields("two")}).Notes))
	notes := a.put1("production", "db", service.SecretRequest{Fields: a.fields("three")}).Notes
	if len(notes) != 1 || !strings.Contains(notes[0], "version 1 was still in its grace") {
		t.Errorf("the end of a grace before its time is told as %q", notes)
	}
}

func TestANumberIsOfTheEnvironmentsOwnSecret(t *testing.T) {
	a := newTenant(t)
	a.putSecret("base", "db", "base")
	a.stageSecret("production", "db", "staged")
	got, err := a.revealVersion("production", "db", 1)
	must(t, err)
	same(t, "version 1", strong("staged"), got)
	a.gets("production", "db", "base")
	d, err := a.s.SecretDiff(t.Context(), a.who, a.tenant, path("db"), service.SecretPoint{Environment: "base"}, service.SecretPoint{Environment: "production", Version: 1})
	must(t, err)
	same(t, "diff", "changed", d.Fields[0].Change)
}
