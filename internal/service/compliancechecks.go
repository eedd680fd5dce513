package service

import (
	"context"
	"fmt"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// examination is one run of the checks on the server or a tenant.
type examination struct {
	s      *Service
	who    Caller
	chain  store.Chain
	state  *tenantState // nil for the server
	report audit.Report // of following the chain
	recent []audit.Record
	links  []audit.Link // of recent, newest first
	now    time.Time
}

// finding is what a check says: "" as fault when it passed.
type finding struct{ fault, figures string }

func holds(figures string, args ...any) finding {
	return finding{figures: fmt.Sprintf(figures, args...)}
}
func fails(text string, args ...any) finding { return finding{fault: fmt.Sprintf(text, args...)} }

// checks are what runs for each name. An error says that it could not run.
var checks = map[compliance.CheckName]func(*examination, context.Context) (finding, error){
	compliance.DenyByDefault:        (*examination).denyByDefault,
	compliance.StrangersRefused:     (*examination).strangersRefused,
	compliance.TenantIsolation:      (*examination).tenantIsolation,
	compliance.AdminsFew:            (*examination).adminsFew,
	compliance.TokensExpire:         (*examination).tokensExpire,
	compliance.BreakGlassBounded:    (*examination).breakGlassBounded,
	compliance.PoliciesTested:       (*examination).policiesTested,
	compliance.DenialsRecorded:      (*examination).denialsRecorded,
	compliance.ChangesRecorded:      (*examination).changesRecorded,
	compliance.RecordsComplete:      (*examination).recordsComplete,
	compliance.SecretValuesAbsent:   (*examination).secretValuesAbsent,
	compliance.ClockSteady:          (*examination).clockSteady,
	compliance.ChainVerified:        (*examination).chainVerified,
	compliance.CheckpointFresh:      (*examination).checkpointFresh,
	compliance.CheckpointsElsewhere: (*examination).checkpointsElsewhere,
	compliance.RetentionConfigured:  (*examination).retentionConfigured,
	compliance.HoldRespected:        (*examination).holdRespected,
	compliance.AlertsOn:             (*examination).alertsOn,
	compliance.SealedAtRest:         (*examination).sealedAtRest,
	compliance.KeysInTime:           (*examination).keysInTime,
	compliance.MasterKeyKept:        (*examination).masterKeyKept,
	compliance.SecretsRotated:       (*examination).secretsRotated,
	compliance.TransportEncrypted:   (*examination).transportEncrypted,
	compliance.LimitsOn:             (*examination).limitsOn,
}

// examine follows the chain and reads its newest records, which several checks
// look at.
func (s *Service) examine(ctx context.Context, who Caller, chain Chain, id config.TenantID) (*examination, error) {
	x := &examination{s: s, who: who, now: s.clock()}
	var err error
	if chain.Tenant != "" {
		if x.state, err = s.tenants.named(ctx, chain.Tenant); err != nil {
			return nil, err
		}
	}
	if x.report, err = s.verifyChain(ctx, id, nil); err != nil {
		return nil, err
	}
	if x.report.Broken != nil {
		s.chainBroken(ctx, id, x.report.Broken)
	}
	if x.chain, err = s.store.Chain(ctx, id); err != nil {
		return nil, err
	}
	position := x.chain.Head.Sequence + 1
	for len(x.links) < compliance.RecentRecords && position > 1 {
		links, err := s.linksBack(ctx, id, position, 0)
		if err != nil && x.report.Broken == nil {
			return nil, err
		}
		if err != nil || len(links) == 0 { // the report says where the chain is broken
			break
		}
		x.links = append(x.links, links...)
		position = links[len(links)-1].Sequence
	}
	x.links = x.links[:min(len(x.links), compliance.RecentRecords)]
	x.recent = parsed(x.links)
	return x, nil //nolint:nilerr // what cannot be read of a broken chain is its report's to say
}

// parsed are the records of links, up to the first that cannot be read: recordsComplete
// says which that is.
func parsed(links []audit.Link) []audit.Record {
	records := make([]audit.Record, 0, len(links))
	for _, l := range links {
		r, err := audit.ParseRecord(l.Record)
		if err != nil {
			break
		}
		records = append(records, r)
	}
	return records
}

// run runs the checks that are of this scope.
func (x *examination) run(ctx context.Context) map[compliance.CheckName]compliance.Result {
	results := map[compliance.CheckName]compliance.Result{}
	for _, check := range compliance.Checks {
		if x.state == nil && check.Scope == compliance.OfTenant || x.state != nil && check.Scope == compliance.OfServer {
			continue
		}
		result := compliance.Result{Check: check.Name, Ran: x.s.clock()}
		switch f, err := checks[check.Name](x, ctx); {
		case err != nil:
			result.Status, result.Detail = compliance.CannotRun, reasonOf(err)
		case f.fault != "":
			result.Status, result.Detail = compliance.Failed, f.fault
		default:
			result.Status, result.Detail = compliance.Passed, f.figures
		}
		results[check.Name] = result
	}
	return results
}
