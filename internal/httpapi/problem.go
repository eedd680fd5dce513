package httpapi

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// problem makes of any error what the caller is told. It is the only way from
// an error to an answer: what is not a refusal of ours is opaque.
func problem(err error) *api.Problem {
	var p *api.Problem
	if errors.As(err, &p) {
		return p
	}
	var e *config.Error
	if !errors.As(err, &e) {
		e = internalError
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) { // whoever asked has gone
			e = config.Errorf(config.KindTimeout, "the request was given up").Hint("try again")
		}
	}
	code := api.Code(e.Kind)
	if _, known := api.Statuses[code]; !known || e.Kind == config.KindInternal {
		e, code = internalError, api.CodeInternal
	}
	p = newProblem(code, bounded(e.Message, maxQuoted))
	p.Pointer, p.Next, p.Limit, p.Actual = bounded(e.Pointer, maxQuoted), e.Next, e.Limit, e.Actual
	for _, d := range e.Details {
		p.Errors = append(p.Errors, api.Violation{
			Environment: d.Environment, Path: d.Path, Pointer: bounded(d.Pointer, maxQuoted), Message: bounded(d.Message, maxQuoted),
		})
	}
	return p
}

// maxQuoted bounds the texts of a refusal, which may hold names from the request.
const maxQuoted = 1024

var internalError = config.Errorf(config.KindInternal, "the server failed").
	Hint("look for the request id in the server's log")

func newProblem(code api.Code, detail string) *api.Problem {
	return &api.Problem{
		Type: "urn:llm-config:problem:" + string(code), Title: http.StatusText(code.Status()),
		Status: code.Status(), Code: code, Detail: detail,
	}
}

// fail answers a request with the problem that an error is.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := *problem(err)
	state := stateOf(r.Context())
	state.failed(err, p.Code)
	p.RequestID = state.requestID
	header := w.Header()
	for _, name := range []string{"ETag", "Content-Encoding", "Content-Length", api.HeaderDigest} {
		header.Del(name)
	}
	header.Set("Content-Type", api.ProblemType)
	header.Set("Cache-Control", "no-store")
	switch p.Code {
	case api.CodeUnauthenticated, api.CodeTokenExpired, api.CodeTokenRevoked:
		header.Set("WWW-Authenticate", `Bearer realm="llm-config"`)
	case api.CodeOverloaded, api.CodeNotYet, api.CodeUnavailable, api.CodeConflict, api.CodeIdempotencyInFlight, api.CodeRateLimited:
		header.Set("Retry-After", retryAfter(err))
	}
	w.WriteHeader(p.Status)
	_ = writeJSON(w, p) // whoever asked may have gone
}

// retryAfter is when to come back, in whole seconds.
func retryAfter(err error) string {
	var e *config.Error
	if !errors.As(err, &e) {
		return "1"
	}
	return strconv.FormatInt(max(wholeSeconds(e.RetryAfter), 1), 10)
}

// Problem carries a problem through huma, which describes it and never writes it.
type Problem struct {
	api.Problem
	cause error
}

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return api.ProblemType }

// asHuma lets huma end a request with an error of ours.
func asHuma(err error) *Problem { return &Problem{*problem(err), err} }

// init replaces how huma makes errors. Its own would echo values of the request.
func init() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true // encoding/json takes TO for to, and the later of both
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		err := parameterError(status, message, errs)
		if ctx != nil && ctx.Operation().Path != api.RouteChanges {
			err = nameless(err)
		}
		p := asHuma(err)
		if ctx != nil {
			stateOf(ctx.Context()).err = p.cause
		}
		return p
	}
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return asHuma(parameterError(status, message, errs))
	}
}

// parameterError says what huma found wrong with a request, without its values.
func parameterError(status int, message string, errs []error) error {
	switch status {
	case http.StatusNotAcceptable:
		return config.Errorf(config.KindNotAcceptable, "none of the accepted formats can be had").At("Accept").
			Hint("accept application/json, application/yaml or application/toml")
	case http.StatusUnsupportedMediaType:
		return unsupportedType("application/json, application/yaml or application/toml")
	case http.StatusInternalServerError:
		return internalError
	}
	e := config.Errorf(config.KindBadRequest, "the request is not as this route needs it").Hint("see /docs, or `llm-config COMMAND --help`")
	if message == "request body is required" {
		e.Message = message
	}
	for _, err := range errs {
		var refusal *config.Error
		if errors.As(err, &refusal) {
			return refusal
		}
		detail := config.Problem{Message: "is not as it should be"}
		if d, ok := err.(huma.ErrorDetailer); ok { // huma makes nothing else
			detail.Message, detail.Pointer = saying(d.ErrorDetail().Message, detail.Message), place(d.ErrorDetail().Location)
		}
		e.Details = append(e.Details, detail)
	}
	if len(e.Details) > 0 {
		e.Pointer, e.Message = e.Details[0].Pointer, e.Details[0].Message
	}
	return e
}

// saying is huma's message if it is of those that hold nothing of the request,
// else the other one: those of package encoding/json quote what they found.
func saying(message, other string) string {
	if strings.HasPrefix(message, "invalid character") {
		return other
	}
	for _, harmless := range []string{"expected ", "unexpected ", "invalid ", "required ", "unknown query parameter"} {
		if strings.HasPrefix(message, harmless) {
			return message
		}
	}
	return other
}

// plainName is how members and parameters of ours are named. Keys and passwords
// are not, and somebody may have put one where a name belongs.
var plainName = regexp.MustCompile(`^[A-Za-z]+(_[A-Za-z]+)*$`)

const maxPlainName = 32

// plain is a name if it may be said again, else nothing.
func plain(name string) string {
	if len(name) <= maxPlainName && plainName.MatchString(name) {
		return name
	}
	return ""
}

// nameless takes out of a refusal's pointers what may be no name. Only in
// documents, whose names are their writer's, it stays.
func nameless(err error) error {
	var e *config.Error
	if !errors.As(err, &e) {
		return err
	}
	e.Pointer = namesOnly(e.Pointer)
	for i := range e.Details {
		e.Details[i].Pointer = namesOnly(e.Details[i].Pointer)
	}
	return err
}

// namesOnly cuts a pointer before the first name that may be no name.
func namesOnly(pointer string) string {
	begin := 0 // a parameter's name has no slash before it
	if strings.HasPrefix(pointer, "/") {
		begin = 1
	}
	end := begin
	for token := range strings.SplitSeq(pointer[begin:], "/") {
		if _, err := strconv.ParseUint(token, 10, 16); err != nil && plain(token) == "" {
			break
		}
		end += len(token) + 1
	}
	return pointer[:max(end-1, 0)]
}

// place turns huma's query.limit, query.by[0] and body.edits[0].op into limit, by and
// /edits/0/op.
func place(location string) string {
	where, rest, _ := strings.Cut(location, ".")
	if where != "body" {
		name, _, _ := strings.Cut(rest, "[")
		return name
	}
	if rest == "" {
		return ""
	}
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(rest)
}

func unsupportedType(allowed string) error {
	return config.Errorf(config.KindUnsupportedMediaType, "this route does not take that content type").At("Content-Type").
		Hint("send %s", allowed)
}
