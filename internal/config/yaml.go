package config

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// decodeYAML reads one YAML document in the core schema of YAML 1.2. The
// library gives the nodes; what they mean is decided here, because it resolves
// scalars as YAML 1.1 does in part.
func decodeYAML(text []byte, limits Limits) (any, *Error) {
	if fault := checkText(string(text)); fault != nil {
		return nil, fault
	}
	text, fault := withoutVersion(text)
	if fault != nil {
		return nil, fault
	}
	// Blocks may be nested a little deeper than values, never twice as deep.
	guard := loaderlimits.New(loaderlimits.DepthValue(2*MaxNesting), loaderlimits.AliasNone())
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithPlugin(guard))
	if err != nil {
		return nil, yamlFault(err)
	}
	var document, next yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) {
		return nil, Errorf(KindInvalidDocument, "the text holds no document").Hint("{} is an empty document")
	} else if err != nil {
		return nil, yamlFault(err)
	}
	if err := loader.Load(&next); err == nil {
		return nil, faultAt(next.Line, next.Column, "a second document begins").Hint("put each document under a path of its own")
	} else if !errors.Is(err, io.EOF) {
		return nil, yamlFault(err)
	}
	r := yamlReader{bytesLeft: limits.bytes(), limits: limits, open: make(map[*yaml.Node]bool)}
	return r.value(document.Content[0], 0)
}

// withoutVersion makes a comment of a %YAML directive in the first line. The
// library knows only the one of 1.1, by which it does not change how it reads.
func withoutVersion(text []byte) ([]byte, *Error) {
	const byteOrderMark = "\uFEFF"
	body := bytes.TrimPrefix(text, []byte(byteOrderMark))
	version, found := bytes.CutPrefix(body, []byte("%YAML "))
	switch {
	case !found:
		return text, nil
	case !bytes.HasPrefix(version, []byte("1.2")):
		return nil, faultAt(1, 1, "a version of YAML other than 1.2").
			Hint("quote what 1.2 reads otherwise, such as yes, no and 010, and remove the directive")
	}
	return append([]byte("#"), body[1:]...), nil
}

func yamlFault(err error) *Error {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		return Errorf(KindInvalidDocument, "this is not YAML")
	}
	if strings.HasPrefix(e.Message, "exceeded max depth") {
		return Errorf(KindTooLarge, "the document is nested too deep").Over(MaxNesting, 2*MaxNesting+1)
	}
	reason := withoutQuotes(e.Message)
	if e.Mark.Line < 1 {
		return Errorf(KindInvalidDocument, "this is not YAML: %s", reason)
	}
	return faultAt(e.Mark.Line, e.Mark.Column, reason)
}

// yamlReader makes values of nodes. An alias is read as often as it is used,
// so what it adds up to is counted.
type yamlReader struct {
	limits    Limits
	values    int
	bytesLeft int                 // of strings and keys
	open      map[*yaml.Node]bool // containers that are being read
}

func (r *yamlReader) value(node *yaml.Node, depth int) (any, *Error) {
	if node.Kind == yaml.AliasNode {
		if r.open[node.Alias] {
			return nil, yamlFaultAt(node, "an alias stands within what it refers to")
		}
		return r.value(node.Alias, depth)
	}
	if r.values++; r.values > MaxValues {
		return nil, r.tooLarge(node, "there are too many values", MaxValues, r.values)
	}
	if node.Kind != yaml.ScalarNode && depth == MaxNesting {
		return nil, r.tooLarge(node, "the document is nested too deep", MaxNesting, depth+1)
	}
	switch node.Kind {
	case yaml.MappingNode:
		return r.mapping(node, depth+1)
	case yaml.SequenceNode:
		return r.sequence(node, depth+1)
	}
	v, reason, hint := resolveYAML(node)
	if reason != "" {
		return nil, yamlFaultAt(node, reason).Hint("%s", hint)
	}
	if text, ok := v.(string); ok {
		return v, r.text(node, text)
	}
	return v, nil
}

func (r *yamlReader) mapping(node *yaml.Node, depth int) (any, *Error) {
	if tag := node.ShortTag(); tag != "!!map" && tag != "!" {
		return nil, yamlFaultAt(node, "a mapping with a tag of another kind").Hint(hintTags)
	}
	r.open[node] = true
	defer delete(r.open, node)
	object := make(map[string]any, len(node.Content)/2)
	for i := 0; i < len(node.Content); i += 2 {
		key, fault := r.key(node.Content[i])
		if fault != nil {
			return nil, fault
		}
		if _, twice := object[key]; twice {
			return nil, yamlFaultAt(node.Content[i], "a key is there twice").below(key)
		}
		v, fault := r.value(node.Content[i+1], depth)
		if fault != nil {
			return nil, fault.below(key)
		}
		object[key] = v
	}
	return object, nil
}

