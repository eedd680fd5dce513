package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Exit codes. `run` has those of its command besides.
const (
	exitDone       = 0
	exitFailed     = 1
	exitDifference = 2
)

// errDifference ends a verb that did its work and found a difference.
var errDifference = errors.New("there is a difference")

// exitStatus ends the process with a code and says nothing: another program
// has said what there is to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// failure is an error the way a person reads it.
type failure struct {
	what    string   // what is wrong
	where   string   // where: a JSON pointer, or the name of what was given; empty when what says it
	next    string   // what to do about it; empty when what says it
	details []string // every single thing that is wrong, when there are several
}

func (f *failure) Error() string {
	text := f.what
	switch {
	case strings.HasPrefix(f.where, "/"):
		text += " (at " + f.where + ")"
	case f.where != "":
		text += " (in " + f.where + ")"
	}
	if f.next != "" {
		text += "; " + f.next
	}
	return text
}

func failf(format string, args ...any) *failure {
	return &failure{what: fmt.Sprintf(format, args...)}
}

// hint adds the next step and returns f.
func (f *failure) hint(format string, args ...any) *failure {
	f.next = fmt.Sprintf(format, args...)
	return f
}

// report prints what went wrong, if anything did, and returns the exit code.
func (a *app) report(err error) int {
	var status exitStatus
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errDifference):
		return exitDifference
	case errors.As(err, &status):
		return int(status)
	}
	f := asFailure(err)
	p := a.errors()
	fmt.Fprintf(p.w, "%s %s\n", p.paint(styleRed, "llm-config:"), clean(f.Error()))
	for _, detail := range f.details {
		fmt.Fprintf(p.w, "  %s\n", clean(detail))
	}
	return exitFailed
}

// asFailure finds what, where and next in the errors of every package that the
// command line calls.
func asFailure(err error) *failure {
	var (
		own     *failure
		problem *api.Problem
		refusal *config.Error
		file    *fs.PathError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &problem):
		return prefixed(err, problem, problemFailure(problem))
	case errors.As(err, &refusal):
		return prefixed(err, refusal, refusalFailure(refusal))
	case errors.As(err, &file):
		return prefixed(err, file, failf("cannot %s %s: %v", file.Op, file.Path, file.Err))
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) > 1 { // of errors.Join
		f := failf("%d things are wrong", len(lines))
		f.details = lines
		return f
	}
	return failf("%v", err)
}

// prefixed keeps what was wrapped around an error, such as a file's name.
func prefixed(err, inner error, f *failure) *failure {
	if prefix, ok := strings.CutSuffix(err.Error(), inner.Error()); ok {
		f.what = prefix + f.what
	}
	return f
}

func problemFailure(p *api.Problem) *failure {
	f := &failure{what: p.Detail, where: flagOf(p.Pointer), next: p.Next}
	if f.what == "" {
		f.what = string(p.Code)
	}
	if p.Limit != 0 {
		f.what += fmt.Sprintf(" (%d, the limit is %d)", p.Actual, p.Limit)
	}
	if p.Code == api.CodeInternal && p.RequestID != "" {
		f.next = "the server's log has the cause under request " + p.RequestID
	}
	if p.Code == api.CodeInvalidPolicy && len(p.Errors) > 0 {
		f.where = "" // each of them has its own
	}
	for _, v := range p.Errors {
		f.details = append(f.details, violationLine(v.Environment, v.Path, v.Pointer, v.Message))
	}
	return f
}

// flagOf is what a person gave where a problem names a parameter of the API.
func flagOf(pointer string) string {
	switch pointer {
	case "at", "from", "to", "glob", "prefix":
		return "--" + pointer
	case "path", "paths", "revision":
		return strings.ToUpper(pointer)
	case "environment":
		return "--env"
	case "tenant":
		return "--tenant"
	}
	return pointer
}

func refusalFailure(e *config.Error) *failure {
	f := &failure{what: e.Message, where: e.Pointer, next: e.Next}
	if e.Limit != 0 {
		f.what += fmt.Sprintf(" (%d, the limit is %d)", e.Actual, e.Limit)
	}
	for _, d := range e.Details {
		f.details = append(f.details, violationLine(d.Environment, d.Path, d.Pointer, d.Message))
	}
	return f
}

func violationLine(environment, path, pointer, message string) string {
	where := path
	if environment != "" {
		where = strings.TrimSuffix(environment+":"+path, ":")
	}
	switch {
	case strings.HasPrefix(pointer, "/"):
		where += "#" + pointer
	case pointer != "": // of text that is no JSON: its line and column
		where = strings.TrimPrefix(where+":"+pointer, ":")
	}
	if where == "" {
		return message
	}
	return where + ": " + message
}
