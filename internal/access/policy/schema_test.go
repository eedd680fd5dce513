package policy

import (
	"maps"
	"slices"
	"testing"

	"github.com/cedar-policy/cedar-go"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

var subjects = map[access.Subject]cedar.EntityType{
	access.OnServer: "Server", access.OnTenant: "Tenant", access.OnEnvironment: "Environment",
	access.OnFolder: "Folder", access.OnDocument: "Document", access.OnSecret: "Secret",
}

// The table of actions is the truth: the schema has each of its actions, in the
// same groups and on the same things, and nothing besides.
func TestSchemaHasTheTableOfActions(t *testing.T) {
	actions := maps.Clone(resolvedSchema().Actions)
	groups := map[access.Group]bool{}
	for _, info := range access.Actions {
		uid := cedar.NewEntityUID("Action", cedar.String(info.Action))
		action, ok := actions[uid]
		delete(actions, uid)
		if !ok || action.AppliesTo == nil {
			t.Errorf("%s is missing", uid)
			continue
		}
		if want := []cedar.EntityType{"Token", "Identity", "Workload"}; !slices.Equal(action.AppliesTo.Principals, want) {
			t.Errorf("%s is for %v, want %v", uid, action.AppliesTo.Principals, want)
		}
		var kinds access.Subject
		for kind, name := range subjects {
			if slices.Contains(action.AppliesTo.Resources, name) {
				kinds |= kind
			}
		}
		if kinds != info.On {
			t.Errorf("%s is on %v, want %b", uid, action.AppliesTo.Resources, info.On)
		}
		var parents []cedar.EntityUID
		for _, group := range info.Groups {
			groups[group] = true
			parents = append(parents, cedar.NewEntityUID("Action", cedar.String(group)))
		}
		if got := action.Entity.Parents; !got.Equal(cedar.NewEntityUIDSet(parents...)) {
			t.Errorf("%s is in %v, want %v", uid, slices.Collect(got.All()), parents)
		}
	}
	for group := range groups {
		uid := cedar.NewEntityUID("Action", cedar.String(group))
		if action, ok := actions[uid]; !ok || action.AppliesTo != nil {
			t.Errorf("the group %s is missing, or an action", uid)
		}
		delete(actions, uid)
	}
	if len(actions) > 0 {
		t.Errorf("the schema has more: %v", slices.Collect(maps.Keys(actions)))
	}
}

func TestSchemaKnowsTheEntities(t *testing.T) {
	r := resolvedSchema()
	for _, name := range []cedar.EntityType{"Role", "Token", "Identity", "Workload", "Server", "Tenant", "Environment", "Path", "Folder", "Document", "Secret"} {
		if _, ok := r.Entities[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if len(r.Entities) != 11 || len(r.Enums) != 0 {
		t.Errorf("the schema has %d entities and %d enumerations", len(r.Entities), len(r.Enums))
	}
	if Schema() == "" {
		t.Error("the schema is empty")
	}
}
