package httpapi

import (
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// writeLayer serves PUT, PATCH and DELETE of one layer, which are changes of
// one edit with their preconditions in headers.
func (s *Server) writeLayer(w http.ResponseWriter, r *http.Request) {
	format, err := acceptedFormat(r)
	if err == nil {
		format, err = queriedFormat(r, format)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	edit, message, dryRun, err := s.layerEdit(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	result, err := s.service.Change(r.Context(), callerOf(r.Context()), r.PathValue("tenant"),
		service.ChangeRequest{Message: message, Edits: []service.Edit{edit}, DryRun: dryRun})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	header := w.Header()
	header.Set(api.HeaderRevision, strconv.FormatInt(int64(result.Revision), 10))
	if result.Replayed {
		header.Set(api.HeaderReplayed, "true")
	}
	if len(result.Edits) == 1 && result.Edits[0].Op == service.Put && !dryRun {
		header.Set("ETag", api.LayerETag(int64(result.Edits[0].Version)))
	}
	s.answer(w, r, changeResult(result), format)
}

func (s *Server) layerEdit(r *http.Request) (edit service.Edit, message string, dryRun bool, err error) {
	edit.Environment = r.PathValue("environment")
	if edit.Path, err = config.ParsePath(r.PathValue("path")); err != nil {
		return edit, "", false, err
	}
	if dryRun, err = onlyDryRun(r); err != nil {
		return edit, "", false, err
	}
	if message, err = headerMessage(r.Header.Get(api.HeaderMessage)); err != nil {
		return edit, "", false, err
	}
	if edit.IfVersion, err = precondition(r.Header, ofLayers); err != nil {
		return edit, "", false, err
	}
	switch r.Method {
	case http.MethodPut:
		edit.Op = service.Put
		edit.Document, err = s.documentOf(r)
	case http.MethodPatch:
		edit.Op = service.Patch
		edit.Patch, err = s.patchOf(r)
	default:
		edit.Op = service.Delete
	}
	return edit, message, dryRun, err
}

// headerMessage reads a write's message from a header, which holds no text as it is.
func headerMessage(text string) (string, error) {
	message, err := url.PathUnescape(text)
	if err != nil || !utf8.ValidString(message) {
		return "", config.Errorf(config.KindBadRequest, "the message is not percent-encoded UTF-8").At(api.HeaderMessage)
	}
	return message, nil
}

func onlyDryRun(r *http.Request) (bool, error) {
	query, err := parseQuery(r)
	dryRun := false
	for name, values := range query {
		if name != "dry_run" {
			return false, unknownParameter(name)
		}
		if dryRun, err = strconv.ParseBool(values[0]); err != nil {
			return false, config.Errorf(config.KindBadRequest, "dry_run is true or false").At(name)
		}
	}
	return dryRun, err
}

// tagged is a kind of thing with ETags that count.
type tagged struct {
	name  string
	parse func(string) (int64, bool)
	like  string // what its tags look like
}

var (
	ofLayers  = tagged{"layer", api.ParseLayerETag, api.LayerETag(3)}
	ofSecrets = tagged{"secret", api.ParseSecretETag, api.SecretETag(3)}
)

// precondition reads If-Match and If-None-Match as the version that a layer or
// the record of a secret must have.
func precondition(header http.Header, of tagged) (*config.Version, error) {
	match, noneMatch := header.Values("If-Match"), header.Values("If-None-Match")
	switch {
	case len(match) == 0 && len(noneMatch) == 0:
		return nil, nil //nolint:nilnil // no precondition
	case len(match)+len(noneMatch) > 1:
		return nil, config.Errorf(config.KindBadRequest, "there is more than one precondition").At("If-Match").Hint("send one If-Match or If-None-Match")
	case len(noneMatch) == 1 && strings.TrimSpace(noneMatch[0]) == "*":
		return new(config.Version(0)), nil
	case len(noneMatch) == 1:
		return nil, config.Errorf(config.KindBadRequest, "a write takes If-None-Match only as *").At("If-None-Match").
			Hint("send If-Match with the %s's ETag", of.name)
	case strings.TrimSpace(match[0]) == "*":
		return new(service.AnyVersion), nil
	}
	version, ok := of.parse(strings.TrimSpace(match[0]))
	if !ok {
		return nil, config.Errorf(config.KindWrongETag, "If-Match holds no ETag of a %s", of.name).At("If-Match").
			Hint("read the %s: its ETag looks like %s; that of anything else names no version of it", of.name, of.like)
	}
	return new(config.Version(version)), nil
}

// documentOf reads the body as a document, in the format that it says it has.
func (s *Server) documentOf(r *http.Request) (config.Document, error) {
	mediaType, err := mediaTypeOf(r)
	if err != nil {
		return config.Document{}, err
	}
	limits := config.Limits{Bytes: s.limits().Document}
	switch mediaType {
	case api.TypeJSON, "":
		return config.Decode(config.JSON, stateOf(r.Context()).body, limits)
	case api.TypeYAML:
		return config.Decode(config.YAML, stateOf(r.Context()).body, limits)
	case api.TypeTOML:
		return config.Decode(config.TOML, stateOf(r.Context()).body, limits)
	}
	return config.Document{}, unsupportedType(strings.Join(mediaTypes, ", "))
}

func (s *Server) patchOf(r *http.Request) (service.PatchFunc, error) {
	mediaType, err := mediaTypeOf(r)
	if err != nil {
		return nil, err
	}
	switch mediaType {
	case api.TypeMergePatch:
		return s.patch(config.MergePatch, stateOf(r.Context()).body), nil
	case api.TypeJSONPatch:
		return s.patch(config.JSONPatch, stateOf(r.Context()).body), nil
	}
	return nil, unsupportedType(api.TypeMergePatch + " or " + api.TypeJSONPatch)
}

func (s *Server) patch(apply func(config.Document, []byte, config.Limits) (config.Document, error), body []byte) service.PatchFunc {
	limits := config.Limits{Bytes: s.limits().Document}
	return func(now config.Document) (config.Document, error) { return apply(now, body, limits) }
}

func mediaTypeOf(r *http.Request) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" || header == api.TypeJSON {
		return header, nil
	}
	mediaType, parameters, err := mime.ParseMediaType(header)
	if charset := parameters["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", config.Errorf(config.KindUnsupportedMediaType, "the content type does not parse, or is not in UTF-8").At("Content-Type").
			Hint("send application/json, say")
	}
	return mediaType, nil
}

// edits reads the edits of a change.
func (s *Server) edits(in []api.Edit) ([]service.Edit, error) {
	edits := make([]service.Edit, 0, len(in))
	for i, e := range in {
		edit, err := s.edit(e)
		if err != nil {
			return nil, inEdit(err, i, e)
		}
		edits = append(edits, edit)
	}
	return edits, nil
}

func (s *Server) edit(e api.Edit) (edit service.Edit, err error) {
	edit = service.Edit{Op: service.Op(e.Op), Environment: e.Environment}
	if e.IfVersion != nil {
		edit.IfVersion = new(config.Version(*e.IfVersion))
	}
	if edit.Path, err = config.ParsePath(e.Path); err != nil {
		return edit, err
	}
	misplaced := e.Document != nil && e.Op != api.OpPut || e.Patch != nil && e.Op != api.OpPatch
	switch {
	case misplaced || e.Op == api.OpPut && e.Document == nil || e.Op == api.OpPatch && e.Patch == nil:
		return edit, config.Errorf(config.KindBadRequest, "a put has a document, a patch has a patch, a delete has neither")
	case e.Op == api.OpPut:
		edit.Document, err = config.Decode(config.JSON, e.Document, config.Limits{Bytes: s.limits().Document})
	case e.Op == api.OpPatch:
		apply := config.MergePatch
		if strings.HasPrefix(strings.TrimSpace(string(e.Patch)), "[") {
			apply = config.JSONPatch
		}
		edit.Patch = s.patch(apply, e.Patch)
	}
	return edit, err
}

// inEdit says which of the edits an error is in.
func inEdit(err error, i int, e api.Edit) error {
	p := *problem(err)
	p.Detail = "edit " + strconv.Itoa(i) + ": " + p.Detail
	if p.Pointer == "" {
		p.Pointer = "/edits/" + strconv.Itoa(i)
	}
	if len(p.Errors) == 0 {
		p.Errors = []api.Violation{{Environment: bounded(e.Environment, config.MaxNameBytes), Path: bounded(e.Path, config.MaxPathBytes), Pointer: p.Pointer, Message: p.Detail}}
	}
	return &p
}
