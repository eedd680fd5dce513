package service_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// exported are the sequence numbers of the records of an export.
func exported(t *testing.T, export []byte) (all []uint64) {
	t.Helper()
	i, err := audit.NewImporter(bytes.NewReader(export))
	must(t, err)
	for {
		line, err := i.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		if line.Link != nil {
			all = append(all, line.Link.Sequence)
		}
	}
}

// An export of records of every age is what both verifiers take; filtered it is
// what a search finds, and as CloudEvents too.
func TestExportsOfAllAges(t *testing.T) {
	l := aged(t)
	program := newVerifier(t)
	holds := func(what string, export []byte) {
		t.Helper()
		if report := l.follow(export); report.Broken != nil {
			t.Fatalf("%s: %v", what, report.Broken)
		}
		if code, out := program.run(t, export, l.public()); code != 0 {
			t.Fatalf("%s: the program ends with %d: %s", what, code, out)
		}
	}
	whole := l.export(l.chain(), service.ExportRequest{})
	holds("whole", whole)
	if !bytes.Contains(whole, []byte(`{"disposed":`)) || !bytes.Contains(whole, []byte(`{"checkpoint":`)) {
		t.Error("there is no stub or no checkpoint in it")
	}
	l.read()
	gone := l.disposed()
	same(t, "records", len(l.records)-int(gone), len(exported(t, whole)))
	for _, after := range []uint64{gone, gone + 100, 8192, l.stands(l.id).Hot, l.stands(l.id).Head.Sequence} {
		holds("from behind a record", l.export(l.chain(), service.ExportRequest{After: after}))
	}
	for _, after := range []uint64{1, gone - 1, 1 << 40} {
		_, err := l.tryExport(l.chain(), service.ExportRequest{After: after})
		mustBe(t, config.KindNotFound, err)
	}

	filter := audit.Filter{Events: []string{"policy.put", "secret.read"}, Resource: "environments/e1"}
	l.read()
	want := l.matching(filter, gone+1, uint64(len(l.records)))
	slices.Reverse(want)
	filtered := l.export(l.chain(), service.ExportRequest{Filter: filter})
	if got := exported(t, filtered); !slices.Equal(want, got) {
		t.Errorf("filtered: %d records, want %d", len(got), len(want))
	}
	if code, _ := program.run(t, filtered, l.public()); code != 1 {
		t.Errorf("a filtered export: the program ends with %d", code)
	}
	events := bytes.Split(bytes.TrimSpace(l.export(l.chain(), service.ExportRequest{Form: service.ExportCloudEvents, Filter: filter})), []byte("\n"))
	same(t, "events", len(want), len(events))
	for _, line := range events {
		var event struct {
			SpecVersion string `json:"specversion"`
			Type        string `json:"type"`
		}
		must(t, json.Unmarshal(line, &event))
		if event.SpecVersion != "1.0" || event.Type == "" {
			t.Fatalf("no CloudEvent: %s", line)
		}
	}
	_, err := l.tryExport(l.chain(), service.ExportRequest{Form: "csv"})
	mustBe(t, config.KindBadRequest, err)
}

// stirred calls do after each so many lines that are written.
type stirred struct {
	bytes.Buffer
	lines, every int
	do           func()
}

func (s *stirred) Write(line []byte) (int, error) {
	if s.lines++; s.lines%s.every == 0 {
		s.do()
	}
	return s.Buffer.Write(line)
}

// Records that are packed and archived while they are exported are all there once.
// Where they are disposed of meanwhile, the export ends without an end, and the
// next one holds.
func TestExportWhileRecordsMove(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(6000, 0)...)
	a.sign()
	a.clock.move(7*oneDay - 4*oneDay)
	begin := func() func(io.Writer) error {
		write, err := a.s.ExportAudit(t.Context(), a.who, a.chain(), service.ExportRequest{Form: service.ExportNDJSON})
		must(t, err)
		return write
	}
	write := begin()
	w := &stirred{every: 500, do: func() { a.clock.move(5 * oneDay); a.append(a.id, made(1, 0)...); a.retain() }}
	must(t, write(w))
	if report := a.follow(w.Bytes()); report.Broken != nil || report.Records < 6000 {
		t.Fatalf("%+v", report)
	}
	if tiers := a.tiers(a.id); tiers[1] == 0 {
		t.Fatalf("nothing moved: %v", tiers)
	}
	write = begin()
	w = &stirred{every: 1000, do: func() { a.clock.move(8 * oneYear); a.append(a.id, made(1, 0)...); a.retain() }}
	if err := write(w); config.KindOf(err) != config.KindUnavailable {
		t.Errorf("records were disposed of meanwhile: %v", err)
	}
	a.holds("afterwards", a.chain())
}

// A row that somebody puts beside a segment, in the place of a record that was
// packed, is found by whoever verifies and read by nobody.
func TestRowsBesideASegment(t *testing.T) {
	for name, age := range map[string]time.Duration{"packed": 9 * oneDay, "archived": 50 * oneDay, "disposed of": 8 * oneYear} {
		for what, forge := range map[string]func(audit.Link) audit.Link{
			"the same again": func(l audit.Link) audit.Link { return l },
			"another": func(l audit.Link) audit.Link {
				r, err := audit.ParseRecord(l.Record)
				must(t, err)
				r.Actor = "token:forged"
				l.Record = r.Canonical()
				return l
			},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				a := newAuditor(t)
				a.append(a.id, made(300, 0)...)
				links := a.links(a.id)
				a.clock.move(age)
				a.retain()
				a.restart()
				a.holds("before", a.chain())
				l := forge(links[156])
				a.sql(`INSERT INTO audit (tenant, sequence, hash, record) VALUES (?, ?, ?, ?)`, a.id[:], int64(l.Sequence), l.Hash[:], l.Record)
				report, err := a.s.VerifyAudit(t.Context(), a.who, a.chain(), nil)
				must(t, err)
				if report.Broken == nil || report.Broken.Sequence != l.Sequence && age < oneYear || !strings.Contains(report.Broken.Reason, "row of the database as well") {
					t.Errorf("verified: %+v", report.Broken)
				}
				for _, filter := range []audit.Filter{{}, {Actors: []string{"token:forged"}}, {RequestID: "r156"}} {
					found, err := a.s.Audit(t.Context(), a.who, a.chain(), filter, page(1000))
					if err != nil {
						mustBe(t, config.KindUnavailable, err)
					}
					for _, link := range found.Links {
						if link.Sequence <= 300 && !bytes.Equal(link.Record, links[link.Sequence-1].Record) {
							t.Errorf("%+v: found %s", filter, link.Record)
						}
					}
				}
				tail, err := a.s.TailAudit(t.Context(), a.who, a.chain(), audit.Filter{}, new(uint64(156)))
				if err != nil {
					return // disposed of
				}
				defer tail.Close()
				got, _ := tail.Next(t.Context())
				for _, link := range got {
					if link.Sequence == 157 && !bytes.Equal(link.Record, links[156].Record) {
						t.Errorf("a tail has %s", link.Record)
					}
				}
			})
		}
	}
}
