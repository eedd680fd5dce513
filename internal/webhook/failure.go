package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// failure is an attempt that failed, and whether another may do better.
type failure struct {
	error *config.Error
	again bool
}

func (f *failure) Error() string { return f.error.Error() }
func (f *failure) Unwrap() error { return f.error }

func transient(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.again
}

// asError is what the caller sees of an attempt's error.
func asError(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f.error
	}
	return err
}

func fail(to target, again bool, message, next string) *failure {
	return &failure{config.Errorf(config.KindUnavailable, "the webhook at %s %s", to.address(), message).Hint("%s", next), again}
}

// refused is an answer with another status than success. Its body is not read:
// it goes into no error and no log.
func refused(to target, status int) error {
	text := "answered " + statusText(status)
	switch {
	case status >= 300 && status < 400:
		return fail(to, false, text+", and redirects are not followed", "give the URL that it leads to")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fail(to, false, text, "check that the receiver has the same signing key, and a clock that is right")
	case status == http.StatusTooManyRequests, status >= 502 && status <= 504:
		return fail(to, true, text, "try again when the receiver is back; its log may say more")
	default:
		return fail(to, false, text, "look into the receiver's log")
	}
}

func tooLong(to target) error {
	f := fail(to, false, "answered with too much", "have it answer nothing but the fields of the secret")
	f.error = f.error.Over(MaxAnswer, MaxAnswer+1)
	return f
}

// unreachable is a connection that failed. The cause may hold addresses within
// the server's network, so it goes to the log only. Where the connection works
// and the answer is no HTTP, the cause quotes the answer, in which there may be a
// value: then it goes nowhere.
func unreachable(to target, cause error) error {
	f := describe(to, cause)
	if !quotes(cause) {
		f.error.Cause = cause
	}
	return f
}

// quotes says whether an error may hold a part of the answer. All do but those
// that come from below HTTP, before anything is answered or of a connection
// that breaks.
func quotes(cause error) bool {
	var connection *net.OpError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(cause, &connection), errors.As(cause, &certificate), errors.As(cause, &record), errors.As(cause, new(forbidden)),
		errors.Is(cause, http.ErrSchemeMismatch), errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF),
		errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded), isTimeout(cause):
		return false
	}
	var request *url.Error
	return !errors.As(cause, &request) || !strings.HasPrefix(request.Err.Error(), "tls: ") // of the handshake
}

func describe(to target, cause error) *failure {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	switch {
	case errors.As(cause, new(forbidden)):
		return fail(to, false, "has an address that is never called (link-local, or of a cloud's metadata; loopback for a host that is not listed itself)",
			"correct the host's entry in the DNS")
	case errors.As(cause, &certificate):
		return fail(to, false, "has a certificate that is not trusted", "give it one for this host, from an authority that the server's system trusts")
	case errors.As(cause, &record), errors.Is(cause, http.ErrSchemeMismatch):
		return fail(to, false, "cannot be spoken to over TLS", "have it speak TLS 1.2 or newer on this port")
	case errors.Is(cause, context.Canceled):
		return fail(to, false, "was not waited for, because the server or the request ended", "try again")
	case errors.Is(cause, context.DeadlineExceeded), isTimeout(cause):
		return fail(to, true, "did not answer in time", "have it answer within 10 seconds, and finish its work afterwards")
	case errors.As(cause, &dns):
		return fail(to, true, "has a name that cannot be resolved", "check the host, and the DNS that the server uses")
	case quotes(cause):
		return fail(to, true, "did not answer as HTTP has it", "check that its URL is that of the receiver, and look into the receiver's log")
	}
	return fail(to, true, "cannot be reached", "check that the receiver runs, and that the server's network lets it through")
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text + " (" + strconv.Itoa(status) + ")"
	}
	return strconv.Itoa(status)
}
