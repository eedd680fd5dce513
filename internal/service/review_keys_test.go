package service_test

import (
	"context"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// faulty is a store that takes no commits of some kind.
type faulty struct {
	store.Store
	fails func(*store.Write) bool
}

func (f faulty) Commit(ctx context.Context, tenant config.TenantID, write store.Write) (store.Receipt, error) {
	if f.fails(&write) {
		return store.Receipt{}, errDown
	}
	return f.Store.Commit(ctx, tenant, write)
}

// A request that comes again with its key rotates nothing a second time.
func TestAKeyIsRotatedOnceForEachIdempotencyKey(t *testing.T) {
	a := newTenant(t)
	who := keyed(a.who, "k1", "rotate")
	first, err := a.s.RotateTenantKey(t.Context(), who, a.tenant, "")
	must(t, err)
	again, err := a.s.RotateTenantKey(t.Context(), who, a.tenant, "")
	must(t, err)
	same(t, "version", first.Version, again.Version)
	same(t, "replayed", true, again.Replayed)
	same(t, "revision", first.Revision, again.Revision)

	must(t, seal.AddFileKey(a.master))
	root := keyed(a.root, "k2", "rotate master")
	one, err := a.s.RotateMasterKey(t.Context(), root, "")
	must(t, err)
	two, err := a.s.RotateMasterKey(t.Context(), root, "")
	must(t, err)
	same(t, "version of the master key", one.Version, two.Version)
	same(t, "replayed", true, two.Replayed)
}

// The master key is not rotated when that could not be put on record.
func TestAMasterKeyIsNeverRotatedUnrecorded(t *testing.T) {
	a := newTenant(t)
	must(t, seal.AddFileKey(a.master))
	before := a.revisionOfMaster(t, a.s)
	a.engine.auditDown.Store(true)
	s := service.New(service.Options{Store: faulty{a.engine, func(*store.Write) bool { return true }}, Keyring: a.keyring, Clock: a.clock.read})
	_, err := s.RotateMasterKey(t.Context(), a.root, "")
	a.engine.auditDown.Store(false)
	if err == nil {
		t.Fatal("a rotation passed that is not on record")
	}
	same(t, "newest master key", before, a.revisionOfMaster(t, a.s))
}

func (a *actor) revisionOfMaster(t *testing.T, s *service.Service) (newest uint32) {
	t.Helper()
	master, _, err := s.MasterKeys(t.Context(), a.root)
	must(t, err)
	for _, v := range master.Versions {
		if v.Newest {
			newest = v.Version
		}
	}
	return newest
}
