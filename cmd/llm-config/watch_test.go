package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func TestWatchPrintsChangesAsTheyHappen(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-o", "value"}, "gateway/limits\n"},
		{[]string{"-o", "json"}, `{"data":{"revision":3,"time":"0001-01-01T00:00:00Z","changes":[{"path":"gateway/limits","digest":"d"}]},"event":"change"}` + "\n"},
		{nil, "-  revision 3  gateway/limits  (changed)\n"},
	} {
		w := newWire(t)
		w.set(limits, `{"rpm":600}`)
		w.onListed = func() { w.set(limits, `{"rpm":700}`) }
		s := newSession(t, w)
		r, pipe := io.Pipe()
		s.stdout = pipe
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan int)
		go func() { ended <- s.execute(ctx, append([]string{"watch", "gateway"}, c.args...)) }()
		line, err := bufio.NewReader(r).ReadString('\n')
		if err != nil || line != c.want {
			t.Errorf("%q: printed %q (%v), want %q", c.args, line, err, c.want)
		}
		stop()
		<-ended
	}
}

func TestWatchRefusesAtOnce(t *testing.T) {
	w := newWire(t)
	s := newSession(t, w)
	s.env[envEnvironment] = "nowhere"
	s.run(t, exitFailed, "watch")
	if !strings.Contains(s.err.String(), "there is no environment") {
		t.Errorf("printed %q", s.err.String())
	}
}

func TestWatchTellsAnOutageOnce(t *testing.T) {
	s := newSession(t, newWire(t))
	o := &output{app: s.app, format: asTable}
	lost := errors.New("connection refused")
	err := o.events(func(yield func(client.Event, error) bool) {
		progress := client.Event{Kind: api.EventProgress}
		for _, err := range []error{lost, lost, lost, nil, lost, lost} {
			if !yield(progress, err) {
				return
			}
		}
	})
	if told := strings.Count(s.err.String(), "connection refused; trying again\n"); err != nil || told != 2 {
		t.Errorf("%v; two outages were told %d times:\n%s", err, told, &s.err)
	}
}
