package httpapi

import (
	"net/http"
	"strconv"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// secretParameters are the query parameters of a secret's read.
type secretParameters struct {
	reveal  bool
	deleted bool
	format  config.Format
	request service.RevealRequest
	only    string // a parameter that was given and goes with reveal alone
}

// readSecret answers what is known of a secret, or its values. It is a hot
// route, so it is a plain handler.
func (s *Server) readSecret(w http.ResponseWriter, r *http.Request) {
	path, err := config.ParsePath(r.PathValue("path"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p, err := parseSecretRead(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if p.reveal {
		s.revealSecret(w, r, path, p)
		return
	}
	info, err := s.service.Secret(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), path, p.deleted)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	header := w.Header()
	header[api.HeaderRevision] = []string{strconv.FormatInt(int64(info.Revision), 10)}
	header["Cache-Control"], header["Vary"] = noCache, varyHeader
	// Records are counted in each environment by itself. The count of one that
	// is inherited says nothing here, neither to a cache nor to a write.
	if info.Environment == r.PathValue("environment") {
		tag := api.SecretETag(int64(info.RecordVersion))
		header["Etag"] = []string{tag}
		if matches(r.Header["If-None-Match"], tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	s.answer(w, r, secretWithVersions(info), p.format)
}

func parseSecretRead(r *http.Request) (p secretParameters, err error) {
	if p.format, err = acceptedFormat(r); err != nil {
		return p, err
	}
	query, err := parseQuery(r)
	if err != nil {
		return p, err
	}
	for name, values := range query {
		if err := p.set(name, values[0]); err != nil {
			return p, err
		}
	}
	switch {
	case p.reveal && p.deleted:
		return p, config.Errorf(config.KindBadRequest, "the values of a deleted secret cannot be read").At("deleted").Hint("undelete it first")
	case !p.reveal && p.only != "":
		return p, config.Errorf(config.KindBadRequest, "%s goes with reveal=true", p.only).At(p.only).Hint("all versions are in the answer without it")
	}
	return p, nil
}

func (p *secretParameters) set(name, value string) (err error) {
	switch name {
	case "reveal":
		p.reveal, err = flagOf(name, value)
	case "deleted":
		p.deleted, err = flagOf(name, value)
	case "format":
		p.format, err = formatOf(value)
	case "min_revision":
		var n int64
		n, err = numberOf(name, value, 0)
		p.only, p.request.MinRevision = name, config.Revision(n)
	case "version":
		var n int64
		n, err = numberOf(name, value, 1)
		p.only, p.request.Version = name, config.Version(n)
	case "field":
		p.only, p.request.Field = name, value
		if secret.CheckFieldName(value) != nil {
			err = config.Errorf(config.KindBadRequest, "field is no name of a field").At(name).Hint("leave it out for all fields")
		}
	default:
		err = unknownParameter(name)
	}
	return err
}

// flagOf reads a parameter that is true or false.
func flagOf(name, value string) (bool, error) {
	flag, err := strconv.ParseBool(value)
	if err != nil {
		return false, config.Errorf(config.KindBadRequest, "%s is true or false", name).At(name)
	}
	return flag, nil
}

// numberOf reads a parameter that is a number from least up.
func numberOf(name, value string, least int64) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least {
		return 0, config.Errorf(config.KindBadRequest, "%s is no number from %d up", name, least).At(name)
	}
	return n, nil
}

// writeSecret serves PUT, PATCH and DELETE of a secret.
func (s *Server) writeSecret(w http.ResponseWriter, r *http.Request) {
	format, err := acceptedFormat(r)
	if err == nil {
		format, err = queriedFormat(r, format)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	result, err := s.secretWritten(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	header := w.Header()
	header.Set(api.HeaderRevision, strconv.FormatInt(int64(result.Revision), 10))
	header.Set("ETag", api.SecretETag(int64(result.Record)))
	if result.Replayed {
		header.Set(api.HeaderReplayed, "true")
	}
	s.answer(w, r, secretResult(result), format)
}

func (s *Server) secretWritten(r *http.Request) (service.SecretResult, error) {
	path, err := config.ParsePath(r.PathValue("path"))
	if err != nil {
		return service.SecretResult{}, err
	}
	ifRecord, err := precondition(r.Header, ofSecrets)
	if err != nil {
		return service.SecretResult{}, err
	}
	if r.Method == http.MethodDelete {
		return s.secretDeleted(r, path, ifRecord)
	}
	if err := noParameters(r); err != nil {
		return service.SecretResult{}, err
	}
	read := s.secretRequest
	if r.Method == http.MethodPatch {
		read = s.secretUpdate
	}
	request, err := read(r)
	if err != nil {
		return service.SecretResult{}, err
	}
	defer request.Fields.Wipe()
	request.IfRecord = ifRecord
	return s.service.PutSecret(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), path, request)
}

func (s *Server) secretDeleted(r *http.Request, path config.Path, ifRecord *config.Version) (service.SecretResult, error) {
	message, err := headerMessage(r.Header.Get(api.HeaderMessage))
	if err != nil {
		return service.SecretResult{}, err
	}
	query, err := parseQuery(r)
	if err != nil {
		return service.SecretResult{}, err
	}
	force := false
	for name, values := range query {
		if name != "force" {
			return service.SecretResult{}, unknownParameter(name)
		}
		if force, err = flagOf(name, values[0]); err != nil {
			return service.SecretResult{}, err
		}
	}
	return s.service.DeleteSecret(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), path, force,
		service.SecretStep{Message: message, IfRecord: ifRecord})
}

func noParameters(r *http.Request) error {
	query, err := parseQuery(r)
	for name := range query {
		return unknownParameter(name)
	}
	return err
}
