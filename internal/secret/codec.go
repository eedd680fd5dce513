package secret

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Encode writes the record as JSON. What is empty is left out, so that equal
// content is equal text; times and durations are nanoseconds.
func (r Record) Encode() []byte {
	w := jsonWriter{make([]byte, 0, 256+256*len(r.Versions))}
	w.open('{')
	w.text("description", r.Description)
	w.text("owner", r.Owner)
	w.texts("labels", r.Labels)
	if r.Rotation != nil {
		w.rotation(r.Rotation)
	}
	w.number("newest", int64(r.Newest))
	w.number("serves", int64(r.Serves))
	w.time("deleted", r.Deleted)
	w.time("next", r.NextRotation)
	if r.Failure != nil {
		w.member("failure")
		w.open('{')
		w.time("time", r.Failure.Time)
		w.text("reason", r.Failure.Reason)
		w.close('}')
	}
	w.number("overdue", int64(r.Overdue))
	w.member("versions")
	w.open('[')
	for _, v := range r.Versions {
		w.comma()
		w.version(v)
	}
	w.close(']')
	w.close('}')
	return w.dst
}

// jsonWriter writes members, leaving out the empty ones.
type jsonWriter struct{ dst []byte }

func (w *jsonWriter) open(c byte) { w.dst = append(w.dst, c) }

func (w *jsonWriter) close(c byte) { w.dst = append(w.dst, c) }

func (w *jsonWriter) comma() {
	if last := w.dst[len(w.dst)-1]; last != '{' && last != '[' {
		w.dst = append(w.dst, ',')
	}
}

func (w *jsonWriter) member(name string) {
	w.comma()
	w.dst = append(canon.AppendString(w.dst, name), ':')
}

func (w *jsonWriter) text(name, text string) {
	if text != "" {
		w.member(name)
		w.dst = canon.AppendString(w.dst, text)
	}
}

func (w *jsonWriter) number(name string, n int64) {
	if n != 0 {
		w.member(name)
		w.dst = strconv.AppendInt(w.dst, n, 10)
	}
}

func (w *jsonWriter) time(name string, t time.Time) {
	if !t.IsZero() {
		w.member(name)
		w.dst = strconv.AppendInt(w.dst, t.UnixNano(), 10)
	}
}

func (w *jsonWriter) texts(name string, texts map[string]string) {
	if len(texts) == 0 {
		return
	}
	w.member(name)
	w.open('{')
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w.member(name)
		w.dst = canon.AppendString(w.dst, texts[name])
	}
	w.close('}')
}

func (w *jsonWriter) rotation(r *Rotation) {
	w.member("rotation")
	w.open('{')
	w.number("every", int64(r.Every))
	w.number("grace", int64(r.Grace))
	w.text("overlap", string(r.Overlap))
	if g := r.Generator; g != nil {
		w.member("generator")
		w.open('{')
		w.text("kind", string(g.Kind))
		w.number("length", int64(g.Length))
		w.text("field", g.Field)
		w.close('}')
	}
	if h := r.Webhook; h != nil {
		w.member("webhook")
		w.open('{')
		w.text("url", h.URL)
		w.text("signing", h.Signing.String())
		w.close('}')
	}
	w.close('}')
}

func (w *jsonWriter) version(v Version) {
	w.open('{')
	w.number("n", int64(v.Number))
	w.text("s", string(v.State))
	w.text("o", string(v.Source))
	w.member("f")
	w.open('[')
	for _, field := range v.Fields {
		w.comma()
		w.dst = canon.AppendString(w.dst, field)
	}
	w.close(']')
	w.texts("h", v.Hashes)
	w.time("c", v.Created)
	w.text("a", v.Author)
	w.text("m", v.Message)
	w.time("t", v.Activated)
	w.text("b", v.ActivatedBy)
	w.time("g", v.GraceUntil)
	w.time("e", v.Ended)
	w.time("x", v.Expires)
	w.text("w", v.Weak)
	w.close('}')
}

// errRecord is what a text is refused with that Encode did not write.
var errRecord = errors.New("secret: the record of a secret cannot be read: Encode did not write it")

// DecodeRecord reads what Encode wrote. Members that it does not know are
// passed over: a later release may have written them.
func DecodeRecord(text []byte) (Record, error) {
	s := jsonReader{text: string(text)}
	r := s.record()
	if s.space(); s.bad || s.pos != len(s.text) || !r.ordered() {
		return Record{}, errRecord
	}
	return r, nil
}

