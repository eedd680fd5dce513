package service

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/cache"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Bounds of acknowledgements.
const (
	ackTime        = 90 * time.Second // how long one holds
	maxAcks        = 10_000           // live clients of a tenant
	maxAckSecrets  = 1_000
	maxClientBytes = 128
	digestBytes    = 64
	maxListedAcks  = 100_000 // clients and their secrets in one list
	lookedAtOnce   = 500     // clients that are looked at for an adoption each second
)

// ackBody is what is sealed of an acknowledgement.
type ackBody struct {
	Revision config.Revision  `json:"r"`
	Digest   string           `json:"d,omitempty"`
	Secrets  map[string]int64 `json:"s,omitempty"`

	// From are the environments whose versions these are: what is inherited has
	// the same numbers as what overrides it.
	From map[string]config.EnvironmentID `json:"f,omitempty"`
}

// Ack takes note of what a client runs, for 90 seconds. It may name only
// versions of secrets that its principal was given.
func (s *Service) Ack(ctx context.Context, who Caller, tenant, environment string, r AckRequest) (time.Time, error) {
	state, err := s.guard(ctx, who, access.AckWrite, tenant, access.Resource{Environment: environment})
	if err != nil {
		return time.Time{}, err
	}
	env, err := state.tree.Load().Named(environment)
	if err != nil {
		return time.Time{}, err
	}
	if err := r.check(state.feed.Revision()); err != nil {
		return time.Time{}, err
	}
	tree := state.tree.Load()
	from, suppliers, err := s.ackedSuppliers(ctx, who, state, tree.Tree, env.ID, r.Secrets)
	if err != nil {
		return time.Time{}, err
	}
	now := s.clock().UTC()
	ack := store.Ack{Environment: env.ID, Principal: who.Principal.Account(), Client: r.Client, Time: now, Expires: now.Add(ackTime)}
	if ack.Sealed, err = s.keyring.Seal(ctx, ackPlace(state.tenant.ID, ack), r.body(from)); err != nil {
		return time.Time{}, err
	}
	if err := s.store.PutAck(ctx, state.tenant.ID, ack, maxAcks); err != nil {
		return time.Time{}, err
	}
	return ack.Expires, s.endAdopted(ctx, state, suppliers)
}

func (r AckRequest) check(newest config.Revision) error {
	ok := len(r.Client) > 0 && len(r.Client) <= maxClientBytes
	for _, c := range r.Client {
		ok = ok && c != unicode.ReplacementChar && unicode.IsPrint(c)
	}
	switch {
	case !ok:
		return config.Errorf(config.KindBadRequest, "a client's name has 1 to %d printable characters", maxClientBytes).At("/client")
	case r.Revision < 0 || r.Revision > newest:
		return config.Errorf(config.KindRevisionInFuture, "the newest revision is %d, below %d", newest, r.Revision).At("/revision").Hint("acknowledge what was read")
	case r.Digest != "" && len(r.Digest) != digestBytes || strings.Trim(r.Digest, "0123456789abcdef") != "":
		return config.Errorf(config.KindBadRequest, "a digest is %d hexadecimal digits", digestBytes).At("/digest")
	case len(r.Secrets) > maxAckSecrets:
		return config.Errorf(config.KindTooLarge, "the acknowledgement names too many secrets").At("/secrets").Over(maxAckSecrets, int64(len(r.Secrets)))
	}
	return nil
}

func (r AckRequest) body(from map[config.Path]config.EnvironmentID) []byte {
	body := ackBody{
		Revision: r.Revision, Digest: r.Digest,
		Secrets: make(map[string]int64, len(r.Secrets)), From: make(map[string]config.EnvironmentID, len(r.Secrets)),
	}
	for path, version := range r.Secrets {
		body.Secrets[path.String()], body.From[path.String()] = int64(version), from[path]
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic("service: an acknowledgement does not encode: " + err.Error()) // strings and numbers always do
	}
	return text
}

func ackPlace(tenant config.TenantID, a store.Ack) seal.Place {
	return seal.Place{
		Kind: seal.Ack, Tenant: tenant, Environment: a.Environment, Path: a.Principal + "\x00" + a.Client, Version: a.Time.UnixNano(),
	}
}

