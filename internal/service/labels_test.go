package service_test

import (
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// labelled is a tenant in which the people of ml may read and write what is
// labelled as theirs, wherever it is.
type labelled struct {
	*actor
	ml *actor
}

const teamPolicy = `permit (principal in Role::"ml", action in [Action::"config.read", Action::"config.write", Action::"secret.list", Action::"secret.read", Action::"secret.write", Action::"secret.activate"], resource)
when { resource.hasTag("team") && resource.getTag("team") == "ml" };`

func newLabelled(t *testing.T, more ...string) *labelled {
	t.Helper()
	a := newTenant(t)
	a.createUnder("team", "production")
	a.putRole("ml")
	a.putPolicy("teams", teamPolicy+strings.Join(more, "\n"))
	l := &labelled{a, a.as(access.Grants{Roles: []string{"ml"}})}
	a.set("production", "mine", `{"labels":{"team":"ml"},"v":1}`)
	a.set("production", "theirs", `{"labels":{"team":"payments"},"v":1}`)
	a.set("production", "bare", `{"v":1}`)
	a.label("production", "mine", map[string]string{"team": "ml"})
	a.label("production", "theirs", map[string]string{"team": "payments"})
	a.label("production", "bare", nil)
	return l
}

// label sets a secret with labels.
func (a *actor) label(environment, at string, labels map[string]string) {
	a.t.Helper()
	a.put1(environment, at, service.SecretRequest{Fields: a.fields(environment + at), Metadata: service.SecretMetadata{Labels: labels}})
}

func (a *actor) relabel(environment, at string, labels map[string]string) error {
	_, err := a.tryPut(environment, at, service.SecretRequest{Metadata: service.SecretMetadata{Labels: labels}})
	return err
}

func (a *actor) reading(environment, at string) error {
	_, err := a.s.Config(a.t.Context(), a.who, a.tenant, environment, path(at), service.ReadOptions{})
	return err
}

// may expects what is answered to be no denial, or one.
func (a *actor) may(allowed bool, what string, err error) {
	a.t.Helper()
	switch kind := config.KindOf(err); {
	case allowed && err != nil:
		a.t.Errorf("%s is refused: %s", what, describe(err))
	case !allowed && kind != config.KindForbidden:
		a.t.Errorf("%s is answered by %v", what, err)
	}
}

func (a *actor) trying(edits ...service.Edit) error {
	_, err := a.try(edits...)
	return err
}

func TestLabelsOfDocumentsDecide(t *testing.T) {
	l := newLabelled(t)
	for at, allowed := range map[string]bool{"mine": true, "theirs": false, "bare": false, "nothing": false} {
		read := l.ml.reading("production", at)
		l.may(allowed, "a read of "+at, read)
		_, err := l.s.History(t.Context(), l.ml.who, l.tenant, "production", path(at), false, service.Page{})
		l.may(allowed, "the history of "+at, err)
		if at != "nothing" {
			l.may(allowed, "a patch of "+at, l.ml.trying(l.ml.patch("production", at, `{"v":2}`)))
			l.may(allowed, "a put of "+at, l.ml.trying(l.ml.put("production", at, `{"labels":{"team":"ml"},"v":3}`)))
			l.may(allowed, "deleting "+at, l.ml.trying(l.ml.del("production", at)))
		}
	}
	// What is no text is no label, and what is no object holds none.
	for _, text := range []string{`{"labels":{"team":["ml"]}}`, `{"labels":["team","ml"]}`, `{"labels":"team=ml"}`, `{"team":"ml"}`, `{"labels":{"Team":"ml"}}`, `{"x":{"labels":{"team":"ml"}}}`} {
		l.set("production", "odd", text)
		l.may(false, "a read of "+text, l.ml.reading("production", "odd"))
	}
}

// Nobody labels himself into what is not his, whichever way he writes it.
func TestNobodyLabelsHimselfIn(t *testing.T) {
	l := newLabelled(t)
	ml := l.ml
	for what, edit := range map[string]service.Edit{
		"a put with his label":      ml.put("production", "theirs", `{"labels":{"team":"ml"},"v":1}`),
		"a patch of the label":      ml.patch("production", "theirs", `{"labels":{"team":"ml"}}`),
		"a patch that takes it off": ml.patch("production", "theirs", `{"labels":null}`),
		"labelling what has none":   ml.patch("production", "bare", `{"labels":{"team":"ml"}}`),
		"deleting it":               ml.del("production", "theirs"),
		"a layer further down":      ml.put("team", "theirs", `{"labels":{"team":"ml"}}`),
	} {
		before := l.get("production", "theirs") + l.get("production", "bare")
		l.may(false, what, ml.trying(edit))
		_, err := l.s.Change(t.Context(), ml.who, l.tenant, service.ChangeRequest{Edits: []service.Edit{edit}, DryRun: true})
		l.may(false, "a dry run of "+what, err)
		// Not even together with what is his.
		l.may(false, what+" with his own", ml.trying(ml.patch("production", "mine", `{"v":9}`), edit))
		same(t, "documents after "+what, before, l.get("production", "theirs")+l.get("production", "bare"))
	}
	same(t, "his own", `{"labels":{"team":"ml"},"v":1}`, l.get("production", "mine"))
}

// What is his stays his: giving it away takes the right to write what it becomes.
func TestNobodyLabelsAwayWhatIsHis(t *testing.T) {
	l := newLabelled(t)
	ml := l.ml
	l.may(false, "giving it to another team", ml.trying(ml.patch("production", "mine", `{"labels":{"team":"payments"}}`)))
	l.may(false, "taking the label off", ml.trying(ml.patch("production", "mine", `{"labels":null}`)))
	l.may(true, "another label beside", ml.trying(ml.patch("production", "mine", `{"labels":{"tier":"1"}}`)))
	_, err := ml.rollback("production", "mine", text(l.revision()-1))
	l.may(true, "rolling back among his own", err)
	// A layer in the way of another team's, written with its label, is the team's.
	l.set("base", "below", `{"labels":{"team":"payments"}}`)
	l.set("production", "below", `{"labels":{"team":"ml"}}`)
	l.may(false, "deleting the layer that makes it his", ml.trying(ml.del("production", "below")))
}

// A document that is not there has the labels that it is written with.
func TestCreatingWithALabel(t *testing.T) {
	l := newLabelled(t)
	ml := l.ml
	l.may(false, "creating without a label", ml.trying(ml.put("production", "new", `{"v":1}`)))
	l.may(false, "creating with another's", ml.trying(ml.put("production", "new", `{"labels":{"team":"payments"}}`)))
	l.may(false, "creating two, one without", ml.trying(ml.put("production", "new", `{"labels":{"team":"ml"}}`), ml.put("production", "new2", `{}`)))
	same(t, "what was created", absent, l.get("production", "new"))
	l.may(true, "creating with his", ml.trying(ml.put("production", "new", `{"labels":{"team":"ml"}}`)))
	l.may(true, "writing it", ml.trying(ml.patch("production", "new", `{"v":2}`)))
	// Where a forbid looks at labels, a document is not created with one that forbids.
	l.putPolicy("frozen", `forbid (principal in Role::"ml", action == Action::"config.write", resource) when { resource.hasTag("frozen") };`)
	l.may(false, "creating what would be frozen", ml.trying(ml.put("production", "ice", `{"labels":{"team":"ml","frozen":"yes"}}`)))
	l.may(false, "freezing", ml.trying(ml.patch("production", "new", `{"labels":{"frozen":"yes"}}`)))
	l.set("production", "ice", `{"labels":{"team":"ml","frozen":"yes"}}`)
	l.may(false, "thawing", ml.trying(ml.patch("production", "ice", `{"labels":{"frozen":null}}`)))
}

// Who writes an environment that others inherit from cannot label what is in them
// as his own, to read or to write what they alone say.
func TestLabelsThatAreInherited(t *testing.T) {
	writes := `permit (principal in Role::"ml", action in [Action::"config.read", Action::"config.write", Action::"secret.write", Action::"secret.activate"], resource in Environment::"base");`
	l := newLabelled(t, writes)
	ml := l.ml
	l.may(false, "labelling from below", ml.trying(ml.put("base", "bare", `{"labels":{"team":"ml"}}`)))
	l.may(true, "writing below what labels nothing", ml.trying(ml.put("base", "bare", `{"w":1}`)))
	l.may(false, "labelling it then", ml.trying(ml.patch("base", "bare", `{"labels":{"team":"ml"}}`)))
	l.may(false, "reading it", ml.reading("production", "bare"))
	l.may(true, "a label that is overridden", ml.trying(ml.put("base", "theirs", `{"labels":{"team":"ml"}}`)))
	same(t, "theirs", `{"labels":{"team":"payments"},"v":1}`, l.get("production", "theirs"))
	l.may(false, "reading what overrides it", ml.reading("production", "theirs"))
	l.may(true, "a new document for all", ml.trying(ml.put("base", "fresh", `{"labels":{"team":"ml"}}`)))
	l.may(true, "reading it where it is inherited", ml.reading("production", "fresh"))

	// Through a reference.
	l.set("base", "names", `{"owner":"payments"}`)
	l.set("production", "refers", `{"labels":{"team":"${config:names#/owner}"},"v":1}`)
	l.may(false, "labelling through a reference", ml.trying(ml.put("base", "names", `{"owner":"ml"}`)))
	l.may(true, "writing beside it", ml.trying(ml.put("base", "names", `{"owner":"payments","x":1}`)))
	l.may(false, "reading what refers", ml.reading("production", "refers"))

	// An admin, who may write all of it, labels as he likes.
	l.may(true, "an admin's labelling from below", l.trying(l.patch("base", "bare", `{"labels":{"team":"ml"}}`)))
	l.may(true, "reading it after that", ml.reading("production", "bare"))
}

func TestLabelsOfSecretsDecide(t *testing.T) {
	l := newLabelled(t)
	ml := l.ml
	for at, allowed := range map[string]bool{"mine": true, "theirs": false, "bare": false} {
		_, err := ml.reveal("production", at)
		l.may(allowed, "the value of "+at, err)
		_, err = l.s.Secret(t.Context(), ml.who, l.tenant, "production", path(at), false)
		l.may(allowed, "the metadata of "+at, err)
		_, err = ml.tryPut("production", at, service.SecretRequest{Fields: l.fields("next" + at)})
		l.may(allowed, "a value for "+at, err)
		if at != "mine" {
			for _, labels := range []map[string]string{{"team": "ml"}, {"team": ""}, {"x": "y"}} {
				l.may(false, "relabelling "+at, ml.relabel("production", at, labels))
			}
			_, err := ml.tryPut("production", at, service.SecretRequest{Fields: l.fields("mine"), Metadata: service.SecretMetadata{Labels: map[string]string{"team": "ml"}}})
			l.may(false, "a value with a label for "+at, err)
		}
	}
	page, err := l.s.Secrets(t.Context(), ml.who, l.tenant, service.SecretListRequest{Environment: "production"})
	must(t, err)
	same(t, "secrets listed", []string{"mine"}, names(page.Secrets, func(i service.SecretInfo) string { return i.Path.String() }))

	l.may(false, "giving his own away", ml.relabel("production", "mine", map[string]string{"team": "payments"}))
	l.may(false, "taking its label off", ml.relabel("production", "mine", map[string]string{"team": ""}))
	l.may(true, "another label beside", ml.relabel("production", "mine", map[string]string{"tier": "1"}))
	l.may(false, "creating without a label", func() error {
		_, err := ml.tryPut("production", "new", service.SecretRequest{Fields: l.fields("new")})
		return err
	}())
}

// A secret that others inherit is not labelled so that they, or he, get at what
// was not theirs.
func TestLabelsOfSecretsThatAreInherited(t *testing.T) {
	l := newLabelled(t, `permit (principal in Role::"ml", action in [Action::"secret.list", Action::"secret.write", Action::"secret.activate"], resource in Environment::"base");`)
	ml := l.ml
	l.label("base", "shared", nil)
	l.may(false, "labelling what others inherit", ml.relabel("base", "shared", map[string]string{"team": "ml"}))
	_, err := ml.reveal("production", "shared")
	l.may(false, "its value", err)
	_, err = ml.tryPut("base", "shared", service.SecretRequest{Fields: l.fields("with"), Metadata: service.SecretMetadata{Labels: map[string]string{"team": "ml"}}})
	l.may(false, "a value with a label", err)
	_, err = ml.tryPut("base", "shared", service.SecretRequest{Fields: l.fields("without")})
	l.may(true, "a value", err)
	// A staged one is in nobody's way until it counts.
	l.label("base", "later", nil)
	writes := `permit (principal in Role::"ml", action in [Action::"secret.write", Action::"secret.activate"], resource in Environment::"production");`
	l.putPolicy("more", writes)
	_, err = ml.tryPut("production", "later", service.SecretRequest{Fields: l.fields("staged"), Stage: true, Metadata: service.SecretMetadata{Labels: map[string]string{"team": "ml"}}})
	l.may(true, "staging with a label", err)
	_, err = l.s.ActivateSecret(t.Context(), ml.who, l.tenant, "production", path("later"), service.SecretStep{})
	l.may(false, "activating what relabels it in another environment", err)
	_, err = l.s.ActivateSecret(t.Context(), l.who, l.tenant, "production", path("later"), service.SecretStep{})
	l.may(true, "an admin's activating", err)
}

func (a *actor) createUnder(name, parent string) {
	a.t.Helper()
	a.create(name)
	a.mustMove(name, parent)
}
