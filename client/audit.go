package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// AuditQuery selects records. The zero AuditQuery is all of them; of the members
// that are set a record must satisfy each, and of a member with several values
// any one.
type AuditQuery struct {
	From, To  time.Time // at or after From, before To
	Events    []string  // such as secret.read, or a family as in secret.*
	Actors    []string  // as records name them
	Actions   []string  // such as config.read, or a family as in config.*
	Outcomes  []string  // success, denied or failed
	Resource  string    // the resource itself and all below it
	Source    string    // the address or network that requests came from, such as 10.0.0.0/8
	RequestID string
	TraceID   string
	Session   string
}

func (q AuditQuery) apply(r *request) {
	r.setTime("from", q.From).setTime("to", q.To)
	r.setAll("event", q.Events).setAll("actor", q.Actors).setAll("action", q.Actions).setAll("outcome", q.Outcomes)
	r.set("resource", q.Resource).set("source", q.Source)
	r.set("request_id", q.RequestID).set("trace_id", q.TraceID).set("session", q.Session)
}

// setAll adds a parameter as often as there are values.
func (r *request) setAll(name string, values []string) *request {
	if len(values) > 0 {
		r.query[name] = values
	}
	return r
}

// setTime adds a time, unless it is zero.
func (r *request) setTime(name string, t time.Time) *request {
	if t.IsZero() {
		return r
	}
	return r.set(name, t.UTC().Format(time.RFC3339Nano))
}

// AuditChain is a chain of audit records: a tenant's, the server's, or that of a
// tenant which was deleted.
type AuditChain struct {
	client  *Client
	server  bool
	deleted *string // id of a deleted tenant, whose chain the server has
}

// Audit is the chain of the client's tenant.
func (c *Client) Audit() *AuditChain { return &AuditChain{client: c} }

// ServerAudit is the chain of the server.
func (c *Client) ServerAudit() *AuditChain { return &AuditChain{client: c, server: true} }

// DeletedAudit is the chain of a deleted tenant, by the tenant's id: 32
// hexadecimal digits.
func (c *Client) DeletedAudit(tenantID string) *AuditChain {
	return &AuditChain{client: c, server: true, deleted: &tenantID}
}

// request is for the route of a tenant's chain, or that of the server's.
func (a *AuditChain) request(method, ofTenant, ofServer string, values ...string) (*request, error) {
	if !a.server {
		return a.client.request(method, ofTenant, values...)
	}
	r := newRequest(method, ofServer, values...)
	if a.deleted != nil {
		r.query.Set("deleted", *a.deleted)
	}
	return r, nil
}

// Search is one page of the records that a query selects, newest first.
func (a *AuditChain) Search(ctx context.Context, query AuditQuery, page Page) (*api.AuditPage, error) {
	r, err := a.request(http.MethodGet, api.RouteAudit, api.RouteServerAudit)
	if err != nil {
		return nil, err
	}
	query.apply(r)
	page.apply(r)
	return call[api.AuditPage](ctx, a.client, r)
}

// All goes through the records that a query selects, newest first.
func (a *AuditChain) All(ctx context.Context, query AuditQuery, page Page) iter.Seq2[api.AuditRecord, error] {
	return all(page, func(p Page) ([]api.AuditRecord, string, error) {
		found, err := a.Search(ctx, query, p)
		if err != nil {
			return nil, "", err
		}
		return found.Records, found.Next, nil
	})
}

// Counts counts the records that a query selects by one or two of event, actor,
// action, outcome and source and, unless it is 0, by windows of time: of whole
// seconds, up to 31 days.
func (a *AuditChain) Counts(ctx context.Context, query AuditQuery, by []string, window time.Duration) (*api.AuditCounts, error) {
	r, err := a.request(http.MethodGet, api.RouteAuditCounts, api.RouteServerCounts)
	if err != nil {
		return nil, err
	}
	query.apply(r)
	r.setAll("by", by)
	if window != 0 {
		r.set("window", window.String())
	}
	return call[api.AuditCounts](ctx, a.client, r)
}

// Status says where the chain stands, and where its records are.
func (a *AuditChain) Status(ctx context.Context) (*api.AuditStatus, error) {
	r, err := a.request(http.MethodGet, api.RouteAuditStatus, api.RouteServerStatus)
	if err != nil {
		return nil, err
	}
	return call[api.AuditStatus](ctx, a.client, r)
}

// Checkpoints is one page of the chain's signed checkpoints, newest first.
func (a *AuditChain) Checkpoints(ctx context.Context, page Page) (*api.AuditCheckpoints, error) {
	r, err := a.request(http.MethodGet, api.RouteAuditNotes, api.RouteServerNotes)
	if err != nil {
		return nil, err
	}
	page.apply(r)
	return call[api.AuditCheckpoints](ctx, a.client, r)
}

// SetHold keeps the chain's records from being disposed of, which is for an
// administrator of the server.
func (a *AuditChain) SetHold(ctx context.Context, reason string) (*api.AuditHoldResult, error) {
	r, err := a.request(http.MethodPut, api.RouteAuditHold, api.RouteServerHold)
	if err != nil {
		return nil, err
	}
	if r, err = r.json(api.PutAuditHold{Reason: reason}); err != nil {
		return nil, err
	}
	return call[api.AuditHoldResult](ctx, a.client, r)
}