// ordered says whether Find can work.
func (r Record) ordered() bool {
	before := config.Version(0)
	for _, v := range r.Versions {
		if v.Number <= before || v.Number > r.Newest {
			return false
		}
		before = v.Number
	}
	return true
}

func (s *jsonReader) record() (r Record) {
	s.object(func(name string) {
		switch name {
		case "description":
			r.Description = s.str()
		case "owner":
			r.Owner = s.str()
		case "labels":
			r.Labels = s.texts()
		case "rotation":
			r.Rotation = s.rotation()
		case "newest":
			r.Newest = config.Version(s.int())
		case "serves":
			r.Serves = config.Version(s.int())
		case "deleted":
			r.Deleted = s.time()
		case "next":
			r.NextRotation = s.time()
		case "failure":
			r.Failure = s.failure()
		case "overdue":
			r.Overdue = config.Version(s.int())
		case "versions":
			r.Versions = make([]Version, 0, min(strings.Count(s.text, `{"n":`), MaxVersions+MaxDestroyed))
			s.array(func() { s.version(&r.Versions) })
		default:
			s.skip()
		}
	})
	return r
}

func (s *jsonReader) failure() *Failure {
	var f Failure
	s.object(func(name string) {
		switch name {
		case "time":
			f.Time = s.time()
		case "reason":
			f.Reason = s.str()
		default:
			s.skip()
		}
	})
	return &f
}

func (s *jsonReader) rotation() *Rotation {
	var r Rotation
	s.object(func(name string) {
		switch name {
		case "every":
			r.Every = time.Duration(s.int())
		case "grace":
			r.Grace = time.Duration(s.int())
		case "overlap":
			r.Overlap = Overlap(s.str())
		case "generator":
			r.Generator = s.generator()
		case "webhook":
			r.Webhook = s.webhook()
		default:
			s.skip()
		}
	})
	return &r
}

func (s *jsonReader) generator() *Generator {
	var g Generator
	s.object(func(name string) {
		switch name {
		case "kind":
			g.Kind = GeneratorKind(s.str())
		case "length":
			g.Length = int(s.int())
		case "field":
			g.Field = s.str()
		default:
			s.skip()
		}
	})
	return &g
}

func (s *jsonReader) webhook() *Webhook {
	var h Webhook
	s.object(func(name string) {
		switch name {
		case "url":
			h.URL = s.str()
		case "signing":
			path, err := config.ParsePath(s.str())
			h.Signing, s.bad = path, s.bad || err != nil
		default:
			s.skip()
		}
	})
	return &h
}

// version reads one version. Most have the fields of the one before, and then
// share the list.
func (s *jsonReader) version(versions *[]Version) {
	before := *versions
	*versions = append(before, Version{}) //nolint:gocritic // the new one is filled in below
	v := &(*versions)[len(before)]
	s.object(func(name string) {
		if len(name) != 1 {
			s.skip()
			return
		}
		switch name[0] {
		case 'n':
			v.Number = config.Version(s.int())
		case 's':
			v.State = State(s.str())
		case 'o':
			v.Source = Source(s.str())
		case 'f':
			v.Fields = s.fieldNames(before)
		case 'h':
			v.Hashes = s.texts()
		case 'c':
			v.Created = s.time()
		case 'a':
			v.Author = s.str()
		case 'm':
			v.Message = s.str()
		case 't':
			v.Activated = s.time()
		case 'b':
			v.ActivatedBy = s.str()
		case 'g':
			v.GraceUntil = s.time()
		case 'e':
			v.Ended = s.time()
		case 'x':
			v.Expires = s.time()
		case 'w':
			v.Weak = s.str()
		default:
			s.skip()
		}
	})
	s.bad = s.bad || len(*versions) > MaxVersions+MaxDestroyed
}

func (s *jsonReader) fieldNames(before []Version) []string {
	s.names = s.names[:0]
	s.array(func() {
		s.names = append(s.names, s.str())
		s.bad = s.bad || len(s.names) > MaxFields
	})
	if len(before) > 0 && slices.Equal(before[len(before)-1].Fields, s.names) {
		return before[len(before)-1].Fields
	}
	return slices.Clone(s.names)
}
