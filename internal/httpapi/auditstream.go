package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// auditQuery reads the query of a route about a chain that is written by hand,
// which has parameters of its own besides those that name the chain.
func auditQuery(r *http.Request, own ...string) (chain service.Chain, query url.Values, err error) {
	query, err = parseQuery(r, "event", "actor", "action", "outcome")
	if err != nil {
		return chain, nil, err
	}
	ofServer := r.PathValue("tenant") == ""
	for name := range query {
		if !slices.Contains(own, name) && (name != "deleted" || !ofServer) {
			return chain, nil, unknownParameter(name)
		}
	}
	if !ofServer {
		chain, err = InTenant{Tenant: r.PathValue("tenant")}.chain()
	} else {
		chain, err = serverIn(query).chain()
	}
	return chain, query, err
}

// filterNames are the parameters of an AuditFilter.
var filterNames = []string{"from", "to", "event", "actor", "action", "outcome", "resource", "source", "request_id", "trace_id", "session"}

// exportAudit streams the records of a chain.
func (s *Server) exportAudit(w http.ResponseWriter, r *http.Request) {
	chain, request, err := exportRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	write, err := s.service.ExportAudit(r.Context(), callerOf(r.Context()), chain, request)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := s.newDownload(w)
	out.header.Set("Content-Type", api.TypeNDJSON)
	out.header.Set("Content-Disposition", `attachment; filename="`+exportName(chain, request.Form, s.clock())+`"`)
	s.finishDownload(w, r, out, write(out.compressedFor(r)))
}

func exportRequest(r *http.Request) (chain service.Chain, request service.ExportRequest, err error) {
	chain, query, err := auditQuery(r, append([]string{"format", "after"}, filterNames...)...)
	if err != nil {
		return chain, request, err
	}
	request.Form = service.ExportNDJSON
	if query.Has("format") {
		request.Form = service.ExportForm(query.Get("format"))
	}
	if request.Form != service.ExportNDJSON && request.Form != service.ExportCloudEvents {
		return chain, request, config.Errorf(config.KindBadRequest, "an export is ndjson or cloudevents").At("format")
	}
	if query.Has("after") {
		after, err := strconv.ParseInt(query.Get("after"), 10, 64)
		if err != nil || after < 0 {
			return chain, request, config.Errorf(config.KindBadRequest, "after is the sequence number of a record").At("after").
				Hint("leave it out to begin with the first")
		}
		request.After = uint64(after)
	}
	request.Filter, err = filterIn(query).filter()
	return chain, request, err
}

// getOnly is plain for a GET that is on record as read: HEAD, which would put there
// what is not answered, is refused like any method that the route does not take.
func (s *Server) getOnly(pattern, action string, handler http.HandlerFunc, op *huma.Operation) {
	s.plain(http.MethodGet, pattern, action, handler, op)
	s.mux.HandleFunc(refusedHead+pattern, s.unrouted)
}

// refusedHead begins the patterns that are there for unrouted to be reached.
const refusedHead = http.MethodHead + " "

// exportName is the name of the file that an export is saved as.
func exportName(chain service.Chain, form service.ExportForm, now time.Time) string {
	name, kind := "server", ""
	switch {
	case chain.Tenant != "":
		name = "tenant-" + chain.Tenant
	case chain.Deleted != "":
		name = "deleted-" + chain.Deleted
	}
	if form == service.ExportCloudEvents {
		kind = ".cloudevents"
	}
	return "audit-" + name + "-" + now.UTC().Format("20060102T150405Z") + kind + ".ndjson"
}

