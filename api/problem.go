// Package api holds what goes over the wire: the bodies of requests and
// answers, the codes of errors with their statuses, and the names of routes and
// headers. Server and client import the same declarations, so neither can drift.
package api

import (
	"net/http"
	"slices"
)

// Code is the stable name of a way in which a request fails.
type Code string

// The codes. See Statuses for the HTTP status of each.
const (
	CodeBadRequest           Code = "bad_request"            // a parameter, header or body field is malformed
	CodeInvalidPath          Code = "invalid_path"           // the text is not a path
	CodeInvalidName          Code = "invalid_name"           // the text is not a tenant, environment or tag name
	CodeInvalidAt            Code = "invalid_at"             // the text names no point in history
	CodeInvalidCursor        Code = "invalid_cursor"         // the cursor is not one of this list
	CodeInvalidDocument      Code = "invalid_document"       // the text is not an I-JSON object
	CodeInvalidPatch         Code = "invalid_patch"          // the patch does not parse, or does not apply
	CodeInvalidReference     Code = "invalid_reference"      // a reference is malformed, dangling, cyclic or too deep
	CodeInvalidTree          Code = "invalid_tree"           // environments that would not form a tree
	CodeUnsupportedMediaType Code = "unsupported_media_type" // Content-Type is none of ours
	CodeNotAcceptable        Code = "not_acceptable"         // the document cannot be written in the asked format
	CodeUnauthenticated      Code = "unauthenticated"        // no credentials, or none that are known
	CodeTokenExpired         Code = "token_expired"          // the token is past its time
	CodeTokenRevoked         Code = "token_revoked"          // the token was taken back
	CodeForbidden            Code = "forbidden"              // known, and not allowed
	CodeSecretUnavailable    Code = "secret_unavailable"     // a reference to a secret that is not there, or not for you
	CodeWeakSecret           Code = "weak_secret"            // a value that could be guessed
	CodeRotationFailed       Code = "rotation_failed"        // the receiver made no new value, or it did not work; the old one stays
	CodeNotFound             Code = "not_found"              // absent, or in a tenant that is not yours
	CodeMethodNotAllowed     Code = "method_not_allowed"     // the route exists, not with this method
	CodeGone                 Code = "gone"                   // was there; destroyed or purged for good
	CodeTimeout              Code = "timeout"                // the request body came too slowly
	CodeConflict             Code = "conflict"               // others kept changing what this write depends on
	CodeAlreadyExists        Code = "already_exists"         // the name is taken
	CodeInUse                Code = "in_use"                 // something else depends on it
	CodeReferenced           Code = "referenced"             // documents refer to what would be deleted
	CodeChangedSince         Code = "changed_since"          // layers changed after the revision to be reverted
	CodeRevisionInFuture     Code = "revision_in_future"     // min_revision is above what is committed
	CodeIdempotencyInFlight  Code = "idempotency_in_flight"  // the first request with this key still runs
	CodeIdempotencyMismatch  Code = "idempotency_mismatch"   // this key was used for another request
	CodePreconditionFailed   Code = "precondition_failed"    // If-Match, If-None-Match or if_version does not hold
	CodeWrongETag            Code = "wrong_etag"             // an effective document's ETag where a layer's belongs
	CodeTooLarge             Code = "too_large"              // over a bound; limit and actual say which
	CodeInvalidPolicy        Code = "invalid_policy"         // policies that do not parse, do not fit the schema, or fail their tests
	CodeQuotaExceeded        Code = "quota_exceeded"         // the tenant may not have more of it
	CodeRateLimited          Code = "rate_limited"           // too many requests; Retry-After says when to come back
	CodeOverloaded           Code = "overloaded"             // a bounded resource is full; retry later
	CodeNotYet               Code = "not_yet"                // min_revision did not arrive in time
	CodeUnavailable          Code = "unavailable"            // store, keyring or audit cannot be used now
	CodeInternal             Code = "internal"               // a fault of the server; its log has the cause
)