// LiftHold lets the chain's records be disposed of again when they are due. Where
// there is no hold it is ErrNotFound.
func (a *AuditChain) LiftHold(ctx context.Context) (*api.AuditHoldResult, error) {
	r, err := a.request(http.MethodDelete, api.RouteAuditHold, api.RouteServerHold)
	if err != nil {
		return nil, err
	}
	return call[api.AuditHoldResult](ctx, a.client, r)
}

// Tail follows the records that a query selects, from behind one on; nil begins
// with what comes next. It reconnects by itself and goes on where it was: records
// come in the order of the chain, none twice and none left out. A lost connection
// shows as an error; to loop on is to wait for the next one.
func (a *AuditChain) Tail(ctx context.Context, query AuditQuery, after *int64) iter.Seq2[api.AuditRecord, error] {
	t := &tail{chain: a, query: query, after: after}
	s := &stream[api.AuditRecord]{client: a.client, name: "audit tail", request: t.request, read: t.read, opened: func() {}, alive: func() {}}
	return s.events(ctx)
}

// tail is where a Tail stands.
type tail struct {
	chain *AuditChain
	query AuditQuery
	after *int64 // the record that was looked at last; nil before the server has said
}

func (t *tail) request() (*request, error) {
	r, err := t.chain.request(http.MethodGet, api.RouteAuditTail, api.RouteServerTail)
	if err != nil {
		return nil, err
	}
	t.query.apply(r)
	if t.after != nil {
		r.header.Set("Last-Event-ID", strconv.FormatInt(*t.after, 10))
	}
	return r, nil
}

// read reads a record, and says whether it is news.
func (t *tail) read(raw frame) (record api.AuditRecord, news bool, err error) {
	if raw.kind != api.EventRecord && raw.kind != api.EventProgress {
		return record, false, nil // of a kind that is not known yet
	}
	sequence, err := strconv.ParseInt(raw.id, 10, 64)
	if err != nil || sequence < 0 {
		return record, false, fmt.Errorf("the id %q of an event is no sequence number", excerpt([]byte(raw.id)))
	}
	if raw.overflow {
		return record, false, fmt.Errorf("record %d is over %d bytes", sequence, maxEvent)
	}
	if t.after != nil && sequence <= *t.after {
		return record, false, nil
	}
	if raw.kind == api.EventRecord {
		if err := json.Unmarshal(raw.data, &record); err != nil {
			return record, false, fmt.Errorf("record %d cannot be read: %w", sequence, err)
		}
		if record.Sequence != sequence {
			return record, false, fmt.Errorf("the event with the id %d says that it is record %d", sequence, record.Sequence)
		}
	}
	t.after = &sequence
	return record, raw.kind == api.EventRecord, nil
}

// Compliance is the report of a framework, such as soc2, on what happened at or
// after from and before to, as JSON. Its checks are run for it, so it may take a while.
func (a *AuditChain) Compliance(ctx context.Context, framework string, from, to time.Time) (json.RawMessage, error) {
	answer, err := a.compliance(ctx, framework, from, to, api.TypeJSON)
	if err != nil {
		return nil, err
	}
	if !json.Valid(answer.body) {
		return nil, a.client.unexpected(answer, "its JSON does not parse")
	}
	return answer.body, nil
}

// ComplianceMarkdown is Compliance as text to read.
func (a *AuditChain) ComplianceMarkdown(ctx context.Context, framework string, from, to time.Time) ([]byte, error) {
	answer, err := a.compliance(ctx, framework, from, to, api.TypeMarkdown)
	if err != nil {
		return nil, err
	}
	return answer.body, nil
}

func (a *AuditChain) compliance(ctx context.Context, framework string, from, to time.Time, kind string) (*answer, error) {
	r, err := a.request(http.MethodGet, api.RouteCompliance, api.RouteServerComply, framework)
	if err != nil {
		return nil, err
	}
	r.setTime("from", from).setTime("to", to)
	r.header.Set("Accept", kind)
	r.slow = true
	answer, err := a.client.want(ctx, r, http.StatusOK)
	if err != nil {
		return nil, err
	}
	if mediaType(answer.header) != kind {
		return nil, a.client.unexpected(answer, "it is not "+kind)
	}
	return answer, nil
}

// AuditKeys are the public keys that checkpoints are signed with, oldest first.
func (c *Client) AuditKeys(ctx context.Context) (*api.AuditKeys, error) {
	return call[api.AuditKeys](ctx, c, newRequest(http.MethodGet, api.RouteAuditKeys))
}

// RotateAuditKey has the server make a new key for checkpoints. The first
// checkpoint of each chain after it is signed by both.
func (c *Client) RotateAuditKey(ctx context.Context) (*api.AuditKeys, error) {
	return call[api.AuditKeys](ctx, c, newRequest(http.MethodPost, api.RouteAuditRotate))
}
