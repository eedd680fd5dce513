package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

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
	s.serveEvents(w, r, func() error {
		stream := &watchStream{eventStream: s.newEventStream(w), watcher: watcher, stopping: s.stopping}
		return stream.run(r.Context())
	})
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
	last, err := lastEventID(r, "revision")
	if last != nil {
		in.Resume, in.After = true, config.Revision(*last)
	}
	return in, err
}

// watchStream is one watcher's connection.
type watchStream struct {
	eventStream
	watcher  *service.Watcher
	stopping <-chan struct{}
	told     config.Revision // the last id that was sent
}

// run sends until the watcher goes, may no longer watch, or the server stops.
func (t *watchStream) run(ctx context.Context) error {
	tick := time.NewTicker(t.pace.tick)
	defer tick.Stop()
	if err := t.begin(ctx); err != nil {
		return err
	}
	for {
		next, open := t.watcher.Wait()
		if !open {
			return t.goodbye(int64(t.watcher.Position()))
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
		case <-t.stopping:
			return t.goodbye(int64(t.watcher.Position()))
		case <-ctx.Done():
			return nil
		}
	}
}

// begin says where the stream begins: at what the watcher missed, else here.
func (t *watchStream) begin(ctx context.Context) error {
	if err := t.send(ctx); err != nil || t.told != 0 {
		return err
	}
	t.progress()
	return t.flush()
}

// send sends everything that there is.
func (t *watchStream) send(ctx context.Context) error {
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
		return flushErr
	}
	return err
}

// tick asks for the right to go on, and shows that the stream is alive.
func (t *watchStream) tick(ctx context.Context) error {
	if err := t.watcher.Recheck(ctx); err != nil {
		return err
	}
	if t.watcher.Position() > t.told {
		t.progress()
	} else {
		t.comment()
	}
	return t.flush()
}

// progress says that there is nothing to see up to where the watcher is.
func (t *watchStream) progress() {
	t.told = t.watcher.Position()
	t.eventStream.progress(int64(t.told))
}

// frame is a notice in the form of server-sent events. All who watch the same
// with the same rights share one.
func (t *watchStream) frame(n service.Notice) ([]byte, error) {
	encode := func() ([]byte, error) { return t.encode(n) }
	if !n.Whole || n.Reset != "" {
		return encode()
	}
	return n.Event.Frame(t.watcher.FrameKey(), encode)
}

func (t *watchStream) encode(n service.Notice) ([]byte, error) {
	name, data := api.EventChange, any(api.WatchEvent{
		Revision: int64(n.Event.Revision), Time: n.Event.Time.UTC(), Changes: convert(n.Changes, t.change),
		Secrets: some(n.Secrets, secretNotice),
	})
	if n.Reset != "" {
		name, data = api.EventReset, api.WatchReset{Revision: int64(n.Event.Revision), Reason: n.Reset}
	}
	var frame bytes.Buffer
	err := writeEvent(&frame, name, int64(n.Event.Revision), data)
	return frame.Bytes(), err
}

func (t *watchStream) change(c watch.Change) api.WatchChange {
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
