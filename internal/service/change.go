package service

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// Op is what an edit does to a layer.
type Op string

// The edits.
const (
	Put    Op = "put"
	Patch  Op = "patch"
	Delete Op = "delete"
)

// Edit changes one layer.
type Edit struct {
	Op          Op
	Environment string
	Path        config.Path
	Document    config.Document // put: the whole layer
	Patch       PatchFunc       // patch: how the layer changes
	IfVersion   *config.Version // the layer's version must be this; 0 means that there must be no layer
}

// PatchFunc makes the layer that shall be of the layer that is.
type PatchFunc func(now config.Document) (config.Document, error)

// ChangeRequest is one atomic set of edits.
type ChangeRequest struct {
	Message string
	Edits   []Edit
	DryRun  bool
}

// ChangeResult says what a change did, or would do.
type ChangeResult struct {
	Outcome
	Message   string
	Edits     []EditResult
	Effective []DocumentDiff // of a dry run
	Lost      []Lost         // of a promotion
	Notes     []string
}

// EditResult is one edit that changed something.
type EditResult struct {
	Op          Op
	Environment string
	Path        config.Path
	Version     config.Version
}

// DocumentDiff is how a document differs between two points.
type DocumentDiff struct {
	Environment   string
	Path          config.Path
	Before, After bool // it exists
	Differences   []config.Difference
}

// Change commits edits of any number of layers, all of them or none. It is the
// way of a write: guard, plan on a snapshot, seal, commit if the plan still stands.
func (s *Service) Change(ctx context.Context, who Caller, tenant string, in ChangeRequest) (ChangeResult, error) {
	state, err := s.guardEdits(ctx, who, tenant, in.Edits)
	if err != nil {
		return ChangeResult{}, err
	}
	queue := ""
	if len(in.Edits) > 0 {
		queue = in.Edits[0].Path.String()
	}
	return s.change(ctx, who, state, writing{"config.change", in.Message, in.DryRun, queue}, func(_ context.Context, n *snapshot) (wish, error) {
		drafts, err := draftsOf(n.tree, in.Edits)
		return wish{drafts: drafts}, err
	})
}

// guardEdits asks for the right to write each environment and path. Who may write
// nothing at all is on record with what he wanted to.
func (s *Service) guardEdits(ctx context.Context, who Caller, tenant string, edits []Edit) (*tenantState, error) {
	state, err := s.tenants.named(ctx, tenant)
	if err != nil {
		return nil, s.guardAbsent(ctx, who, access.ConfigWrite, tenant, err)
	}
	var wanted access.Resource
	if len(edits) == 1 {
		wanted = access.Resource{Environment: edits[0].Environment, Path: edits[0].Path}
	}
	err = s.answer(ctx, who, access.ConfigWrite, state, wanted, s.decideAny(ctx, who, access.ConfigWrite, state, access.Resource{}))
	for _, e := range edits {
		if err != nil {
			return nil, err
		}
		err = s.guardWrite(ctx, who, state, access.Resource{Environment: e.Environment, Path: e.Path})
	}
	return state, err
}

// guardWrite asks for the right to write a layer. Where labels have a part in it
// and there is no document yet, those that it is written with decide.
func (s *Service) guardWrite(ctx context.Context, who Caller, state *tenantState, r access.Resource) error {
	decision := s.decide(ctx, who, access.ConfigWrite, state, r)
	if !decision.Allowed && decision.Labelled {
		if _, err := s.config(ctx, state, r.Environment, r.Path, config.At{}); config.KindOf(err) == config.KindNotFound {
			return nil // guardPlan asks again
		}
	}
	return s.answer(ctx, who, access.ConfigWrite, state, r, decision)
}

