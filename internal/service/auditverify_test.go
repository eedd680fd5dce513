package service_test

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// What is verified is what is in the store now, whatever was read of it before.
func TestVerificationReadsTheStore(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(30, 0)...)
	a.clock.move(9 * oneDay)
	links := a.links(a.id)
	a.retain()
	same(t, "found", 6, len(a.found(a.chain(), audit.Filter{Events: []string{"policy.put"}}, 100)))
	a.holds("read before", a.chain())
	segments, err := a.engine.Segments(t.Context(), a.id, 0, 1)
	must(t, err)
	packed := links[:segments[0].Last]
	packed[11].Record = []byte(`{"event":"forged"}`)
	body, err := audit.PackSegment(audit.Origin(a.name, a.id), audit.Head{}, packed)
	must(t, err)
	a.sql(`UPDATE audit_segment_bodies SET body = ? WHERE tenant = ?`, body, a.id[:])
	if report := a.verified(a.chain()); report.Broken == nil || report.Broken.Sequence != 12 {
		t.Errorf("%v, want a break at record 12", report.Broken)
	}
}
