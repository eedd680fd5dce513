package storetest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

type secretPlace struct {
	environment config.EnvironmentID
	path        string
}

// referenceSecret is a secret as it stands.
type referenceSecret struct {
	record store.Secret
	due    time.Time
	values map[config.Version]store.SecretValue
	last   config.Version // the newest version that ever had a value
}

var bothEnvironments = []config.EnvironmentID{base, production}

// changeSecret commits a random change of one or two secrets, of which one may
// have a wrong version.
func (r *reference) changeSecret(t *rapid.T, n *tenant) {
	change := writeSecrets()
	places := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) secretPlace {
		return secretPlace{rapid.SampledFrom(bothEnvironments).Draw(t, "environment"), rapid.SampledFrom(referencePaths).Draw(t, "path")}
	}), 1, 2, rapid.ID[secretPlace]).Draw(t, "places")
	wrong := rapid.IntRange(0, 5).Draw(t, "wrong") == 0
	for i, at := range places {
		s := r.drawSecret(t, at)
		if wrong && i == len(places)-1 {
			s.Version += config.Version(rapid.SampledFrom([]int{-1, 1}).Draw(t, "off"))
		}
		change.Secrets = append(change.Secrets, s)
	}
	receipt, err := n.Commit(n.ctx, n.ID, change)
	if wrong {
		if config.KindOf(err) != config.KindConflict {
			t.Fatalf("a wrong version was answered with %v", err)
		}
		return
	}
	ok(t, err)
	r.revision++
	same(t, receipt.Revision, r.revision)
	for i, at := range places {
		r.apply(at, &change.Secrets[i], receipt)
	}
}

// drawSecret draws the next version of a record, with values to add and to drop.
func (r *reference) drawSecret(t *rapid.T, at secretPlace) store.SecretWrite {
	known := referenceSecret{}
	if s := r.secrets[at]; s != nil {
		known = *s
	}
	text := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "text")
	s := secret(at.environment, at.path, known.record.Version+1, text)
	for i := range rapid.IntRange(0, 2).Draw(t, "values") {
		version := known.last + config.Version(i+1)
		s.AddValues = append(s.AddValues, value(version, rapid.Uint32Range(1, 3).Draw(t, "key"), fmt.Sprint(at, version)))
	}
	s.DropValues = rapid.SliceOfN(rapid.Map(rapid.Int64Range(0, int64(known.last)), func(v int64) config.Version { return config.Version(v) }), 0, 2).Draw(t, "drop")
	if rapid.Bool().Draw(t, "is due") {
		s.Due = dueAround.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "due")) * time.Second)
	}
	return s
}

// dueAround is a time that the random secrets are due around.
var dueAround = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *reference) apply(at secretPlace, w *store.SecretWrite, receipt store.Receipt) {
	s := r.secrets[at]
	if s == nil {
		s = &referenceSecret{values: map[config.Version]store.SecretValue{}}
		r.secrets[at] = s
	}
	s.due = w.Due
	s.record = store.Secret{
		Path: w.Path, Environment: w.Environment, Version: w.Version, Revision: receipt.Revision,
		Time: receipt.Time, Author: "ann", Deleted: w.Deleted, Sealed: w.Sealed,
	}
	for _, version := range w.DropValues {
		delete(s.values, version)
	}
	for _, v := range w.AddValues {
		s.values[v.Version], s.last = v, v.Version
	}
}

// rewrap wraps some keys below a version anew, each perhaps from a wrong before.
func (r *reference) rewrap(t *rapid.T, n *tenant) {
	version := rapid.Uint32Range(1, 4).Draw(t, "to")
	below := n.keysBelow(t, version, rapid.IntRange(1, 4).Draw(t, "limit"))
	var batch []store.Rewrapped
	for _, k := range below {
		again := anew(k, version)
		if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
			again.Before = []byte("stale")
		} else {
			values := r.secrets[secretPlace{k.Environment, k.Path.String()}].values
			v := values[k.Version]
			v.Wrapped, v.KeyVersion = again.Wrapped, again.KeyVersion
			values[k.Version] = v
		}
		batch = append(batch, again)
	}
	ok(t, n.Rewrap(n.ctx, n.ID, batch))
	same(t, n.revision(t), r.revision)
}

// secretsAt are the records at a path.
func (r *reference) secretsAt(path string) []store.Secret {
	var secrets []store.Secret
	for _, e := range bothEnvironments {
		if s := r.secrets[secretPlace{e, path}]; s != nil {
			secrets = append(secrets, s.record)
		}
	}
	return secrets
}

// compareSecrets reads everything.
func (r *reference) compareSecrets(t *rapid.T, n *tenant) {
	prefix, err := config.ParsePrefix(rapid.SampledFrom([]string{"", "a", "a/b", "b"}).Draw(t, "secrets' prefix"))
	ok(t, err)
	var all, scanned []store.Secret
	for _, path := range referencePaths {
		secrets := r.secretsAt(path)
		all = append(all, secrets...)
		live := slices.ContainsFunc(secrets, func(s store.Secret) bool { return !s.Deleted })
		if live && prefix.Contains(config.MustPath(path)) {
			scanned = append(scanned, secrets...)
		}
	}
	same(t, n.secrets(t, referencePaths...), all)
	limit := rapid.IntRange(1, 8).Draw(t, "secrets' limit")
	same(t, n.scanSecrets(t, store.Scan{Environments: bothEnvironments, Prefix: prefix}, limit), scanned)

	counts := map[uint32]int64{}
	for at, s := range r.secrets {
		for version := range s.last + 1 {
			want, there := s.values[version]
			got, err := n.SecretValue(n.ctx, n.ID, at.environment, config.MustPath(at.path), version)
			if !there {
				refused(t, err, config.KindNotFound)
				continue
			}
			ok(t, err)
			same(t, got, want)
			counts[want.KeyVersion]++
		}
	}
	same(t, n.keyVersions(t), counts)
	r.compareDue(t, n)
}

// compareDue looks for what of this tenant is due, among what of others is.
func (r *reference) compareDue(t *rapid.T, n *tenant) {
	until := dueAround.Add(time.Duration(rapid.IntRange(-4, 4).Draw(t, "until")) * time.Second)
	due, err := n.DueSecrets(n.ctx, until, 1_000_000)
	ok(t, err)
	same(t, slices.IsSortedFunc(due, func(a, b store.DueSecret) int { return a.Due.Compare(b.Due) }), true)
	got := map[secretPlace]time.Time{}
	for _, d := range due {
		if d.Tenant == n.ID {
			got[secretPlace{d.Environment, d.Path.String()}] = d.Due
		}
	}
	want := map[secretPlace]time.Time{}
	for at, s := range r.secrets {
		if !s.due.IsZero() && !s.due.After(until) {
			want[at] = s.due
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("due until %s are %v, want %v", until, got, want)
	}
}