// Statuses is the HTTP status of every code.
var Statuses = map[Code]int{
	CodeBadRequest:           http.StatusBadRequest,
	CodeInvalidPath:          http.StatusBadRequest,
	CodeInvalidName:          http.StatusBadRequest,
	CodeInvalidAt:            http.StatusBadRequest,
	CodeInvalidCursor:        http.StatusBadRequest,
	CodeInvalidDocument:      http.StatusBadRequest,
	CodeInvalidPatch:         http.StatusUnprocessableEntity,
	CodeInvalidReference:     http.StatusUnprocessableEntity,
	CodeInvalidTree:          http.StatusUnprocessableEntity,
	CodeUnsupportedMediaType: http.StatusUnsupportedMediaType,
	CodeNotAcceptable:        http.StatusNotAcceptable,
	CodeUnauthenticated:      http.StatusUnauthorized,
	CodeTokenExpired:         http.StatusUnauthorized,
	CodeTokenRevoked:         http.StatusUnauthorized,
	CodeForbidden:            http.StatusForbidden,
	CodeSecretUnavailable:    http.StatusForbidden,
	CodeWeakSecret:           http.StatusUnprocessableEntity,
	CodeRotationFailed:       http.StatusFailedDependency,
	CodeNotFound:             http.StatusNotFound,
	CodeMethodNotAllowed:     http.StatusMethodNotAllowed,
	CodeGone:                 http.StatusGone,
	CodeTimeout:              http.StatusRequestTimeout,
	CodeConflict:             http.StatusConflict,
	CodeAlreadyExists:        http.StatusConflict,
	CodeInUse:                http.StatusConflict,
	CodeReferenced:           http.StatusConflict,
	CodeChangedSince:         http.StatusConflict,
	CodeRevisionInFuture:     http.StatusConflict,
	CodeIdempotencyInFlight:  http.StatusConflict,
	CodeIdempotencyMismatch:  http.StatusUnprocessableEntity,
	CodePreconditionFailed:   http.StatusPreconditionFailed,
	CodeWrongETag:            http.StatusPreconditionFailed,
	CodeTooLarge:             http.StatusRequestEntityTooLarge,
	CodeInvalidPolicy:        http.StatusUnprocessableEntity,
	CodeQuotaExceeded:        http.StatusForbidden,
	CodeRateLimited:          http.StatusTooManyRequests,
	CodeOverloaded:           http.StatusServiceUnavailable,
	CodeNotYet:               http.StatusServiceUnavailable,
	CodeUnavailable:          http.StatusServiceUnavailable,
	CodeInternal:             http.StatusInternalServerError,
}

// Status is the HTTP status of the code, 500 for one that is unknown.
func (c Code) Status() int {
	if status, ok := Statuses[c]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// ProblemType is the media type of a Problem (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is what every failed request answers: RFC 9457 with members of ours.
// It is also the error that the client's methods return.
type Problem struct {
	Type      string      `json:"type" doc:"A stable URI of the code" example:"urn:llm-config:problem:invalid_path"`
	Title     string      `json:"title" doc:"The HTTP status in words"`
	Status    int         `json:"status" doc:"The HTTP status"`
	Code      Code        `json:"code" doc:"Stable name of what is wrong"`
	Detail    string      `json:"detail" doc:"What is wrong"`
	Pointer   string      `json:"pointer,omitempty" doc:"Where: a JSON pointer into the document, or the parameter's name"`
	Next      string      `json:"next,omitempty" doc:"What to do about it"`
	Limit     int64       `json:"limit,omitempty" doc:"The bound that was passed"`
	Actual    int64       `json:"actual,omitempty" doc:"The figure that passed it"`
	Errors    []Violation `json:"errors,omitempty" doc:"Every single thing that is wrong, when there may be several"`
	RequestID string      `json:"request_id,omitempty" doc:"The request's id, as in the server's log"`
}

// Violation is one of several things that are wrong with a request.
type Violation struct {
	Environment string `json:"environment,omitempty"`
	Path        string `json:"path,omitempty"`
	Pointer     string `json:"pointer,omitempty"`
	Message     string `json:"message"`
}

// Error is the problem in one line: what is wrong, where, and the next step.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = string(p.Code)
	}
	if p.Pointer != "" {
		text += " (at " + p.Pointer + ")"
	}
	if p.Next != "" {
		text += "; " + p.Next
	}
	return text
}

// Is makes errors.Is(err, &Problem{Code: c}) true for problems of that code.
func (p *Problem) Is(target error) bool {
	other, ok := target.(*Problem)
	return ok && other.Code == p.Code
}

// Codes are all codes in order.
func Codes() []Code {
	codes := make([]Code, 0, len(Statuses))
	for code := range Statuses {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}
