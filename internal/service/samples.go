package service

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Bounds of the decisions that are kept to try other policies on.
const (
	maxWaitingSamples = 10_000   // of all tenants, until they are flushed
	maxWaitingBytes   = 16 << 20 // of all of them
	maxSampleBytes    = 8 << 10  // of one; what is larger is no sample of what is usual
	maxSamples        = 10_000   // of each tenant, the newest
)

// sample is one question with what was decided of it.
type sample struct {
	Principal samplePrincipal   `json:"principal"`
	Action    access.Action     `json:"action"`
	Place     samplePlace       `json:"place"`
	Source    netip.Addr        `json:"source"`
	Time      time.Time         `json:"time"`
	Labels    map[string]string `json:"labels,omitempty"`
	Allowed   bool              `json:"allowed"`
}

// samplePlace is the resource of a question in its tenant.
type samplePlace struct {
	Environment string        `json:"environment,omitempty"`
	Path        string        `json:"path,omitempty"`
	Prefix      config.Prefix `json:"prefix"`
	Secret      bool          `json:"secret,omitempty"`
	Name        string        `json:"name,omitempty"`
}

// alone is the place with texts of its own. Those of a request may be parts of a
// larger one, which would stay in memory.
func (p samplePlace) alone() samplePlace {
	p.Environment, p.Path, p.Name = strings.Clone(p.Environment), strings.Clone(p.Path), strings.Clone(p.Name)
	if prefix, err := config.ParsePrefix(strings.Clone(p.Prefix.String())); err == nil {
		p.Prefix = prefix
	}
	return p
}

// samplePrincipal is a principal without what changes from request to request.
type samplePrincipal struct {
	ID          string              `json:"id"`
	Name        string              `json:"name,omitempty"`
	Method      string              `json:"method"`
	Issuer      string              `json:"issuer,omitempty"`
	Tenant      config.TenantID     `json:"tenant"`
	Roles       []string            `json:"roles,omitempty"`
	ServerAdmin bool                `json:"server_admin,omitempty"`
	Scope       *access.Scope       `json:"scope,omitempty"`
	Claims      map[string][]string `json:"claims,omitempty"`
	Certificate *access.Certificate `json:"certificate,omitempty"`
}

func samplePrincipalOf(p access.Principal) samplePrincipal {
	return samplePrincipal{p.ID, p.Name, p.Method, p.Issuer, p.Tenant, p.Roles, p.ServerAdmin, p.Scope, p.Claims, p.Certificate}
}

func (p samplePrincipal) principal() access.Principal {
	return access.Principal{
		ID: p.ID, Name: p.Name, Method: p.Method, Issuer: p.Issuer, Tenant: p.Tenant, Roles: p.Roles,
		ServerAdmin: p.ServerAdmin, Scope: p.Scope, Claims: p.Claims, Certificate: p.Certificate,
	}.Sealed()
}

// sampleKey is what makes two questions the same.
type sampleKey struct {
	tenant    config.TenantID
	principal [32]byte
	action    access.Action
	place     samplePlace
	source    netip.Addr
}

// samples are decisions that wait to be kept. They are a sample: of the same
// question the last answer stays, and what there is no room for is left out.
type samples struct {
	mu      sync.Mutex
	waiting map[sampleKey]sample
	bytes   int // of those that wait
}

func (s *samples) add(r *access.Request, d access.Decision) {
	if r.Resource.Tenant == (config.TenantID{}) || r.Resource.Environment == noEnvironment || d.Foreign || d.Err != nil {
		return
	}
	place := samplePlace{r.Resource.Environment, r.Resource.Path.String(), r.Resource.Prefix, r.Resource.Secret, r.Resource.Name}
	key := sampleKey{r.Resource.Tenant, r.Principal.Key, r.Action, place, r.Source}
	taken := sample{
		Principal: samplePrincipalOf(r.Principal), Action: r.Action, Place: place, Source: r.Source, Time: r.Time, Allowed: d.Allowed,
	}
	if d.Labelled && r.Labels != nil {
		taken.Labels, _ = r.Labels() // they were just read; without them the sample is as good as one of what has none
	}
	size := taken.bytes()
	if size > maxSampleBytes {
		return
	}
	taken.Place = place.alone()
	key.place = taken.Place
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = map[sampleKey]sample{}
	}
	before, there := s.waiting[key]
	if there {
		size -= before.bytes()
	} else if len(s.waiting) >= maxWaitingSamples {
		return
	}
	if s.bytes+size > maxWaitingBytes {
		return
	}
	s.waiting[key] = taken
	s.bytes += size
}

func (s *samples) drain() map[sampleKey]sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting
	s.waiting, s.bytes = nil, 0
	return waiting
}

// bytes is about how much memory a sample takes.
func (one sample) bytes() int {
	p := one.Principal
	n := 1024 + len(one.Place.Environment) + len(one.Place.Path) + len(one.Place.Prefix.String()) + len(one.Place.Name) + len(p.ID) + len(p.Name)
	for name, value := range one.Labels {
		n += len(name) + len(value)
	}
	for name, values := range p.Claims {
		n += len(name)
		for _, value := range values {
			n += len(value) + 16
		}
	}
	if p.Certificate != nil {
		for _, name := range p.Certificate.DNS {
			n += len(name) + 16
		}
	}
	return n
}

// flushSamples keeps the decisions that were sampled. Those that cannot be kept
// are lost: they are no records.
func (s *Service) flushSamples(ctx context.Context) error {
	rows := map[config.TenantID][]store.PastDecision{}
	var errs []error
	for key, taken := range s.samples.drain() {
		row, err := s.sealSample(ctx, key, taken)
		switch config.KindOf(err) {
		case "":
			rows[key.tenant] = append(rows[key.tenant], row)
		case config.KindGone, config.KindNotFound: // the tenant was deleted
		default:
			errs = append(errs, err)
		}
	}
	for tenant, all := range rows {
		if err := s.store.PutDecisions(ctx, tenant, all, maxSamples); err != nil && config.KindOf(err) != config.KindNotFound {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Service) sealSample(ctx context.Context, key sampleKey, taken sample) (row store.PastDecision, err error) {
	place, err := json.Marshal(key.place)
	if err != nil {
		return row, err
	}
	b := append(key.principal[:], key.action...)
	b = append(b, 0)
	b = append(append(b, place...), key.source.AsSlice()...)
	if row.Key, err = s.keyring.MAC(ctx, key.tenant, "decision", b); err != nil {
		return row, err
	}
	text, err := json.Marshal(taken)
	if err != nil {
		return row, err
	}
	row.Time = taken.Time
	row.Sealed, err = s.keyring.Seal(ctx, decisionPlace(key.tenant, row.Key), text)
	return row, err
}

func decisionPlace(tenant config.TenantID, key [32]byte) seal.Place {
	return seal.Place{Kind: seal.Decision, Tenant: tenant, Path: string(key[:])}
}

// pastSamples are the newest decisions that were kept.
func (s *Service) pastSamples(ctx context.Context, tenant config.TenantID, limit int) ([]sample, error) {
	rows, err := s.store.Decisions(ctx, tenant, limit)
	if err != nil {
		return nil, err
	}
	all := make([]sample, 0, len(rows))
	for _, row := range rows {
		text, err := s.keyring.Open(ctx, decisionPlace(tenant, row.Key), row.Sealed)
		if err != nil {
			return nil, err
		}
		var one sample
		if err := json.Unmarshal(text, &one); err != nil {
			return nil, unavailable(err, "a kept decision does not parse")
		}
		all = append(all, one)
	}
	return all, nil
}
