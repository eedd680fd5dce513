package service

import (
	"context"
	"crypto/hmac"
	"slices"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/cache"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Secret answers what is known of the secret that counts in an environment; with
// deleted, of the environment's own even when it is deleted.
func (s *Service) Secret(ctx context.Context, who Caller, tenant, environment string, path config.Path, deleted bool) (SecretInfo, error) {
	state, err := s.guard(ctx, who, access.SecretList, tenant, secretResource(environment, path))
	if err != nil {
		return SecretInfo{}, err
	}
	tree := state.tree.Load()
	if !deleted {
		head, err := s.findSecret(ctx, who, access.SecretList, state, environment, path)
		if err != nil {
			return SecretInfo{}, err
		}
		return s.secretInfo(tree.Tree, head), nil
	}
	env, err := tree.Named(environment)
	if err != nil {
		return SecretInfo{}, err
	}
	heads, err := s.heads(ctx, state.tenant.ID, path)
	if err != nil {
		return SecretInfo{}, err
	}
	head := heads[env.ID]
	if head == nil {
		return SecretInfo{}, noSecret(environment, path)
	}
	return s.secretInfo(tree.Tree, head), nil
}

// RevealSecret answers the values of a secret. That they leave is on record
// before they do.
func (s *Service) RevealSecret(ctx context.Context, who Caller, tenant, environment string, path config.Path, r RevealRequest) (Revealed, error) {
	state, err := s.guard(ctx, who, access.SecretRead, tenant, secretResource(environment, path))
	if err != nil {
		return Revealed{}, err
	}
	if err := s.await(ctx, state, r.MinRevision); err != nil {
		return Revealed{}, err
	}
	revision := state.feed.Revision()
	head, err := s.findVersion(ctx, who, access.SecretRead, state, environment, path, r.Version)
	if err != nil {
		return Revealed{}, err
	}
	revealed := Revealed{Environment: state.tree.Load().Name(head.Environment), Path: path, Revision: max(revision, head.Revision)}
	if err := s.revealInto(ctx, state, head, r, &revealed); err != nil {
		revealed.Wipe()
		return Revealed{}, err
	}
	used := []UsedSecret{{revealed.Environment, path, revealed.Version}}
	if revealed.Previous != nil {
		used = append(used, UsedSecret{revealed.Environment, path, revealed.Previous.Version})
	}
	if err := s.recordAccess(ctx, who, state, environment, used); err != nil {
		revealed.Wipe()
		return Revealed{}, err
	}
	return revealed, nil
}

func (s *Service) revealInto(ctx context.Context, state *tenantState, head *secretHead, r RevealRequest, revealed *Revealed) error {
	now := s.clock()
	version, err := head.record.Current(now)
	if r.Version != 0 {
		version, err = readable(head, r.Version, now)
	}
	if err != nil {
		return err
	}
	if revealed.RevealedVersion, err = s.revealVersion(ctx, state.tenant.ID, head, version, r.Field); err != nil {
		return err
	}
	previous, ok := head.record.Previous(now)
	if !ok || r.Version != 0 {
		return nil
	}
	before, err := s.revealVersion(ctx, state.tenant.ID, head, previous, "")
	if err != nil {
		return err
	}
	if r.Field != "" {
		if _, has := before.Fields.Get(r.Field); !has {
			before.Fields.Wipe()
			return nil
		}
		before.Fields = before.Fields.Only(r.Field)
	}
	before.Until = previous.GraceUntil
	revealed.Previous = &before
	return nil
}

// readable is a version that was asked for by its number. What was revoked or
// expired is given to nobody.
func readable(head *secretHead, number config.Version, now time.Time) (secret.Version, error) {
	version, found := head.record.Find(number)
	switch {
	case !found:
		return version, noVersion(head.Path, number)
	case version.State == secret.Revoked, version.State == secret.Destroyed:
		return version, config.Errorf(config.KindGone, "version %d of the secret %s was %s", number, head.Path, version.State).At("version")
	case !version.Expires.IsZero() && !now.Before(version.Expires):
		return version, config.Errorf(config.KindGone, "version %d of the secret %s expired", number, head.Path).At("version")
	}
	return version, nil
}

func (s *Service) revealVersion(ctx context.Context, tenant config.TenantID, head *secretHead, version secret.Version, field string) (RevealedVersion, error) {
	fields, err := s.openValue(ctx, tenant, head, version.Number)
	if err != nil {
		return RevealedVersion{}, err
	}
	revealed := RevealedVersion{Version: version.Number, State: version.State, Fields: fields, Expires: version.Expires}
	if field == "" {
		return revealed, nil
	}
	if _, ok := fields.Get(field); !ok {
		fields.Wipe()
		return RevealedVersion{}, noField(head.Path, field)
	}
	revealed.Fields = fields.Only(field)
	return revealed, nil
}

func noField(path config.Path, field string) error {
	return config.Errorf(config.KindNotFound, "the secret %s has no field %q", path, field).At("field").
		Hint("`llm-config secret get %s` lists its fields", path)
}

// recordAccess puts on record that values leave, and keeps who was given which
// version. Unless both are durable nothing may leave.
func (s *Service) recordAccess(ctx context.Context, who Caller, state *tenantState, environment string, used []UsedSecret) error {
	tree := state.tree.Load()
	var fresh []store.Served
	records := s.accessRecords(who, state, environment, used)
	for _, u := range used {
		supplier, err := tree.Named(u.Environment)
		if err != nil {
			return err
		}
		served := store.Served{Principal: who.Principal.Account(), Environment: supplier.ID, Path: u.Path, Version: u.Version}
		if _, known := s.served.Get(servedKey{state.tenant.ID, served}); !known {
			fresh = append(fresh, served)
		}
	}
	if err := s.store.AppendAccess(ctx, state.tenant.ID, fresh, records...); err != nil {
		return unavailable(err, "the access could not be put on record")
	}
	for _, served := range fresh {
		s.served.Set(servedKey{state.tenant.ID, served}, struct{}{})
	}
	for range used {
		s.metrics.SecretAccess("read", state.tenant.Name)
	}
	return nil
}

// servedKey is a version that a principal is known to have been given.
type servedKey struct {
	tenant config.TenantID
	store.Served
}

// maxLooked is how many records are opened for one page of a list, or about that.
const maxLooked = 10_000

// Secrets answers a page of the secrets that count in an environment. No value
// is opened for it.
func (s *Service) Secrets(ctx context.Context, who Caller, tenant string, r SecretListRequest) (SecretPage, error) {
	state, err := s.guardAny(ctx, who, access.SecretList, tenant, access.Resource{Environment: r.Environment, Prefix: r.Prefix, Secret: true})
	if err != nil {
		return SecretPage{}, err
	}
	pages := s.pagesOf(who, state.tenant.ID, "secrets")
	page, err := pages.open(ctx, r.Page)
	if err != nil {
		return SecretPage{}, err
	}
	tree := state.tree.Load()
	env, err := tree.Named(r.Environment)
	if err != nil {
		return SecretPage{}, err
	}
	result := SecretPage{Revision: state.feed.Revision()}
	scan := store.Scan{Environments: secretChain(tree.Tree, env.ID, r.Own), Prefix: r.Prefix, Glob: r.Glob, Deleted: r.Deleted, Page: page}
	for looked := 0; ; {
		rows, next, err := s.store.ScanSecrets(ctx, state.tenant.ID, scan)
		if err != nil {
			return SecretPage{}, err
		}
		listed, err := s.listed(ctx, who, state, tree.Tree, env.ID, rows, r)
		if err != nil {
			return SecretPage{}, err
		}
		result.Secrets = append(result.Secrets, listed...)
		// A page of what labels and rights let through may be short, and is
		// filled up only as long as nothing was found, and not for ever.
		looked += len(rows)
		if next == "" || len(result.Secrets) > 0 || looked >= maxLooked || ctx.Err() != nil {
			if result.Next, err = pages.seal(ctx, next); err != nil {
				return SecretPage{}, err
			}
			return result, ctx.Err()
		}
		scan.Page.Cursor = next
	}
}

// secretChain are the environments that an environment's secrets come from.
func secretChain(tree *config.Tree, environment config.EnvironmentID, own bool) []config.EnvironmentID {
	chain := tree.Chain(environment)
	if own {
		return chain[:1]
	}
	for i, id := range chain {
		if e, _ := tree.Get(id); e.IsolateSecrets {
			return chain[:i+1]
		}
	}
	return chain
}

// listed are the secrets of a page that count, that the caller may know of, and
// that have the labels.
func (s *Service) listed(ctx context.Context, who Caller, state *tenantState, tree *config.Tree, environment config.EnvironmentID, rows []store.Secret, r SecretListRequest) ([]SecretInfo, error) {
	var infos []SecretInfo
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(row store.Secret) bool { return row.Path != rows[0].Path })
		if n < 0 {
			n = len(rows)
		}
		heads := make(secretHeads, n)
		for _, row := range rows[:n] {
			head, err := s.openHead(ctx, state.tenant.ID, row)
			if err != nil {
				return nil, err
			}
			heads[row.Environment] = head
		}
		rows = rows[n:]
		head := heads.supplied(tree, environment)
		if head == nil && (r.Deleted || r.Own) {
			head = heads[environment] // deleted, or with a version that was only staged
		}
		if head == nil || !r.Deleted && !head.record.Deleted.IsZero() || !hasLabels(head.record.Labels, r.Labels) || !s.mayList(ctx, who, state, tree, environment, head) {
			continue
		}
		infos = append(infos, s.secretInfo(tree, head))
	}
	return infos, nil
}

