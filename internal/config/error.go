package config

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the closed set of ways in which the product says no. Its text is the
// stable code that clients see; package api holds the status of each.
type Kind string

// The kinds. A kind that is missing here reaches nobody: anything that is not
// an *Error is an opaque internal error.
const (
	KindBadRequest           Kind = "bad_request"            // a parameter, header or body field is malformed
	KindInvalidPath          Kind = "invalid_path"           // the text is not a Path
	KindInvalidName          Kind = "invalid_name"           // the text is not a tenant, environment or tag name
	KindInvalidAt            Kind = "invalid_at"             // the text is not an AT
	KindInvalidCursor        Kind = "invalid_cursor"         // not one of ours, or of another tenant or query
	KindInvalidDocument      Kind = "invalid_document"       // the text is not an I-JSON object
	KindInvalidPatch         Kind = "invalid_patch"          // the patch does not parse, or does not apply
	KindInvalidReference     Kind = "invalid_reference"      // a reference is malformed, dangling, cyclic or too deep
	KindInvalidTree          Kind = "invalid_tree"           // environments that would not form a tree
	KindUnsupportedMediaType Kind = "unsupported_media_type" // Content-Type is none of ours
	KindNotAcceptable        Kind = "not_acceptable"         // the document cannot be written in the asked format
	KindUnauthenticated      Kind = "unauthenticated"        // no credentials, or none that we know
	KindTokenExpired         Kind = "token_expired"          // a token of ours past its time
	KindTokenRevoked         Kind = "token_revoked"          // a token of ours that was taken back
	KindForbidden            Kind = "forbidden"              // known, and not allowed
	KindSecretUnavailable    Kind = "secret_unavailable"     // a reference to a secret that is not there, or not for the reader
	KindWeakSecret           Kind = "weak_secret"            // a value that could be guessed
	KindRotationFailed       Kind = "rotation_failed"        // the receiver made no new value, or it did not work
	KindNotFound             Kind = "not_found"              // absent, or in a tenant that is not yours
	KindGone                 Kind = "gone"                   // was there; destroyed or purged for good
	KindTimeout              Kind = "timeout"                // the request body came too slowly
	KindConflict             Kind = "conflict"               // others kept changing what this write depends on
	KindAlreadyExists        Kind = "already_exists"         // the name is taken
	KindInUse                Kind = "in_use"                 // something else depends on it
	KindReferenced           Kind = "referenced"             // documents refer to what would be deleted
	KindChangedSince         Kind = "changed_since"          // layers changed after the revision to be reverted
	KindRevisionInFuture     Kind = "revision_in_future"     // min_revision above what is committed
	KindIdempotencyInFlight  Kind = "idempotency_in_flight"  // the first request with this key still runs
	KindIdempotencyMismatch  Kind = "idempotency_mismatch"   // this key was used for another request
	KindPreconditionFailed   Kind = "precondition_failed"    // If-Match, If-None-Match or if_version does not hold
	KindWrongETag            Kind = "wrong_etag"             // an effective document's ETag where a layer's belongs
	KindTooLarge             Kind = "too_large"              // over a bound, with the limit and the actual figure
	KindInvalidPolicy        Kind = "invalid_policy"         // policies that do not parse, do not fit the schema, or fail their tests
	KindQuotaExceeded        Kind = "quota_exceeded"         // the tenant may not have more of it
	KindRateLimited          Kind = "rate_limited"           // too many requests; RetryAfter says when to come back
	KindOverloaded           Kind = "overloaded"             // a bounded resource is full; try again later
	KindNotYet               Kind = "not_yet"                // min_revision did not arrive in time
	KindUnavailable          Kind = "unavailable"            // store, keyring or audit cannot be used now
	KindInternal             Kind = "internal"               // a fault of ours; the cause is in the log only
)

// Error is a refusal that a person can act on. Message says what is wrong, Next
// what to do; neither ever holds a value of a document or secret.
type Error struct {
	Kind    Kind
	Message string
	Pointer string    // JSON pointer (RFC 6901) into the document, or the name of the parameter; empty when neither applies
	Next    string    // the next step; empty when the message already says it
	Limit   int64     // the bound that was passed, with Actual; zero when none was
	Actual  int64     // the figure that passed it
	Details []Problem // every violation, conflicting layer or referring document, when there may be several
	Cause   error     // for the log only, never shown

	RetryAfter time.Duration // when to come back; zero where that is not known
}

// Problem is one of several things wrong with a request.
type Problem struct {
	Environment string // the environment concerned, if any
	Path        string // the document concerned, if any
	Pointer     string // where in it
	Message     string
}

func (e *Error) Error() string {
	text := string(e.Kind) + ": " + e.Message
	if e.Pointer != "" {
		text += " (at " + e.Pointer + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error of one kind with a formatted message.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// At adds where in the input the error is and returns e.
func (e *Error) At(pointer string) *Error { e.Pointer = pointer; return e }

// Hint adds the next step and returns e.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// Over adds a limit and the figure that passed it and returns e.
func (e *Error) Over(limit, actual int64) *Error { e.Limit, e.Actual = limit, actual; return e }

// After adds when to come back and returns e.
func (e *Error) After(d time.Duration) *Error { e.RetryAfter = d; return e }

// KindOf is the kind of err, KindInternal when it is not an Error, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}
