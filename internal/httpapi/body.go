package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of a request's body that is not itself a document. The documents in
// it have their own.
const (
	maxBodyDepth = config.MaxNesting + 8
	maxBodyNodes = 1 << 20
)

// bodyAsJSON makes sure that the body is JSON as strict as a document, whatever
// format it came in: no duplicate keys, no number that would change, no invalid text.
func (s *Server) bodyAsJSON(r *http.Request) error {
	body := stateOf(r.Context()).body
	mediaType, err := mediaTypeOf(r)
	if err != nil {
		return err
	}
	limit := int(s.limits().Body)
	switch mediaType {
	case api.TypeJSON, "":
		if len(body) > 0 {
			_, err = canon.Decode(body, canon.Limits{Bytes: limit, Depth: maxBodyDepth, Nodes: maxBodyNodes})
			err = badBody(err)
		}
	case api.TypeYAML, api.TypeTOML:
		var doc config.Document
		doc, err = config.Decode(formats[mediaType], body, config.Limits{Bytes: limit})
		body, err = doc.Canonical(), asBody(err)
	default:
		err = unsupportedType("application/json, application/yaml or application/toml")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header["Content-Type"] = jsonHeader
	return err
}

// badBody says what is wrong with the JSON of a request.
func badBody(err error) error {
	var fault *canon.Error
	if !errors.As(err, &fault) {
		return err
	}
	kind := config.KindBadRequest
	if fault.TooLarge {
		kind = config.KindTooLarge
	}
	return config.Errorf(kind, "line %d, column %d: %s", fault.Line, fault.Column, fault.Reason).At(fault.Pointer).Over(fault.Limit, fault.Actual)
}

// asBody makes the refusal of a document one of a request's body.
func asBody(err error) error {
	var e *config.Error
	if errors.As(err, &e) && e.Kind == config.KindInvalidDocument {
		refusal := *e
		refusal.Kind = config.KindBadRequest
		return &refusal
	}
	return err
}

// parseQuery reads the query. Only parameters that are named may be there more
// than once, and all of them are text.
func parseQuery(r *http.Request, repeatable ...string) (url.Values, error) {
	if r.URL.RawQuery == "" {
		return nil, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, config.Errorf(config.KindBadRequest, "the query does not parse").Hint("percent-encode its values")
	}
	for name, values := range query {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return nil, config.Errorf(config.KindBadRequest, "the parameter is given more than once").At(plain(name))
		}
		if slices.ContainsFunc(append(values, name), notText) {
			return nil, config.Errorf(config.KindBadRequest, "the parameter is not in UTF-8").At(plain(name))
		}
	}
	return query, nil
}

func notText(s string) bool { return !utf8.ValidString(s) }
