package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// The bodies that hold values of secrets are read by hand: what is wrong with
// one is said without a word of it, and values are cut out of the bytes as they
// came, which are cleared at the end, and never become strings.

const (
	maxSecretBody      = 1 << 20
	maxSecretBodyDepth = 16 // of what is not a value
)

// secretRequest reads the body of a secret's PUT.
func (s *Server) secretRequest(r *http.Request) (service.SecretRequest, error) {
	var in api.SecretInput
	var fields map[string]json.RawMessage
	text, done, err := secretText(r)
	if err != nil {
		return service.SecretRequest{}, err
	}
	defer done()
	if fields, err = readSecretBody(s.spec, text, &in); err != nil {
		return service.SecretRequest{}, err
	}
	in.Fields = fields
	request, err := secretRequest(in)
	if err != nil {
		return request, err
	}
	if in.Fields != nil || in.Base64 != nil {
		request.Fields, err = secret.ParseFields(in.Fields, in.Base64)
	}
	return request, err
}

// secretUpdate reads the body of a secret's PATCH, which has no place for
// values; somebody may put one there all the same.
func (s *Server) secretUpdate(r *http.Request) (service.SecretRequest, error) {
	var in api.SecretUpdate
	text, done, err := secretText(r)
	if err != nil {
		return service.SecretRequest{}, err
	}
	defer done()
	if _, err := readSecretBody(s.spec, text, &in); err != nil {
		return service.SecretRequest{}, err
	}
	metadata, err := secretMetadata(in.SecretMetadata)
	return service.SecretRequest{Metadata: metadata, Message: in.Message}, err
}

// secretText is the body as JSON, and what clears it.
func secretText(r *http.Request) (text []byte, done func(), err error) {
	body := stateOf(r.Context()).body
	mediaType, err := mediaTypeOf(r)
	if err != nil {
		return nil, nil, err
	}
	switch mediaType {
	case api.TypeJSON, "":
		return body, func() { clear(body) }, nil
	case api.TypeYAML, api.TypeTOML:
		defer clear(body)
		doc, err := config.Decode(formats[mediaType], body, config.Limits{Bytes: maxSecretBody})
		if err != nil {
			return nil, nil, mute(err, formats[mediaType])
		}
		text := doc.Canonical()
		return text, func() { clear(text) }, nil
	}
	return nil, nil, unsupportedType(strings.Join(mediaTypes, ", "))
}

var position = regexp.MustCompile(`^line \d+, column \d+: `)

// mute leaves of the refusal of a document where it is, and its figures.
func mute(err error, format config.Format) error {
	var e *config.Error
	if !errors.As(err, &e) {
		return errUnreadable
	}
	reason := position.FindString(e.Message)
	if e.Kind == config.KindTooLarge {
		return config.Errorf(config.KindTooLarge, "%sthe body is nested too deep or has too much in it", reason).Over(e.Limit, e.Actual)
	}
	return config.Errorf(config.KindBadRequest, "%sthis is no object in %s", reason, strings.ToUpper(string(format))).
		Hint("see /docs; what is wrong is not quoted, because it may be secret")
}

var errUnreadable = config.Errorf(config.KindBadRequest, "the body cannot be read").Hint("see /docs")

// readSecretBody reads JSON into a body of the API, but for the member fields,
// whose values it answers as they stand in the text.
func readSecretBody(spec *huma.OpenAPI, text []byte, into any) (fields map[string]json.RawMessage, err error) {
	all, err := members(text)
	if err != nil {
		return nil, err
	}
	known := membersOf(reflect.TypeOf(into).Elem())
	rest := []byte{'{'}
	for _, m := range all {
		switch {
		case !known[m.name]:
			return nil, unknownMember(m.name)
		case m.name == "fields":
			if fields, err = fieldTexts(m.value); err != nil {
				return nil, err
			}
			continue
		case len(rest) > 1:
			rest = append(rest, ',')
		}
		rest = append(canon.AppendString(rest, m.name), ':')
		rest = append(rest, m.value...)
	}
	rest = append(rest, '}')
	defer clear(rest)
	return fields, decodeRest(spec, rest, into)
}

// decodeRest reads what holds no values, as strictly as any other body.
func decodeRest(spec *huma.OpenAPI, text []byte, into any) error {
	value, err := canon.Decode(text, canon.Limits{Bytes: len(text), Depth: maxSecretBodyDepth, Nodes: maxSecretBody})
	if err != nil {
		return muteRest(err)
	}
	registry := spec.Components.Schemas
	schema := registry.Schema(reflect.TypeOf(into).Elem(), true, "")
	var result huma.ValidateResult
	huma.Validate(registry, schema, huma.NewPathBuffer([]byte("body"), len("body")), huma.ModeWriteToServer, value, &result)
	if len(result.Errors) > 0 {
		return nameless(parameterError(http.StatusBadRequest, "", result.Errors))
	}
	if err := json.Unmarshal(text, into); err != nil {
		e := config.Errorf(config.KindBadRequest, "a member is not as it should be").Hint("see /docs")
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			e.Pointer = "/" + strings.ReplaceAll(wrong.Field, ".", "/")
		}
		return e
	}
	return nil
}

