package service

import (
	"bytes"
	"context"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Bounds of one change.
const (
	MaxEdits        = 1000
	MaxMessageBytes = 4096
	maxAffected     = 20_000    // paths whose effective documents one change can touch
	maxWorked       = 256 << 20 // bytes of effective documents that are compared for one change
	maxAtHand       = 4 << 20   // bytes of documents that watchers are handed from memory; more are read from the log
)

// AnyVersion as the version that a layer must have means that there must be one.
const AnyVersion config.Version = -1

// draft is one edit as it is wanted: what the layer shall be, given what it is.
type draft struct {
	at        place
	ifVersion *config.Version // the layer's version must be this; 0 means there must be no layer
	next      func(now config.Document) (config.Document, error)
}

// plannedEdit is an edit that changes something.
type plannedEdit struct {
	at      place
	version config.Version // the version it makes
	before  opened
	after   opened
}

func (e plannedEdit) deletes() bool { return !e.after.doc.Exists() }

// effect is an effective document that changes.
type effect struct {
	at     place
	before config.Document
	led    []config.Target // what it took values from before
	after  config.Effective
	cause  plannedEdit
}

// plan is what drafts come to on one snapshot.
type plan struct {
	*snapshot
	edits   []plannedEdit
	byPlace map[place]int // index into edits
	effects []effect
	paths   []config.Path // whose effective documents were checked
}

// plan works out what the drafts come to, and refuses what would leave any
// effective document broken.
func (n *snapshot) plan(ctx context.Context, drafts []draft) (*plan, error) {
	p := &plan{snapshot: n, byPlace: make(map[place]int, len(drafts))}
	paths := make([]config.Path, 0, len(drafts))
	for _, d := range drafts {
		paths = append(paths, d.at.path)
	}
	if err := n.read(ctx, paths...); err != nil {
		return nil, err
	}
	replaced := make(map[place]config.Document, len(drafts))
	for _, d := range drafts {
		if err := p.edit(d, replaced); err != nil {
			return nil, err
		}
	}
	if len(p.edits) == 0 {
		return p, nil
	}
	return p, p.check(ctx, replaced)
}

// edit adds a draft to the plan unless it changes nothing.
func (p *plan) edit(d draft, replaced map[place]config.Document) error {
	now := p.layer(d.at)
	if err := p.precondition(d, now); err != nil {
		return err
	}
	doc, err := d.next(now.doc)
	if err != nil {
		return p.within(err, d.at)
	}
	if doc.Exists() == now.doc.Exists() && bytes.Equal(doc.Canonical(), now.doc.Canonical()) {
		return nil
	}
	if limit := p.s.limits().Document; len(doc.Canonical()) > limit {
		return p.within(config.Errorf(config.KindTooLarge, "the layer is too large").
			Hint("split it over several paths").Over(int64(limit), int64(len(doc.Canonical()))), d.at)
	}
	after, err := openedOf(d.at.path, doc)
	if err != nil {
		return p.within(err, d.at)
	}
	p.byPlace[d.at] = len(p.edits)
	p.edits = append(p.edits, plannedEdit{at: d.at, version: now.Version + 1, before: now.opened, after: after})
	replaced[d.at] = doc
	return nil
}

func (p *plan) precondition(d draft, now layer) error {
	if d.ifVersion == nil {
		return nil
	}
	var current config.Version
	if now.doc.Exists() {
		current = now.Version
	}
	if current == *d.ifVersion || *d.ifVersion == AnyVersion && current != 0 {
		return nil
	}
	e := config.Errorf(config.KindPreconditionFailed, "%s in %s is at version %d, not %d",
		d.at.path, p.tree.Name(d.at.environment), current, *d.ifVersion)
	switch {
	case current == 0:
		e = config.Errorf(config.KindPreconditionFailed, "%s in %s has no layer", d.at.path, p.tree.Name(d.at.environment))
	case *d.ifVersion == 0:
		e = config.Errorf(config.KindPreconditionFailed, "%s in %s has a layer already, at version %d",
			d.at.path, p.tree.Name(d.at.environment), current)
	}
	return e.Hint("read the layer again, and send your edit with the version it has now")
}

// within says in which layer an error is, where it does not say so yet.
func (p *plan) within(err error, at place) error {
	return within(err, p.tree.Name(at.environment), at.path)
}

func within(err error, environment string, path config.Path) error {
	e, ok := err.(*config.Error) //nolint:errorlint // a wrapped error is not of the request
	if !ok || len(e.Details) > 0 {
		return err
	}
	e.Details = []config.Problem{{Environment: environment, Path: path.String(), Pointer: e.Pointer, Message: e.Message}}
	return e
}

// check works out every effective document before and after, and gathers
// those that change and those that would break.
func (p *plan) check(ctx context.Context, replaced map[place]config.Document) error {
	if err := p.reach(ctx); err != nil {
		return err
	}
	before, after := p.view(nil), p.view(replaced)
	touched := p.touched()
	var broken []brokenDocument
	worked := 0
	for _, path := range p.paths {
		for _, environment := range touched {
			at := place{environment, path}
			next, err := after.effective(at)
			if hidden := p.hidden(at); hidden != nil {
				next, err = config.Effective{}, hidden
			}
			now, _ := before.effective(at) // one that was broken counts as absent
			if worked += len(next.Document.Canonical()) + len(now.Document.Canonical()); worked > maxWorked {
				return config.Errorf(config.KindTooLarge, "the change works out too many bytes of effective documents").
					Hint("split the change, or refer to smaller documents").Over(maxWorked, int64(worked))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			switch {
			case err != nil:
				_, own := p.editOf(at)
				broken = append(broken, brokenDocument{at: at, err: err, own: own})
			case now.Document.Exists() != next.Document.Exists() || !bytes.Equal(now.Document.Canonical(), next.Document.Canonical()):
				p.effects = append(p.effects, effect{at: at, before: now.Document, led: now.Targets, after: next, cause: p.cause(at, now, next)})
			}
		}
	}
	return p.refusal(broken)
}

// hidden is the error of a document in which the plan newly refers to what the
// writer may not read: the same as if it were not there.
func (p *plan) hidden(at place) error {
	e, edited := p.editOf(at)
	if !edited || p.mayLead == nil {
		return nil
	}
	for _, target := range newcomers(e.before.targets, e.after.targets) {
		if p.mayLead(p.tree.Name(e.at.environment), target) {
			continue
		}
		references, err := config.References(e.after.doc)
		if err != nil {
			return err
		}
		for _, l := range references {
			if l.Reference.Kind == config.ReferConfig && l.Reference.Path == target {
				return config.Missing(l)
			}
		}
	}
	return nil
}

// reach reads every path that the change can touch: the edited ones, those that
// refer to them however indirectly, and all that any of these lead to.
func (p *plan) reach(ctx context.Context) error {
	frontier := make([]config.Path, 0, len(p.edits))
	for _, e := range p.edits {
		frontier = append(frontier, e.at.path)
	}
	var err error
	if p.paths, err = p.referring(ctx, frontier); err != nil {
		return err
	}
	if err := p.readAll(ctx, p.paths...); err != nil {
		return err
	}
	var targets []config.Path
	for _, e := range p.edits {
		targets = append(targets, e.after.targets...)
	}
	return p.readAll(ctx, sorted(targets)...)
}

// referring are the paths given and those that refer to them, however
// indirectly, sorted.
func (n *snapshot) referring(ctx context.Context, frontier []config.Path) ([]config.Path, error) {
	var all []config.Path
	known := map[config.Path]bool{}
	for len(frontier) > 0 {
		frontier = sorted(frontier)
		for _, path := range frontier {
			known[path] = true
		}
		all = append(all, frontier...)
		if len(all) > maxAffected {
			return nil, config.Errorf(config.KindTooLarge, "the change touches too many documents by reference").
				Hint("refer to smaller documents").Over(maxAffected, int64(len(all)))
		}
		edges, err := n.s.store.Referrers(ctx, n.tenant, frontier)
		if err != nil {
			return nil, err
		}
		frontier = frontier[:0:0]
		for _, edge := range edges {
			if !known[edge.From] {
				frontier = append(frontier, edge.From)
			}
		}
	}
	slices.SortFunc(all, config.Path.Compare)
	return all, nil
}

// touched are the environments that inherit from any edited one.
func (p *plan) touched() []config.EnvironmentID {
	var all []config.EnvironmentID
	for i, e := range p.edits {
		if i == 0 || e.at.environment != p.edits[i-1].at.environment {
			all = append(all, p.tree.Heirs(e.at.environment)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// editOf is the nearest edit among the layers of a document.
func (p *plan) editOf(at place) (plannedEdit, bool) {
	for _, environment := range p.tree.Chain(at.environment) {
		if i, found := p.byPlace[place{environment, at.path}]; found {
			return p.edits[i], true
		}
	}
	return plannedEdit{}, false
}

// cause is the edit that changed a document: the nearest of its own layers,
// else of a document that it leads to, or led to, by reference.
func (p *plan) cause(at place, before, after config.Effective) plannedEdit {
	if e, ok := p.editOf(at); ok {
		return e
	}
	for _, target := range slices.Concat(after.Targets, before.Targets) {
		if e, ok := p.editOf(place{at.environment, target.Path}); ok {
			return e
		}
	}
	return p.edits[0]
}

// brokenDocument is an effective document that the change would break.
type brokenDocument struct {
	at  place
	err error
	own bool // the change edits one of its own layers
}

// refusal says which documents would break. Where only documents break that
// the change does not edit itself, it breaks something that they refer to.
func (p *plan) refusal(broken []brokenDocument) error {
	if len(broken) == 0 {
		return nil
	}
	first, own := broken[0], false
	for _, b := range broken {
		if b.own && !own {
			first, own = b, true
		}
	}
	e, ok := first.err.(*config.Error) //nolint:errorlint // Resolve makes nothing else
	if !ok {
		return first.err
	}
	refusal := *e
	if !own && refusal.Kind == config.KindInvalidReference {
		refusal = *config.Errorf(config.KindReferenced, "%s in %s would not resolve any more",
			first.at.path, p.tree.Name(first.at.environment)).At(e.Pointer).
			Hint("it refers to what this changes or deletes: change it too, in the same change or before")
	}
	refusal.Details = nil
	for _, b := range broken[:min(len(broken), 100)] {
		problem := config.Problem{Environment: p.tree.Name(b.at.environment), Path: b.at.path.String(), Message: b.err.Error()}
		if e, ok := b.err.(*config.Error); ok { //nolint:errorlint // as above
			problem.Pointer, problem.Message = e.Pointer, e.Message
		}
		refusal.Details = append(refusal.Details, problem)
	}
	return &refusal
}

// expect is what must still stand for the plan to be committed.
func (p *plan) expect() store.Expect {
	paths := make([]config.Path, 0, len(p.snapshot.paths))
	for path := range p.snapshot.paths {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, config.Path.Compare)
	return store.Expect{Revision: p.at, Paths: paths, Referrers: p.paths, Environments: true}
}
