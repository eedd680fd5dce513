package storetest

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const filledPath = "gateway/eu"

var filledServed = store.Served{Principal: "ann", Environment: base, Path: config.MustPath("openai"), Version: 1}

func tokenID(tenant config.TenantID) string { return "token of " + tenant.String() }

// fill gives a tenant something of everything a store can keep, enough for two
// pages of every list.
func fill(t tb, n *tenant) {
	t.Helper()
	for i := range 2 {
		l := layer(base, filledPath, config.Version(i+1), fmt.Sprint("text of ", n.Name))
		l.AddEdges, l.AddSecrets = pathsOf([]string{"limits"}), pathsOf([]string{"openai"})
		change := write(l, layer(production, "limits", config.Version(i+1), "limits of "+n.Name))
		change.SetTags = []store.Tag{{Name: fmt.Sprint("tag", i), Target: 1}}
		n.commit(t, change)
	}
	change := write()
	for i, suffix := range []string{"", " too"} {
		change.AddTokens = append(change.AddTokens, store.Token{ID: tokenID(n.ID) + suffix, Tenant: n.ID, Hash: digest(uint64(i)), TenantAdmin: true})
	}
	change.Idempotent = &store.Idempotent{Principal: "ann", Key: "key", Sealed: []byte("of " + n.Name), Expires: n.clock.read().AddDate(1, 0, 0)}
	n.commit(t, change)
	var secrets []store.SecretWrite
	for _, path := range []string{"mistral", "openai"} {
		s := secret(base, path, 1, "record of "+n.Name, value(1, 1, "of "+n.Name))
		s.Due = n.clock.read()
		secrets = append(secrets, s)
	}
	n.commit(t, writeSecrets(secrets...))
	fillRules(t, n)
	ok(t, n.AddDataKey(n.ctx, n.ID, store.DataKey{Epoch: 1, Wrapped: []byte("of " + n.Name), KeyVersion: 1}))
	ok(t, n.AppendAudit(n.ctx, n.ID, write().Audit))
	ok(t, n.AppendAccess(n.ctx, n.ID, []store.Served{filledServed}, write().Audit))
	ok(t, n.PutAck(n.ctx, n.ID, n.ack(base, "ann", "client", "of "+n.Name), 10))
	n.pack(t, 1, 2)
	n.putBlock(t, 1, 2)
	n.putCheckpoints(t, 1, 2)
}

