package service

import (
	"context"
	"encoding/json"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Bounds of idempotency keys.
const (
	MaxIdempotencyKeyBytes = 255
	idempotencyTime        = 24 * time.Hour
)

// Idempotency is the key that a caller sent with a write, and all of the
// request that must be the same when the key comes again.
type Idempotency struct {
	Key     string
	Request []byte
}

// idempotencyKey names a request that runs.
type idempotencyKey struct {
	tenant         config.TenantID
	principal, key string
}

// outcomeOf is implemented by every result of a write that embeds Outcome.
func (o *Outcome) outcomeOf() *Outcome { return o }

// result is a pointer to what a write answers.
type result[T any] interface {
	*T
	outcomeOf() *Outcome
}

// once runs a write, or answers what it answered when the key came before. A
// write that fails is not kept: it changed nothing, and may be tried again.
func once[T any, P result[T]](ctx context.Context, s *Service, who Caller, tenant config.TenantID, run func() (T, error)) (T, error) {
	var none T
	if who.Idempotency == nil {
		return run()
	}
	if err := who.Idempotency.check(); err != nil {
		return none, err
	}
	flying := idempotencyKey{tenant, who.Principal.Account(), who.Idempotency.Key}
	if _, there := s.inFlight.LoadOrStore(flying, struct{}{}); there {
		return none, inFlight()
	}
	defer s.inFlight.Delete(flying)

	kept, err := s.keptOutcome(ctx, who, tenant)
	if err != nil {
		return none, err
	}
	if kept != nil {
		return replay[T, P](ctx, s, who, tenant, *kept)
	}
	answer, err := run()
	if err != nil {
		return none, err
	}
	if o := P(&answer).outcomeOf(); o.Status == Unchanged {
		return answer, s.remember(ctx, who, tenant, *o, answer)
	}
	return answer, nil
}

func (i *Idempotency) check() error {
	ok := len(i.Key) > 0 && len(i.Key) <= MaxIdempotencyKeyBytes
	for _, c := range []byte(i.Key) {
		ok = ok && c > ' ' && c < 0x7f
	}
	if !ok {
		return config.Errorf(config.KindBadRequest, "the idempotency key has not 1 to %d printable characters without spaces", MaxIdempotencyKeyBytes).
			At("Idempotency-Key").Hint("send a UUID, say")
	}
	return nil
}

func inFlight() error {
	return config.Errorf(config.KindIdempotencyInFlight, "the first request with this idempotency key still runs").
		At("Idempotency-Key").Hint("wait for its answer, or send the request again in a moment")
}

// keptOutcome finds what was answered to the key, nil if it is new.
func (s *Service) keptOutcome(ctx context.Context, who Caller, tenant config.TenantID) (*store.Idempotent, error) {
	kept, err := s.store.Idempotent(ctx, tenant, who.Principal.Account(), who.Idempotency.Key)
	if config.KindOf(err) == config.KindNotFound {
		return nil, nil //nolint:nilnil // nothing is kept
	}
	if err != nil {
		return nil, err
	}
	if now := s.clock(); !now.Before(kept.Expires) {
		return nil, s.store.ForgetIdempotent(ctx, now)
	}
	fingerprint, err := s.fingerprint(ctx, who, tenant)
	if err != nil {
		return nil, err
	}
	if fingerprint != kept.Fingerprint {
		return nil, config.Errorf(config.KindIdempotencyMismatch, "the idempotency key was used for another request").
			At("Idempotency-Key").Hint("send each request with a key of its own")
	}
	return &kept, nil
}

func replay[T any, P result[T]](ctx context.Context, s *Service, who Caller, tenant config.TenantID, kept store.Idempotent) (T, error) {
	var answer T
	text, err := s.keyring.Open(ctx, idempotentPlace(who, tenant), kept.Sealed)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, unavailable(err, "a kept answer does not parse")
	}
	o := P(&answer).outcomeOf()
	o.Replayed = true
	if o.Status == Committed {
		o.Revision, o.Time = kept.Revision, kept.Time
	}
	return answer, nil
}

// keep makes the answer of a write part of the write's own transaction.
func (s *Service) keep(ctx context.Context, who Caller, tenant config.TenantID, write *store.Write, answer any) error {
	if who.Idempotency == nil {
		return nil
	}
	row, err := s.idempotentRow(ctx, who, tenant, answer)
	write.Idempotent = row
	return err
}

// keptForServer is what keeps the answer of a write of the server's that is no
// store.Write, nil when it came without a key.
func (s *Service) keptForServer(ctx context.Context, who Caller, answer any) (*store.Idempotent, error) {
	if who.Idempotency == nil {
		return nil, nil //nolint:nilnil // nothing is kept
	}
	return s.idempotentRow(ctx, who, config.TenantID{}, answer)
}

// remember keeps the answer of a write that changed nothing.
func (s *Service) remember(ctx context.Context, who Caller, tenant config.TenantID, o Outcome, answer any) error {
	row, err := s.idempotentRow(ctx, who, tenant, answer)
	if err != nil {
		return err
	}
	row.Revision, row.Time = o.Revision, s.clock()
	return s.store.Remember(ctx, tenant, *row)
}

func (s *Service) idempotentRow(ctx context.Context, who Caller, tenant config.TenantID, answer any) (*store.Idempotent, error) {
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	sealed, err := s.keyring.Seal(ctx, idempotentPlace(who, tenant), text)
	if err != nil {
		return nil, err
	}
	fingerprint, err := s.fingerprint(ctx, who, tenant)
	return &store.Idempotent{
		Principal: who.Principal.Account(), Key: who.Idempotency.Key, Fingerprint: fingerprint,
		Sealed: sealed, Expires: s.clock().Add(idempotencyTime),
	}, err
}

func (s *Service) fingerprint(ctx context.Context, who Caller, tenant config.TenantID) ([32]byte, error) {
	return s.keyring.MAC(ctx, tenant, "idempotency", who.Idempotency.Request)
}

func idempotentPlace(who Caller, tenant config.TenantID) seal.Place {
	return seal.Place{Kind: seal.Idempotent, Tenant: tenant, Path: who.Principal.Account() + " " + who.Idempotency.Key}
}