// ackedSuppliers checks that the principal was given each version. It answers
// the environments that they were given from, which may be any that the secret
// could have come from when it was read, and the records that count now.
func (s *Service) ackedSuppliers(ctx context.Context, who Caller, state *tenantState, tree *config.Tree, environment config.EnvironmentID, secrets map[config.Path]config.Version) (from map[config.Path]config.EnvironmentID, suppliers []*secretHead, err error) {
	from = make(map[config.Path]config.EnvironmentID, len(secrets))
	for _, path := range slices.SortedFunc(maps.Keys(secrets), config.Path.Compare) {
		given := false
		for _, id := range tree.Chain(environment) {
			served := store.Served{Principal: who.Principal.Account(), Environment: id, Path: path, Version: secrets[path]}
			if given, err = s.wasServed(ctx, state.tenant.ID, served); given || err != nil {
				from[path] = id
				break
			}
		}
		if err != nil {
			return nil, nil, err
		}
		if !given {
			return nil, nil, config.Errorf(config.KindBadRequest, "version %d of the secret %s was not given to you", secrets[path], path).
				At(config.Pointer{}.Append("secrets").Append(path.String()).String()).Hint("acknowledge only what was read with this token")
		}
		// Not before: how long it takes must not tell whether there is a secret.
		heads, err := s.heads(ctx, state.tenant.ID, path)
		if err != nil {
			return nil, nil, err
		}
		if head := heads.supplied(tree, environment); head != nil {
			suppliers = append(suppliers, head)
		}
	}
	return from, suppliers, nil
}

func (s *Service) wasServed(ctx context.Context, tenant config.TenantID, served store.Served) (bool, error) {
	key := servedKey{tenant, served}
	if _, known := s.served.Get(key); known {
		return true, nil
	}
	was, err := s.store.WasServed(ctx, tenant, served)
	if was && err == nil {
		s.served.Set(key, struct{}{})
	}
	return was, err
}

// endAdopted ends the grace of versions that no live client uses any more,
// where that is what their overlap waits for.
func (s *Service) endAdopted(ctx context.Context, state *tenantState, heads []*secretHead) error {
	now := s.clock()
	for _, head := range heads {
		if !mayBeAdopted(head.record, now) {
			continue
		}
		key := cache.VersionKey{Tenant: state.tenant.ID, Environment: head.Environment, Path: head.Path, Version: head.Version}
		if next, _ := s.adoptions.Get(key); now.Before(next) {
			continue
		}
		adoption, err := s.adoption(ctx, state, head.Environment, head.Path)
		if err != nil {
			return err
		}
		if adoption.Adopted == 0 || adoption.Waiting > 0 {
			// The more clients there are, the longer until they are all looked at
			// again: each of them is heard of every 30 seconds.
			s.adoptions.Set(key, now.Add(time.Duration(len(adoption.Clients)/lookedAtOnce)*time.Second))
			continue
		}
		current := adoption.Current
		environment := state.tree.Load().Name(head.Environment)
		_, err = s.mutateSecret(ctx, s.stepWork(system(), access.SecretActivate, state, environment, head.Path, SecretStep{},
			func(now time.Time, before *secretHead) (secretPlan, error) {
				plan := secretPlan{record: before.record, event: "secret.retire"}
				if before.record.Serves != current || !mayBeAdopted(before.record, now) {
					return plan, nil // it was rotated on meanwhile
				}
				plan.record, _ = before.record.EndGrace(now)
				plan.about = lastEnded(before.record, plan.record)
				plan.summary = "every client has version " + versionText(current) + ", so the grace of version " + versionText(plan.about) + " ended"
				return plan, nil
			}))
		if err != nil {
			return err
		}
	}
	return nil
}

// mayBeAdopted says whether a grace may end before its time: it waits for
// adoption, and every client that was alive had the time to say what it runs.
func mayBeAdopted(r secret.Record, now time.Time) bool {
	_, grace := r.Previous(now)
	active, err := r.Current(now)
	return grace && err == nil && overlapsByAdoption(r) && now.Sub(active.Activated) >= ackTime
}

// eachAck opens what the live clients of an environment said, one by one.
func (s *Service) eachAck(ctx context.Context, state *tenantState, environment config.EnvironmentID, visit func(store.Ack, ackBody) error) error {
	acks, err := s.store.Acks(ctx, state.tenant.ID, environment, s.clock())
	if err != nil {
		return err
	}
	for _, ack := range acks {
		text, err := s.keyring.Open(ctx, ackPlace(state.tenant.ID, ack), ack.Sealed)
		if err != nil {
			return err
		}
		var body ackBody
		if err := json.Unmarshal(text, &body); err != nil {
			return unavailable(err, "a stored acknowledgement does not parse")
		}
		if err := visit(ack, body); err != nil {
			return err
		}
	}
	return nil
}

