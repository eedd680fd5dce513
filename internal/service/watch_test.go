package service_test

import "github.com/llm-devops/llm-config-manager/internal/service"

// watch begins a watch that ends with the test.
func (a *actor) watch(in service.WatchRequest) *service.Watcher {
	a.t.Helper()
	w, err := a.s.Watch(a.t.Context(), a.who, a.tenant, in)
	must(a.t, err)
	a.t.Cleanup(w.Close)
	return w
}
