// Package telemetry holds the primitives of logs and request ids. It trusts
// nobody who logs: whatever is handed in, a credential does not come out. A log
// line passes two sieves, one that knows names (a field called password) and
// one that knows what credentials look like, wherever in the line they stand.
package telemetry

import (
	"context"
	"io"
	"log/slog"
)

// Names of the fields that mean the same on every line.
const (
	FieldMessage   = "message"
	FieldComponent = "component"
	FieldRequest   = "request"
	FieldTenant    = "tenant"
	FieldTrace     = "trace"
	FieldSpan      = "span"
)

// Format is how a log line is written.
type Format string

// The formats.
const (
	JSON Format = "json"
	Text Format = "text"
)

// NewLogger writes lines of at least a level to w, without credentials. When w
// can be flushed, a line of warning or worse flushes it. An empty format is JSON.
func NewLogger(w io.Writer, level slog.Leveler, format Format) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: clean}
	var inner slog.Handler
	if sieve := (&sieve{w}); format == Text {
		inner = slog.NewTextHandler(sieve, options)
	} else {
		inner = slog.NewJSONHandler(sieve, options)
	}
	flusher, _ := w.(interface{ Flush() error })
	return slog.New(handler{inner, flusher})
}

// Component is the logger of one part of the server.
func Component(logger *slog.Logger, name string) *slog.Logger {
	return logger.With(FieldComponent, name)
}

// Scope is what each line logged for one request says about it. Empty fields
// are left out.
type Scope struct {
	Request string // our id or the client's
	Tenant  string
	Trace   string // W3C trace context
	Span    string
}

type scopeKey struct{}

// WithScope is the context of a request whose lines carry the scope.
func WithScope(ctx context.Context, scope Scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope)
}

// ScopeOf is the scope that the context carries, if any.
func ScopeOf(ctx context.Context) Scope {
	scope, _ := ctx.Value(scopeKey{}).(Scope)
	return scope
}

func (s Scope) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 4)
	for _, field := range [...]struct{ name, value string }{
		{FieldRequest, s.Request}, {FieldTenant, s.Tenant}, {FieldTrace, s.Trace}, {FieldSpan, s.Span},
	} {
		if field.value != "" {
			attrs = append(attrs, slog.String(field.name, field.value))
		}
	}
	return attrs
}

// handler adds the scope to each record and flushes what must not wait.
type handler struct {
	slog.Handler
	flusher interface{ Flush() error } // nil when there is nothing to flush
}

func (h handler) Handle(ctx context.Context, record slog.Record) error {
	if scope := ScopeOf(ctx); scope != (Scope{}) {
		record = record.Clone()
		record.AddAttrs(scope.attrs()...)
	}
	if err := h.Handler.Handle(ctx, record); err != nil {
		return err
	}
	if h.flusher != nil && record.Level >= slog.LevelWarn {
		return h.flusher.Flush()
	}
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.flusher}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.flusher}
}
