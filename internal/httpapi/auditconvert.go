package httpapi

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func auditRecord(l audit.Link) api.AuditRecord {
	return api.AuditRecord{Sequence: int64(l.Sequence), Hash: hex.EncodeToString(l.Hash[:]), Record: json.RawMessage(l.Record)}
}

func auditCounts(c service.AuditCounts) api.AuditCounts {
	out := api.AuditCounts{
		By:     convert(c.By, func(d audit.Dimension) string { return string(d) }),
		Counts: convert(c.Groups, func(g service.AuditGroup) api.AuditCount { return auditCount(c.By, g) }),
	}
	if c.Window != 0 {
		out.Window = c.Window.String()
	}
	return out
}

func auditCount(by []audit.Dimension, g service.AuditGroup) api.AuditCount {
	group := make(map[string]string, len(by))
	for i, dimension := range by {
		group[string(dimension)] = g.Values[i]
	}
	return api.AuditCount{Start: maybe(g.Start), Group: group, Records: g.Records, Total: g.Weight}
}

func auditStatus(s service.AuditStatus) api.AuditStatus {
	out := api.AuditStatus{
		Origin: s.Origin, Sequence: int64(s.Head.Sequence), Hash: hex.EncodeToString(s.Head.Hash[:]), Time: maybe(s.Time),
		Hot: int64(s.Head.Sequence + 1 - s.Chain.Hot), Warm: api.AuditTier(s.Warm), Cold: api.AuditTier(s.Cold),
		Disposed: int64(s.Disposed), Indexed: int64(s.Indexed), Broken: s.Broken,
		Hold: auditHold(s.Hold),
	}
	if s.Newest != nil {
		out.Checkpoint = new(checkpoint(*s.Newest))
	}
	return out
}

func checkpoint(c store.Checkpoint) api.AuditCheckpoint {
	return api.AuditCheckpoint{Sequence: int64(c.Sequence), Time: signedTime(c).UTC(), Note: string(c.Note)}
}

// signedTime is the time that the note of a checkpoint says, its fourth line; that
// of the database, which nobody signed, only where the note says none.
func signedTime(c store.Checkpoint) time.Time {
	for line := range strings.Lines(string(c.Note)) {
		if text, is := strings.CutPrefix(line, "time "); is {
			if signed, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(text)); err == nil {
				return signed
			}
		}
	}
	return c.Time
}

func auditHold(h store.Hold) *api.AuditHold {
	if h == (store.Hold{}) {
		return nil
	}
	return &api.AuditHold{Reason: h.Reason, Author: h.Author, Time: h.Time.UTC()}
}

func auditKey(k store.SigningKey) api.AuditKey {
	return api.AuditKey{Version: int64(k.Version), Public: k.Public, Created: k.Created.UTC()}
}

func auditReport(r audit.Report) *api.AuditReport {
	out := &api.AuditReport{
		Origin: r.Origin, Holds: r.Broken == nil,
		Last: int64(r.Head.Sequence), Hash: hex.EncodeToString(r.Head.Hash[:]), Records: int64(r.Records), Disposed: int64(r.Disposed),
		Checkpoints: int64(r.Checkpoints), Signed: int64(r.Signed.Head.Sequence), SignedAt: maybe(r.Signed.Time),
	}
	if r.Records > 0 {
		out.First = out.Last - out.Records + 1
	}
	if r.Broken != nil {
		out.Broken = &api.AuditBreak{Sequence: int64(r.Broken.Sequence), Reason: r.Broken.Reason}
	}
	return out
}
