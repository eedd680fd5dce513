package service

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// secretWork is one mutation of a secret on its way.
type secretWork struct {
	state       *tenantState
	who         Caller
	action      access.Action
	environment string
	path        config.Path
	message     string
	ifRecord    *config.Version
	plan        func(ctx context.Context, now time.Time, before *secretHead) (secretPlan, error)
}

// secretPlan is what a mutation makes of a secret.
type secretPlan struct {
	record  secret.Record
	add     map[config.Version]secret.Fields // wiped by whoever made them
	drop    []config.Version
	about   config.Version // the version it is about
	event   string         // of the audit record
	summary string         // what happened to the secret, after its name
	failed  string         // why it is the record of a failure
	weak    string         // why a weak value was let in
	notes   []string
	force   bool                                  // write it although nothing in it changed
	refuse  func(dangling []config.Problem) error // asked when documents would be left without the secret; nil asks nobody
}

// mutateSecret plans a mutation and commits it with its record.
func (s *Service) mutateSecret(ctx context.Context, w secretWork) (SecretResult, error) {
	if err := checkMessage(w.message); err != nil {
		return SecretResult{}, err
	}
	var result SecretResult
	outcome, err := s.commit(ctx, w.state, "secret "+w.path.String(), func(ctx context.Context, n *snapshot) (*proposal, error) {
		p, err := s.proposeSecret(ctx, w, n, &result)
		if err != nil || p == nil {
			return nil, err
		}
		answer := result
		answer.Status = Committed
		return p, s.keep(ctx, w.who, n.tenant, &p.write, answer)
	})
	result.Outcome = outcome
	return result, err
}

func (s *Service) proposeSecret(ctx context.Context, w secretWork, n *snapshot, result *SecretResult) (*proposal, error) {
	n, err := s.latest(ctx, w.state, n)
	if err != nil {
		return nil, err
	}
	env, err := n.tree.Named(w.environment)
	if err != nil {
		return nil, err
	}
	heads, err := s.readHeads(ctx, n.tenant, w.path)
	if err != nil {
		return nil, err
	}
	before, now := heads[env.ID], s.clock()
	if err := checkRecord(w.ifRecord, before); err != nil {
		return nil, err
	}
	plan, err := w.plan(ctx, now, before)
	if err != nil {
		return nil, err
	}
	plan.noteEnd(before, now)
	after := &secretHead{Secret: store.Secret{Path: w.path, Environment: env.ID, Version: 1}, record: plan.record}
	if before != nil {
		after.Version = before.Version + 1
		if !plan.force && len(plan.add) == 0 && len(plan.drop) == 0 && before.record.Equal(plan.record) {
			s.describe(result, n.tree, before, plan, now)
			return nil, nil
		}
	}
	if err := s.guardSecretLabels(ctx, w, n.tree, heads, after); err != nil {
		return nil, err
	}
	s.describe(result, n.tree, after, plan, now)
	p, err := s.secretProposal(w, n, plan)
	if err != nil {
		return nil, err
	}
	write, err := s.sealSecret(ctx, n.tenant, after, plan, now)
	if err != nil {
		return nil, err
	}
	more, err := s.secretUse(ctx, n.tenant, before, write)
	if err != nil {
		return nil, err
	}
	s.useOf(w.state, &p.write, more)
	p.write.Secrets = []store.SecretWrite{write}
	p.write.Expect = store.Expect{Revision: n.at, Environments: true, Secrets: []config.Path{w.path}}
	p.after = func(store.Receipt) { s.forgetSecret(n.tenant, write) }
	return p, s.tellSecret(ctx, n, p, heads, after, plan, now)
}

// noteEnd says that a version in grace ends before its time: one secret has no
// more than two valid versions.
func (p *secretPlan) noteEnd(before *secretHead, now time.Time) {
	if before == nil {
		return
	}
	previous, ok := before.record.Previous(now)
	if !ok || previous.Number == p.about {
		return
	}
	if v, _ := p.record.Find(previous.Number); v.State == secret.Retired {
		p.notes = append(p.notes, "version "+versionText(previous.Number)+" was still in its grace and is retired now: a secret has two valid versions at most")
	}
}

// latest is the snapshot of what the store has, which may be more than this
// process was told of: records are read as they stand, not as of a revision.
func (s *Service) latest(ctx context.Context, state *tenantState, n *snapshot) (*snapshot, error) {
	revision, err := s.store.Revision(ctx, state.tenant.ID)
	if err != nil || revision <= n.at {
		return n, err
	}
	return s.snapshot(ctx, state, revision)
}

// checkRecord is the compare of a compare-and-set.
func checkRecord(want *config.Version, before *secretHead) error {
	if want == nil {
		return nil
	}
	var now config.Version
	if before != nil && before.record.Deleted.IsZero() {
		now = before.Version
	}
	if now == *want || *want == AnyVersion && now != 0 {
		return nil
	}
	switch {
	case now == 0:
		return config.Errorf(config.KindPreconditionFailed, "there is no such secret").Hint("leave If-Match out to make one")
	case *want == 0:
		return config.Errorf(config.KindPreconditionFailed, "there is a secret already").Hint("leave If-None-Match out to write its next version")
	}
	return config.Errorf(config.KindPreconditionFailed, "the secret changed in the meantime").Hint("read it again, and repeat the change")
}

