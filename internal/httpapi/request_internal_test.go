package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
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