// guardPlan asks for the right to write each layer that a plan changes, with the
// labels that the document would have then: nobody labels himself into what is
// not his, nor what is his into what is another's. The same is asked for every
// document that gets other labels by inheritance or by a reference.
func (s *Service) guardPlan(ctx context.Context, who Caller, state *tenantState, p *plan) error {
	for _, e := range p.edits {
		if err := s.guardWrite(ctx, who, state, access.Resource{Environment: p.tree.Name(e.at.environment), Path: e.at.path}); err != nil {
			return err
		}
	}
	if !state.rules.Load().labelled {
		return nil
	}
	for _, f := range p.effects {
		r := access.Resource{Environment: p.tree.Name(f.at.environment), Path: f.at.path}
		before, after := documentLabels(f.before), documentLabels(f.after.Document)
		if _, edited := p.byPlace[f.at]; !edited {
			if !f.before.Exists() || maps.Equal(before, after) {
				continue
			}
			if err := s.guardWrite(ctx, who, state, r); err != nil {
				return err
			}
		}
		if !f.after.Document.Exists() {
			continue
		}
		if err := s.guardLabelled(ctx, who, access.ConfigWrite, state, r, after); err != nil {
			return err
		}
	}
	return nil
}

// wish is what a verb wants of a snapshot.
type wish struct {
	drafts []draft
	lost   []Lost
	lostIn string // the environment whose they are
	notes  []string
}

// writing is what all verbs that write layers have in common.
type writing struct {
	event   string // of the audit record
	message string
	dryRun  bool
	queue   string // writers with the same one take turns when they get into each other's way
}

// change plans what a verb wishes and commits it; a dry run answers the plan.
func (s *Service) change(ctx context.Context, who Caller, state *tenantState, w writing, want func(context.Context, *snapshot) (wish, error)) (ChangeResult, error) {
	if err := checkMessage(w.message); err != nil {
		return ChangeResult{}, err
	}
	if w.dryRun {
		return s.dryRun(ctx, who, state, w, want)
	}
	result, err := once(ctx, s, who, state.tenant.ID, func() (ChangeResult, error) {
		var result ChangeResult
		outcome, err := s.commit(ctx, state, w.queue, func(ctx context.Context, n *snapshot) (*proposal, error) {
			p, err := s.wished(ctx, who, state, n, w, want, &result)
			if err != nil || len(p.edits) == 0 {
				return nil, err
			}
			proposal, err := s.proposeChange(ctx, who, p, w)
			if err != nil {
				return nil, err
			}
			s.useOf(state, &proposal.write, p.layersUse(proposal.write.Layers))
			return proposal, s.keep(ctx, who, state.tenant.ID, &proposal.write, answered(result))
		})
		result.Outcome = outcome
		return result, err
	})
	if err == nil && result.Replayed {
		s.forgetEdits(ctx, who, state, &result)
	}
	return result, err
}

// forgetEdits leaves out of an answer that is given again what the caller may
// neither read nor write any more.
func (s *Service) forgetEdits(ctx context.Context, who Caller, state *tenantState, result *ChangeResult) {
	kept := slices.DeleteFunc(slices.Clone(result.Edits), func(e EditResult) bool {
		r := access.Resource{Environment: e.Environment, Path: e.Path}
		return !s.may(ctx, who, access.ConfigRead, state, r) && !s.may(ctx, who, access.ConfigWrite, state, r)
	})
	if len(kept) < len(result.Edits) {
		result.Edits, result.Notes = kept, nil
	}
}

// answered is a result as it will be once it is committed. The values that a
// promotion took away are not kept: they may be destroyed meanwhile.
func answered(r ChangeResult) ChangeResult {
	r.Status, r.Lost = Committed, nil
	return r
}

func (s *Service) dryRun(ctx context.Context, who Caller, state *tenantState, w writing, want func(context.Context, *snapshot) (wish, error)) (ChangeResult, error) {
	n, err := s.newest(ctx, state)
	if err != nil {
		return ChangeResult{}, err
	}
	var result ChangeResult
	p, err := s.wished(ctx, who, state, n, w, want, &result)
	if err != nil {
		return ChangeResult{}, err
	}
	result.Outcome = Outcome{Status: Unchanged, Revision: n.at}
	if len(p.edits) > 0 {
		result.Status = Planned
		s.showDiffs(ctx, who, state, p, &result)
	}
	return result, nil
}