func (s *Service) mayList(ctx context.Context, who Caller, state *tenantState, tree *config.Tree, environment config.EnvironmentID, head *secretHead) bool {
	return s.mayOn(ctx, who, access.SecretList, state, tree, environment, head)
}

// mayOn says whether a caller may take an action on a secret both in the
// environment asked and in the one that supplies it. Nothing is put on record:
// lists leave out what is not for the caller.
func (s *Service) mayOn(ctx context.Context, who Caller, action access.Action, state *tenantState, tree *config.Tree, environment config.EnvironmentID, head *secretHead) bool {
	for _, id := range []config.EnvironmentID{environment, head.Environment} {
		if !s.may(ctx, who, action, state, secretResource(tree.Name(id), head.Path)) {
			return false
		}
	}
	return true
}

func hasLabels(has, wanted map[string]string) bool {
	for name, value := range wanted {
		got, ok := has[name]
		if !ok || value != "" && got != value {
			return false
		}
	}
	return true
}

// SecretDiff says which fields of two versions are the same, by their keyed
// hashes. No value is opened for it.
func (s *Service) SecretDiff(ctx context.Context, who Caller, tenant string, path config.Path, from, to SecretPoint) (SecretDiff, error) {
	state, err := s.guard(ctx, who, access.SecretList, tenant, secretResource(from.Environment, path))
	if err != nil {
		return SecretDiff{}, err
	}
	if _, err := s.guard(ctx, who, access.SecretList, tenant, secretResource(to.Environment, path)); err != nil {
		return SecretDiff{}, err
	}
	diff := SecretDiff{Path: path}
	var versions [2]secret.Version
	for i, point := range []SecretPoint{from, to} {
		head, err := s.findVersion(ctx, who, access.SecretList, state, point.Environment, path, point.Version)
		if err != nil {
			return diff, err
		}
		if point.Version == 0 {
			versions[i], err = head.record.Current(s.clock())
		} else {
			versions[i], err = comparableVersion(head, point.Version)
		}
		if err != nil {
			return diff, err
		}
		side := &diff.From
		if i == 1 {
			side = &diff.To
		}
		*side = SecretPoint{state.tree.Load().Name(head.Environment), versions[i].Number}
	}
	diff.Fields = diffFields(versions[0], versions[1])
	return diff, nil
}