func (s *Service) secretProposal(w secretWork, n *snapshot, plan secretPlan) (*proposal, error) {
	resource := secretResource(w.environment, w.path)
	resource.Tenant = n.tenant
	record := s.record(w.who, plan.event, w.action, resourceName(resource))
	if plan.about != 0 {
		record.Details = map[string]string{"version": versionText(plan.about)}
	}
	if len(plan.drop) > 0 && (len(plan.drop) > 1 || plan.drop[0] != plan.about) {
		if record.Details == nil {
			record.Details = map[string]string{}
		}
		record.Details["destroyed"] = versionTexts(plan.drop) // also what had to make room
	}
	if plan.weak != "" {
		record.Details["weak"] = plan.weak
	}
	if plan.failed != "" {
		record.Outcome, record.Reason = audit.Failed, plan.failed
	}
	summary := "secret " + w.path.String() + " in " + w.environment + ": " + plan.summary
	p, err := s.proposeEntry(w.who, n, store.EntrySecret, w.path.String(), w.message, summary, record)
	if err != nil {
		return nil, err
	}
	env, err := n.tree.Named(w.environment)
	p.body.About = &subjectPlace{env.ID, w.path.String()}
	return p, err
}

// sealSecret seals a record and the values that it adds.
func (s *Service) sealSecret(ctx context.Context, tenant config.TenantID, after *secretHead, plan secretPlan, now time.Time) (store.SecretWrite, error) {
	w := store.SecretWrite{
		Environment: after.Environment, Path: after.Path, Version: after.Version,
		Deleted: !plan.record.Deleted.IsZero(), Due: plan.record.Due(now), DropValues: plan.drop,
	}
	for number, fields := range plan.add {
		text := fields.Encode()
		sealed, err := s.keyring.SealSecret(ctx, valuePlace(tenant, w.Environment, w.Path, number), text)
		clear(text)
		if err != nil {
			return w, err
		}
		w.AddValues = append(w.AddValues, store.SecretValue{Version: number, Sealed: sealed.Sealed, Wrapped: sealed.Wrapped, KeyVersion: sealed.KeyVersion})
	}
	var err error
	w.Sealed, err = s.keyring.Seal(ctx, recordPlace(tenant, w.Environment, w.Path, w.Version), plan.record.Encode())
	return w, err
}

func (s *Service) describe(result *SecretResult, tree *config.Tree, head *secretHead, plan secretPlan, now time.Time) {
	*result = SecretResult{
		Environment: tree.Name(head.Environment), Path: head.Path, Version: plan.about, Record: head.Version, Notes: plan.notes,
	}
	if v, ok := head.record.Find(plan.about); ok {
		result.State = v.State
	}
	if v, err := head.record.Current(now); err == nil {
		result.Current = v.Number
	}
	if v, ok := head.record.Previous(now); ok {
		result.Previous = v.Number
	}
}

// hashFields makes the keyed hashes by which versions are compared.
func (s *Service) hashFields(ctx context.Context, tenant config.TenantID, fields secret.Fields) (map[string]string, error) {
	hashes := make(map[string]string, fields.Len())
	for _, name := range fields.Names() {
		field, _ := fields.Get(name)
		sum, err := s.keyring.MAC(ctx, tenant, "secret field "+strconv.Itoa(int(field.Kind())), field.Value().Reveal())
		if err != nil {
			return nil, err
		}
		hashes[name] = hex.EncodeToString(sum[:])
	}
	return hashes, nil
}

// offered is what readers in an environment are given of a secret.
type offered struct {
	from              config.EnvironmentID
	current, previous config.Version
}

func (h secretHeads) offered(tree *config.Tree, environment config.EnvironmentID, now time.Time) offered {
	head := h.supplied(tree, environment)
	if head == nil {
		return offered{}
	}
	o := offered{from: head.Environment}
	if v, err := head.record.Current(now); err == nil {
		o.current = v.Number
	}
	if v, ok := head.record.Previous(now); ok {
		o.previous = v.Number
	}
	return o
}

// tellSecret makes the event: which environments are given something else now,
// and which of their documents refer to it.
func (s *Service) tellSecret(ctx context.Context, n *snapshot, p *proposal, heads secretHeads, after *secretHead, plan secretPlan, now time.Time) error {
	next := make(secretHeads, len(heads)+1)
	for id, head := range heads {
		next[id] = head
	}
	next[after.Environment] = after
	var affected []config.EnvironmentID
	offers := map[config.EnvironmentID]offered{}
	for _, heir := range n.tree.Heirs(after.Environment) {
		was, is := heads.offered(n.tree, heir, p.planned(heads, after, now)), next.offered(n.tree, heir, now)
		if was == is {
			continue
		}
		affected, offers[heir] = append(affected, heir), is
		p.event.Secrets = append(p.event.Secrets, watch.SecretNotice{Environment: heir, Path: after.Path, Version: is.current, Supplier: is.from})
	}
	if len(affected) == 0 {
		return nil
	}
	if err := s.tellReferrers(ctx, n, p, affected, offers, after.Path, plan.refuse); err != nil {
		return err
	}
	for _, notice := range p.event.Secrets {
		p.body.Secrets = append(p.body.Secrets, entrySecret{notice.Environment, notice.Path.String(), notice.Version, notice.Supplier})
	}
	return nil
}

