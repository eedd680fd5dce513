package telemetry

import "sync"

// Tenants past the bound share one label, so that many of them cost the
// monitoring no more than a thousand.
const (
	maxTenantLabels = 1000
	otherTenants    = "other"
)

// tenantLabels gives the first tenants that are seen labels of their own.
type tenantLabels struct {
	mu    sync.RWMutex
	known map[string]struct{}
}

// of is the label of a tenant that exists. It must not be asked with a name
// that somebody made up, who would take the labels away from real ones.
func (l *tenantLabels) of(tenant string) string {
	if tenant == "" || l.has(tenant) {
		return tenant
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.known[tenant]; known {
		return tenant
	}
	if len(l.known) == maxTenantLabels {
		return otherTenants
	}
	if l.known == nil {
		l.known = map[string]struct{}{}
	}
	l.known[tenant] = struct{}{}
	return tenant
}

// seen is the label of a name that may be made up.
func (l *tenantLabels) seen(tenant string) string {
	if tenant == "" || l.has(tenant) {
		return tenant
	}
	return otherTenants
}

func (l *tenantLabels) has(tenant string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, known := l.known[tenant]
	return known
}
