package canon

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Decode reads one I-JSON text. The error is an *Error. The strings of the
// value share one copy of the text.
func Decode(text []byte, limits Limits) (any, error) {
	limits = limits.OrDefault()
	if len(text) > limits.Bytes {
		return nil, &Error{
			Reason: "the text has too many bytes", Line: 1, Column: 1,
			TooLarge: true, Limit: int64(limits.Bytes), Actual: int64(len(text)),
		}
	}
	d := &decoder{text: string(text), limits: limits}
	if strings.HasPrefix(d.text, "\uFEFF") {
		d.fail(0, "a byte order mark, which JSON does not allow")
		return nil, d.located()
	}
	d.space()
	v := d.value(0)
	if d.err == nil {
		if d.space(); d.pos < len(d.text) {
			d.fail(d.pos, "text after the end of the value")
		}
	}
	if d.err != nil {
		return nil, d.located()
	}
	return v, nil
}

// decoder reads values by recursive descent. The first failure is kept in err;
// each level on the way out adds its token to the pointer.
type decoder struct {
	text    string
	pos     int
	nodes   int
	limits  Limits
	members []member // of the objects being read, the innermost last
	items   []any    // of the arrays being read, the innermost last
	err     *Error
	tokens  []string // of the failed value's pointer, the innermost first
}

type member struct {
	key    string
	value  any
	offset int // of the key
}

func (d *decoder) fail(offset int, reason string) {
	if d.err == nil {
		d.err = &Error{Reason: reason, Offset: offset}
	}
}

func (d *decoder) tooLarge(reason string, limit, actual int) {
	d.fail(d.pos, reason)
	d.err.TooLarge, d.err.Limit, d.err.Actual = true, int64(limit), int64(actual)
}

// located completes the error with line, column and pointer.
func (d *decoder) located() *Error {
	before := d.text[:d.err.Offset]
	d.err.Line = strings.Count(before, "\n") + 1
	d.err.Column = utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	var pointer strings.Builder
	for i := len(d.tokens) - 1; i >= 0; i-- {
		pointer.WriteByte('/')
		pointer.WriteString(escapeToken.Replace(d.tokens[i]))
	}
	d.err.Pointer = pointer.String()
	return d.err
}

var escapeToken = strings.NewReplacer("~", "~0", "/", "~1")

func (d *decoder) space() {
	for d.pos < len(d.text) {
		switch d.text[d.pos] {
		case ' ', '\n', '\t', '\r':
			d.pos++
		default:
			return
		}
	}
}

// value reads the value that begins at pos. After a failure its answer means nothing.
func (d *decoder) value(depth int) any {
	if d.nodes++; d.nodes > d.limits.Nodes {
		nodes, _ := measure(d.text)
		d.tooLarge("there are too many values", d.limits.Nodes, max(nodes, d.nodes))
		return nil
	}
	if d.pos == len(d.text) {
		d.fail(d.pos, "the text ends where a value is expected")
		return nil
	}
	switch c := d.text[d.pos]; c {
	case '{', '[':
		if depth == d.limits.Depth {
			_, deepest := measure(d.text)
			d.tooLarge("objects and arrays are nested too deep", d.limits.Depth, deepest)
			return nil
		}
		if c == '{' {
			return d.object(depth + 1)
		}
		return d.array(depth + 1)
	case '"':
		return d.string()
	case 't':
		return d.literal("true", true)
	case 'f':
		return d.literal("false", false)
	case 'n':
		return d.literal("null", nil)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return d.number()
	}
	d.fail(d.pos, "a value is expected here")
	return nil
}

func (d *decoder) literal(word string, v any) any {
	if !strings.HasPrefix(d.text[d.pos:], word) {
		d.fail(d.pos, "a value is expected here")
		return nil
	}
	d.pos += len(word)
	return v
}

// number reads a number. What follows it is left to the caller, who expects a
// separator there and so refuses 01 and 1x.
func (d *decoder) number() any {
	start := d.pos
	end, f, ok := shortInteger(d.text, start)
	if !ok {
		end = scanNumber(d.text, start)
		var reason string
		if f, reason = parseNumber(d.text[start:end]); reason != "" {
			d.fail(start, reason)
			d.err.Inexact = reason == reasonInexact
			return nil
		}
	}
	d.pos = end
	return f
}

func (d *decoder) array(depth int) any {
	d.pos++
	base := len(d.items)
	d.space()
	if d.consume(']') {
		return []any{}
	}
	for {
		v := d.value(depth)
		if d.err != nil {
			d.tokens = append(d.tokens, strconv.Itoa(len(d.items)-base))
			return nil
		}
		d.items = append(d.items, v)
		d.space()
		if d.consume(']') {
			break
		}
		if !d.consume(',') {
			d.fail(d.pos, "a comma or ] is expected here")
			return nil
		}
		d.space()
	}
	array := make([]any, len(d.items)-base)
	copy(array, d.items[base:])
	clear(d.items[base:])
	d.items = d.items[:base]
	return array
}

func (d *decoder) object(depth int) any {
	d.pos++
	base := len(d.members)
	d.space()
	if d.consume('}') {
		return map[string]any{}
	}
	for {
		m := member{offset: d.pos}
		if m.key = d.key(); d.err != nil {
			return nil
		}
		if m.value = d.value(depth); d.err != nil {
			d.tokens = append(d.tokens, m.key)
			return nil
		}
		d.members = append(d.members, m)
		d.space()
		if d.consume('}') {
			break
		}
		if !d.consume(',') {
			d.fail(d.pos, "a comma or } is expected here")
			return nil
		}
		d.space()
	}
	object := d.collect(d.members[base:])
	clear(d.members[base:])
	d.members = d.members[:base]
	return object
}

// key reads a key, its colon and the space around it.
func (d *decoder) key() string {
	if d.pos == len(d.text) || d.text[d.pos] != '"' {
		d.fail(d.pos, "a key in double quotes is expected here")
		return ""
	}
	key := d.string()
	d.space()
	if !d.consume(':') {
		d.fail(d.pos, "a colon is expected here")
	}
	d.space()
	return key
}

func (d *decoder) collect(members []member) map[string]any {
	object := make(map[string]any, len(members))
	for i, m := range members {
		if object[m.key] = m.value; len(object) != i+1 {
			d.fail(m.offset, "a key is there twice")
			d.tokens = append(d.tokens, m.key)
			return nil
		}
	}
	return object
}

func (d *decoder) consume(c byte) bool {
	if d.pos < len(d.text) && d.text[d.pos] == c {
		d.pos++
		return true
	}
	return false
}

// measure counts the values of a JSON text and how deep they are nested,
// without judging it, so that a refusal can state both.
func measure(text string) (nodes, deepest int) {
	depth := 0
	counted := false // the value that pos is in
	for pos := 0; pos < len(text); pos++ {
		switch text[pos] {
		case ' ', '\n', '\t', '\r':
		case '{', '[':
			nodes, depth, counted = nodes+1, depth+1, false
			deepest = max(deepest, depth)
		case '}', ']':
			depth, counted = depth-1, true
		case ',':
			counted = false
		case ':': // what came before was a key
			nodes, counted = nodes-1, false
		case '"':
			pos = skipString(text, pos)
			nodes, counted = nodes+1, true
		default:
			if !counted {
				nodes, counted = nodes+1, true
			}
		}
	}
	return nodes, deepest
}

// skipString finds the closing quote of the string that opens at i.
func skipString(text string, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}