// comparableVersion is a version that still has its hashes.
func comparableVersion(head *secretHead, number config.Version) (secret.Version, error) {
	version, found := head.record.Find(number)
	switch {
	case !found:
		return version, noVersion(head.Path, number)
	case version.State == secret.Destroyed:
		return version, config.Errorf(config.KindGone, "version %d of the secret %s was destroyed", number, head.Path).At("version")
	}
	return version, nil
}

func noVersion(path config.Path, number config.Version) error {
	return config.Errorf(config.KindNotFound, "the secret %s has no version %d", path, number).At("version").
		Hint("`llm-config secret history %s` lists its versions", path)
}

func diffFields(from, to secret.Version) []FieldDiff {
	names := slices.Concat(from.Fields, to.Fields)
	slices.Sort(names)
	var diffs []FieldDiff
	for _, name := range slices.Compact(names) {
		before, had := from.Hashes[name]
		after, has := to.Hashes[name]
		change := "same"
		switch {
		case !had:
			change = "added"
		case !has:
			change = "removed"
		case !hmac.Equal([]byte(before), []byte(after)):
			change = "changed"
		}
		diffs = append(diffs, FieldDiff{name, change})
	}
	return diffs
}

// forgetSecret drops from memory what was read of a secret.
func (s *Service) forgetSecret(tenant config.TenantID, w store.SecretWrite) {
	s.secretHeads.Invalidate(cache.PathKey{Tenant: tenant, Path: w.Path})
	for _, version := range w.DropValues {
		s.secretValues.Invalidate(cache.VersionKey{Tenant: tenant, Environment: w.Environment, Path: w.Path, Version: version})
	}
}

func versionText(v config.Version) string { return strconv.FormatInt(int64(v), 10) }
