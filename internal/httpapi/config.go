package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

var mediaTypes = []string{api.TypeJSON, api.TypeYAML, api.TypeTOML}

var (
	jsonHeader = []string{api.TypeJSON}
	yamlHeader = []string{api.TypeYAML}
	tomlHeader = []string{api.TypeTOML}
	noCache    = []string{"no-cache"} // keep it, and ask each time whether it still holds
	varyHeader = []string{"Accept, Accept-Encoding"}
)

// readParameters are the query parameters of a document's read.
type readParameters struct {
	options service.ReadOptions
	at      bool // it says at what point
	explain bool
	reveal  bool
	format  config.Format
}

// readConfig answers an effective document. It is the hottest route, so it is
// a plain handler: one look-up for the caller, one for the document.
func (s *Server) readConfig(w http.ResponseWriter, r *http.Request) {
	path, err := config.ParsePath(r.PathValue("path"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p, err := parseRead(r, "explain", "reveal")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if p.reveal {
		s.revealConfig(w, r, path, p)
		return
	}
	if p.explain {
		s.explain(w, r, path, p)
		return
	}
	read, err := s.service.Config(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), path, p.options)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeConfig(w, r, read, p.format)
}

func (s *Server) writeConfig(w http.ResponseWriter, r *http.Request, read service.Read, format config.Format) {
	render, encoding := encodingOf(r, len(read.Document.Document.Canonical()))
	rendered, err := read.Document.Rendered(format, render, compress)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	header := w.Header()
	header["Etag"] = rendered.ETag
	header[api.HeaderDigest] = rendered.Digest
	header[api.HeaderRevision] = []string{strconv.FormatInt(int64(read.Revision), 10)}
	header["Cache-Control"] = noCache
	header["Vary"] = varyHeader
	if matches(r.Header["If-None-Match"], rendered.ETag[0]) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header["Content-Type"] = contentType(format)
	if encoding != "" {
		header["Content-Encoding"] = []string{encoding}
	}
	header["Content-Length"] = rendered.Length
	_, _ = w.Write(rendered.Body)
}

func contentType(format config.Format) []string {
	switch format {
	case config.YAML:
		return yamlHeader
	case config.TOML:
		return tomlHeader
	}
	return jsonHeader
}

// matches says whether an If-None-Match names the tag, weakly as RFC 9110 has it.
func matches(header []string, tag string) bool {
	for _, line := range header {
		for candidate := range strings.SplitSeq(line, ",") {
			candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
			if candidate == tag || candidate == "*" {
				return true
			}
		}
	}
	return false
}

// parseRead reads what a read of a document may say: at, min_revision, format
// and Accept, and the flags named.
func parseRead(r *http.Request, flags ...string) (readParameters, error) {
	var p readParameters
	var err error
	if p.format, err = acceptedFormat(r); err != nil {
		return p, err
	}
	query, err := parseQuery(r)
	if err != nil {
		return p, err
	}
	for name, values := range query {
		if err := p.set(name, values[0], flags); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *readParameters) set(name, value string, flags []string) (err error) {
	switch name {
	case "at":
		p.at = true
		p.options.At, err = config.ParseAt(value)
	case "format":
		p.format, err = formatOf(value)
	case "min_revision":
		var n int64
		n, err = numberOf(name, value, 0)
		p.options.MinRevision = config.Revision(n)
	case "explain", "reveal":
		if !slices.Contains(flags, name) {
			return unknownParameter(name)
		}
		flag := &p.explain
		if name == "reveal" {
			flag = &p.reveal
		}
		*flag, err = flagOf(name, value)
	default:
		return unknownParameter(name)
	}
	if e := (*config.Error)(nil); errors.As(err, &e) && e.Pointer == "" {
		e.Pointer = name
	}
	return err
}

func unknownParameter(name string) error {
	return config.Errorf(config.KindBadRequest, "this route has no such parameter").At(plain(name)).Hint("see /docs")
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request, path config.Path, p readParameters) {
	e, err := s.service.Explain(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), path, p.options)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, r, explanation(e), p.format)
}

// answer writes a value that is no document.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, v any, format config.Format) {
	buffer := bufferFor(w, r, format)
	write := writeJSON
	if format != config.JSON {
		write = writeAs(format)
	}
	if err := write(buffer, v); err != nil {
		s.fail(w, r, err)
		return
	}
	s.finish(w, r, buffer)
}

// readLayer answers what an environment itself says at a path.
func (s *Server) readLayer(w http.ResponseWriter, r *http.Request) {
	path, err := config.ParsePath(r.PathValue("path"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p, err := parseRead(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	read, err := s.service.Layer(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), path, p.options)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	header := w.Header()
	tag := api.LayerETag(int64(read.Origin.Version))
	header.Set("ETag", tag)
	header.Set(api.HeaderRevision, strconv.FormatInt(int64(read.Read), 10))
	header.Set(api.HeaderVersion, strconv.FormatInt(int64(read.Origin.Version), 10))
	header.Set(api.HeaderDigest, read.Document.Digest().String())
	header["Cache-Control"], header["Vary"] = noCache, varyHeader
	if matches(r.Header["If-None-Match"], tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := read.Document.Canonical()
	if p.format != config.JSON {
		if body, err = config.Encode(read.Document, p.format); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	header["Content-Type"] = contentType(p.format)
	if encoding, packed := compressed(r, body); packed != nil {
		header.Set("Content-Encoding", encoding)
		body = packed
	}
	_, _ = w.Write(body)
}

// formatOf reads the parameter format.
func formatOf(text string) (config.Format, error) {
	format, err := config.ParseFormat(text)
	if err != nil {
		return "", config.Errorf(config.KindBadRequest, "this is no format").At("format").Hint("use json, yaml or toml")
	}
	return format, nil
}

// rawJSON is a value of a document in its canonical form.
func rawJSON(v any) json.RawMessage { return canon.Append(nil, v) }
