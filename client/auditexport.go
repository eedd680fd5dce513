package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// patience is how long a streamed answer may pause. An export that leaves out
// nearly all records has nothing to send while it looks for the next.
const patience = 5 * time.Minute

// ExportOptions say what to export, and how.
type ExportOptions struct {
	Form  string // ndjson, which can be verified and is meant by "", or cloudevents
	After int64  // begin behind this record; 0 from the start
	Query AuditQuery
}

// Export streams the records of the chain; whoever reads them closes the stream.
// One that is cut off fails to be read, and an export in the form ndjson lacks
// its last line, the end.
func (a *AuditChain) Export(ctx context.Context, options ExportOptions) (io.ReadCloser, error) {
	r, err := a.request(http.MethodGet, api.RouteAuditExport, api.RouteServerExport)
	if err != nil {
		return nil, err
	}
	options.Query.apply(r)
	r.set("format", options.Form).setInt("after", options.After)
	return a.client.download(ctx, r, api.TypeNDJSON)
}

// Verify has the server follow the whole chain. progress is told how far it is,
// about once a second; nil for nobody. A chain that does not hold is no error:
// the report says so, and where.
func (a *AuditChain) Verify(ctx context.Context, progress func(api.AuditProgress)) (*api.AuditReport, error) {
	r, err := a.request(http.MethodGet, api.RouteAuditVerify, api.RouteServerVerify)
	if err != nil {
		return nil, err
	}
	r.header.Set("Accept-Encoding", "identity") // a compressor would hold lines back
	body, err := a.client.download(ctx, r, api.TypeNDJSON)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxProblem)
	for lines.Scan() {
		var line api.AuditProgress
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("verifying at %s: a line that cannot be read: %w", a.client.Address(), err)
		}
		if line.Report != nil {
			return line.Report, nil
		}
		if progress != nil {
			progress(line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: the answer of %s", errCutOff, a.client.Address())
}

// download sends the request until it is answered or no attempt is left, and
// answers the body as it comes.
func (c *Client) download(ctx context.Context, r *request, kind string) (io.ReadCloser, error) {
	r.header.Set("Accept", kind)
	for attempt := 1; ; attempt++ {
		d, refusal, err := c.startDownload(ctx, r, kind)
		if d != nil {
			return d, nil
		}
		if wait, again := c.pause(r, refusal, err, attempt); again && sleep(ctx, wait) == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		return nil, c.failure(refusal)
	}
}

func (c *Client) startDownload(ctx context.Context, r *request, kind string) (*download, *answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watchdog := time.AfterFunc(c.timeout, func() { cancel(errSilent) })
	response, refusal, err := c.begin(ctx, r, kind) //nolint:bodyclose // the download closes it
	if response == nil {
		watchdog.Stop()
		cancel(nil)
		return nil, refusal, err
	}
	watchdog.Stop()
	return &download{client: c, ctx: ctx, cancel: cancel, watchdog: watchdog, body: response.Body}, nil, nil
}

// download is an answer that is read as it comes. It is given up when the server
// pauses for too long; the time that the caller takes between reads is its own.
type download struct {
	client   *Client
	ctx      context.Context // of the request
	cancel   context.CancelCauseFunc
	watchdog *time.Timer
	body     io.ReadCloser
}

func (d *download) Read(p []byte) (int, error) {
	d.watchdog.Reset(patience)
	n, err := d.body.Read(p)
	d.watchdog.Stop()
	if err != nil && err != io.EOF { //nolint:errorlint // a Reader answers io.EOF itself
		err = d.failure(err)
	}
	return n, err
}

// Close gives up what was not read.
func (d *download) Close() error {
	d.watchdog.Stop()
	d.cancel(nil)
	return d.body.Close()
}

// failure says why there is no more to read.
func (d *download) failure(err error) error {
	if context.Cause(d.ctx) != nil {
		return d.client.networkFailure(d.ctx, err)
	}
	return fmt.Errorf("%w: the answer of %s: %w", errCutOff, d.client.Address(), err)
}

// errCutOff says that an answer ended before its end.
var errCutOff = errors.New("cut off before its end; ask again")
