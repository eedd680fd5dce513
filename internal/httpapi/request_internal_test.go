package httpapi

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// What only looks like a watch is counted with the other requests.
func TestIsWatch(t *testing.T) {
	for target, want := range map[string]bool{
		"GET /api/v1/tenants/t/environments/e/watch":           true,
		"GET /api/v1/tenants/t/environments/e/watch?prefix=a":  true,
		"HEAD /api/v1/tenants/t/environments/e/watch":          false,
		"PUT /api/v1/tenants/t/environments/e/watch":           false,
		"GET /api/v1/tenants/t/environments/e/configs/watch":   false,
		"GET /api/v1/tenants/t/environments/e/configs/a/watch": false,
		"GET /api/v1/tenants/t/environments/watch":             false,
		"GET /watch": false,
	} {
		method, path, _ := strings.Cut(target, " ")
		if got := isWatch(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s: %v", target, got)
		}
	}
}

func TestTheLogTellsWhyCredentialsWereRefused(t *testing.T) {
	refused := config.Errorf(config.KindUnauthenticated, "no")
	refused.Cause = errors.New("the audience is another")
	denied := config.Errorf(config.KindForbidden, "no")
	denied.Cause = errors.New("a policy")
	for err, want := range map[error]string{
		refused: "the audience is another", denied: "", config.Errorf(config.KindUnauthenticated, "no"): "", errors.New("other"): "",
	} {
		if got := refusedFor(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
