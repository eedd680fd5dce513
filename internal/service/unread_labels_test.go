package service_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Nobody gets past a forbid because the labels that it looks at cannot be read:
// their layer is destroyed, or the document refers to what is gone.
func TestLabelsThatCannotBeKnownForbid(t *testing.T) {
	l := newLabelled(t)
	l.set("production", "target", `{"v":1}`)
	l.set("production", "destroyed", `{"labels":{"frozen":"yes"}}`)
	l.set("production", "dangling", `{"labels":{"frozen":"yes"},"v":"${config:target#/v}"}`)
	l.putPolicy("frozen", `forbid (principal, action == Action::"config.write", resource) when { resource.hasTag("frozen") };`)
	l.tamper(`UPDATE layers SET state = ? WHERE path = 'destroyed'`, store.Destroyed)
	l.tamper(`UPDATE layer_versions SET state = ?, sealed = NULL WHERE path = 'destroyed'`, store.Destroyed)
	l.tamper(`UPDATE layers SET state = ? WHERE path = 'target'`, store.Deleted)
	l.tamper(`UPDATE layer_versions SET state = ?, sealed = NULL WHERE path = 'target'`, store.Deleted)
	a := l.over(l.start())
	mustBe(t, config.KindGone, a.reading("production", "destroyed"))
	mustBe(t, config.KindInvalidReference, a.reading("production", "dangling"))
	for _, at := range []string{"destroyed", "dangling"} {
		before := len(a.chain(t, a.id))
		a.may(false, "a put of "+at, a.trying(a.put("production", at, `{"v":2}`)))
		if added := a.chain(t, a.id)[before:]; len(added) != 1 || !strings.Contains(added[0], "cannot be read") {
			t.Errorf("of %s it is on record: %s", at, added)
		}
	}
	a.may(true, "a put of what is not there", a.trying(a.put("production", "absent", `{"v":2}`)))
}

// tamper changes what is stored, past all that would notice.
func (a *actor) tamper(statement string, arguments ...any) {
	a.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(filepath.Dir(a.master), "data.db"))
	must(a.t, err)
	_, err = db.ExecContext(a.t.Context(), statement, arguments...)
	must(a.t, errors.Join(err, db.Close()))
}
