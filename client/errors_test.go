package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-devops/llm-config-manager/api"
)

// answering is a client of a server that always answers this.
func answering(t *testing.T, status int, header map[string]string, body string) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return must(New(server.URL, WithTenant("acme"), WithRetry(Retry{Attempts: 1})))
}

func TestProblemIsTheError(t *testing.T) {
	c := answering(t, http.StatusConflict, map[string]string{"Content-Type": api.ProblemType + "; charset=utf-8", api.HeaderRequestID: "r-1"},
		`{"status":200,"code":"changed_since","detail":"layers changed","pointer":"/a","next":"use force","errors":[{"path":"a/b","message":"at 12"}]}`)
	_, err := c.Revert(t.Context(), api.Revert{Revision: 3})
	if !errors.Is(err, ErrChangedSince) || errors.Is(err, ErrConflict) {
		t.Errorf("%v is not told apart by its code", err)
	}
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || p.Status != http.StatusConflict || p.RequestID != "r-1" || len(p.Errors) != 1 {
		t.Errorf("the problem is %+v", p)
	}
	wantError(t, err, "layers changed", "/a", "use force")
}

func TestSentinelsHaveKnownCodes(t *testing.T) {
	for _, sentinel := range []error{
		ErrBadRequest, ErrInvalidDocument, ErrInvalidReference, ErrUnauthenticated, ErrTokenExpired, ErrTokenRevoked,
		ErrForbidden, ErrSecretUnavailable, ErrWeakSecret, ErrRotationFailed, ErrNotFound, ErrGone, ErrConflict, ErrAlreadyExists, ErrInUse, ErrReferenced, ErrChangedSince,
		ErrRevisionInFuture, ErrPreconditionFailed, ErrTooLarge, ErrInvalidPolicy, ErrQuotaExceeded, ErrRateLimited, ErrNotYet, ErrUnavailable,
	} {
		p, _ := errors.AsType[*api.Problem](sentinel)
		if _, known := api.Statuses[p.Code]; !known {
			t.Errorf("%s is no code of the server's", p.Code)
		}
	}
}

func TestUnexpectedResponse(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		kind   string
		body   string
		want   []string
	}{
		{"a proxy's page", 502, "text/html", "<html>\n<body>Bad \x1b[31mGateway</body>" + strings.Repeat("x", 1<<20), []string{"502 Bad Gateway", "no problem document", "<html>"}},
		{"a problem of somebody else", 400, api.ProblemType, `{"title":"No"}`, []string{"400", "without a code"}},
		{"no JSON in it", 400, api.ProblemType, `nope`, []string{"does not parse"}},
		{"a huge problem", 400, api.ProblemType, `{"code":"internal","detail":"` + strings.Repeat("x", maxProblem) + `"}`, []string{"over 1048576 bytes"}},
		{"success in another format", 200, "text/html", "<html>", []string{"200 OK", "not JSON"}},
		{"success that is broken", 200, api.TypeJSON, `{"value":"secret"`, []string{"does not parse"}},
	} {
		c := answering(t, test.status, map[string]string{"Content-Type": test.kind}, test.body)
		_, err := c.Identity(t.Context())
		wantError(t, err, append(test.want, c.Address(), "check that the address")...)
		u, ok := errors.AsType[*UnexpectedResponse](err)
		if !ok || u.Status != test.status || u.ContentType != test.kind || len(u.Excerpt) > maxExcerpt || strings.ContainsAny(u.Excerpt, "\n\x1b") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v", test.name, u)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	c := answering(t, http.StatusMovedPermanently, map[string]string{"Location": "https://elsewhere.test/login"}, "")
	_, err := c.PostChange(t.Context(), api.Change{})
	wantError(t, err, "301", "it redirects to https://elsewhere.test/login")
}

func TestAnswerBound(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.TypeJSON)
		for range maxAnswer>>20 + 1 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
	}))
	defer server.Close()
	_, err := must(New(server.URL, WithTenant("acme"))).Bundle(t.Context(), "production", BundleQuery{})
	wantError(t, err, "over the bound of 67108864 bytes")
}

// FuzzProblem checks that what is taken for a problem document prints back to
// the same problem, and that no text is too strange for an error message.
func FuzzProblem(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		if shown := excerpt(text); len(shown) > maxExcerpt || !utf8.ValidString(shown) || strings.ContainsAny(shown, "\r\n\x00") {
			t.Errorf("the excerpt is %q", shown)
		}
		p, err := parseProblem(text)
		if err != nil {
			return
		}
		if p.Error() == "" || p.Code == "" {
			t.Errorf("%q is a problem that says nothing", text)
		}
		printed := must(json.Marshal(p))
		again, err := parseProblem(printed)
		if err != nil {
			t.Fatalf("%s does not parse: %v", printed, err)
		}
		if diff := cmp.Diff(p, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-first +again)\n%s", diff)
		}
		if !bytes.Equal(printed, must(json.Marshal(again))) {
			t.Errorf("%s prints differently the second time", printed)
		}
	})
}