// reads asks every reading method for what fill made; a list gets the page.
var reads = map[string]func(*world, config.TenantID, store.Page) (any, store.Cursor, error){
	"Revision": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Revision(w.ctx, id))
	},
	"Environments": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Environments(w.ctx, id, 0))
	},
	"LayersAt": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.LayersAt(w.ctx, id, 0, pathsOf([]string{filledPath, "limits"})))
	},
	"LayersAt a revision": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.LayersAt(w.ctx, id, 2, pathsOf([]string{filledPath})))
	},
	"ScanLayers": func(w *world, id config.TenantID, page store.Page) (any, store.Cursor, error) {
		layers, cursor, err := w.ScanLayers(w.ctx, id, store.Scan{Environments: []config.EnvironmentID{base, production}, Page: page})
		return layers, cursor, err
	},
	"Referrers": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Referrers(w.ctx, id, pathsOf([]string{"limits"})))
	},
	"LayerVersion": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.LayerVersion(w.ctx, id, base, config.MustPath(filledPath), 1))
	},
	"Versions": func(w *world, id config.TenantID, page store.Page) (any, store.Cursor, error) {
		versions, cursor, err := w.Versions(w.ctx, id, []config.EnvironmentID{base}, config.MustPath(filledPath), page)
		return versions, cursor, err
	},
	"Entries": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Entries(w.ctx, id, 0, 100))
	},
	"EntriesOf": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.EntriesOf(w.ctx, id, []config.Revision{1, 2, 3}))
	},
	"Log": func(w *world, id config.TenantID, page store.Page) (any, store.Cursor, error) {
		entries, cursor, err := w.Log(w.ctx, id, nil, page)
		return entries, cursor, err
	},
	"RevisionAt": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.RevisionAt(w.ctx, id, w.clock.read().Add(time.Hour)))
	},
	"Tag": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Tag(w.ctx, id, "tag0"))
	},
	"Tags": func(w *world, id config.TenantID, page store.Page) (any, store.Cursor, error) {
		tags, cursor, err := w.Tags(w.ctx, id, page)
		return tags, cursor, err
	},
	"Idempotent": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Idempotent(w.ctx, id, "ann", "key"))
	},
	"Tokens": func(w *world, id config.TenantID, page store.Page) (any, store.Cursor, error) {
		tokens, cursor, err := w.Tokens(w.ctx, id, page)
		return tokens, cursor, err
	},
	"DataKeys": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.DataKeys(w.ctx, id))
	},
	"Audit": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Audit(w.ctx, id, 0, 100))
	},
	"AuditBack": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.AuditBack(w.ctx, id, 1000, 100))
	},
	"AuditOf": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.AuditOf(w.ctx, id, []uint64{3, 4}))
	},
	"Chain": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Chain(w.ctx, id))
	},
	"Segments": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Segments(w.ctx, id, 0, 100))
	},
	"SegmentBody": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.SegmentBody(w.ctx, id, 1))
	},
	"Blocks": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Blocks(w.ctx, id, 1000, 100))
	},
	"Checkpoints": func(w *world, id config.TenantID, page store.Page) (any, store.Cursor, error) {
		checkpoints, cursor, err := w.Checkpoints(w.ctx, id, page)
		return checkpoints, cursor, err
	},
	"CheckpointsFrom": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.CheckpointsFrom(w.ctx, id, 0, 100))
	},
	"KeyVersions": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.KeyVersions(w.ctx, id))
	},
	"KeysBelow": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.KeysBelow(w.ctx, id, 100, 100))
	},
	"SecretsAt": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.SecretsAt(w.ctx, id, pathsOf([]string{"mistral", "openai"})))
	},
	"ScanSecrets": func(w *world, id config.TenantID, page store.Page) (any, store.Cursor, error) {
		secrets, cursor, err := w.ScanSecrets(w.ctx, id, store.Scan{Environments: []config.EnvironmentID{base, production}, Page: page})
		return secrets, cursor, err
	},
	"SecretValue": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.SecretValue(w.ctx, id, base, config.MustPath("openai"), 1))
	},
	"SecretReferrers": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.SecretReferrers(w.ctx, id, pathsOf([]string{"openai"})))
	},
	"Acks": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Acks(w.ctx, id, base, w.clock.read()))
	},
	"WasServed": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.WasServed(w.ctx, id, filledServed))
	},
	"Rules": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Rules(w.ctx, id))
	},
	"Rule": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Rule(w.ctx, id, store.RulePolicy, "main", 0))
	},
	"RuleVersions": func(w *world, id config.TenantID, page store.Page) (any, store.Cursor, error) {
		versions, cursor, err := w.RuleVersions(w.ctx, id, store.RulePolicy, "main", page)
		return versions, cursor, err
	},
	"Usage": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Usage(w.ctx, id))
	},
	"Decisions": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Decisions(w.ctx, id, 100))
	},
	"Tenant": func(w *world, id config.TenantID, _ store.Page) (any, store.Cursor, error) {
		return single(w.Tenant(w.ctx, id))
	},
}

func single[T any](value T, err error) (any, store.Cursor, error) { return value, "", err }

// ofChains are those of reads that outlive a tenant.
var ofChains = map[string]bool{
	"Audit": true, "AuditBack": true, "AuditOf": true, "Chain": true, "Segments": true, "SegmentBody": true, "Blocks": true,
	"Checkpoints": true, "CheckpointsFrom": true,
}

// elsewhere are the methods that reads leaves out, and who checks them.
var elsewhere = map[string]string{
	"NextEnvironment": "environments", "Token": "tokens", "TenantNamed": "tenants", "ListTenants": "tenants",
	"CreateTenant": "tenants", "DeleteTenant": "tenant deleted", "Commit": "isolation", "Remember": "isolation",
	"ForgetIdempotent": "idempotent", "AppendAudit": "isolation", "AddDataKey": "isolation", "ReserveSeals": "isolation",
	"AppendAccess": "isolation", "PutAck": "isolation", "Rewrap": "isolation", "ForgetServed": "served",
	"TouchTokens": "isolation", "PutDecisions": "isolation", "PackLinks": "isolation", "ArchiveSegment": "isolation",
	"DisposeSegment": "isolation", "ForgetLocation": "isolation", "Hold": "isolation", "PutBlock": "isolation",
	"PutCheckpoints": "isolation", "ThinCheckpoints": "isolation", "ScanChains": "scan chains", "AuditFeed": "audit feed",
	"FeedEnd": "audit feed", "FedSegment": "fed segments", "CheckpointFeed": "checkpoints", "SigningKeys": "signing keys", "AddSigningKey": "signing keys",
	"Position": "positions", "PutPosition": "positions",
	"DueSecrets": "due secrets", "TakeLease": "leases", "DropLease": "leases", "Ping": "closed", "Close": "closed",
}

// seen is all that can be read of a tenant.
func seen(t tb, w *world, id config.TenantID) map[string]any {
	t.Helper()
	all := map[string]any{}
	for name, read := range reads {
		value, _, err := read(w, id, store.Page{Limit: 100})
		ok(t, err)
		all[name] = value
	}
	return all
}

