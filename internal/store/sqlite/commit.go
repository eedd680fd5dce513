package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Commit implements store.Writer.
func (s *Store) Commit(ctx context.Context, tenant config.TenantID, write store.Write) (store.Receipt, error) {
	c, err := newCommit(tenant, &write)
	if err != nil {
		return store.Receipt{}, err
	}
	err = s.writer.do(ctx, c)
	return c.receipt, err
}

// commit is the task of one Write.
type commit struct {
	tenant  config.TenantID
	write   *store.Write
	paths   []touchedPath
	state   *tenantState
	destroy []int64 // rows of layer_versions, one for each of write.Destroy
	receipt store.Receipt
}

// touchedPath is a path whose heads matter to a Write.
type touchedPath struct {
	path     config.Path
	expected bool // to stand still since Expect.Revision
	layers   []*store.LayerWrite
}

// newCommit does on the caller's goroutine what needs no database.
func newCommit(tenant config.TenantID, write *store.Write) (*commit, error) {
	c := &commit{tenant: tenant, write: write}
	known := make(map[config.Path]int, len(write.Expect.Paths))
	at := func(path config.Path) *touchedPath {
		i, ok := known[path]
		if !ok {
			i, known[path] = len(c.paths), len(c.paths)
			c.paths = append(c.paths, touchedPath{path: path})
		}
		return &c.paths[i]
	}
	for _, path := range write.Expect.Paths {
		at(path).expected = true
	}
	for i := range write.Layers {
		l := &write.Layers[i]
		p := at(l.Path)
		if slices.ContainsFunc(p.layers, func(other *store.LayerWrite) bool { return other.Environment == l.Environment }) {
			return nil, fmt.Errorf("one write holds two versions of the layer of environment %d at %s", l.Environment, l.Path)
		}
		p.layers = append(p.layers, l)
	}
	for i := range write.AddTokens {
		if write.AddTokens[i].Tenant != tenant {
			return nil, fmt.Errorf("a write of tenant %s holds a token of tenant %s", tenant, write.AddTokens[i].Tenant)
		}
	}
	return c, errors.Join(checkTwice(write.Secrets), checkRulesOnce(write.Rules))
}

func (c *commit) size() int {
	n := len(c.write.Entry.Sealed)
	for i := range c.write.Layers {
		n += len(c.write.Layers[i].Sealed)
	}
	for i := range c.write.Secrets {
		n += len(c.write.Secrets[i].Sealed)
		for j := range c.write.Secrets[i].AddValues {
			n += len(c.write.Secrets[i].AddValues[j].Sealed)
		}
	}
	for i := range c.write.Rules {
		n += len(c.write.Rules[i].Sealed)
	}
	return n
}

func (c *commit) committed() {
	if c.write.Committed != nil {
		c.write.Committed(c.receipt)
	}
}

func (c *commit) check(t *tx) error {
	state, err := t.tenant(c.tenant)
	if err != nil {
		return err
	}
	return c.checkOn(t, state)
}

