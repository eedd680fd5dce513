package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// bare serves an answer that was recorded from the real server, with nothing
// behind it: the cost of net/http alone.
//
//	load bare ADDRESS read|write|watch FILE
func bare(args []string) error {
	if len(args) != 3 {
		return errors.New("bare takes ADDRESS, KIND and FILE")
	}
	address, kind, file := args[0], args[1], args[2]
	host, _, err := net.SplitHostPort(address)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("bare serves on loopback only, not on %q", address)
	}
	recorded, err := readAnswer(file)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") })
	if kind == "watch" {
		b := &broadcast{event: recorded.body, watchers: map[chan struct{}]bool{}}
		mux.HandleFunc("GET /", b.watch)
		mux.HandleFunc("PUT /", b.publish)
	} else {
		mux.HandleFunc("/", recorded.serve)
	}
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: patience}
	return server.ListenAndServe()
}

// A recording is an answer of the real server.
type recording struct {
	status int
	header http.Header
	body   []byte
}

func readAnswer(file string) (recording, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return recording{}, err
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		return recording{}, fmt.Errorf("%s holds no answer: %w", file, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	response.Header.Del("Date") // net/http adds its own, as it does for the real server
	return recording{response.StatusCode, response.Header, body}, err
}

func (r recording) serve(w http.ResponseWriter, request *http.Request) {
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return
	}
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // the client has gone
}

// broadcast tells every watcher of every PUT, as fast as net/http can.
type broadcast struct {
	event []byte

	mu       sync.Mutex
	watchers map[chan struct{}]bool // those that are open
}

func (b *broadcast) watch(w http.ResponseWriter, r *http.Request) {
	told := make(chan struct{}, 16)
	b.mu.Lock()
	b.watchers[told] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.watchers, told)
		b.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for {
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-told:
			if _, err := w.Write(b.event); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-time.After(patience):
			return
		}
	}
}

func (b *broadcast) publish(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	b.mu.Lock()
	for told := range b.watchers {
		told <- struct{}{}
	}
	b.mu.Unlock()
	w.Header().Set("X-Config-Revision", "1")
	w.Header().Set("Content-Length", "0")
}