// checkEmpty sees a tenant as one that is not there; its audit chain remains.
func checkEmpty(t tb, w *world, id config.TenantID) {
	t.Helper()
	for name, read := range reads {
		value, cursor, err := read(w, id, store.Page{Limit: 100})
		if ofChains[name] || config.KindOf(err) == config.KindNotFound {
			continue
		}
		ok(t, err)
		v := reflect.ValueOf(value)
		counted := v.Kind() == reflect.Slice || v.Kind() == reflect.Map
		if !v.IsZero() && (!counted || v.Len() > 0) || cursor != "" {
			t.Errorf("%s sees %v", name, value)
		}
	}
}

// isolation asks "can tenant B see it?" of every method.
func isolation(t *testing.T, w *world) {
	for method := range reflect.TypeFor[store.Store]().Methods() {
		if reads[method.Name] == nil && elsewhere[method.Name] == "" {
			t.Errorf("nobody asks whether another tenant can see %s", method.Name)
		}
	}
	b := w.createTenant(t, "beta")
	emptyB := seenOr(w, b.ID)
	a := w.createTenant(t, "alpha")
	fill(t, a)
	same(t, seenOr(w, b.ID), emptyB)
	fullA, chainA := seen(t, w, a.ID), auditOf(t, w, a.ID)

	fill(t, b) // the same paths, names and keys
	same(t, seen(t, w, a.ID), fullA)
	for name, value := range seen(t, w, b.ID) {
		if strings.Contains(fmt.Sprintf("%s", value), "alpha") {
			t.Errorf("%s of beta shows %s", name, value)
		}
	}
	same(t, string(b.at(t, 0, filledPath)[0].Sealed), "text of beta")

	change := write()
	change.RevokeTokens = []string{tokenID(a.ID)}
	_, err := w.Commit(w.ctx, b.ID, change)
	refused(t, err, config.KindNotFound)
	change.RevokeTokens, change.ExpireTokens = nil, []store.TokenExpiry{{ID: tokenID(a.ID)}}
	_, err = w.Commit(w.ctx, b.ID, change)
	refused(t, err, config.KindNotFound)
	change.ExpireTokens = nil
	change.DeleteTags = []string{"tag0"}
	b.commit(t, change)
	b.put(t, layer(base, filledPath, 0, ""), layer(production, "limits", 0, ""))
	_, err = w.ReserveSeals(w.ctx, b.ID, 1, 10)
	ok(t, err)
	ok(t, w.AppendAudit(w.ctx, b.ID, write().Audit))
	takeSecrets(t, a, b)
	takeRules(t, a, b)
	takeChain(t, b)
	same(t, seen(t, w, a.ID), fullA)
	same(t, auditOf(t, w, a.ID), chainA)
}

// takeSecrets has one tenant write over what it knows of another's secrets.
func takeSecrets(t tb, of, by *tenant) {
	t.Helper()
	var stolen []store.Rewrapped
	for _, k := range of.keysBelow(t, 100, 100) {
		stolen = append(stolen, anew(k, 9))
	}
	ok(t, by.Rewrap(by.ctx, by.ID, stolen))
	same(t, by.keyVersions(t), map[uint32]int64{1: 3})
	drop := secret(base, "openai", 2, "")
	drop.DropValues, drop.Due = []config.Version{1}, time.Time{}
	l := layer(base, filledPath, 4, "text")
	l.DropSecrets = pathsOf([]string{"openai"})
	change := writeSecrets(drop)
	change.Layers = []store.LayerWrite{l}
	by.commit(t, change)
	ok(t, by.PutAck(by.ctx, by.ID, by.ack(base, "ann", "client", "other"), 10))
	ok(t, by.AppendAccess(by.ctx, by.ID, []store.Served{filledServed}, write().Audit))
}

// takeChain has a tenant do all that can be done to a chain, at the places at
// which others have the same.
func takeChain(t tb, by *tenant) {
	t.Helper()
	by.hold(t, "of "+by.Name)
	by.hold(t, "")
	by.putBlock(t, 1, 2)
	by.putBlock(t, 3, 4)
	by.putCheckpoints(t, 1, 2, 3)
	ok(t, by.ThinCheckpoints(by.ctx, by.ID, store.Thinning{Before: by.clock.read().Add(time.Hour), Through: math.MaxInt64}))
	by.pack(t, 3, 4)
	ok(t, by.ArchiveSegment(by.ctx, by.ID, 1, "file:1"))
	ok(t, by.DisposeSegment(by.ctx, by.ID, 1, disposeRecord))
	ok(t, by.ForgetLocation(by.ctx, by.ID, 1))
}

// seenOr is seen for a tenant that has nothing: what is not found is told by its kind.
func seenOr(w *world, id config.TenantID) map[string]string {
	all := map[string]string{}
	for name, read := range reads {
		value, _, err := read(w, id, store.Page{Limit: 100})
		all[name] = fmt.Sprint(value, err)
	}
	return all
}