// checkOn is check for a tenant whose state is known, one not yet made included.
func (c *commit) checkOn(t *tx, state *tenantState) error {
	c.state = state
	for _, check := range []func(*tx) error{
		c.checkEverything, c.checkIdempotent, c.checkEnvironments, c.checkPaths, c.checkReferrers, c.checkDestroy,
		c.checkSecretsStand, c.checkSecrets, c.checkRules, c.checkTags, c.checkTokens,
		c.checkQuota, // last: who is told of a quota has planned on what stands
	} {
		if err := check(t); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) checkEverything(*tx) error {
	if c.write.Expect.Everything && c.state.revision > c.write.Expect.Revision {
		return moved("the tenant")
	}
	return nil
}

func (c *commit) checkIdempotent(t *tx) error {
	if c.write.Idempotent == nil {
		return nil
	}
	return t.checkUnkept(c.tenant, *c.write.Idempotent)
}

const selectEnvironmentVersion = `
SELECT max(version) FROM environments WHERE tenant = ? AND id = ?`

func (c *commit) checkEnvironments(t *tx) error {
	if c.write.Expect.Environments && c.state.environments > c.write.Expect.Revision {
		return moved("the environments")
	}
	for i := range c.write.Environments {
		e := &c.write.Environments[i]
		var newest config.Version
		err := t.query(selectEnvironmentVersion, func(r row) error {
			newest = config.Version(r.int(0))
			return nil
		}, c.tenant[:], int64(e.ID))
		if err != nil {
			return err
		}
		if e.Version != newest+1 {
			return moved("environment " + e.Name)
		}
	}
	return nil
}

const selectHeads = `
SELECT environment, revision, version FROM layers WHERE tenant = ? AND path = ?`

func (c *commit) checkPaths(t *tx) error {
	for i := range c.paths {
		if err := c.checkPath(t, &c.paths[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkPath refuses when a layer moved that was expected to stand still, or one
// to be written does not get its next version.
func (c *commit) checkPath(t *tx, p *touchedPath) error {
	newest := make([]config.Version, len(p.layers))
	err := t.query(selectHeads, func(r row) error {
		if p.expected && config.Revision(r.int(1)) > c.write.Expect.Revision {
			return moved(p.path.String())
		}
		for i, l := range p.layers {
			if int64(l.Environment) == r.int(0) {
				newest[i] = config.Version(r.int(2))
			}
		}
		return nil
	}, c.tenant[:], p.path.String())
	if err != nil {
		return err
	}
	for i, l := range p.layers {
		if l.Version != newest[i]+1 {
			return moved(p.path.String())
		}
	}
	return nil
}

const existsNewEdge = `
SELECT 1 FROM edges WHERE tenant = ? AND to_path = ? AND revision > ? LIMIT 1`

func (c *commit) checkReferrers(t *tx) error {
	return c.checkStand(t, existsNewEdge, c.write.Expect.Referrers, "what refers to ")
}

// checkStand refuses when a statement finds something at a path that is newer
// than what was expected.
func (c *commit) checkStand(t *tx, text string, paths []config.Path, what string) error {
	for _, path := range paths {
		found, err := t.exists(text, c.tenant[:], path.String(), int64(c.write.Expect.Revision))
		if err != nil {
			return err
		}
		if found {
			return moved(what + path.String())
		}
	}
	return nil
}

// checkDestroy finds the versions to destroy. One that this very write
// supersedes is not the newest any more.
func (c *commit) checkDestroy(t *tx) error {
	c.destroy = c.destroy[:0]
	for i := range c.write.Destroy {
		d := &c.write.Destroy[i]
		found, err := t.findVersion(c.tenant, d.Environment, d.Path, d.Version)
		if err != nil {
			return err
		}
		switch {
		case found.state == store.Deleted:
			return noVersion(d.Path, d.Version)
		case found.state == store.Destroyed:
			return config.Errorf(config.KindGone, "version %d of %s is destroyed already", d.Version, d.Path)
		case found.newest && !c.supersedes(d):
			return config.Errorf(config.KindConflict, "version %d of %s is the newest", d.Version, d.Path).
				Hint("write another version first, then destroy this one")
		}
		c.destroy = append(c.destroy, found.row)
	}
	return nil
}

func (c *commit) supersedes(d *store.LayerDestroy) bool {
	return slices.ContainsFunc(c.write.Layers, func(l store.LayerWrite) bool {
		return l.Environment == d.Environment && l.Path == d.Path
	})
}

const existsTag = `
SELECT 1 FROM tags WHERE tenant = ? AND name = ?`

func (c *commit) checkTags(t *tx) error {
	for _, name := range c.write.DeleteTags {
		found, err := t.exists(existsTag, c.tenant[:], name)
		if err != nil {
			return err
		}
		if !found {
			return noTag(name)
		}
	}
	return nil
}

const (
	existsToken       = `SELECT 1 FROM tokens WHERE id = ?`
	existsTenantToken = `SELECT 1 FROM tokens WHERE id = ? AND tenant = ?`
)

func (c *commit) checkTokens(t *tx) error {
	for i := range c.write.AddTokens {
		id := c.write.AddTokens[i].ID
		found, err := t.exists(existsToken, id)
		if err != nil {
			return err
		}
		if found {
			return config.Errorf(config.KindConflict, "there is a token %s already", id)
		}
	}
	for _, id := range c.mended() {
		found, err := t.exists(existsTenantToken, id, c.tenant[:])
		if err != nil {
			return err
		}
		if !found {
			return noToken(id)
		}
	}
	return nil
}

// mended are the tokens that must be there.
func (c *commit) mended() []string {
	ids := slices.Clone(c.write.RevokeTokens)
	for i := range c.write.ExpireTokens {
		ids = append(ids, c.write.ExpireTokens[i].ID)
	}
	return ids
}

func moved(what string) error {
	return config.Errorf(config.KindConflict, "%s changed in the meantime", what).Hint("read it again and repeat the change")
}
