package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// Answers with values of secrets in them are nobody's to keep, so they have no
// ETag; they are not compressed, because the length of what is would tell of
// what is in it; and what they were made in is cleared.

var noStore = []string{"no-store"}

// unconditional refuses what cannot be asked of an answer without an ETag.
func unconditional(header http.Header) error {
	for _, name := range []string{"If-None-Match", "If-Match"} {
		if len(header[name]) > 0 {
			return config.Errorf(config.KindBadRequest, "an answer with the values of secrets has no ETag").At(name).
				Hint("read it without reveal to see whether it changed")
		}
	}
	return nil
}

// revealSecret answers the values of a secret.
func (s *Server) revealSecret(w http.ResponseWriter, r *http.Request, path config.Path, p secretParameters) {
	if err := unconditional(r.Header); err != nil {
		s.fail(w, r, err)
		return
	}
	revealed, err := s.service.RevealSecret(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), path, p.request)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer revealed.Wipe()
	var text *lent
	secret.Erase(func() { text, err = revealedText(revealed, p.format) })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer text.giveBack()
	w.Header()[api.HeaderRevision] = []string{strconv.FormatInt(int64(revealed.Revision), 10)}
	send(w, p.format, text.bytes)
}

// send answers with a text that holds values.
func send(w http.ResponseWriter, format config.Format, text []byte) {
	header := w.Header()
	header["Cache-Control"], header["Content-Type"] = noStore, contentType(format)
	header["Content-Length"] = []string{strconv.Itoa(len(text))}
	_, _ = w.Write(text)
}

// revealedText is a revealed secret in a format.
func revealedText(revealed service.Revealed, format config.Format) (*lent, error) {
	text := appendRevealed(revealed)
	if format == config.JSON {
		return text, nil
	}
	defer text.giveBack()
	other, err := inFormat(text.bytes, format)
	return &lent{other}, err
}

// inFormat writes JSON in another format.
func inFormat(text []byte, format config.Format) ([]byte, error) {
	value, err := canon.Decode(text, canon.Limits{Bytes: len(text), Depth: maxBodyDepth, Nodes: len(text)})
	if err != nil {
		return nil, err
	}
	return config.EncodeValue(value, format)
}

// appendRevealed writes an api.RevealedSecret.
func appendRevealed(r service.Revealed) *lent {
	current := fieldTextsOf(r.Fields)
	defer current.clear()
	size := len(r.Environment) + len(r.Path.String()) + revealedHead + current.size
	var previous fieldList
	if r.Previous != nil {
		previous = fieldTextsOf(r.Previous.Fields)
		defer previous.clear()
		size += revealedHead + previous.size
	}
	text := borrow(size)
	b := canon.AppendString(append(text.bytes, `{"environment":`...), r.Environment)
	b = canon.AppendString(append(b, `,"path":`...), r.Path.String())
	b = strconv.AppendInt(append(b, `,"revision":`...), int64(r.Revision), 10)
	b = appendRevealedVersion(append(b, ','), r.RevealedVersion, current)
	if r.Previous != nil {
		b = append(appendRevealedVersion(append(b, `,"previous":{`...), *r.Previous, previous), '}')
	}
	b = append(b, "}\n"...)
	text.bytes = b
	return text
}

// revealedHead is more than what a version takes beside its fields.
const revealedHead = 512

func appendRevealedVersion(b []byte, v service.RevealedVersion, fields fieldList) []byte {
	b = strconv.AppendInt(append(b, `"version":`...), int64(v.Version), 10)
	b = canon.AppendString(append(b, `,"state":`...), string(v.State))
	b = append(b, `,"fields":{`...)
	for i, name := range fields.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(canon.AppendString(b, name), ':')
		b = append(b, fields.texts[i]...)
	}
	b = append(b, '}')
	for i, name := range fields.base64 {
		if i == 0 {
			b = append(b, `,"base64":[`...)
		} else {
			b = append(b, ',')
		}
		b = canon.AppendString(b, name)
	}
	if len(fields.base64) > 0 {
		b = append(b, ']')
	}
	b = appendTime(b, `,"until":"`, v.Until)
	return appendTime(b, `,"expires_at":"`, v.Expires)
}

func appendTime(b []byte, before string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return append(t.UTC().AppendFormat(append(b, before...), time.RFC3339Nano), '"')
}

// fieldList is fields as they go over the wire.
type fieldList struct {
	names  []string
	texts  []json.RawMessage // in the order of names
	base64 []string
	size   int // what all of it takes
}

func fieldTextsOf(fields secret.Fields) fieldList {
	list := fieldList{names: fields.Names(), base64: fields.Base64()}
	list.texts = make([]json.RawMessage, 0, len(list.names))
	for _, name := range list.names {
		field, _ := fields.Get(name)
		text := field.JSON()
		list.texts = append(list.texts, text)
		list.size += 2*(len(name)+len(`"":,`)) + len(text)
	}
	return list
}

func (l fieldList) clear() {
	for _, text := range l.texts {
		clear(text)
	}
}

// lent is a buffer for a text with values. Nobody else gets it before it is cleared.
type lent struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return &lent{} }}

// maxKept is how large a buffer may be to be used again.
const maxKept = 256 << 10

// borrow answers an empty buffer with room for size bytes.
func borrow(size int) *lent {
	b := buffers.Get().(*lent) //nolint:forcetypeassert // nothing else is put there
	if cap(b.bytes) < size {
		b.bytes = make([]byte, 0, max(size, 2<<10))
	}
	return b
}

func (b *lent) giveBack() {
	clear(b.bytes)
	if b.bytes = b.bytes[:0]; cap(b.bytes) <= maxKept {
		buffers.Put(b)
	}
}

// revealConfig answers an effective document with the values of its secrets.
func (s *Server) revealConfig(w http.ResponseWriter, r *http.Request, path config.Path, p readParameters) {
	err := unconditional(r.Header)
	switch {
	case err != nil:
	case p.at:
		err = noPast()
	case p.explain:
		err = config.Errorf(config.KindBadRequest, "an explanation never carries the values of secrets").At("explain").Hint("ask for one of explain and reveal")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	revealed, err := s.service.RevealConfig(r.Context(), callerOf(r.Context()), r.PathValue("tenant"), r.PathValue("environment"), path, p.options)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	document := revealed.Reveal()
	text := document.Canonical()
	if p.format != config.JSON {
		if text, err = config.Encode(document, p.format); err != nil {
			s.fail(w, r, err)
			return
		}
		defer clear(text)
	}
	header := w.Header()
	header[api.HeaderRevision] = []string{strconv.FormatInt(int64(revealed.Revision), 10)}
	header[api.HeaderDigest] = []string{revealed.Digest.String()}
	header[api.HeaderSecrets] = []string{string(appendUsed(nil, revealed.Secrets))}
	send(w, p.format, text)
}

func noPast() error {
	return config.Errorf(config.KindBadRequest, "secrets have no past: only what is in use now can be revealed").At("at").Hint("leave out at, or reveal")
}

// appendUsed lists path and version of each secret in a document.
func appendUsed(b []byte, used []service.UsedSecret) []byte {
	for i, u := range used {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, u.Path.String()...), ' ')
		b = strconv.AppendInt(b, int64(u.Version), 10)
	}
	return b
}