// wished plans what a verb wants of the snapshot and begins its answer.
func (s *Service) wished(ctx context.Context, who Caller, state *tenantState, n *snapshot, w writing, want func(context.Context, *snapshot) (wish, error), result *ChangeResult) (*plan, error) {
	wish, err := want(ctx, n)
	if err != nil {
		return nil, err
	}
	n.mayLead = func(environment string, path config.Path) bool {
		return s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: environment, Path: path})
	}
	p, err := n.plan(ctx, wish.drafts)
	if err != nil {
		return nil, s.discreet(ctx, who, state, wish.drafts, n.tree, err)
	}
	if err := s.guardPlan(ctx, who, state, p); err != nil {
		return nil, err
	}
	if err := s.guardSecretReferences(ctx, who, state, p); err != nil {
		return nil, err
	}
	missing, err := s.missingSecrets(ctx, who, state, p)
	if err != nil {
		return nil, err
	}
	*result = ChangeResult{Message: w.message, Edits: p.results(), Notes: slices.Concat(wish.notes, missing)}
	for _, l := range wish.lost {
		if s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: wish.lostIn, Path: l.Path}) {
			result.Lost = append(result.Lost, l)
		}
	}
	return p, nil
}

// maxMissing bounds the secrets that are looked for to say that they are missing.
const maxMissing = 100

// missingSecrets tells of references to secrets that are not there, which is
// allowed: who writes them may be somebody else. It tells those who may list
// them wherever they could come from.
func (s *Service) missingSecrets(ctx context.Context, who Caller, state *tenantState, p *plan) ([]string, error) {
	var notes []string
	looked := map[config.Path]bool{}
	for _, e := range p.edits {
		for _, path := range e.after.secrets {
			if len(looked) == maxMissing {
				return notes, nil
			}
			if looked[path] {
				continue
			}
			looked[path] = true
			heads, err := s.heads(ctx, p.tenant, path)
			if err != nil {
				return nil, err
			}
			var without []string
			for _, heir := range p.tree.Heirs(e.at.environment) {
				if heads.supplied(p.tree, heir) == nil && s.mayListAlong(ctx, who, state, p.tree, heir, path) {
					without = append(without, p.tree.Name(heir))
				}
			}
			if len(without) > 0 {
				notes = append(notes, "there is no secret "+path.String()+" in "+strings.Join(without, ", "))
			}
		}
	}
	return notes, nil
}

// mayListAlong says whether a caller may list a secret wherever an environment
// could have it from.
func (s *Service) mayListAlong(ctx context.Context, who Caller, state *tenantState, tree *config.Tree, environment config.EnvironmentID, path config.Path) bool {
	for _, id := range secretChain(tree, environment, false) {
		if !s.may(ctx, who, access.SecretList, state, secretResource(tree.Name(id), path)) {
			return false
		}
	}
	return true
}

// guardSecretReferences asks for the right to refer to each secret that the
// edits refer to, in every environment that inherits the layer.
func (s *Service) guardSecretReferences(ctx context.Context, who Caller, state *tenantState, p *plan) error {
	for _, e := range p.edits {
		references, err := config.References(e.after.doc)
		if err != nil {
			return err
		}
		for _, l := range references {
			if l.Reference.Kind != config.ReferSecret {
				continue
			}
			for _, heir := range p.tree.Heirs(e.at.environment) {
				resource := secretResource(p.tree.Name(heir), l.Reference.Path)
				if _, err := s.guard(ctx, who, access.SecretRefer, state.tenant.Name, resource); err != nil {
					return p.within(err, e.at)
				}
			}
		}
	}
	return nil
}

// draftsOf finds the layers that edits are of.
func draftsOf(tree *config.Tree, edits []Edit) ([]draft, error) {
	if len(edits) > MaxEdits {
		return nil, config.Errorf(config.KindTooLarge, "the change has too many edits").At("edits").
			Hint("split it into several changes").Over(MaxEdits, int64(len(edits)))
	}
	drafts := make([]draft, 0, len(edits))
	seen := make(map[place]bool, len(edits))
	for i, e := range edits {
		environment, err := tree.Named(e.Environment)
		if err != nil {
			return nil, err
		}
		at := place{environment.ID, e.Path}
		if seen[at] {
			return nil, config.Errorf(config.KindBadRequest, "%s in %s is edited twice", e.Path, e.Environment).
				At("edits/" + strconv.Itoa(i)).Hint("send one edit for each environment and path")
		}
		seen[at] = true
		drafts = append(drafts, draft{at: at, ifVersion: e.IfVersion, next: e.next})
	}
	return drafts, nil
}

