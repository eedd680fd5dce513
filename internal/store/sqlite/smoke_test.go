package sqlite

import (
	"context"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := config.TenantID{1}
	r, err := s.CreateTenant(ctx, config.Tenant{ID: id, Name: "a"}, store.Write{Environments: []store.EnvironmentWrite{{Environment: config.Environment{ID: 1, Name: "base", Version: 1}}}}, store.Write{})
	t.Log(r, err)
	for i := range 3 {
		r, err = s.Commit(ctx, id, store.Write{Layers: []store.LayerWrite{{Environment: 1, Path: config.MustPath("a/b"), Version: config.Version(i + 1), State: store.Live, Sealed: []byte("x")}}})
		t.Log(r, err)
	}
	ls, err := s.LayersAt(ctx, id, 0, []config.Path{config.MustPath("a/b")})
	t.Log(ls, err)
	ls, err = s.LayersAt(ctx, id, 3, []config.Path{config.MustPath("a/b")})
	t.Log(ls, err)
	for v := range 5 {
		l, err := s.LayerVersion(ctx, id, 1, config.MustPath("a/b"), config.Version(v))
		t.Log(l.Revision, err)
	}
	l2, cur, err := s.ScanLayers(ctx, id, store.Scan{Environments: []config.EnvironmentID{1}, Page: store.Page{Limit: 1}})
	t.Log(l2, cur, err)
	t.Log(s.Environments(ctx, id, 0))
	t.Log(s.Ping(ctx))
}
