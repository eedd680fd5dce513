package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// What expired is refused however it is asked for.
func TestAVersionThatExpiredIsNotReadByItsNumber(t *testing.T) {
	a := newTenant(t)
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("one"), Expires: midnight.Add(time.Hour)})
	text, err := a.revealVersion("production", "db", 1)
	must(t, err)
	same(t, "before", strong("one"), text)
	a.clock.move(time.Hour)
	_, err = a.revealVersion("production", "db", 1)
	mustBe(t, config.KindGone, err)
	a.putSecret("production", "db", "two")
	_, err = a.revealVersion("production", "db", 1)
	mustBe(t, config.KindGone, err)
}

func TestADiffWithWhatWasDestroyedIsRefused(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "db", "one")
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("two"), Now: true})
	_, err := a.s.DestroySecret(t.Context(), a.who, a.tenant, "production", path("db"), []config.Version{1}, false, service.SecretStep{})
	must(t, err)
	for _, points := range [][2]config.Version{{1, 2}, {2, 1}, {1, 1}} {
		_, err = a.s.SecretDiff(t.Context(), a.who, a.tenant, path("db"),
			service.SecretPoint{Environment: "production", Version: points[0]}, service.SecretPoint{Environment: "production", Version: points[1]})
		mustBe(t, config.KindGone, err)
	}
}

// Only what left is on record as having left, and only that may be acknowledged.
func TestWhatABundleLeavesOutIsNotOnRecordAsRead(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "kept", "one")
	a.putSecret("production", "lost", "two")
	a.set("production", "a", `{"k":"${secret:kept}"}`)
	a.set("production", "b", `{"k":"${secret:kept}","l":"${secret:lost}","m":"${secret:missing}"}`)
	bundle, err := a.s.Bundle(t.Context(), a.who, a.tenant, "production", config.Prefix{}, service.ReadOptions{Reveal: true})
	must(t, err)
	same(t, "documents", 1, len(bundle.Documents))
	same(t, "secrets", []service.UsedSecret{{Environment: "production", Path: path("kept"), Version: 1}}, bundle.Secrets)
	for _, record := range a.chain(t, a.id) {
		if strings.Contains(record, `"event":"secret.read"`) && strings.Contains(record, "secrets/lost") {
			t.Errorf("on record is %s", record)
		}
	}
	mustBe(t, config.KindBadRequest, a.acks("app", map[string]config.Version{"lost": 1}))
}

// A secret that many documents miss costs one look and one record, not one for each.
func TestAMissingSecretIsLookedForOnce(t *testing.T) {
	a := newTenant(t)
	for i := range 20 {
		a.set("production", fmt.Sprintf("d%d", i), `{"k":"${secret:missing}"}`)
	}
	before := len(a.chain(t, a.id))
	bundle, err := a.s.Bundle(t.Context(), a.who, a.tenant, "production", config.Prefix{}, service.ReadOptions{Reveal: true})
	must(t, err)
	same(t, "left out", 20, len(bundle.Errors))
	same(t, "records", 1, len(a.chain(t, a.id))-before)
}

// However many documents refer to a secret, and in however many environments,
// it can be rotated, and is not deleted from under them.
func TestASecretThatVeryManyDocumentsReferTo(t *testing.T) {
	a := newTenant(t)
	a.putSecret("base", "db", "one")
	for i := range 5 {
		var edits []service.Edit
		for j := range 1000 {
			edits = append(edits, a.put("base", fmt.Sprintf("d%d/%d", i, j), `{"k":"${secret:db}"}`))
		}
		a.write(edits...)
	}
	w := a.resume("production", a.revision())
	a.put1("base", "db", service.SecretRequest{Fields: a.fields("two"), Now: true})
	notices, err := w.Take(t.Context())
	must(t, err)
	if len(notices) != 1 || notices[0].Reset == "" {
		t.Errorf("told %d notices", len(notices))
	}
	_, err = a.s.DeleteSecret(t.Context(), a.who, a.tenant, "base", path("db"), false, service.SecretStep{})
	mustBe(t, config.KindReferenced, err)
	_, err = a.s.DeleteSecret(t.Context(), a.who, a.tenant, "base", path("db"), true, service.SecretStep{})
	must(t, err)
}

// What an environment inherits, it inherits with its references.
func TestAMoveNeedsNoMoreThanStands(t *testing.T) {
	a := newTenant(t)
	a.create("team")
	a.set("production", "app", `{"k":"${secret:db}"}`)
	a.mustMove("team", "production")
	a.reads("team", "app", `{"k":"${secret:db}"}`)
}