func (e Edit) next(now config.Document) (config.Document, error) {
	switch e.Op {
	case Put:
		return e.Document, nil
	case Patch:
		return e.Patch(now)
	}
	return config.Document{}, nil
}

// proposeChange seals a plan's layers for the versions that it expects.
func (s *Service) proposeChange(ctx context.Context, who Caller, plan *plan, w writing) (*proposal, error) {
	p := &proposal{body: entryBody{Message: w.message}}
	layers, err := s.sealLayers(ctx, plan)
	if err != nil {
		return nil, err
	}
	for _, e := range plan.edits {
		p.body.Edits = append(p.body.Edits, entryEdit{
			Environment: e.at.environment, Path: e.at.path.String(), Version: e.version, Delete: e.deletes(),
		})
	}
	p.event.Changes = make([]watch.Change, 0, len(plan.effects))
	atHand := 0
	for _, f := range plan.effects {
		c := watch.Change{
			Environment: f.at.environment, Path: f.at.path, Exists: f.after.Document.Exists(),
			Cause: watch.Cause{Environment: f.cause.at.environment, Version: f.cause.version},
		}
		recorded := entryEffect{Environment: c.Environment, Path: c.Path.String(), Cause: c.Cause.Environment, Version: c.Cause.Version}
		if c.Exists {
			c.Digest = f.after.Document.Digest()
			recorded.Digest = c.Digest.String()
		}
		if atHand += len(f.after.Document.Canonical()); atHand <= maxAtHand {
			c.Effective = f.after
		}
		p.event.Changes = append(p.event.Changes, c)
		p.body.Effects = append(p.body.Effects, recorded)
	}
	first := plan.edits[0]
	records, err := s.changeRecords(ctx, who, w.event, plan)
	if err != nil {
		return nil, err
	}
	p.write = store.Write{
		Expect: plan.expect(),
		Entry: store.Entry{
			Kind: store.EntryChange, Author: who.Principal.Author(),
			Subject: store.Subject{Environment: first.at.environment, Path: first.at.path.String(), Version: int64(first.version)},
		},
		Layers: layers,
		Audit:  records[0], MoreAudit: records[1:],
	}
	return p, nil
}

// maxRecordedResources bounds the names of one record in bytes: what reads many
// records at once has to hold them.
const maxRecordedResources = 16 << 10

// changeRecords name every layer that a change writes, in as many records as it
// takes. Their keyed hash is the same wherever the same content was written, and
// tells nobody what that is.
func (s *Service) changeRecords(ctx context.Context, who Caller, event string, plan *plan) ([]audit.Record, error) {
	var content []byte
	resources := make([]string, 0, len(plan.edits))
	for _, e := range plan.edits {
		name := resourceName(access.Resource{Tenant: plan.tenant, Environment: plan.tree.Name(e.at.environment), Path: e.at.path})
		resources = append(resources, name)
		digest := e.after.doc.Digest() // of nothing, where it is deleted
		content = append(content, digest[:]...)
	}
	hash, err := s.keyring.MAC(ctx, plan.tenant, "audit content", content)
	if err != nil {
		return nil, err
	}
	slices.Sort(resources[1:])
	parts := inParts(resources, maxRecordedResources)
	records := make([]audit.Record, len(parts))
	for i, part := range parts {
		record := s.record(who, event, access.ConfigWrite, part[0])
		record.Tenant, record.Resources = plan.tenant.String(), part[1:]
		record.Details = map[string]string{"content": hex.EncodeToString(hash[:16])}
		if len(resources) > 1 {
			record.Details["edits"] = strconv.Itoa(len(resources))
		}
		if len(parts) > 1 {
			record.Details["part"] = strconv.Itoa(i+1) + " of " + strconv.Itoa(len(parts))
		}
		records[i] = record
	}
	return records, nil
}

// inParts cuts texts into runs of at most so many bytes, or of one text.
func inParts(texts []string, most int) (parts [][]string) {
	begin, bytes := 0, 0
	for i, text := range texts {
		if bytes += len(text); bytes > most && i > begin {
			parts, begin, bytes = append(parts, texts[begin:i]), i, len(text)
		}
	}
	return append(parts, texts[begin:])
}

