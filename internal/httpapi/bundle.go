package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// readBundle answers every effective document of an environment below a prefix.
func (s *Server) readBundle(w http.ResponseWriter, r *http.Request) {
	p, prefix, err := parseBundle(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	b, err := s.service.Bundle(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), prefix, p.options)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !p.reveal {
		s.answer(w, r, bundle(b), p.format)
		return
	}
	text, err := revealedBundle(b, p.format)
	defer func() { clear(text) }()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	send(w, p.format, text)
}

func parseBundle(r *http.Request) (p readParameters, prefix config.Prefix, err error) {
	if p.format, err = acceptedFormat(r); err != nil {
		return p, prefix, err
	}
	query, err := parseQuery(r)
	if err != nil {
		return p, prefix, err
	}
	for name, values := range query {
		if name == "prefix" {
			prefix, err = parameter(config.ParsePrefix(values[0]))(name)
		} else {
			err = p.set(name, values[0], []string{"reveal"})
		}
		if err != nil {
			return p, prefix, err
		}
	}
	if !p.reveal {
		return p, prefix, nil
	}
	if p.options.Reveal = true; p.at {
		return p, prefix, noPast()
	}
	return p, prefix, unconditional(r.Header)
}

// revealedBundle is a bundle with values in it.
func revealedBundle(b service.Bundle, format config.Format) ([]byte, error) {
	text, err := appendBundle(b)
	if err != nil || format == config.JSON {
		return text, err
	}
	defer clear(text)
	return inFormat(text, format)
}

// appendBundle writes an api.Bundle. There is room for all documents from the
// beginning, so that nothing is left behind where the text grew.
func appendBundle(b service.Bundle) ([]byte, error) {
	tail, err := json.Marshal(struct {
		Secrets map[string]int64  `json:"secrets,omitempty"`
		Errors  []api.BundleError `json:"errors,omitempty"`
	}{usedSecrets(b.Secrets), some(b.Errors, bundleError)})
	if err != nil {
		return nil, err
	}
	size := 512 + len(b.Environment) + len(tail)
	for _, d := range b.Documents {
		size += len(d.Document.Canonical()) + len(d.Path.String()) + 128
	}
	text := canon.AppendString(append(make([]byte, 0, size), `{"environment":`...), b.Environment)
	text = strconv.AppendInt(append(text, `,"revision":`...), int64(b.Revision), 10)
	text = canon.AppendString(append(text, `,"digest":`...), b.Digest.String())
	text = append(text, `,"configs":[`...)
	for i, d := range b.Documents {
		if i > 0 {
			text = append(text, ',')
		}
		text = canon.AppendString(append(text, `{"path":`...), d.Path.String())
		text = canon.AppendString(append(text, `,"digest":`...), d.Digest.String())
		text = append(append(text, `,"document":`...), d.Document.Canonical()...)
		text = append(text, '}')
	}
	text = append(text, ']')
	if len(tail) > len("{}") {
		text = append(append(text, ','), tail[1:len(tail)-1]...)
	}
	return append(text, "}\n"...), nil
}

func usedSecrets(used []service.UsedSecret) map[string]int64 {
	if len(used) == 0 {
		return nil
	}
	versions := make(map[string]int64, len(used))
	for _, u := range used {
		versions[u.Path.String()] = int64(u.Version)
	}
	return versions
}
