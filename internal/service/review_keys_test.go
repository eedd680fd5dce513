package service_test

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

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
	restore := a.engine.onCommitFail()
	_, err := a.s.RotateMasterKey(t.Context(), a.root, "")
	restore()
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