func (s *Service) sealLayers(ctx context.Context, plan *plan) ([]store.LayerWrite, error) {
	layers := make([]store.LayerWrite, 0, len(plan.edits))
	for _, e := range plan.edits {
		w := store.LayerWrite{Environment: e.at.environment, Path: e.at.path, Version: e.version, State: store.Deleted}
		w.AddEdges, w.DropEdges = newcomers(e.before.targets, e.after.targets), newcomers(e.after.targets, e.before.targets)
		w.AddSecrets, w.DropSecrets = e.after.secrets, newcomers(e.after.secrets, e.before.secrets)
		if !e.deletes() {
			var err error
			w.State = store.Live
			w.Sealed, err = s.keyring.Seal(ctx, seal.Place{
				Kind: seal.Layer, Tenant: plan.tenant, Environment: w.Environment, Path: w.Path.String(), Version: int64(w.Version),
			}, e.after.doc.Canonical())
			if err != nil {
				return nil, err
			}
		}
		layers = append(layers, w)
	}
	return layers, nil
}

// newcomers are the paths of after that are not in before; both are sorted.
func newcomers(before, after []config.Path) []config.Path {
	var fresh []config.Path
	for _, path := range after {
		if _, found := slices.BinarySearchFunc(before, path, config.Path.Compare); !found {
			fresh = append(fresh, path)
		}
	}
	return fresh
}

func (p *plan) results() []EditResult {
	results := make([]EditResult, 0, len(p.edits))
	for _, e := range p.edits {
		op := Put
		if e.deletes() {
			op = Delete
		}
		results = append(results, EditResult{op, p.tree.Name(e.at.environment), e.at.path, e.version})
	}
	return results
}

// showDiffs answers how effective documents would change, as far as the caller
// may read them with all that they lead to, before and after.
func (s *Service) showDiffs(ctx context.Context, who Caller, state *tenantState, p *plan, result *ChangeResult) {
	hidden := false
	for _, f := range p.effects {
		environment := p.tree.Name(f.at.environment)
		ok := s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: environment, Path: f.at.path})
		for _, targets := range [][]config.Target{f.led, f.after.Targets} {
			if ok {
				_, ok = s.mayFollow(ctx, who, state, environment, targets)
			}
		}
		if !ok {
			hidden = true
			continue
		}
		result.Effective = append(result.Effective, documentDiff(environment, f.at.path, f.before, f.after.Document))
	}
	if hidden {
		result.Notes = append(result.Notes, "documents that you may not read would change as well")
	}
}

// discreet takes out of a refusal the documents that the caller may neither read
// nor named himself.
func (s *Service) discreet(ctx context.Context, who Caller, state *tenantState, drafts []draft, tree *config.Tree, err error) error {
	e, ok := err.(*config.Error) //nolint:errorlint // a wrapped error is not of the request
	if !ok || len(e.Details) == 0 {
		return err
	}
	named := map[[2]string]bool{}
	for _, d := range drafts {
		named[[2]string{tree.Name(d.at.environment), d.at.path.String()}] = true
	}
	first := e.Details[0]
	seen := slices.DeleteFunc(slices.Clone(e.Details), func(p config.Problem) bool {
		path, err := config.ParsePath(p.Path)
		return err != nil || !named[[2]string{p.Environment, p.Path}] &&
			!s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: p.Environment, Path: path})
	})
	if len(seen) == len(e.Details) {
		return err
	}
	told := *e
	told.Details = seen
	if len(seen) == 0 || seen[0] != first {
		told.Message, told.Pointer = "documents that you may not read would not stand with this change", ""
	}
	return &told
}

func documentDiff(environment string, path config.Path, before, after config.Document) DocumentDiff {
	return DocumentDiff{
		Environment: environment, Path: path, Before: before.Exists(), After: after.Exists(),
		Differences: config.Diff(before, after),
	}
}

func checkMessage(message string) error {
	if len(message) > MaxMessageBytes {
		return config.Errorf(config.KindTooLarge, "the message is too long").At("message").Over(MaxMessageBytes, int64(len(message)))
	}
	return nil
}