func (r *yamlReader) sequence(node *yaml.Node, depth int) (any, *Error) {
	if tag := node.ShortTag(); tag != "!!seq" && tag != "!" {
		return nil, yamlFaultAt(node, "a sequence with a tag of another kind").Hint(hintTags)
	}
	r.open[node] = true
	defer delete(r.open, node)
	array := make([]any, len(node.Content))
	for i, item := range node.Content {
		v, fault := r.value(item, depth)
		if fault != nil {
			return nil, fault.below(strconv.Itoa(i))
		}
		array[i] = v
	}
	return array, nil
}

func (r *yamlReader) key(node *yaml.Node) (string, *Error) {
	named := node
	if node.Kind == yaml.AliasNode {
		named = node.Alias
	}
	if named.Kind != yaml.ScalarNode {
		return "", yamlFaultAt(node, "a key that is not a string").Hint("a key must be a single text")
	}
	if isPlain(named) && named.Value == "<<" {
		return "", yamlFaultAt(node, "a merge key (<<), which YAML 1.2 does not have").
			Hint("write the merged members out, or quote the key if it is meant as text")
	}
	v, reason, hint := resolveYAML(named)
	if reason != "" {
		return "", yamlFaultAt(node, reason).Hint("%s", hint)
	}
	key, ok := v.(string)
	if !ok {
		return "", yamlFaultAt(node, "a key that is not a string but "+kindOfValue(v)).Hint("put the key in quotes")
	}
	return key, r.text(node, key)
}

// text accounts for a string.
func (r *yamlReader) text(node *yaml.Node, text string) *Error {
	if reason := canon.CheckString(text); reason != "" {
		return yamlFaultAt(node, "a string holds "+reason)
	}
	if r.bytesLeft -= len(text); r.bytesLeft < 0 {
		limit := r.limits.bytes()
		return r.tooLarge(node, "the document has too many bytes", limit, limit-r.bytesLeft)
	}
	return nil
}

func (r *yamlReader) tooLarge(node *yaml.Node, reason string, limit, actual int) *Error {
	fault := yamlFaultAt(node, reason).Over(int64(limit), int64(actual))
	fault.Kind = KindTooLarge
	return fault
}

func yamlFaultAt(node *yaml.Node, reason string) *Error {
	return faultAt(node.Line, node.Column, reason)
}

const hintTags = "use no tag, or one of !!str !!int !!float !!bool !!null !!map !!seq that fits"

// isPlain says that a scalar has neither quotes nor a tag.
func isPlain(node *yaml.Node) bool {
	const styled = yaml.TaggedStyle | yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	return node.Style&styled == 0 && node.Tag != "!"
}

// resolveYAML gives a scalar its value by the core schema of YAML 1.2. A reason
// tells why it has none.
func resolveYAML(node *yaml.Node) (v any, reason, hint string) {
	text := node.Value
	if isPlain(node) {
		return resolvePlain(text)
	}
	if node.Style&yaml.TaggedStyle == 0 {
		return text, "", ""
	}
	tag := node.ShortTag()
	if tag == "!!str" {
		return text, "", ""
	}
	v, reason, hint = resolvePlain(text)
	_, isText := v.(string)
	switch {
	case reason != "":
		return nil, reason, hint
	case tag == "!!null" && v == nil,
		tag == "!!bool" && (v == true || v == false),
		tag == "!!int" && yamlInteger.MatchString(text),
		tag == "!!float" && !isText && yamlFloat.MatchString(text):
		return v, "", ""
	}
	return nil, "a scalar with a tag that does not fit it", hintTags
}

var (
	yamlInteger  = regexp.MustCompile(`^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	yamlFloat    = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)
	yamlNotFinit = regexp.MustCompile(`^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

func resolvePlain(text string) (v any, reason, hint string) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil, "", ""
	case "true", "True", "TRUE":
		return true, "", ""
	case "false", "False", "FALSE":
		return false, "", ""
	}
	switch c := text[0]; {
	case !isDigit(c) && c != '-' && c != '+' && c != '.':
		return text, "", ""
	case yamlNotFinit.MatchString(text):
		return nil, "infinity and not-a-number, which JSON does not have", "leave it out, or put it in quotes"
	case !yamlInteger.MatchString(text) && !yamlFloat.MatchString(text):
		return text, "", ""
	}
	f, err := canon.ParseNumber(jsonNumber(text))
	if err != nil {
		return nil, reasonInexact, hintInexact
	}
	return f, "", ""
}

// jsonNumber writes a YAML number the way JSON has it.
func jsonNumber(text string) string {
	if strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0o") {
		n, _ := new(big.Int).SetString(text, 0)
		return n.String()
	}
	sign := ""
	switch text[0] {
	case '-':
		sign, text = "-", text[1:]
	case '+':
		text = text[1:]
	}
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i:]
	}
	integer, fraction, _ := strings.Cut(mantissa, ".")
	if integer = strings.TrimLeft(integer, "0"); integer == "" {
		integer = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + integer + fraction + exponent
}