// muteRest says what canon refused, without where: the text is not what was sent.
func muteRest(err error) error {
	var e *canon.Error
	if !errors.As(err, &e) {
		return errUnreadable
	}
	fault := config.Errorf(config.KindBadRequest, "the body holds %s", "JSON that is not I-JSON: "+e.Reason).At(firstToken(e.Pointer)).Hint("see /docs")
	if e.TooLarge {
		fault.Kind = config.KindTooLarge
		return fault.Over(e.Limit, e.Actual)
	}
	return fault
}

func firstToken(pointer string) string {
	if end := strings.IndexByte(strings.TrimPrefix(pointer, "/"), '/'); end >= 0 {
		return pointer[:end+1]
	}
	return pointer
}

func unknownMember(name string) error {
	return config.Errorf(config.KindBadRequest, "the body has a member that this route does not know").At(namesOnly("/" + name)).
		Hint("see /docs; the values of a secret go under fields")
}

// membersOf are the names of the members of a body.
func membersOf(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && !field.Anonymous {
			names[name] = true
		}
	}
	return names
}

// fieldTexts are the members of fields.
func fieldTexts(text []byte) (map[string]json.RawMessage, error) {
	all, err := members(text)
	if err != nil {
		return nil, config.Errorf(config.KindBadRequest, "fields is not an object of which each name is there once").At("/fields").
			Hint("send {\"fields\": {\"value\": …}}")
	}
	if len(all) > secret.MaxFields {
		return nil, config.Errorf(config.KindTooLarge, "a secret has too many fields").At("/fields").Over(secret.MaxFields, int64(len(all)))
	}
	fields := make(map[string]json.RawMessage, len(all))
	for _, m := range all {
		fields[m.name] = m.value
	}
	return fields, nil
}

// member is one of a JSON object. Its value is a part of the object's text.
type member struct {
	name  string
	value []byte
}

// members are those of the JSON object that a text is. The refusal says where
// it is wrong and quotes nothing.
func members(text []byte) ([]member, error) {
	if err := checkJSON(text); err != nil {
		return nil, err
	}
	in := jsonText{text: text}
	if in.next() != '{' {
		return nil, config.Errorf(config.KindBadRequest, "the body is no object").Hint("send an object, see /docs")
	}
	var all []member
	seen := map[string]bool{}
	for in.at++; in.next() != '}'; {
		if in.text[in.at] == ',' {
			in.at++
			in.next()
		}
		var name string
		if err := json.Unmarshal(in.value(), &name); err != nil {
			return nil, errUnreadable
		}
		in.next()
		in.at++ // the colon
		in.next()
		if seen[name] {
			return nil, config.Errorf(config.KindBadRequest, "a member is there twice").At(namesOnly("/" + name)).Hint("send each member once")
		}
		seen[name] = true
		all = append(all, member{name, in.value()})
	}
	return all, nil
}

// checkJSON refuses what is not JSON in UTF-8.
func checkJSON(text []byte) error {
	if len(text) == 0 {
		return config.Errorf(config.KindBadRequest, "request body is required").Hint("see /docs")
	}
	if !utf8.Valid(text) {
		return config.Errorf(config.KindBadRequest, "the body is not in UTF-8").Hint("bytes go in base64")
	}
	if json.Valid(text) {
		return nil
	}
	var nothing json.RawMessage
	var wrong *json.SyntaxError
	if err := json.Unmarshal(text, &nothing); !errors.As(err, &wrong) {
		return errUnreadable
	}
	before := text[:min(max(int(wrong.Offset)-1, 0), len(text))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	return config.Errorf(config.KindBadRequest, "line %d, column %d: this is not JSON", line, len(before)-bytes.LastIndexByte(before, '\n')).
		Hint("what is wrong is not quoted, because it may be secret")
}

// jsonText is JSON that is known to be sound.
type jsonText struct {
	text []byte
	at   int
}

// next passes over white space and answers what comes then.
func (t *jsonText) next() byte {
	for strings.IndexByte(" \t\r\n", t.text[t.at]) >= 0 {
		t.at++
	}
	return t.text[t.at]
}

// value passes over the value that begins here and answers it.
func (t *jsonText) value() []byte {
	start, depth := t.at, 0
	for ; ; t.at++ {
		switch c := t.text[t.at]; {
		case c == '"':
			t.string()
			if depth == 0 {
				t.at++
				return t.text[start:t.at]
			}
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}' || c == ']' || strings.IndexByte(" \t\r\n", c) >= 0):
			return t.text[start:t.at]
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				t.at++
				return t.text[start:t.at]
			}
		}
	}
}

// string goes to the quote that ends the string which begins here.
func (t *jsonText) string() {
	for t.at++; t.text[t.at] != '"'; t.at++ {
		if t.text[t.at] == '\\' {
			t.at++
		}
	}
}
