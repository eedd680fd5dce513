package service

import (
	"context"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// EnvironmentResult says what a write of an environment did.
type EnvironmentResult struct {
	Outcome
	Environment EnvironmentInfo
}

// EnvironmentInfo is an environment with its parent by name.
type EnvironmentInfo struct {
	Name    string
	Parent  string // "" for a root
	Version config.Version

	IsolateSecrets bool // it inherits no secrets
}

// EnvironmentRequest creates an environment or changes it; nil leaves as it is.
type EnvironmentRequest struct {
	Parent         *string // "" makes a root; a new environment has base
	IsolateSecrets *bool
	Message        string
}

func infoOf(tree *config.Tree, e config.Environment) EnvironmentInfo {
	return EnvironmentInfo{Name: e.Name, Parent: tree.Name(e.Parent), Version: e.Version, IsolateSecrets: e.IsolateSecrets}
}

// Environments answers a tenant's environments and the revision they hold for.
func (s *Service) Environments(ctx context.Context, who Caller, tenant string) ([]EnvironmentInfo, config.Revision, error) {
	state, err := s.guardAny(ctx, who, access.EnvironmentRead, tenant, access.Resource{})
	if err != nil {
		return nil, 0, err
	}
	revision, tree := state.feed.Revision(), state.tree.Load()
	infos := make([]EnvironmentInfo, 0, len(tree.All()))
	for _, e := range tree.All() {
		if s.may(ctx, who, access.EnvironmentRead, state, access.Resource{Environment: e.Name}) {
			infos = append(infos, infoOf(tree.Tree, e))
		}
	}
	return infos, revision, nil
}

// Environment answers one environment.
func (s *Service) Environment(ctx context.Context, who Caller, tenant, name string) (EnvironmentInfo, error) {
	state, err := s.guard(ctx, who, access.EnvironmentRead, tenant, access.Resource{Environment: name})
	if err != nil {
		return EnvironmentInfo{}, err
	}
	tree := state.tree.Load()
	e, err := tree.Named(name)
	return infoOf(tree.Tree, e), err
}

// PutEnvironment creates an environment, below base if no parent is given, or
// gives one another parent, or says whether it inherits secrets. What it would
// then inherit must stand.
func (s *Service) PutEnvironment(ctx context.Context, who Caller, tenant, name string, in EnvironmentRequest) (EnvironmentResult, error) {
	state, err := s.guard(ctx, who, access.EnvironmentWrite, tenant, access.Resource{Environment: name})
	if err != nil {
		return EnvironmentResult{}, err
	}
	if err := checkMessage(in.Message); err != nil {
		return EnvironmentResult{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (EnvironmentResult, error) {
		var result EnvironmentResult
		outcome, err := s.commit(ctx, state, "", func(ctx context.Context, n *snapshot) (*proposal, error) {
			e, next, err := n.withEnvironment(ctx, name, in)
			if err != nil {
				return nil, err
			}
			result.Environment = infoOf(next, e)
			if now, err := n.tree.Named(name); err == nil && now.Parent == e.Parent && now.IsolateSecrets == e.IsolateSecrets {
				result.Environment = infoOf(n.tree, now)
				return nil, nil
			}
			fresh := e.Version == 1
			if err := s.guardInherited(ctx, who, state, n.tree, next, e); err != nil {
				return nil, err
			}
			// A new one inherits references as well, to which somebody may be forbidden
			// to refer there.
			if !fresh || len(state.rules.Load().source.Files) > 0 {
				if err := n.checkTree(ctx, next, e.ID, s.mayRefer(ctx, who, state)); err != nil {
					return nil, err
				}
			}
			p, err := s.proposeTree(who, state, n, next, e, in.Message, environmentSummary(next, e))
			if err != nil {
				return nil, err
			}
			if fresh { // it says nothing of its own, so what its parent says stands in it too
				p.write.Expect = store.Expect{Revision: n.at, Environments: true}
			}
			result.Status = Committed
			return p, s.keep(ctx, who, n.tenant, &p.write, result)
		})
		result.Outcome = outcome
		return result, err
	})
}

// guardInherited asks for the right to read all that an environment newly inherits:
// whoever may read it will read that there.
func (s *Service) guardInherited(ctx context.Context, who Caller, state *tenantState, now, next *config.Tree, e config.Environment) error {
	for _, ancestor := range next.Chain(e.ID)[1:] {
		if _, there := now.Get(e.ID); there && slices.Contains(now.Chain(e.ID), ancestor) {
			continue
		}
		whole := access.Resource{Environment: next.Name(ancestor)}
		if err := s.guardIn(ctx, who, access.ConfigRead, state, whole); err != nil {
			return err
		}
		held, err := policy.Holds(state.rules.Load().source, s.principalIn(who, state), access.ConfigRead, whole.Environment)
		if err != nil {
			return err
		}
		if !held {
			return s.answer(ctx, who, access.ConfigRead, state, whole,
				denied("all of "+whole.Environment+" would be inherited, and some of it may be forbidden"))
		}
	}
	return nil
}

// DeleteEnvironment forgets an environment that nothing inherits from and that
// says nothing of its own. Its history stays.
func (s *Service) DeleteEnvironment(ctx context.Context, who Caller, tenant, name, message string) (Deleted, error) {
	state, err := s.guard(ctx, who, access.EnvironmentWrite, tenant, access.Resource{Environment: name})
	if err != nil {
		return Deleted{}, err
	}
	if err := checkMessage(message); err != nil {
		return Deleted{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (Deleted, error) {
		result := Deleted{Name: name}
		outcome, err := s.commit(ctx, state, "", func(ctx context.Context, n *snapshot) (*proposal, error) {
			e, next, err := n.withoutEnvironment(ctx, name)
			if err != nil {
				return nil, err
			}
			p, err := s.proposeTree(who, state, n, next, e, message, "environment "+name+" was deleted")
			if err != nil {
				return nil, err
			}
			p.write.Environments[0].Deleted = true
			return p, s.keep(ctx, who, n.tenant, &p.write, Deleted{Outcome{Status: Committed}, name})
		})
		result.Outcome = outcome
		return result, err
	})
}

func environmentSummary(tree *config.Tree, e config.Environment) string {
	text := "environment " + e.Name + " has no parent"
	if e.Parent != 0 {
		text = "environment " + e.Name + " inherits from " + tree.Name(e.Parent)
	}
	if e.IsolateSecrets {
		text += ", but for secrets"
	}
	return text
}

// withEnvironment is the tree with an environment added or moved, and that environment.
func (n *snapshot) withEnvironment(ctx context.Context, name string, in EnvironmentRequest) (config.Environment, *config.Tree, error) {
	parent := in.Parent
	e, err := n.tree.Named(name)
	fresh := err != nil
	all := n.tree.All()
	if fresh {
		id, err := n.s.store.NextEnvironment(ctx, n.tenant)
		if err != nil {
			return e, nil, err
		}
		e = config.Environment{ID: id, Name: name}
		all = append(all, e)
		if parent == nil && name != config.BaseEnvironment {
			parent = new(config.BaseEnvironment)
		}
	}
	if parent != nil {
		e.Parent = 0
		if *parent != "" {
			above, err := n.tree.Named(*parent)
			if err != nil {
				return e, nil, config.Errorf(config.KindInvalidTree, "there is no environment %q to be the parent", *parent).At("parent").
					Hint("`llm-config env ls` lists them; an empty parent makes a root")
			}
			e.Parent = above.ID
		}
	}
	if in.IsolateSecrets != nil {
		e.IsolateSecrets = *in.IsolateSecrets
	}
	e.Version++
	all[slices.IndexFunc(all, func(a config.Environment) bool { return a.ID == e.ID })] = e
	tree, err := config.NewTree(all)
	return e, tree, err
}

func (n *snapshot) withoutEnvironment(ctx context.Context, name string) (config.Environment, *config.Tree, error) {
	e, err := n.tree.Named(name)
	if err != nil {
		return e, nil, err
	}
	if heirs := n.tree.Heirs(e.ID); len(heirs) > 1 {
		refusal := config.Errorf(config.KindInUse, "%s is the parent of other environments", name).Hint("give them another parent, or delete them first")
		for _, heir := range heirs {
			if heir != e.ID {
				refusal.Details = append(refusal.Details, config.Problem{Environment: n.tree.Name(heir), Message: "inherits from " + name})
			}
		}
		return e, nil, refusal
	}
	rows, _, err := n.s.store.ScanLayers(ctx, n.tenant, store.Scan{At: n.at, Environments: []config.EnvironmentID{e.ID}, Page: store.Page{Limit: 10}})
	if err != nil {
		return e, nil, err
	}
	if len(rows) > 0 {
		refusal := config.Errorf(config.KindInUse, "%s has layers of its own", name).Hint("delete them first")
		for _, group := range byPath(rows) {
			refusal.Details = append(refusal.Details, config.Problem{Environment: name, Path: group[0].Path.String(), Message: "has a layer"})
		}
		return e, nil, refusal
	}
	if err := n.noSecretsIn(ctx, e); err != nil {
		return e, nil, err
	}
	all := slices.DeleteFunc(n.tree.All(), func(a config.Environment) bool { return a.ID == e.ID })
	tree, err := config.NewTree(all)
	e.Version++
	return e, tree, err
}

// noSecretsIn refuses while an environment has secrets with values, also when
// they are deleted: once it is gone nobody could destroy them any more.
func (n *snapshot) noSecretsIn(ctx context.Context, e config.Environment) error {
	refusal := config.Errorf(config.KindInUse, "%s has secrets of its own", e.Name).
		Hint("delete and destroy them first; `llm-config secret ls --deleted` lists them")
	page := store.Page{Limit: 100}
	for {
		rows, next, err := n.s.store.ScanSecrets(ctx, n.tenant, store.Scan{Environments: []config.EnvironmentID{e.ID}, Deleted: true, Page: page})
		if err != nil {
			return err
		}
		for _, row := range rows {
			head, err := n.s.openHead(ctx, n.tenant, row)
			if err != nil {
				return err
			}
			problem := config.Problem{Environment: e.Name, Path: row.Path.String(), Message: "is a secret"}
			if !head.record.Deleted.IsZero() {
				if len(undestroyed(head.record)) == 0 {
					continue
				}
				problem.Message = "is a deleted secret that was not destroyed"
			}
			refusal.Details = append(refusal.Details, problem)
		}
		if next == "" || len(refusal.Details) >= 10 {
			break
		}
		page.Cursor = next
	}
	if len(refusal.Details) == 0 {
		return nil
	}
	return refusal
}

// checkTree refuses a tree in which a document of an environment, or of one
// that inherits from it, would not stand, or would refer to a secret that it did
// not refer to before and the caller may not refer to.
func (n *snapshot) checkTree(ctx context.Context, next *config.Tree, id config.EnvironmentID, mayRefer func(environment string, path config.Path) error) error {
	would := &snapshot{s: n.s, tenant: n.tenant, at: n.at, tree: next, paths: map[config.Path]map[config.EnvironmentID]layer{}}
	for _, heir := range next.Heirs(id) {
		v := would.view(nil)
		err := would.scanAll(ctx, next.Chain(heir), config.Prefix{}, maxAffected, func(path config.Path) error {
			if err := would.readAll(ctx, path); err != nil {
				return err
			}
			effective, err := v.effective(place{heir, path})
			if err != nil {
				return within(err, next.Name(heir), path)
			}
			return n.checkInherited(ctx, next.Name(heir), place{heir, path}, effective.Document, mayRefer)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkInherited asks for the right to refer to secrets that a document would
// refer to by inheriting it.
func (n *snapshot) checkInherited(ctx context.Context, environment string, at place, would config.Document, mayRefer func(environment string, path config.Path) error) error {
	targets, err := config.SecretTargets(would)
	if err != nil || len(targets) == 0 {
		return within(err, environment, at.path)
	}
	if err := n.readAll(ctx, at.path); err != nil {
		return err
	}
	now, _ := n.view(nil).effective(at) // one that is broken refers to nothing
	for _, target := range targets {
		if refersTo(now.Document, target.Reference.Path) {
			continue
		}
		if err := mayRefer(environment, target.Reference.Path); err != nil {
			return within(err, environment, at.path)
		}
	}
	return nil
}

// mayRefer asks once for the right to refer to each secret in each environment.
func (s *Service) mayRefer(ctx context.Context, who Caller, state *tenantState) func(environment string, path config.Path) error {
	type asked struct {
		environment string
		path        config.Path
	}
	known := map[asked]bool{}
	return func(environment string, path config.Path) error {
		if known[asked{environment, path}] {
			return nil
		}
		known[asked{environment, path}] = true
		err := s.guardIn(ctx, who, access.SecretRefer, state, secretResource(environment, path))
		return err
	}
}

// proposeTree proposes a new version of an environment. Anything may change in
// those that inherit from it, so their watchers are told to read anew.
func (s *Service) proposeTree(who Caller, state *tenantState, n *snapshot, next *config.Tree, e config.Environment, message, summary string) (*proposal, error) {
	record := s.record(who, "environment.change", access.EnvironmentWrite, resourceName(access.Resource{Tenant: n.tenant, Environment: e.Name}))
	p, err := s.proposeEntry(who, n, store.EntryEnvironment, e.Name, message, summary, record)
	if err != nil {
		return nil, err
	}
	p.write.Expect = store.Expect{Revision: n.at, Everything: true}
	p.write.Environments = []store.EnvironmentWrite{{Environment: e}}
	p.body.Reset = append(next.Heirs(e.ID), n.tree.Heirs(e.ID)...)
	slices.Sort(p.body.Reset)
	p.body.Reset = slices.Compact(p.body.Reset)
	p.event.Reset = p.body.Reset
	p.after = func(r store.Receipt) { state.tree.Store(&treeAt{next, r.Revision}) }
	return p, nil
}
