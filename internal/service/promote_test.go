package service_test

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

func paths(texts ...string) []config.Path {
	var all []config.Path
	for _, text := range texts {
		all = append(all, path(text))
	}
	return all
}

func TestPromoteReplacesTheLayersOfPaths(t *testing.T) {
	a := newTenant(t)
	a.write(
		a.put("base", "a", `{"base":1}`),
		a.put("staging", "a", `{"x":2,"n":{"p":1}}`), a.put("staging", "b", `{"b":1}`), a.put("staging", "c", `{}`),
		a.put("production", "a", `{"x":1,"y":1,"n":{"q":1}}`), a.put("production", "c", `{}`),
	)
	in := service.PromoteRequest{From: "staging", To: "production", Paths: paths("b", "a", "c", "a"), Message: "ship it", DryRun: true}
	plan, err := a.promote(in)
	must(t, err)
	same(t, "status", service.Planned, plan.Status)
	a.says("production", "b", absent)
	in.DryRun = false
	result := a.committed(a.promote(in))
	same(t, "edits", []service.EditResult{
		{Op: service.Put, Environment: "production", Path: path("a"), Version: 2},
		{Op: service.Put, Environment: "production", Path: path("b"), Version: 1},
	}, result.Edits)
	lost := []service.Lost{
		{Path: path("a"), Pointer: "/n/q", Value: 1.0},
		{Path: path("a"), Pointer: "/x", Value: 1.0},
		{Path: path("a"), Pointer: "/y", Value: 1.0},
	}
	same(t, "what is lost", lost, result.Lost)
	same(t, "what the plan says is lost", lost, plan.Lost)
	a.says("production", "a", `{"n":{"p":1},"x":2}`)
	a.reads("production", "a", `{"base":1,"n":{"p":1},"x":2}`)
	a.says("production", "c", `{}`)
	same(t, "message", "ship it", a.logged(result.Revision).Message)

	result, err = a.promote(in)
	must(t, err)
	same(t, "status of the second time", service.Unchanged, result.Status)
}

func TestPromoteAllAndPrune(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("base", "z", `{}`), a.put("staging", "a", `{"v":1}`), a.put("staging", "b", `{"v":1}`), a.put("production", "only", `{"v":1}`))
	all := service.PromoteRequest{From: "staging", To: "production", All: true}
	a.committed(a.promote(all))
	a.says("production", "a", `{"v":1}`)
	a.says("production", "b", `{"v":1}`)
	a.says("production", "only", `{"v":1}`)
	a.says("production", "z", absent) // own layers only
	a.write(a.del("staging", "b"))
	all.Prune = true
	result := a.committed(a.promote(all))
	same(t, "edits", []service.EditResult{
		{Op: service.Delete, Environment: "production", Path: path("b"), Version: 2},
		{Op: service.Delete, Environment: "production", Path: path("only"), Version: 2},
	}, result.Edits)
	same(t, "what is lost", []service.Lost{
		{Path: path("b"), Pointer: "", Value: map[string]any{"v": 1.0}},
		{Path: path("only"), Pointer: "", Value: map[string]any{"v": 1.0}},
	}, result.Lost)

	_, err := a.promote(service.PromoteRequest{From: "staging", To: "production", Paths: paths("z")})
	same(t, "pointer", "paths", mustBe(t, config.KindNotFound, err).Pointer)
	a.set("production", "z", `{}`)
	a.committed(a.promote(service.PromoteRequest{From: "staging", To: "production", Paths: paths("z"), Prune: true}))
	a.says("production", "z", absent)
}

func TestPromoteAsItWasThen(t *testing.T) {
	a := newTenant(t)
	then := a.write(a.put("staging", "a", `{"v":1}`), a.put("staging", "b", `{"v":1}`)).Revision
	a.write(a.put("staging", "a", `{"v":2}`), a.del("staging", "b"), a.put("staging", "c", `{}`))
	a.committed(a.promote(service.PromoteRequest{From: "staging", To: "production", All: true, At: config.At{Revision: then}}))
	a.says("production", "a", `{"v":1}`)
	a.says("production", "b", `{"v":1}`)
	a.says("production", "c", absent)
	a.committed(a.promote(service.PromoteRequest{From: "staging", To: "production", Paths: paths("a"), At: config.At{Version: 2}}))
	a.says("production", "a", `{"v":2}`)
	_, err := a.promote(service.PromoteRequest{From: "staging", To: "production", Paths: paths("a", "b"), At: config.At{Version: 1}})
	mustBe(t, config.KindBadRequest, err) // of which of the two?
}

func TestPromotionsThatAreRefused(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("staging", "a", `{"r":"${config:target#/x}"}`), a.put("staging", "target", `{"x":1}`))
	for pointer, in := range map[string]service.PromoteRequest{
		"to":    {From: "staging", To: "staging", All: true},
		"paths": {From: "staging", To: "production", All: true, Paths: paths("a")},
	} {
		_, err := a.promote(in)
		same(t, "pointer", pointer, mustBe(t, config.KindBadRequest, err).Pointer)
	}
	_, err := a.promote(service.PromoteRequest{From: "staging", To: "production"})
	same(t, "pointer", "paths", mustBe(t, config.KindBadRequest, err).Pointer)
	for _, in := range []service.PromoteRequest{{From: "nowhere", To: "production", All: true}, {From: "staging", To: "nowhere", All: true}} {
		_, err := a.promote(in)
		mustBe(t, config.KindNotFound, err)
	}
	_, err = a.promote(service.PromoteRequest{From: "staging", To: "production", Paths: paths("a")})
	e := mustBe(t, config.KindInvalidReference, err)
	same(t, "where", "production a", places(e))
	a.says("production", "a", absent)
	a.committed(a.promote(service.PromoteRequest{From: "staging", To: "production", All: true}))
}
