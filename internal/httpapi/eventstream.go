package httpapi

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// pace is how a stream of events is kept alive.
type pace struct {
	tick     time.Duration // how often rights are asked anew, and progress is told at most
	comment  time.Duration // after so long without a word a comment is sent
	patience time.Duration // for the reader to take what is sent
	retry    time.Duration // readers come back within this after a shutdown
}

var defaultPace = pace{tick: time.Second, comment: 15 * time.Second, patience: 30 * time.Second, retry: 10 * time.Second}

// eventStream is a connection over which server-sent events go.
type eventStream struct {
	pace    pace
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
	spoke   time.Time // when anything was sent
}

func (s *Server) newEventStream(w http.ResponseWriter) eventStream {
	return eventStream{pace: s.pace, w: w, control: http.NewResponseController(w)}
}

// serveEvents answers with a stream of events, which run sends until it is over.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request, run func() error) {
	header := w.Header()
	header.Set("Content-Type", api.TypeEvents)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	if err := run(); err != nil && !errors.Is(err, errGone) {
		// The status is sent; why the stream ended is for the log, and for the
		// request that the reader comes back with.
		stateOf(r.Context()).failed(err, problem(err).Code)
	}
}

// lastEventID is the id that a reader goes on after, 0 or more; nil for none.
func lastEventID(r *http.Request, what string) (*int64, error) {
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		return nil, nil
	}
	id, err := strconv.ParseInt(last, 10, 64)
	if err != nil || id < 0 {
		return nil, config.Errorf(config.KindBadRequest, "Last-Event-ID is no %s", what).At("Last-Event-ID").
			Hint("send the id of the last event that you took, or leave it out to begin now")
	}
	return &id, nil
}

// writeEvent adds an event whose data is a JSON value.
func writeEvent(b *bytes.Buffer, name string, id int64, data any) error {
	b.WriteString("event: " + name + "\nid: " + strconv.FormatInt(id, 10) + "\ndata: ")
	if err := writeJSON(b, data); err != nil {
		return err
	}
	b.WriteByte('\n') // writeJSON ended the line, this ends the event
	return nil
}

// progress says that there is nothing to tell up to an id.
func (t *eventStream) progress(id int64) {
	t.buffer.WriteString("event: " + api.EventProgress + "\nid: " + strconv.FormatInt(id, 10) + "\ndata:\n\n")
}

// comment shows that the stream is alive, when it has been silent for long.
func (t *eventStream) comment() {
	if time.Since(t.spoke) >= t.pace.comment {
		t.buffer.WriteString(": still here\n\n")
	}
}

// goodbye spreads the readers' return, and says where they go on.
func (t *eventStream) goodbye(id int64) error {
	retry := rand.N(t.pace.retry) //nolint:gosec // spreading load needs no secret
	t.buffer.WriteString("retry: " + strconv.FormatInt(retry.Milliseconds(), 10) + "\n")
	t.progress(id)
	return t.flush()
}

// errGone says that the reader is no longer there.
var errGone = errors.New("the reader has gone")

// flush sends what was written; a reader that does not take it is left.
func (t *eventStream) flush() error {
	if t.buffer.Len() == 0 {
		return nil
	}
	t.spoke = time.Now()
	_ = t.control.SetWriteDeadline(t.spoke.Add(t.pace.patience))
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
