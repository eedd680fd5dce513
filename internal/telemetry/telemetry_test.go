package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	ownID     = "aaaqeayeaudaocaj"
	ownSecret = "bifqydiob4ibceqtcqkrmfyydenbwha5dypsaijcemsckjrhfausukzmpq2e7da"
)

// logged is the line, as JSON, that one call of a logger writes.
func logged(t *testing.T, log func(*slog.Logger)) map[string]any {
	t.Helper()
	var out bytes.Buffer
	log(NewLogger(&out, slog.LevelDebug, JSON))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	delete(line, "time")
	return line
}

func TestStandardFields(t *testing.T) {
	ctx := WithScope(t.Context(), Scope{Request: "r1", Tenant: "acme", Trace: "t1"})
	got := logged(t, func(l *slog.Logger) {
		Component(l, "httpapi").WarnContext(ctx, "slow request", "took", 3*time.Second)
	})
	want := map[string]any{"level": "WARN", "message": "slow request", "component": "httpapi", "request": "r1", "tenant": "acme", "trace": "t1", "took": 3e9}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLevelChangesWhileRunning(t *testing.T) {
	var out bytes.Buffer
	var level slog.LevelVar
	logger := NewLogger(&out, &level, Text)
	logger.Debug("first")
	level.Set(slog.LevelDebug)
	logger.Debug("second")
	if text := out.String(); strings.Contains(text, "first") || !strings.Contains(text, "message=second") {
		t.Errorf("got %s", text)
	}
}

type pointerError struct{ text string }

func (e *pointerError) Error() string { return e.text }

func TestFieldsAreHiddenByName(t *testing.T) {
	got := logged(t, func(l *slog.Logger) {
		l.With("X-Api-Key", "a").Info("m",
			"Authorization", "b", "token", 7, "token_id", "seen", "max_tokens", 12,
			slog.Group("upstream", "client_secret", "c", "status", 200),
			slog.Group("password", "first", "d"),
			"headers", http.Header{"Set-Cookie": {"e"}, "Accept": {"*/*"}},
			"nested", []any{map[string]any{"privateKey": "f", "n": 1.5}},
			"bytes", []byte("plain"), "error", errors.New("broken"), "nil", nil,
			"pointer", (*pointerError)(nil), "channel", struct{ C chan int }{}, "kind", struct{ Token string }{"g"},
		)
	})
	want := map[string]any{
		"level": "INFO", "message": "m", "X-Api-Key": Redacted,
		"Authorization": Redacted, "token": Redacted, "token_id": "seen", "max_tokens": 12.0,
		"upstream": map[string]any{"client_secret": Redacted, "status": 200.0},
		"password": map[string]any{"first": Redacted},
		"headers":  map[string]any{"Set-Cookie": Redacted, "Accept": []any{"*/*"}},
		"nested":   []any{map[string]any{"privateKey": Redacted, "n": 1.5}},
		"bytes":    "plain", "error": "broken", "nil": nil, "pointer": "<nil>",
		"channel": "!(struct { C chan int } cannot be logged)", "kind": map[string]any{"Token": Redacted},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// canaries are credentials, each with the part of it that must not be seen.
var canaries = map[string]string{
	"llmc_" + ownID + "_" + ownSecret:                                              ownSecret,
	"llmc_" + ownSecret:                                                            ownSecret,
	"sk-proj-Zm9vYmFyYmF6cXV4MTIzNDU2":                                             "Zm9vYmFy",
	"sk-ant-api03-Zm9vYmFyYmF6cXV4MTIzNDU2":                                        "Zm9vYmFy",
	"AKIAIOSFODNN7EXAMPLE":                                                         "IOSFODNN7",
	"AIzaSyA1234567890abcdefghijklmnopqrstuv":                                      "SyA1234567890",
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl":                            "c2lnbmF0dXJl",
	"ghp_0123456789abcdefghijABCDEFGHIJ012345":                                     "0123456789ab",
	"hf_abcdefghijklmnopqrstuvwxyzABCDEF":                                          "abcdefghijk",
	"Bearer 0123456789abcdef0123":                                                  "0123456789ab",
	"basic dXNlcjpodW50ZXIyaHVudGVyMg==":                                           "dXNlcjpodW50ZX",
	"https://h/p?a=1&token=hunter2&b=2":                                            "hunter2",
	"postgres://app:hunter2@db:5432/x":                                             "hunter2",
	"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKC\n-----END RSA PRIVATE KEY-----": "MIIEpAIBAAKC",
}

func TestCanariesAreSeenNowhere(t *testing.T) {
	around := rapid.StringMatching(`[ -~\n\t"\\é]{0,30}`)
	names := rapid.SampledFrom([]string{"url", "cause", "detail", "x"})
	var all []string
	for canary := range canaries {
		all = append(all, canary)
	}
	rapid.Check(t, func(t *rapid.T) {
		canary := rapid.SampledFrom(all).Draw(t, "canary")
		text := around.Draw(t, "before") + rapid.SampledFrom([]string{" ", "\n", `"`, "=", "\x01"}).Draw(t, "boundary") + canary +
			rapid.SampledFrom([]string{"", " ", "\n", `"`, ","}).Draw(t, "end") + around.Draw(t, "after")
		name := names.Draw(t, "name")
		for _, format := range []Format{JSON, Text} {
			for place, log := range map[string]func(*slog.Logger){
				"message":   func(l *slog.Logger) { l.Info(text) },
				"attribute": func(l *slog.Logger) { l.Info("m", name, text) },
				"key":       func(l *slog.Logger) { l.Info("m", text, 1) },
				"with":      func(l *slog.Logger) { l.With(name, text).Info("m") },
				"error":     func(l *slog.Logger) { l.Info("m", name, fmt.Errorf("it: %w", errors.New(text))) },
				"group":     func(l *slog.Logger) { l.WithGroup("g").Info("m", slog.Group("h", name, text)) },
				"value":     func(l *slog.Logger) { l.Info("m", name, map[string][]string{name: {text}}) },
				"bytes":     func(l *slog.Logger) { l.Info("m", name, []byte(text)) },
				"scope":     func(l *slog.Logger) { l.InfoContext(WithScope(context.Background(), Scope{Tenant: text}), "m") },
			} {
				var out bytes.Buffer
				log(NewLogger(&out, slog.LevelInfo, format))
				if strings.Contains(out.String(), canaries[canary]) {
					t.Fatalf("%q is seen in a %s line as %s: %s", canaries[canary], format, place, out.String())
				}
				if format == JSON && !json.Valid(out.Bytes()) {
					t.Fatalf("what is left is not JSON: %s", out.String())
				}
			}
		}
	})
}

func TestWhatIsNoCredentialStays(t *testing.T) {
	for _, text := range []string{
		"task-force-alpha-bravo-charlie-delta", "risk-0123456789abcdef0123456789", "a bearer token is missing", "Basic authentication is off",
		"llmc_" + ownID + "_…", "https://api.example.com/v1/chat?limit=10", "http://user@host/x", "http://[::1]:8700/x",
		"max_tokens=100", "token: not found", "-----BEGIN CERTIFICATE-----", "eyJ", "sha256:0123456789abcdef0123456789abcdef",
	} {
		if from, to, found := find([]byte(text), 0); found {
			t.Errorf("%q is taken for a credential in %q", text[from:to], text)
		}
	}
}

func TestWhatIsHiddenIsNoMoreThanNeeded(t *testing.T) {
	for text, want := range map[string]string{
		"by llmc_" + ownID + "_" + ownSecret + ", twice": "by llmc_" + ownID + "_[redacted], twice",
		"postgres://app:hunter2@db:5432/x":               "postgres://[redacted]@db:5432/x",
		"?token=a&secret=b c":                            "?token=[redacted]&secret=[redacted] c",
	} {
		var out bytes.Buffer
		n, err := (&sieve{&out}).Write([]byte(text))
		if err != nil || n != len(text) || out.String() != want {
			t.Errorf("%q became %q (%d, %v)", text, out.String(), n, err)
		}
	}
}

func FuzzSieve(f *testing.F) {
	for canary := range canaries {
		f.Add(canary)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text += " llmc_" + ownID + "_" + ownSecret + "\n" + strings.ReplaceAll(text, ownSecret, "")
		if strings.Count(text, ownSecret) > 1 {
			return // the secret half alone is not known as one
		}
		var once, twice bytes.Buffer
		if _, err := (&sieve{&once}).Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := (&sieve{&twice}).Write(once.Bytes()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(once.String(), ownSecret) {
			t.Fatalf("a token is seen in %q", once.String())
		}
		if once.String() != twice.String() {
			t.Fatalf("what was clean is not the second time: %q, %q", once.String(), twice.String())
		}
	})
}

func TestPatternsFitTheMask(t *testing.T) {
	if len(patterns) > 32 {
		t.Errorf("%d patterns do not fit a mask of 32 bits", len(patterns))
	}
	for _, p := range patterns {
		if len(p.prefix) < 3 {
			t.Errorf("the prefix %q is shorter than what the scan looks at", p.prefix)
		}
	}
}

// writes keeps what each call of Write got.
type writes struct{ calls []string }

func (w *writes) Write(p []byte) (int, error) {
	w.calls = append(w.calls, string(p))
	return len(p), nil
}

func TestBufferWritesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to writes
		buffer := NewBuffer(&to)
		fmt.Fprint(buffer, "a\n")
		fmt.Fprint(buffer, "b\n")
		time.Sleep(bufferDelay + 1) //nolint:forbidigo // the clock is the bubble's
		synctest.Wait()
		fmt.Fprint(buffer, "c\n")
		if err := buffer.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a\nb\n", "c\n"}, to.calls); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBufferIsBoundedAndLosesNothing(t *testing.T) {
	var to writes
	buffer := NewBuffer(&to)
	line := strings.Repeat("x", 1000) + "\n"
	for range 1000 {
		fmt.Fprint(buffer, line)
	}
	huge := strings.Repeat("y", 3*bufferSize)
	fmt.Fprint(buffer, huge)
	if err := buffer.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(to.calls, ""); got != strings.Repeat(line, 1000)+huge {
		t.Errorf("%d bytes came of %d", len(got), 1000*len(line)+len(huge))
	}
	for _, call := range to.calls {
		if len(call) > bufferSize && len(call) != len(huge) {
			t.Errorf("%d bytes were held back", len(call))
		}
	}
}

func TestWarningsDoNotWait(t *testing.T) {
	var to writes
	logger := NewLogger(NewBuffer(&to), slog.LevelInfo, JSON)
	logger.Info("waits")
	if len(to.calls) != 0 {
		t.Errorf("a line did not wait: %q", to.calls)
	}
	logger.With("a", 1).WithGroup("g").Warn("does not")
	if len(to.calls) != 1 || strings.Count(to.calls[0], "\n") != 2 {
		t.Errorf("written: %q", to.calls)
	}
}

func TestBufferTellsOfErrors(t *testing.T) {
	broken := errors.New("disk full")
	buffer := NewBuffer(writerFunc(func([]byte) (int, error) { return 0, broken }))
	fmt.Fprint(buffer, "a")
	if err := buffer.Flush(); !errors.Is(err, broken) {
		t.Errorf("Flush says %v", err)
	}
	fmt.Fprint(buffer, "b")
	buffer.late()
	if _, err := buffer.Write([]byte("c")); !errors.Is(err, broken) {
		t.Errorf("the Write after a late failure says %v", err)
	}
	if _, err := buffer.Write([]byte("d")); err != nil {
		t.Errorf("told twice: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRequestIDs(t *testing.T) {
	id, err := NewRequestID(bytes.NewReader(bytes.Repeat([]byte{0xab}, 16)))
	if err != nil || id != strings.Repeat("ab", 16) || !ValidRequestID(id) {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := NewRequestID(iotest.ErrReader(io.ErrUnexpectedEOF)); err == nil {
		t.Error("an id was made without random bytes")
	}
	for id, valid := range map[string]bool{
		"r-1": true, "Root=1-67891233-abcdef012345678912345678": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\nb": false, "é": false, "\"": false, "<b>": false,
		"llmc_" + ownID + "_" + ownSecret: false,
	} {
		if ValidRequestID(id) != valid {
			t.Errorf("ValidRequestID(%q) is %t", id, !valid)
		}
	}
}

func TestParseTraceparent(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for header, valid := range map[string]bool{
		"00-" + trace + "-" + span + "-01":                    true,
		"01-" + trace + "-" + span + "-01-later":              true,
		"00-" + trace + "-" + span + "-01-later":              false,
		"ff-" + trace + "-" + span + "-01":                    false,
		"00-" + strings.ToUpper(trace) + "-" + span + "-01":   false,
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01":  false,
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01": false,
		"00-" + trace + "-" + span:                            false,
		"":                                                    false,
	} {
		gotTrace, gotSpan, ok := ParseTraceparent(header)
		if ok != valid || ok && (gotTrace != trace || gotSpan != span) {
			t.Errorf("%q: %q, %q, %t", header, gotTrace, gotSpan, ok)
		}
	}
}

// requestLine logs what the server logs of each request.
func requestLine(ctx context.Context, logger *slog.Logger) {
	logger.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("method", "GET"), slog.String("route", "GET /api/v1/tenants/{tenant}/environments/{env}/configs/{path}"),
		slog.String("path", "/api/v1/tenants/default/environments/production/configs/gateway/chat"),
		slog.Int("status", 200), slog.Int("bytes", 1834), slog.Duration("took", 183*time.Microsecond),
		slog.String("principal", "token:"+ownID), slog.String("client", "10.1.2.3"))
}

func BenchmarkRequestLine(b *testing.B) {
	ctx := WithScope(b.Context(), Scope{Request: "4bf92f3577b34da6a3ce929d0e0e4736", Tenant: "default"})
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	for name, to := range map[string]io.Writer{"discard": io.Discard, "file": file, "buffered file": NewBuffer(file)} {
		b.Run(name, func(b *testing.B) {
			logger := Component(NewLogger(to, slog.LevelInfo, JSON), "httpapi")
			b.ReportAllocs()
			for b.Loop() {
				requestLine(ctx, logger)
			}
		})
	}
	b.Run("without redaction", func(b *testing.B) {
		logger := slog.New(slog.NewJSONHandler(io.Discard, nil)).With("component", "httpapi")
		for b.Loop() {
			requestLine(ctx, logger)
		}
	})
}

func BenchmarkSieve(b *testing.B) {
	var line bytes.Buffer
	ctx := WithScope(b.Context(), Scope{Request: "4bf92f3577b34da6a3ce929d0e0e4736", Tenant: "default"})
	requestLine(ctx, Component(NewLogger(&line, slog.LevelInfo, JSON), "httpapi"))
	b.SetBytes(int64(line.Len()))
	for b.Loop() {
		if _, _, found := find(line.Bytes(), 0); found {
			b.Fatal("a request's line holds no credential")
		}
	}
}
