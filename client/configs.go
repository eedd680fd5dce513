package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strconv"

	"github.com/llm-devops/llm-config-manager/api"
)

// Read says how a document is to be read. The zero Read is the newest, as JSON.
type Read struct {
	At          string // a revision, v3, a time or a tag; empty means now
	Format      string // api.TypeJSON, TypeYAML or TypeTOML; empty means JSON
	MinRevision int64  // the answer must be of this revision or a later one; 0 asks for none
	IfNoneMatch string // an ETag: ErrNotModified when it is still that
	Reveal      bool   // secret references as values
}

// Document is a document as it was read. One that holds values of secrets prints
// without its Data.
type Document struct {
	Data     []byte // in the format that was asked for; JSON is in canonical form
	Format   string // its media type
	Revision int64  // the revision it was read at
	Digest   string // SHA-256 of its canonical JSON, in hexadecimal; references count as they are, also when revealed
	ETag     string
	Version  int64            // of a layer; 0 for an effective document
	Secrets  map[string]int64 // revealed: path and version of each secret whose value is in it
}

// Config reads an effective document.
func (c *Client) Config(ctx context.Context, environment, path string, read Read) (*Document, error) {
	return c.document(ctx, api.RouteConfig, environment, path, read)
}

// Layer reads what one environment itself says at a path.
func (c *Client) Layer(ctx context.Context, environment, path string, read Read) (*Document, error) {
	return c.document(ctx, api.RouteLayer, environment, path, read)
}

func (c *Client) document(ctx context.Context, route, environment, path string, read Read) (*Document, error) {
	r, err := c.request(http.MethodGet, route, environment, path)
	if err != nil {
		return nil, err
	}
	read.apply(r)
	a, err := c.want(ctx, r, http.StatusOK, http.StatusNotModified)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusNotModified {
		return nil, ErrNotModified
	}
	return c.readDocument(a)
}

func (r Read) apply(q *request) {
	q.set("at", r.At).setInt("min_revision", r.MinRevision).setBool("reveal", r.Reveal)
	if r.Format == "" {
		r.Format = api.TypeJSON
	}
	q.header.Set("Accept", r.Format)
	if r.IfNoneMatch != "" {
		q.header.Set("If-None-Match", r.IfNoneMatch)
	}
}

func (c *Client) readDocument(a *answer) (*Document, error) {
	d := &Document{
		Data:   a.body,
		Format: mediaType(a.header),
		Digest: a.header.Get(api.HeaderDigest),
		ETag:   a.header.Get("ETag"),
	}
	var err error
	if d.Revision, err = strconv.ParseInt(a.header.Get(api.HeaderRevision), 10, 64); err != nil {
		return nil, c.unexpected(a, "it does not say its revision in "+api.HeaderRevision)
	}
	if text := a.header.Get(api.HeaderVersion); text != "" {
		if d.Version, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, c.unexpected(a, fmt.Sprintf("its %s is no number", api.HeaderVersion))
		}
	}
	if text := a.header.Get(api.HeaderSecrets); text != "" {
		if d.Secrets, err = parseSecrets(text); err != nil {
			return nil, c.unexpected(a, fmt.Sprintf("its %s is %s", api.HeaderSecrets, err))
		}
	}
	return d, nil
}

// Explain says where each value of an effective document comes from.
func (c *Client) Explain(ctx context.Context, environment, path string, read Read) (*api.Explanation, error) {
	r, err := c.request(http.MethodGet, api.RouteConfig, environment, path)
	if err != nil {
		return nil, err
	}
	read.apply(r)
	return call[api.Explanation](ctx, c, r.setBool("explain", true))
}

// List selects effective documents. The zero List is all of them.
type List struct {
	Prefix string // the path itself and all below it
	Glob   string // * within a segment, ** across segments
	At     string // a revision, a time or a tag; empty means now
	Page
}

// Configs is one page of the effective documents of an environment, by path.
func (c *Client) Configs(ctx context.Context, environment string, list List) (*api.ConfigList, error) {
	r, err := c.request(http.MethodGet, api.RouteConfigs, environment)
	if err != nil {
		return nil, err
	}
	list.apply(r)
	return call[api.ConfigList](ctx, c, r.set("prefix", list.Prefix).set("glob", list.Glob).set("at", list.At))
}

// AllConfigs goes through the effective documents of an environment, page by page.
func (c *Client) AllConfigs(ctx context.Context, environment string, list List) iter.Seq2[api.ConfigEntry, error] {
	return all(list.Page, func(p Page) ([]api.ConfigEntry, string, error) {
		list.Page = p
		page, err := c.Configs(ctx, environment, list)
		if err != nil {
			return nil, "", err
		}
		return page.Configs, page.Next, nil
	})
}

// BundleQuery selects effective documents. The zero BundleQuery is all, now.
type BundleQuery struct {
	Prefix      string // the path itself and all below it
	At          string // a revision, a time or a tag; empty means now
	MinRevision int64  // the answer must be of this revision or a later one; 0 asks for none
	Reveal      bool   // secret references as values; the answer must then be printed nowhere
}

// Bundle is every effective document of an environment below a prefix, at one
// revision; what may not be read is listed in its Errors.
func (c *Client) Bundle(ctx context.Context, environment string, query BundleQuery) (*api.Bundle, error) {
	r, err := c.request(http.MethodGet, api.RouteBundle, environment)
	if err != nil {
		return nil, err
	}
	r.set("prefix", query.Prefix).set("at", query.At).setInt("min_revision", query.MinRevision).setBool("reveal", query.Reveal)
	if query.Reveal {
		return callRevealed[api.Bundle](ctx, c, r)
	}
	return call[api.Bundle](ctx, c, r)
}

// DiffQuery names the two points to compare, each an AT, with "environment@"
// before it to name another environment.
type DiffQuery struct {
	From  string
	To    string // empty means now
	Layer bool   // compare layers instead of effective documents
}

// Diff compares a document with itself at another time or in another environment.
func (c *Client) Diff(ctx context.Context, environment, path string, query DiffQuery) (*api.Diff, error) {
	r, err := c.request(http.MethodGet, api.RouteDiff, environment, path)
	if err != nil {
		return nil, err
	}
	return call[api.Diff](ctx, c, r.set("from", query.From).set("to", query.To).setBool("layer", query.Layer))
}

// HistoryQuery selects versions. The zero HistoryQuery is the layer's own.
type HistoryQuery struct {
	Effective bool // also the versions of the layers it inherits from
	Page
}

// History is one page of the versions of a layer, newest first.
func (c *Client) History(ctx context.Context, environment, path string, query HistoryQuery) (*api.History, error) {
	r, err := c.request(http.MethodGet, api.RouteHistory, environment, path)
	if err != nil {
		return nil, err
	}
	query.apply(r)
	return call[api.History](ctx, c, r.setBool("effective", query.Effective))
}

// AllHistory goes through the versions of a layer, newest first.
func (c *Client) AllHistory(ctx context.Context, environment, path string, query HistoryQuery) iter.Seq2[api.HistoryEntry, error] {
	return all(query.Page, func(p Page) ([]api.HistoryEntry, string, error) {
		query.Page = p
		page, err := c.History(ctx, environment, path, query)
		if err != nil {
			return nil, "", err
		}
		return page.Entries, page.Next, nil
	})
}