// verifyAudit follows a chain, and answers how far it is and what it found.
func (s *Server) verifyAudit(w http.ResponseWriter, r *http.Request) {
	chain, _, err := auditQuery(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	out := s.newDownload(w)
	out.header.Set("Content-Type", api.TypeNDJSON)
	say := func(line api.AuditProgress) error {
		if err := writeJSON(out, line); err != nil {
			return err
		}
		return out.Flush()
	}
	told := api.AuditProgress{}
	report, err := s.service.VerifyAudit(ctx, callerOf(ctx), chain, func(checked, of uint64) {
		told = api.AuditProgress{Checked: int64(checked), Of: int64(of)}
		if err := say(told); err != nil {
			cancel(err) // nobody waits for the report
		}
	})
	if err == nil {
		told.Report = auditReport(report)
		told.Checked = max(told.Checked, told.Report.Last)
		told.Of = max(told.Of, told.Checked)
		err = say(told)
	}
	s.finishDownload(w, r, out, err)
}

// tailAudit streams the records of a chain as they come, as server-sent events.
func (s *Server) tailAudit(w http.ResponseWriter, r *http.Request) {
	chain, filter, after, err := tailRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	tail, err := s.service.TailAudit(r.Context(), callerOf(r.Context()), chain, filter, after)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer tail.Close()
	s.serveEvents(w, r, func() error {
		stream := &tailStream{eventStream: s.newEventStream(w), tail: tail, stopping: s.stopping}
		return stream.run(r.Context())
	})
}

func tailRequest(r *http.Request) (chain service.Chain, filter audit.Filter, after *uint64, err error) {
	chain, query, err := auditQuery(r, filterNames...)
	if err != nil {
		return chain, filter, nil, err
	}
	if filter, err = filterIn(query).filter(); err != nil {
		return chain, filter, nil, err
	}
	last, err := lastEventID(r, "sequence number")
	if last != nil {
		after = new(uint64(*last))
	}
	return chain, filter, after, err
}

// tailStream is one connection that follows a chain.
type tailStream struct {
	eventStream
	tail     *service.AuditTail
	stopping <-chan struct{}
	told     uint64 // the last id that was sent
}

// run sends until the reader goes, may no longer read, or the server stops.
func (t *tailStream) run(ctx context.Context) error {
	tick := time.NewTicker(t.pace.tick)
	defer tick.Stop()
	t.progress() // so that a reader who comes back before the first record misses none
	for {
		if err := t.send(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-t.stopping:
			return t.goodbye(int64(t.tail.Position()))
		case <-ctx.Done():
			return nil
		}
	}
}

// send sends everything that there is, and shows that the stream is alive.
func (t *tailStream) send(ctx context.Context) error {
	for at := t.tail.Position(); !t.stopped(); at = t.tail.Position() {
		links, err := t.tail.Next(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the reader has gone
		}
		for _, l := range links {
			if err := writeEvent(&t.buffer, api.EventRecord, int64(l.Sequence), auditRecord(l)); err != nil {
				return err
			}
			t.told = l.Sequence
		}
		if flushErr := t.flush(); flushErr != nil || err != nil {
			return errors.Join(flushErr, err)
		}
		if t.tail.Position() == at {
			break
		}
	}
	if t.tail.Position() > t.told {
		t.progress()
	} else {
		t.comment()
	}
	return t.flush()
}

func (t *tailStream) stopped() bool {
	select {
	case <-t.stopping:
		return true
	default:
		return false
	}
}

// progress says that no record up to here is wanted.
func (t *tailStream) progress() {
	t.told = t.tail.Position()
	t.eventStream.progress(int64(t.told))
}

// download is an answer that is written as it is made. Nothing is sent before
// the first write, so that what fails before it is answered by a problem. A
// reader has some time for each write and none for all of them together.
type download struct {
	header   http.Header
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	begun    bool
	ends     []func() error // of what lies between the one who writes and the reader, outermost first
}

func (s *Server) newDownload(w http.ResponseWriter) *download {
	d := &download{
		header: http.Header{"Cache-Control": {"no-store"}, "X-Accel-Buffering": {"no"}},
		w:      w, control: http.NewResponseController(w), patience: s.pace.patience,
	}
	_ = d.control.SetWriteDeadline(time.Time{}) // the time of all requests may be too short for the first line
	return d
}

// compressedFor is the download in the encoding that the caller prefers.
func (d *download) compressedFor(r *http.Request) io.Writer {
	packed := bufio.NewWriterSize(d, chunkBytes)
	d.ends = []func() error{packed.Flush}
	d.header["Vary"] = varyHeader
	render, name := encodingOf(r, compressFrom)
	if render == service.Plain {
		return packed
	}
	d.header.Set("Content-Encoding", name)
	c := compressor(render, packed)
	d.ends = []func() error{c.Close, packed.Flush}
	return c
}

// chunkBytes is how much of a download is sent at once.
const chunkBytes = 32 << 10

// Write implements io.Writer.
func (d *download) Write(b []byte) (int, error) {
	defer d.within(d.patience)()
	d.begin()
	n, err := d.w.Write(b)
	if err != nil {
		err = errors.Join(errGone, err)
	}
	return n, err
}

// Flush sends what was written.
func (d *download) Flush() error {
	defer d.within(d.patience)()
	d.begin()
	if err := d.control.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

func (d *download) begin() {
	if d.begun {
		return
	}
	d.begun = true
	header := d.w.Header()
	for name, values := range d.header {
		header[name] = values
	}
}

// within bounds what the reader may take until the answer is called. Between
// writes there is no bound: HTTP/2 would end the answer while the next is made.
func (d *download) within(patience time.Duration) (done func()) {
	_ = d.control.SetWriteDeadline(time.Now().Add(patience))
	return func() { _ = d.control.SetWriteDeadline(time.Time{}) }
}

// finishDownload ends a download. One that failed after it began is cut off, for
// its status said that it would be whole.
func (s *Server) finishDownload(w http.ResponseWriter, r *http.Request, d *download, err error) {
	for _, end := range d.ends {
		if err == nil {
			err = end()
		}
	}
	if err == nil {
		err = d.Flush()
	}
	_ = d.control.SetWriteDeadline(time.Now().Add(d.patience)) // for the end of the answer
	switch {
	case err == nil:
	case !d.begun:
		s.fail(w, r, err)
	default:
		if !errors.Is(err, errGone) && r.Context().Err() == nil {
			stateOf(r.Context()).failed(err, problem(err).Code)
		}
		panic(http.ErrAbortHandler)
	}
}