// cursors are of use for one tenant and one list only.
func cursors(t *testing.T, w *world) {
	a, b := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	fill(t, a)
	fill(t, b)
	kept := map[string]store.Cursor{}
	for name, read := range reads {
		_, cursor, err := read(w, a.ID, store.Page{Limit: 1})
		ok(t, err)
		if cursor == "" {
			continue
		}
		kept[name] = cursor
		_, _, err = read(w, a.ID, store.Page{Limit: 1, Cursor: cursor})
		ok(t, err)
		_, _, err = read(w, b.ID, store.Page{Limit: 1, Cursor: cursor})
		refused(t, err, config.KindInvalidCursor)
	}
	same(t, len(kept), 8)
	for name, read := range reads {
		for of, cursor := range kept {
			if kept[name] != "" && of != name {
				_, _, err := read(w, a.ID, store.Page{Limit: 1, Cursor: cursor})
				refused(t, err, config.KindInvalidCursor)
			}
		}
	}
	_, cursor, err := w.ListTenants(w.ctx, store.Page{Limit: 1})
	ok(t, err)
	_, _, err = w.Tags(w.ctx, a.ID, store.Page{Limit: 1, Cursor: cursor})
	refused(t, err, config.KindInvalidCursor)

	prefix, err := config.ParsePrefix("gateway")
	ok(t, err)
	glob, err := config.ParseGlob("gateway/*")
	ok(t, err)
	for _, scan := range []store.Scan{
		{Environments: []config.EnvironmentID{base}},
		{Environments: []config.EnvironmentID{base, production}, At: 2},
		{Environments: []config.EnvironmentID{base, production}, Prefix: prefix},
		{Environments: []config.EnvironmentID{base, production}, Glob: glob},
	} {
		scan.Page = store.Page{Limit: 1, Cursor: kept["ScanLayers"]}
		_, _, err := w.ScanLayers(w.ctx, a.ID, scan)
		refused(t, err, config.KindInvalidCursor)
		if scan.At != 0 { // which a scan of secrets does not heed
			continue
		}
		scan.Page.Cursor = kept["ScanSecrets"]
		_, _, err = w.ScanSecrets(w.ctx, a.ID, scan)
		refused(t, err, config.KindInvalidCursor)
	}
	_, _, err = w.Versions(w.ctx, a.ID, []config.EnvironmentID{base}, config.MustPath("limits"), store.Page{Limit: 1, Cursor: kept["Versions"]})
	refused(t, err, config.KindInvalidCursor)
	_, _, err = w.Versions(w.ctx, a.ID, []config.EnvironmentID{production}, config.MustPath(filledPath), store.Page{Limit: 1, Cursor: kept["Versions"]})
	refused(t, err, config.KindInvalidCursor)
	for _, other := range []store.Rule{{Kind: store.RulePolicy, Name: "Main"}, {Kind: store.RuleRole, Name: "main"}, {Kind: "policymain"}} {
		_, _, err = w.RuleVersions(w.ctx, a.ID, other.Kind, other.Name, store.Page{Limit: 1, Cursor: kept["RuleVersions"]})
		refused(t, err, config.KindInvalidCursor)
	}
	_, _, err = w.Log(w.ctx, a.ID, []store.EntryKind{store.EntryChange}, store.Page{Limit: 1, Cursor: kept["Log"]})
	refused(t, err, config.KindInvalidCursor)
}

// limits below 1 are refused by every list.
func limits(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	for _, limit := range []int{0, -1} {
		page := store.Page{Limit: limit}
		for _, name := range []string{"ScanLayers", "ScanSecrets", "Versions", "Log", "Tags", "Tokens", "RuleVersions", "Checkpoints"} {
			_, _, err := reads[name](w, n.ID, page)
			refused(t, err, config.KindBadRequest)
		}
		_, _, err := w.ListTenants(w.ctx, page)
		refused(t, err, config.KindBadRequest)
		_, err = w.Entries(w.ctx, n.ID, 0, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.Audit(w.ctx, n.ID, 0, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.KeysBelow(w.ctx, n.ID, 9, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.Decisions(w.ctx, n.ID, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.AuditBack(w.ctx, n.ID, 9, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.AuditFeed(w.ctx, 0, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.ScanChains(w.ctx, store.ChainScan{Limit: limit})
		refused(t, err, config.KindBadRequest)
		_, err = w.Segments(w.ctx, n.ID, 0, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.Blocks(w.ctx, n.ID, 9, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.CheckpointsFrom(w.ctx, n.ID, 0, limit)
		refused(t, err, config.KindBadRequest)
		_, err = w.CheckpointFeed(w.ctx, 0, limit)
		refused(t, err, config.KindBadRequest)
	}
}
