package httpapi

import (
	"encoding/json"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// convert makes a list of wire values of a list of ours, [] when it is empty.
func convert[T, U any](list []T, one func(T) U) []U {
	converted := make([]U, 0, len(list))
	for _, t := range list {
		converted = append(converted, one(t))
	}
	return converted
}

// some is convert for lists that are left out when they are empty.
func some[T, U any](list []T, one func(T) U) []U {
	if len(list) == 0 {
		return nil
	}
	return convert(list, one)
}

func committed(o service.Outcome) api.Committed {
	c := api.Committed{Status: api.Status(o.Status), Revision: int64(o.Revision)}
	if !o.Time.IsZero() {
		c.Time = new(o.Time.UTC())
	}
	return c
}

func changeResult(r service.ChangeResult) api.ChangeResult {
	return api.ChangeResult{
		Committed: committed(r.Outcome), Message: r.Message,
		Edits:     convert(r.Edits, editResult),
		Effective: some(r.Effective, documentDiff),
		Lost: some(r.Lost, func(l service.Lost) api.Lost {
			return api.Lost{Path: l.Path.String(), Pointer: l.Pointer, Value: rawJSON(l.Value)}
		}),
		Notes: r.Notes,
	}
}

func editResult(e service.EditResult) api.EditResult {
	return api.EditResult{Op: api.Op(e.Op), Environment: e.Environment, Path: e.Path.String(), Version: int64(e.Version)}
}

func documentDiff(d service.DocumentDiff) api.DocumentDiff {
	return api.DocumentDiff{
		Environment: d.Environment, Path: d.Path.String(), Before: d.Before, After: d.After,
		Differences: convert(d.Differences, difference),
	}
}

func difference(d config.Difference) api.Difference {
	out := api.Difference{Op: string(d.Op), Pointer: d.Pointer}
	if d.Op != config.DiffAdd {
		out.From = rawJSON(d.From)
	}
	if d.Op != config.DiffRemove {
		out.To = rawJSON(d.To)
	}
	return out
}

func diff(d service.Diff) api.Diff {
	side := func(s service.DiffSide) api.DiffSide {
		return api.DiffSide{Environment: s.Environment, Revision: int64(s.Revision), Version: int64(s.Version)}
	}
	return api.Diff{From: side(d.From), To: side(d.To), DocumentDiff: documentDiff(d.DocumentDiff)}
}

func layerOrigin(o service.Origin) api.LayerOrigin {
	return api.LayerOrigin{
		Environment: o.Environment, Version: int64(o.Version), Revision: int64(o.Revision),
		Author: o.Author, Time: o.Time.UTC(), Message: o.Message,
	}
}

func configEntry(e service.ListEntry) api.ConfigEntry {
	return api.ConfigEntry{
		Path: e.Path.String(), Revision: int64(e.Revision), Time: e.Time.UTC(), Author: e.Author,
		Layers: convert(e.Layers, func(o service.Origin) api.LayerRef {
			return api.LayerRef{Environment: o.Environment, Version: int64(o.Version)}
		}),
	}
}

func explanation(e service.Explanation) api.Explanation {
	origins := convert(e.Layers, layerOrigin)
	said := func(s config.Said) api.Shadow {
		return api.Shadow{Origin: origins[s.Layer], Value: rawJSON(s.Value)}
	}
	return api.Explanation{
		Environment: e.Environment, Path: e.Path.String(), Revision: int64(e.Revision), Digest: e.Digest.String(), Layers: origins,
		Leaves: convert(e.Leaves, func(l config.Leaf) api.Leaf {
			return api.Leaf{
				Pointer: l.Pointer, Value: rawJSON(l.Value), Origin: origins[l.Layer],
				Reference: e.References[l.Pointer], Shadows: some(l.Shadows, said),
			}
		}),
		Removals: some(e.Removals, func(r config.Removal) api.Removal {
			return api.Removal{Pointer: r.Pointer, Origin: origins[r.Layer], Removes: convert(r.Removes, said)}
		}),
	}
}

var layerStates = map[store.LayerState]string{store.Live: "live", store.Deleted: "deleted", store.Destroyed: "destroyed"}

func historyEntry(v service.VersionEntry) api.HistoryEntry {
	return api.HistoryEntry{LayerOrigin: layerOrigin(v.Origin), State: layerStates[v.State]}
}

func logEntry(e service.LogEntry) api.LogEntry {
	return api.LogEntry{
		Revision: int64(e.Revision), Time: e.Time.UTC(), Kind: string(e.Kind), Author: e.Author,
		Message: e.Message, Summary: e.Summary, Edits: some(e.Edits, editResult),
		Effective: some(e.Effects, func(f service.LogEffect) api.EffectiveChange {
			change := api.EffectiveChange{
				Environment: f.Environment, Path: f.Path.String(),
				Cause: &api.LayerRef{Environment: f.CauseEnvironment, Version: int64(f.Cause.Version)},
			}
			if f.Exists {
				change.Digest = f.Digest.String()
			}
			return change
		}),
	}
}

func bundle(b service.Bundle) api.Bundle {
	return api.Bundle{
		Environment: b.Environment, Revision: int64(b.Revision), Digest: b.Digest.String(),
		Configs: convert(b.Documents, func(d service.BundleDocument) api.BundleDocument {
			return api.BundleDocument{Path: d.Path.String(), Digest: d.Digest.String(), Document: json.RawMessage(d.Document.Canonical())}
		}),
		Errors: some(b.Errors, bundleError),
	}
}

func bundleError(e service.BundleError) api.BundleError {
	p := problem(e.Err)
	return api.BundleError{Path: e.Path.String(), Code: p.Code, Detail: p.Error()}
}

func environment(e service.EnvironmentInfo) api.Environment {
	return api.Environment{Name: e.Name, Parent: e.Parent, Isolate: e.IsolateSecrets, Version: int64(e.Version)}
}

func tenant(t config.Tenant) api.Tenant {
	return api.Tenant{ID: t.ID.String(), Name: t.Name, Created: t.Created.UTC()}
}

func tag(t store.Tag) api.Tag {
	return api.Tag{Name: t.Name, Revision: int64(t.Target), Author: t.Author, Time: t.Time.UTC()}
}

// token is a token of a tenant, "" for one of the server.
func token(tenant string) func(service.TokenInfo) api.Token {
	return func(t service.TokenInfo) api.Token {
		out := api.Token{
			ID: t.ID, Name: t.Name, Tenant: tenant, TenantAdmin: t.TenantAdmin, ServerAdmin: t.ServerAdmin,
			TokenRights: tokenRights(t.Roles(), t.Grants),
			Author:      t.Author, Created: t.Created.UTC(), Expires: t.Expires.UTC(), Revoked: maybe(t.Revoked), LastUsed: maybe(t.LastUsed),
		}
		return out
	}
}

func issuedToken(t service.IssuedToken, tenant string) api.IssuedToken {
	return api.IssuedToken{Token: token(tenant)(t.TokenInfo), Value: t.Reveal()}
}

func deleted(d service.Deleted) api.Deleted {
	return api.Deleted{Committed: committed(d.Outcome), Name: d.Name}
}
