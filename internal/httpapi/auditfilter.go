package httpapi

import (
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

type (
	// AuditFilter selects audit records.
	AuditFilter struct {
		From      string   `query:"from" doc:"Only records of this time (RFC 3339) or later"`
		To        string   `query:"to" doc:"Only records from before this time (RFC 3339)"`
		Events    []string `query:"event,explode" doc:"Only this event, such as secret.read, or family of events, as in secret.*"`
		Actors    []string `query:"actor,explode" doc:"Only what this actor did, as records name it"`
		Actions   []string `query:"action,explode" doc:"Only what was decided for this action, such as config.read, or family of actions, as in config.*"`
		Outcomes  []string `query:"outcome,explode" doc:"Only success, denied or failed"`
		Resource  string   `query:"resource" doc:"Only what was done to this resource, or below it"`
		Source    string   `query:"source" doc:"Only requests from this address, or network as in 10.0.0.0/8"`
		RequestID string   `query:"request_id" doc:"Only the request with this id"`
		TraceID   string   `query:"trace_id" doc:"Only requests of this trace: 32 hexadecimal digits"`
		Session   string   `query:"session" doc:"Only requests of this login"`
	}
	// OfServer is of the server's own chain, or that of a tenant which was deleted.
	OfServer struct {
		Deleted string `query:"deleted" doc:"Id of a deleted tenant, 32 hexadecimal digits, whose chain is meant instead of the server's"`
		given   bool   // the parameter, be it empty
	}
)

var (
	_ huma.Resolver = (*AuditFilter)(nil)
	_ huma.Resolver = (*OfServer)(nil)
)

// Resolve implements huma.Resolver: huma passes over values that are empty, and
// whoever asks for an empty event does not want all of them.
func (f *AuditFilter) Resolve(ctx huma.Context) []error {
	at := ctx.URL()
	*f = filterIn(at.Query())
	return nil
}

// Resolve implements huma.Resolver: an id that is empty is not the server's.
func (in *OfServer) Resolve(ctx huma.Context) []error {
	at := ctx.URL()
	*in = serverIn(at.Query())
	return nil
}

// serverIn is the OfServer of a query.
func serverIn(query url.Values) OfServer {
	return OfServer{Deleted: query.Get("deleted"), given: query.Has("deleted")}
}

// filterIn is the AuditFilter of a query.
func filterIn(query url.Values) AuditFilter {
	return AuditFilter{
		From: query.Get("from"), To: query.Get("to"),
		Events: query["event"], Actors: query["actor"], Actions: query["action"], Outcomes: query["outcome"],
		Resource: query.Get("resource"), Source: query.Get("source"),
		RequestID: query.Get("request_id"), TraceID: query.Get("trace_id"), Session: query.Get("session"),
	}
}

// filter reads the parameters.
func (f AuditFilter) filter() (filter audit.Filter, err error) {
	filter = audit.Filter{
		Events: f.Events, Actors: f.Actors, Actions: f.Actions,
		Resource: f.Resource, RequestID: f.RequestID, TraceID: f.TraceID, Session: f.Session,
	}
	for name, values := range map[string][]string{"event": f.Events, "actor": f.Actors, "action": f.Actions, "outcome": f.Outcomes} {
		if slices.Contains(values, "") {
			return filter, config.Errorf(config.KindBadRequest, "the parameter is empty").At(name).Hint("leave it out for all")
		}
	}
	for _, outcome := range f.Outcomes {
		filter.Outcomes = append(filter.Outcomes, audit.Outcome(outcome))
	}
	if filter.From, err = parameter(parseTime(f.From))("from"); err != nil {
		return filter, err
	}
	if filter.To, err = parameter(parseTime(f.To))("to"); err != nil {
		return filter, err
	}
	if filter.Source, err = parameter(parseNetwork(f.Source))("source"); err != nil {
		return filter, err
	}
	return filter, nil
}

// parseTime reads a time; "" is the zero Time.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := config.ParseAt(text)
	if err != nil || at.Time.IsZero() {
		return time.Time{}, config.Errorf(config.KindBadRequest, "a time is written as RFC 3339 has it").
			Hint("write it like 2026-11-01T12:00:00Z; in a URL a plus sign is %%2B")
	}
	return at.Time, nil
}

// parseNetwork reads an address or a network; "" is the zero Prefix. Records have
// addresses of IPv4 as such, so that a network of them written as IPv6 selects none.
func parseNetwork(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	if network, err := netip.ParsePrefix(text); err == nil && !network.Addr().Is4In6() {
		return network.Masked(), nil
	}
	return netip.Prefix{}, config.Errorf(config.KindBadRequest, "this is no address or network").
		Hint("write an address like 10.0.0.7 or fd00::7, or a network like 10.0.0.0/8")
}

// chain is the chain of the tenant.
func (in InTenant) chain() (service.Chain, error) { //nolint:unparam // OfServer has errors
	return service.Chain{Tenant: in.Tenant}, nil
}

// chain is the chain that is meant.
func (in OfServer) chain() (service.Chain, error) {
	if !in.given {
		return service.Chain{}, nil
	}
	id, err := parameter(config.ParseTenantID(in.Deleted))("deleted")
	if err == nil && id == (config.TenantID{}) {
		err = config.Errorf(config.KindBadRequest, "no tenant has this id").At("deleted")
	}
	return service.Chain{Deleted: in.Deleted}, err
}
