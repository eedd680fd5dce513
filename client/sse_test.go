package client

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func readAll(in io.Reader, bound int) (found []frame, last *frames, err error) {
	last = newFrames(in, bound)
	for {
		event, err := last.next()
		if err != nil {
			return found, last, err
		}
		found = append(found, event)
	}
}

func TestFrames(t *testing.T) {
	event := func(kind, id, data string) frame { return frame{kind: kind, id: id, data: []byte(data)} }
	for _, test := range []struct {
		name, in string
		want     []frame
	}{
		{"LF", "event: a\nid: 1\ndata: x\n\n", []frame{event("a", "1", "x")}},
		{"CR", "event: a\rid: 1\rdata: x\r\r", []frame{event("a", "1", "x")}},
		{"CRLF", "event: a\r\nid: 1\r\ndata: x\r\n\r\n", []frame{event("a", "1", "x")}},
		{"mixed", "data: x\r\ndata: y\rdata: z\n\r\n", []frame{event("message", "", "x\ny\nz")}},
		{"byte order mark, once", "\ufeffdata: x\n\n\ufeffdata: y\n\n", []frame{event("message", "", "x")}},
		{"comments", ": hello\n:\ndata: x\n: more\n\n", []frame{event("message", "", "x")}},
		{"one space goes", "data:x\ndata: x\ndata:  x\n\n", []frame{event("message", "", "x\nx\n x")}},
		{"no colon", "data\ndata\n\n", []frame{event("message", "", "\n")}},
		{"colons in values", "data: a:b\n\n", []frame{event("message", "", "a:b")}},
		{"unknown fields", "what: x\ndata: y\n\n", []frame{event("message", "", "y")}},
		{"ids stay", "id: 7\ndata: x\n\ndata: y\n\nid\ndata: z\n\n", []frame{event("message", "7", "x"), event("message", "7", "y"), event("message", "", "z")}},
		{"an id with NUL is none", "id: 7\nid: 8\x00\ndata: x\n\n", []frame{event("message", "7", "x")}},
		{"names do not stay", "event: a\ndata: x\n\ndata: y\n\n", []frame{event("a", "", "x"), event("message", "", "y")}},
		{"name and no data", "event: progress\nid: 5\n\n", []frame{event("progress", "5", "")}},
		{"neither", "id: 5\n\n\n\n", nil},
		{"unfinished", "data: x\n\ndata: y\n", []frame{event("message", "", "x")}},
		{"unfinished line", "data: x\n\ndata: y", []frame{event("message", "", "x")}},
	} {
		for _, reader := range []io.Reader{strings.NewReader(test.in), iotest.OneByteReader(strings.NewReader(test.in))} {
			got, _, err := readAll(reader, 100)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(frame{}), cmp.Comparer(bytes.Equal)); diff != "" || !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v, (-want +got)\n%s", test.name, err, diff)
			}
		}
	}
}

func TestFramesRetry(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"retry: 1500\n\n": 1500 * time.Millisecond,
		"retry: 1500\nretry: no\nretry: -1\nretry: 99999999999999\n\n": 1500 * time.Millisecond,
		"data: x\n\n": 0,
	} {
		if _, last, _ := readAll(strings.NewReader(in), 100); last.retry != want {
			t.Errorf("%q asks for %s, want %s", in, last.retry, want)
		}
	}
}

func TestFramesBound(t *testing.T) {
	long := strings.Repeat("x", 200)
	in := "id: 1\ndata: " + long + "\n\n" + // a line over the bound
		"id: 2\n" + strings.Repeat("data: "+long[:50]+"\n", 5) + "\n" + // an event over the bound
		"id: 3\ndata: y\n\n"
	got, last, _ := readAll(strings.NewReader(in), 100)
	want := []frame{{kind: "message", id: "1", overflow: true}, {kind: "message", id: "2", overflow: true}, {kind: "message", id: "3", data: []byte("y")}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(frame{}), cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if cap(last.line) > 256 {
		t.Errorf("a line of %d bytes was kept", cap(last.line))
	}
}

func TestFramesCarriageReturnWaitsForNothing(t *testing.T) {
	out, in := io.Pipe()
	defer out.Close()
	go func() { _, _ = in.Write([]byte("data: x\r\r")) }()
	if event, err := newFrames(out, 100).next(); err != nil || string(event.data) != "x" {
		t.Errorf("%q, %v", event.data, err)
	}
}

// FuzzFrames compares with a reading of the whole text at once, and checks that
// it does not matter how the text arrives.
func FuzzFrames(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		const bound = 64
		got, _, err := readAll(bytes.NewReader(in), bound)
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		slow, _, _ := readAll(iotest.HalfReader(bytes.NewReader(in)), bound)
		if diff := cmp.Diff(got, slow, cmp.AllowUnexported(frame{})); diff != "" {
			t.Errorf("(-whole +halves)\n%s", diff)
		}
		for _, event := range got {
			if len(event.data) > bound || len(event.id) > bound {
				t.Errorf("%d bytes of data over the bound", len(event.data))
			}
		}
		if !slices.ContainsFunc(got, func(e frame) bool { return e.overflow }) {
			if diff := cmp.Diff(naiveFrames(string(in)), got, cmp.AllowUnexported(frame{}), cmp.Comparer(bytes.Equal)); diff != "" {
				t.Errorf("(-naive +got)\n%s", diff)
			}
		}
	})
}

// naiveFrames is the standard's wording, one rule after the other.
func naiveFrames(in string) (found []frame) {
	in = strings.TrimPrefix(in, "\ufeff")
	in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(in, "\n")
	var id, kind string
	var data []string
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if kind != "" || strings.Join(data, "\n") != "" {
				if kind == "" {
					kind = "message"
				}
				found = append(found, frame{kind: kind, id: id, data: []byte(strings.Join(data, "\n"))})
			}
			kind, data = "", nil
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "data":
			data = append(data, value)
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		}
	}
	return found
}

func TestFuzzSeedsExist(t *testing.T) {
	for _, target := range []string{"FuzzFrames", "FuzzProblem"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
		if err != nil || len(seeds) < 5 {
			t.Errorf("%s has %d seeds, want at least 5 (%v)", target, len(seeds), err)
		}
		for _, seed := range seeds {
			if text, err := os.ReadFile(seed); err != nil || !bytes.HasPrefix(text, []byte("go test fuzz v1\n[]byte(")) {
				t.Errorf("%s is no seed", seed)
			}
		}
	}
}
