package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// pace is how a watch is kept alive.
type pace struct {
	tick     time.Duration // how often rights are asked anew, and progress is told at most
	comment  time.Duration // after so long without a word a comment is sent
	patience time.Duration // for the watcher to take what is sent
	retry    time.Duration // watchers come back within this after a shutdown
}

var defaultPace = pace{tick: time.Second, comment: 15 * time.Second, patience: 30 * time.Second, retry: 10 * time.Second}

// watch streams what changes in an environment as server-sent events.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	request, err := watchRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	watcher, err := s.service.Watch(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), request)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer watcher.Close()
	header := w.Header()
	header.Set("Content-Type", api.TypeEvents)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	stream := &stream{s: s, watcher: watcher, control: http.NewResponseController(w), w: w}
	if err := stream.run(r.Context()); err != nil {
		// The status is sent; why the stream ended is for the log, and for the
		// request that the watcher comes back with.
		stateOf(r.Context()).failed(err, problem(err).Code)
	}
}

func watchRequest(r *http.Request) (service.WatchRequest, error) {
	in := service.WatchRequest{Environment: r.PathValue("environment")}
	query, err := parseQuery(r)
	if err != nil {
		return in, err
	}
	for name := range query {
		switch name {
		case "prefix":
			if in.Prefix, err = parameter(config.ParsePrefix(query.Get(name)))(name); err != nil {
				return in, err
			}
		case "include":
			if in.Data = query.Get(name) == "data"; !in.Data {
				return in, config.Errorf(config.KindBadRequest, "include can only be data").At(name)
			}
		case "reveal":
			return in, config.Errorf(config.KindBadRequest, "a watch never carries the values of secrets").At(name).
				Hint("it names the secrets that changed; read each of them with reveal=true")
		default:
			return in, unknownParameter(name)
		}
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		revision, err := strconv.ParseInt(last, 10, 64)
		if err != nil || revision < 0 {
			return in, config.Errorf(config.KindBadRequest, "Last-Event-ID is no revision").At("Last-Event-ID").
				Hint("send the id of the last event that you took, or leave it out to begin now")
		}
		in.Resume, in.After = true, config.Revision(revision)
	}
	return in, nil
}

// stream is one watcher's connection.
type stream struct {
	s       *Server
	watcher *service.Watcher
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
	told    config.Revision // the last id that was sent
	spoke   time.Time       // when anything was sent
}

// run sends until the watcher goes, may no longer watch, or the server stops.
func (t *stream) run(ctx context.Context) error {
	tick := time.NewTicker(t.s.pace.tick)
	defer tick.Stop()
	if err := t.begin(ctx); err != nil {
		return err
	}
	for {
		next, open := t.watcher.Wait()
		if !open {
			return t.goodbye()
		}
		select {
		case <-next:
			if err := t.send(ctx); err != nil {
				return err
			}
		case <-tick.C:
			if err := t.tick(ctx); err != nil {
				return err
			}
		case <-t.s.stopping:
			return t.goodbye()
		case <-ctx.Done():
			return nil
		}
	}
}

// begin says where the stream begins: at what the watcher missed, else here.
func (t *stream) begin(ctx context.Context) error {
	if err := t.send(ctx); err != nil || t.told != 0 {
		return err
	}
	t.progress()
	return ignoreGone(t.flush())
}

// send sends everything that there is.
func (t *stream) send(ctx context.Context) error {
	notices, err := t.watcher.Take(ctx)
	for _, n := range notices {
		frame, frameErr := t.frame(n)
		if frameErr != nil {
			return frameErr
		}
		t.buffer.Write(frame)
		t.told = n.Event.Revision
	}
	if flushErr := t.flush(); flushErr != nil {
		return ignoreGone(flushErr)
	}
	return err
}

// tick asks for the right to go on, and shows that the stream is alive.
func (t *stream) tick(ctx context.Context) error {
	if err := t.watcher.Recheck(ctx); err != nil {
		return err
	}
	switch {
	case t.watcher.Position() > t.told:
		t.progress()
	case time.Since(t.spoke) >= t.s.pace.comment:
		t.buffer.WriteString(": still here\n\n")
	}
	return ignoreGone(t.flush())
}

func (t *stream) progress() {
	t.told = t.watcher.Position()
	t.buffer.WriteString("event: " + api.EventProgress + "\nid: " + strconv.FormatInt(int64(t.told), 10) + "\ndata:\n\n")
}

// goodbye spreads the watchers' return, and says where they go on.
func (t *stream) goodbye() error {
	retry := rand.N(t.s.pace.retry) //nolint:gosec // spreading load needs no secret
	t.buffer.WriteString("retry: " + strconv.FormatInt(retry.Milliseconds(), 10) + "\n")
	t.progress()
	return ignoreGone(t.flush())
}

// errGone says that the watcher is no longer there.
var errGone = errors.New("the watcher has gone")

func ignoreGone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// flush sends what was written; a watcher that does not take it is left.
func (t *stream) flush() error {
	if t.buffer.Len() == 0 {
		return nil
	}
	t.spoke = time.Now()
	_ = t.control.SetWriteDeadline(t.spoke.Add(t.s.pace.patience))
	_, err := t.w.Write(t.buffer.Bytes())
	if err == nil {
		err = t.control.Flush()
	}
	if t.buffer.Reset(); t.buffer.Cap() > 1<<20 {
		t.buffer = bytes.Buffer{}
	}
	if err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

// frame is a notice in the form of server-sent events. All who watch the same
// with the same rights share one.
func (t *stream) frame(n service.Notice) ([]byte, error) {
	encode := func() ([]byte, error) { return t.encode(n) }
	if !n.Whole || n.Reset != "" {
		return encode()
	}
	return n.Event.Frame(t.watcher.FrameKey(), encode)
}

func (t *stream) encode(n service.Notice) ([]byte, error) {
	name, data := api.EventChange, any(api.WatchEvent{
		Revision: int64(n.Event.Revision), Time: n.Event.Time.UTC(), Changes: convert(n.Changes, t.change),
		Secrets: some(n.Secrets, secretNotice),
	})
	if n.Reset != "" {
		name, data = api.EventReset, api.WatchReset{Revision: int64(n.Event.Revision), Reason: n.Reset}
	}
	var frame bytes.Buffer
	frame.WriteString("event: " + name + "\nid: " + strconv.FormatInt(int64(n.Event.Revision), 10) + "\ndata: ")
	if err := writeJSON(&frame, data); err != nil {
		return nil, err
	}
	frame.WriteByte('\n') // writeJSON ended the line, this ends the event
	return frame.Bytes(), nil
}

func (t *stream) change(c watch.Change) api.WatchChange {
	out := api.WatchChange{Path: c.Path.String()}
	if c.Secret != nil {
		out.Secret = &api.SecretRef{
			Environment: t.watcher.EnvironmentName(c.Secret.Environment), Path: c.Secret.Path.String(), Version: int64(c.Secret.Version),
		}
	} else {
		out.Cause = &api.LayerRef{Environment: t.watcher.EnvironmentName(c.Cause.Environment), Version: int64(c.Cause.Version)}
	}
	if c.Exists {
		out.Digest = c.Digest.String()
	}
	if t.watcher.FrameKey().Data && c.Effective.Document.Exists() {
		out.Document = json.RawMessage(c.Effective.Document.Canonical())
	}
	return out
}

func secretNotice(n watch.SecretNotice) api.SecretNotice {
	return api.SecretNotice{Path: n.Path.String(), Version: int64(n.Version)}
}