// clients are the live clients of an environment.
func (s *Service) clients(ctx context.Context, state *tenantState, environment config.EnvironmentID) ([]ClientState, error) {
	var clients []ClientState
	listed := 0
	err := s.eachAck(ctx, state, environment, func(ack store.Ack, body ackBody) error {
		if listed += 1 + len(body.Secrets); listed > maxListedAcks {
			return config.Errorf(config.KindTooLarge, "the clients of the environment use too many secrets to list them all").
				Hint("ask for the adoption of one secret").Over(maxListedAcks, int64(listed))
		}
		c := ClientState{
			AckRequest: AckRequest{Client: ack.Client, Revision: body.Revision, Digest: body.Digest, Secrets: make(map[config.Path]config.Version, len(body.Secrets))},
			Principal:  ack.Principal, Time: ack.Time, Expires: ack.Expires,
		}
		for name, version := range body.Secrets {
			path, err := config.ParsePath(name)
			if err != nil {
				return unavailable(err, "a stored acknowledgement does not parse")
			}
			c.Secrets[path] = config.Version(version)
		}
		clients = append(clients, c)
		return nil
	})
	return clients, err
}

// Acks answers what the live clients of an environment run. Which secrets they
// use is left out where the caller may not list them.
func (s *Service) Acks(ctx context.Context, who Caller, tenant, environment string) (Clients, error) {
	state, err := s.guardRead(ctx, who, tenant, access.Resource{Environment: environment})
	if err != nil {
		return Clients{}, err
	}
	env, err := state.tree.Load().Named(environment)
	if err != nil {
		return Clients{}, err
	}
	result := Clients{Environment: environment, Revision: state.feed.Revision()}
	if result.Clients, err = s.clients(ctx, state, env.ID); err != nil {
		return Clients{}, err
	}
	tree, may := state.tree.Load(), map[config.Path]bool{}
	for _, c := range result.Clients {
		for path := range c.Secrets {
			allowed, known := may[path]
			if !known {
				heads, err := s.heads(ctx, state.tenant.ID, path)
				if err != nil {
					return Clients{}, err
				}
				head := heads.supplied(tree.Tree, env.ID)
				allowed = head != nil && s.mayList(ctx, who, state, tree.Tree, env.ID, head)
				may[path] = allowed
			}
			if !allowed {
				delete(c.Secrets, path)
			}
		}
	}
	return result, nil
}

// SecretAdoption answers which live clients use which version of a secret.
func (s *Service) SecretAdoption(ctx context.Context, who Caller, tenant, environment string, path config.Path) (Adoption, error) {
	state, err := s.guard(ctx, who, access.SecretList, tenant, secretResource(environment, path))
	if err != nil {
		return Adoption{}, err
	}
	head, err := s.findSecret(ctx, who, access.SecretList, state, environment, path)
	if err != nil {
		return Adoption{}, err
	}
	adoption, err := s.adoption(ctx, state, head.Environment, path)
	// Who uses it in other environments is for those who may list it there; that
	// somebody waits there is for everybody who is about to revoke it.
	adoption.Clients = slices.DeleteFunc(adoption.Clients, func(c Adopter) bool {
		return !s.may(ctx, who, access.SecretList, state, secretResource(c.Environment, path))
	})
	return adoption, err
}

// adoption gathers who uses the secret that an environment supplies, there and
// in the environments that inherit it.
func (s *Service) adoption(ctx context.Context, state *tenantState, supplier config.EnvironmentID, path config.Path) (Adoption, error) {
	tree := state.tree.Load()
	heads, err := s.heads(ctx, state.tenant.ID, path)
	if err != nil {
		return Adoption{}, err
	}
	head, now := heads[supplier], s.clock()
	if head == nil {
		return Adoption{}, noSecret(tree.Name(supplier), path)
	}
	result := Adoption{Environment: tree.Name(supplier), Path: path, Overlap: secret.OverlapDeadline}
	if overlapsByAdoption(head.record) {
		result.Overlap = secret.OverlapAdoption
	}
	if v, err := head.record.Current(now); err == nil {
		result.Current = v.Number
	}
	if v, ok := head.record.Previous(now); ok {
		result.Previous, result.GraceUntil = v.Number, v.GraceUntil
	}
	for _, heir := range tree.Heirs(supplier) {
		if heads.supplied(tree.Tree, heir) != head {
			continue
		}
		err := s.eachAck(ctx, state, heir, func(ack store.Ack, body ackBody) error {
			if version, uses := body.Secrets[path.String()]; uses {
				adopter := Adopter{ack.Client, ack.Principal, tree.Name(heir), config.Version(version), ack.Time}
				result.add(adopter, body.From[path.String()] == supplier)
			}
			return nil
		})
		if err != nil {
			return Adoption{}, err
		}
	}
	return result, nil
}

// add counts a client; one that still has what it inherited before waits.
func (a *Adoption) add(c Adopter, same bool) {
	a.Clients = append(a.Clients, c)
	if same && c.Version == a.Current {
		a.Adopted++
	} else {
		a.Waiting++
	}
}
