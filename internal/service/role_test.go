package service_test

import (
	"fmt"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (a *actor) tryRole(name string, in service.RoleRequest) (service.RoleResult, error) {
	return a.s.PutRole(a.t.Context(), a.who, a.tenant, name, in)
}

func TestRolesThatIncludeOthers(t *testing.T) {
	a, _ := ruled(t)
	a.putPolicy("p", readsStaging)
	a.putRole("middle", "r")
	a.putRole("top", "middle", access.RoleApplication)
	top := a.as(access.Grants{Roles: []string{"top"}})
	must(t, top.reading("staging", "a"))
	must(t, top.reading("production", "a")) // by application
	middle := a.as(access.Grants{Roles: []string{"middle"}})
	must(t, middle.reading("staging", "a"))
	middle.may(false, "a read elsewhere", middle.reading("production", "a"))

	for name, includes := range map[string][]string{"r": {"top"}, "middle": {"top"}, "self": {"self"}, "unknown": {"nobody"}, "server": {access.RoleServerAdmin}} {
		_, err := a.tryRole(name, service.RoleRequest{Includes: includes})
		mustBe(t, config.KindInvalidPolicy, err)
	}
	for _, includes := range []string{"", "No Such", `r" || true`, "r*"} {
		_, err := a.tryRole("x", service.RoleRequest{Includes: []string{includes}})
		mustBe(t, config.KindInvalidName, err)
	}
	for _, name := range append([]string{access.RoleServerAdmin}, access.BuiltinRoles...) {
		_, err := a.tryRole(name, service.RoleRequest{})
		mustBe(t, config.KindAlreadyExists, err)
	}
	for _, name := range []string{"", "Role", "1", "a b", "break-glass-x"} {
		if _, err := a.tryRole(name, service.RoleRequest{}); err == nil {
			t.Errorf("there is a role %q", name)
		}
	}
	// A role that others include is not deleted before they are changed.
	_, err := a.tryRole("middle", service.RoleRequest{Delete: true})
	mustBe(t, config.KindInvalidPolicy, err)
	must(t, top.reading("staging", "a"))
}

func TestARoleGoesThroughItsVersions(t *testing.T) {
	a, r := ruled(t)
	same(t, "version", config.Version(1), func() config.Version {
		role, err := a.s.Role(t.Context(), a.who, a.tenant, "r", 0)
		must(t, err)
		return role.Row.Version
	}())
	result, err := a.tryRole("r", service.RoleRequest{Includes: []string{"viewer", "application", "viewer"}, Description: "readers"})
	must(t, err)
	same(t, "what it is", "2 [application viewer] readers", fmt.Sprint(result.Role.Row.Version, " ", result.Role.Includes, " ", result.Role.Description))
	must(t, r.reading("staging", "a")) // whose token was there before
	again, err := a.tryRole("r", service.RoleRequest{Includes: []string{"application", "viewer"}, Description: "readers"})
	must(t, err)
	same(t, "written again", fmt.Sprint(service.Unchanged, 2), fmt.Sprint(again.Status, again.Role.Row.Version))
	one := config.Version(1)
	_, err = a.tryRole("r", service.RoleRequest{IfVersion: &one})
	mustBe(t, config.KindPreconditionFailed, err)

	// A role that somebody has stays: another of its name would be theirs as well.
	_, err = a.tryRole("r", service.RoleRequest{Delete: true})
	mustBe(t, config.KindInUse, err)
	_, err = a.s.RevokeToken(t.Context(), a.who, a.tenant, r.who.Principal.ID)
	must(t, err)
	_, err = a.tryRole("r", service.RoleRequest{Delete: true})
	must(t, err)
	_, err = a.s.CreateToken(t.Context(), a.who, a.tenant, service.TokenRequest{Name: "x", Grants: access.Grants{Roles: []string{"r"}}})
	mustBe(t, config.KindBadRequest, err)
	_, err = a.tryRole("r", service.RoleRequest{Delete: true})
	mustBe(t, config.KindNotFound, err)
	_, err = a.s.Role(t.Context(), a.who, a.tenant, "r", 0)
	mustBe(t, config.KindNotFound, err)
	back, err := a.tryRole("r", service.RoleRequest{Includes: []string{"viewer"}})
	must(t, err)
	same(t, "version", config.Version(4), back.Role.Row.Version)
	second, err := a.s.Role(t.Context(), a.who, a.tenant, "r", 2)
	must(t, err)
	same(t, "what was", []string{"application", "viewer"}, second.Includes)
	history, _, err := a.s.RuleHistory(t.Context(), a.who, a.tenant, store.RuleRole, "r", page(10))
	must(t, err)
	same(t, "versions", 4, len(history))
}

// Nobody makes a role of more than he has, nor by changing one that he has.
func TestRolesGiveNoMoreThanTheirAuthorHas(t *testing.T) {
	a, _ := ruled(t)
	a.putRole("author")
	a.putPolicy("authors", `permit (principal in Role::"author", action in [Action::"policy.write", Action::"policy.read"], resource);`)
	author := a.as(access.Grants{Roles: []string{"author", access.RoleViewer}})
	define := func(name string, includes ...string) error {
		_, err := author.tryRole(name, service.RoleRequest{Includes: includes})
		return err
	}
	must(t, define("watchers", "viewer"))
	for _, role := range []string{"operator", "admin", "application"} {
		author.may(false, "a role that is "+role, define("more", role))
		author.may(false, "his own as "+role, define("author", role))
	}
	a.putPolicy("readers", `permit (principal in Role::"r", action == Action::"secret.read", resource);`)
	author.may(false, "a role of what he lacks", define("keys", "r"))
	// Who does not hold what a role is forbidden does not take the role from those
	// who have it.
	a.putRole("outsider")
	a.putRole("temp", "outsider", "viewer")
	a.putPolicy("outsiders", `forbid (principal in Role::"outsider", action == Action::"config.read", resource in Environment::"production");`)
	temp, bare := a.as(access.Grants{Roles: []string{"temp"}}), a.as(access.Grants{Roles: []string{"author"}})
	temp.may(false, "a read that is forbidden", temp.reading("production", "a"))
	_, err := bare.tryRole("temp", service.RoleRequest{Includes: []string{"viewer"}})
	bare.may(false, "leaving out what forbids", err)
	temp.may(false, "a read after that", temp.reading("production", "a"))
	_, err = a.tryRole("temp", service.RoleRequest{Includes: []string{"viewer"}})
	must(t, err)
	must(t, temp.reading("production", "a"))
}
