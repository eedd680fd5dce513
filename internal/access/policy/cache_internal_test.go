package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// A cache is bounded by what its keys weigh, and keeps none that are longer than
// names and paths can be.
func TestCacheIsBoundedByWeight(t *testing.T) {
	s, err := Compile(Source{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	p := access.Principal{ID: "x", Method: access.MethodToken, Tenant: config.TenantID{1}, Roles: []string{access.RoleViewer}}.Sealed()
	const entries = 1000
	kept := func(bytes, asked int) int {
		c := NewCache(entries)
		for i := range asked {
			name := fmt.Sprint(i)
			name += strings.Repeat("x", bytes-len(name))
			r := &access.Request{Principal: p, Action: access.ConfigRead, Resource: access.Resource{Tenant: p.Tenant, TenantName: "acme", Environment: name}}
			c.Decide(s, r, nil)
			c.Decide(s, r, nil)
		}
		c.decisions.CleanUp()
		return c.decisions.EstimatedSize()
	}
	for _, test := range []struct{ bytes, asked, most, least int }{
		{20, 500, 500, 500},
		{20, 3 * entries, entries * 4 / 3, entries / 2},
		{maxCachedText, 3 * entries, entries / 2, entries / 4},
		{maxCachedText + 1, 100, 0, 0},
		{60_000, 100, 0, 0},
	} {
		if n := kept(test.bytes, test.asked); n > test.most || n < test.least {
			t.Errorf("of %d names of %d bytes %d decisions are kept, want %d to %d", test.asked, test.bytes, n, test.least, test.most)
		}
	}
}
