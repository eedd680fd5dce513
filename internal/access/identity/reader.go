package identity

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// maxProblems bounds what an error lists: who has more reads the first ones.
const maxProblems = 20

// reader takes values from nodes and notes what is wrong with them. What it
// answers after a problem is used for nothing.
type reader struct {
	problems []problem
}

type problem struct {
	line          int
	message, next string
}

func (r *reader) fail(node *yaml.Node, next, format string, args ...any) {
	r.problems = append(r.problems, problem{node.Line, fmt.Sprintf(format, args...), next})
}

// problem is the error of what was noted, nil when nothing was.
func (r *reader) problem() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b problem) int { return a.line - b.line })
	first := r.problems[0]
	e := config.Errorf(config.KindBadRequest, "line %d: %s", first.line, first.message).Hint("%s", first.next)
	for _, p := range r.problems[:min(len(r.problems), maxProblems)] {
		e.Details = append(e.Details, config.Problem{Message: fmt.Sprintf("line %d: %s; %s", p.line, p.message, p.next)})
	}
	if len(e.Details) == 1 {
		e.Details = nil
	}
	return e
}

// mapping gives the members of a mapping that may have the given names only.
func (r *reader) mapping(node *yaml.Node, what string, names ...string) map[string]*yaml.Node {
	members := r.anyMapping(node, what)
	for name, value := range members {
		if !slices.Contains(names, name) {
			r.fail(value, "write one of "+strings.Join(names, ", "), "%s has no %q", what, shortened(name))
		}
	}
	return members
}

// anyMapping gives the members of a mapping, none of which is null.
func (r *reader) anyMapping(node *yaml.Node, what string) map[string]*yaml.Node {
	if node.Kind != yaml.MappingNode {
		r.fail(node, "write `name: value`, one a line", "%s is not a mapping of names to values", what)
		return nil
	}
	members := make(map[string]*yaml.Node, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name, ok := r.scalar(key, "a name")
		if !ok {
			continue
		}
		if _, twice := members[name]; twice {
			r.fail(key, "keep one", "%q stands twice", shortened(name))
			continue
		}
		if value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null" {
			r.fail(value, "give it a value, or remove the line", "%q has no value", shortened(name))
			continue
		}
		members[name] = value
	}
	return members
}

// needs refuses a mapping without some of its members.
func (r *reader) needs(node *yaml.Node, members map[string]*yaml.Node, what string, names ...string) {
	for _, name := range names {
		if members[name] == nil {
			r.fail(node, "add "+name+":", "%s has no %s", what, name)
		}
	}
}

// list gives the items of a sequence; none when it is not there.
func (r *reader) list(node *yaml.Node, what string, most int) []*yaml.Node {
	switch {
	case node == nil:
		return nil
	case node.Kind != yaml.SequenceNode:
		r.fail(node, "write - before each item, or [a, b]", "%s is not a list", what)
		return nil
	case len(node.Content) > most:
		r.fail(node, "keep fewer", "%s has %d items, and at most %d are read", what, len(node.Content), most)
		return nil
	}
	return node.Content
}

// texts gives a list of texts, all different; one that is there is not empty.
func (r *reader) texts(node *yaml.Node, what string, most int, check func(string) (wrong, next string)) []string {
	items := r.list(node, what, most)
	if node != nil && node.Kind == yaml.SequenceNode && len(node.Content) == 0 {
		r.fail(node, "name one at least, or remove the line", "%s is empty", what)
	}
	var texts []string
	for _, item := range items {
		text := r.checked(item, what, maxText, check)
		if slices.Contains(texts, text) {
			r.fail(item, "keep one", "%s names the same twice", what)
		}
		texts = append(texts, text)
	}
	return texts
}

// checked gives a text that is not empty, within its bound and printable; empty
// when it is not there.
func (r *reader) checked(node *yaml.Node, what string, most int, check func(string) (wrong, next string)) string {
	if node == nil {
		return ""
	}
	text, ok := r.scalar(node, what)
	switch {
	case !ok:
		return ""
	case text == "" || len(text) > most:
		r.fail(node, "write it within that, or remove the line", "%s has 1 to %d bytes", what, most)
		return ""
	case !printable(text):
		r.fail(node, "write it anew", "%s holds a character that cannot be seen", what)
		return ""
	}
	if check != nil {
		if wrong, next := check(text); wrong != "" {
			r.fail(node, next, "%s %q %s", what, shortened(text), wrong)
		}
	}
	return text
}

func (r *reader) flag(node *yaml.Node, what string) bool {
	if node == nil {
		return false
	}
	text, ok := r.scalar(node, what)
	if ok && (node.ShortTag() != "!!bool" || text != "true" && text != "false") {
		r.fail(node, "write one of them, without quotes", "%s is neither true nor false", what)
	}
	return text == "true"
}

// scalar gives the text of a plain value.
func (r *reader) scalar(node *yaml.Node, what string) (string, bool) {
	switch {
	case node.Kind == yaml.AliasNode:
		r.fail(node, "write the value out", "%s is an alias, and they are not read here", what)
	case node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null":
		r.fail(node, "write text or a number", "%s is not a plain value", what)
	case !utf8.ValidString(node.Value):
		r.fail(node, "write it in UTF-8", "%s is not Unicode", what)
	default:
		return node.Value, true
	}
	return "", false
}

// printable says that a person sees all of a text.
func printable(text string) bool {
	for _, c := range text {
		if !unicode.IsPrint(c) {
			return false
		}
	}
	return utf8.ValidString(text)
}

// shortened is text as a message quotes it.
func shortened(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