// planned is the time at which what was offered before is looked at: just after
// the record was written last, so that what ended since by the clock counts as
// having been offered until now.
func (p *proposal) planned(heads secretHeads, after *secretHead, now time.Time) time.Time {
	if before := heads[after.Environment]; before != nil && before.Time.Before(now) {
		return before.Time
	}
	return now
}

// tellReferrers adds the documents that refer to a secret to an event.
func (s *Service) tellReferrers(ctx context.Context, n *snapshot, p *proposal, affected []config.EnvironmentID, offers map[config.EnvironmentID]offered, path config.Path, refuse func([]config.Problem) error) error {
	edges, err := s.store.SecretReferrers(ctx, n.tenant, []config.Path{path})
	if err != nil {
		return err
	}
	p.write.Expect.SecretEdges = []config.Path{path}
	var frontier []config.Path
	for _, edge := range edges {
		frontier = append(frontier, edge.From)
	}
	paths, err := n.referring(ctx, frontier)
	var dangling []config.Problem
	if err == nil {
		p.write.Expect.Referrers = paths
		dangling, err = n.addReferrers(ctx, p, affected, offers, path, paths)
	}
	many := config.KindOf(err) == config.KindTooLarge
	if err != nil && !many {
		return err
	}
	if many { // too many to name them: everything is read anew
		p.event.Reset, p.body.Reset = affected, affected
		p.event.Changes, p.body.Effects, p.write.Expect.Referrers = nil, nil, nil
	}
	lost := slices.ContainsFunc(affected, func(id config.EnvironmentID) bool { return offers[id].from == 0 })
	if refuse != nil && (len(dangling) > 0 || many && lost) {
		return refuse(dangling)
	}
	return nil
}

// Bounds of what a secret's change tells by name.
const (
	maxTold      = 5_000    // documents, counted in each environment
	maxToldBytes = 64 << 20 // of theirs that are looked at
)

// addReferrers adds to an event the documents among paths that refer to a
// secret, and answers those that it is gone for. It is of KindTooLarge when they
// are too many.
func (n *snapshot) addReferrers(ctx context.Context, p *proposal, affected []config.EnvironmentID, offers map[config.EnvironmentID]offered, path config.Path, paths []config.Path) (dangling []config.Problem, err error) {
	tooMany := config.Errorf(config.KindTooLarge, "too many documents refer to the secret")
	if len(paths) > maxTold {
		return nil, tooMany
	}
	worked, atHand := 0, 0
	for len(paths) > 0 {
		batch := paths[:min(len(paths), 200)]
		paths = paths[len(batch):]
		if err := n.readAll(ctx, batch...); err != nil {
			return dangling, err
		}
		v := n.view(nil)
		for _, from := range batch {
			for _, environment := range affected {
				effective, err := v.effective(place{environment, from})
				worked += len(effective.Document.Canonical())
				if worked > maxToldBytes || len(p.event.Changes) >= maxTold {
					return dangling, tooMany
				}
				if err != nil || !refersTo(effective.Document, path) {
					continue // a document that is broken is nobody's to be told of
				}
				offer := offers[environment]
				cause := watch.SecretCause{Environment: offer.from, Path: path, Version: offer.current}
				if offer.from == 0 {
					dangling = append(dangling, config.Problem{
						Environment: n.tree.Name(environment), Path: from.String(), Message: "refers to the secret",
					})
				}
				if atHand += len(effective.Document.Canonical()); atHand > maxAtHand {
					p.addSecretChange(environment, from, effective.Document.Digest(), config.Effective{}, cause)
					continue
				}
				p.addSecretChange(environment, from, effective.Document.Digest(), effective, cause)
			}
		}
	}
	for read := range n.paths {
		p.write.Expect.Paths = append(p.write.Expect.Paths, read)
	}
	return dangling, nil
}

func (p *proposal) addSecretChange(environment config.EnvironmentID, from config.Path, digest canon.Digest, effective config.Effective, cause watch.SecretCause) {
	p.event.Changes = append(p.event.Changes, watch.Change{
		Environment: environment, Path: from, Exists: true, Digest: digest, Effective: effective, Secret: &cause,
	})
	p.body.Effects = append(p.body.Effects, entryEffect{
		Environment: environment, Path: from.String(), Digest: digest.String(),
		Secret: &entrySecret{Environment: cause.Environment, Path: cause.Path.String(), Version: cause.Version},
	})
}

// refersTo says whether an effective document refers to a secret.
func refersTo(effective config.Document, path config.Path) bool {
	references, err := config.SecretTargets(effective)
	if err != nil {
		return false
	}
	for _, l := range references {
		if l.Reference.Path == path {
			return true
		}
	}
	return false
}
