package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of a tenant's policies. They keep compiling within a second and a
// decision within what the slowest policy that anybody needs would take.
const (
	MaxFileBytes = 64 << 10
	MaxFiles     = 256
	MaxBytes     = 1 << 20 // of all files together
	MaxPolicies  = 1000    // in all files together
	MaxIDBytes   = 128     // of an @id
	MaxOperators = 20_000  // in all files together, as they are counted in each policy

	maxNesting   = 64   // of brackets
	maxOperators = 1000 // in one policy; a tree of its conditions is no deeper
	maxChain     = 16   // of attributes, as in context.certificate.spiffe
)

// parsed is one policy of a file.
type parsed struct {
	Ref
	policy *cedar.Policy
	ast    *ast.Policy
	text   string // as its author wrote it, without what stands before and after

	operators int // what it costs to walk its conditions
}

// key names the policy among all of a set. The name of a file holds no slash,
// so that two policies never share one.
func (p parsed) key() cedar.PolicyID { return cedar.PolicyID(p.File + "/" + p.ID) }

// parseFiles reads all files of a tenant. Its errors are those of parseFile, and
// of KindTooLarge and KindInvalidPolicy for files that do not go together.
func parseFiles(files []File) ([]parsed, error) {
	if len(files) > MaxFiles {
		return nil, config.Errorf(config.KindTooLarge, "there are too many policy files").Over(MaxFiles, int64(len(files)))
	}
	var all []parsed
	names, bytes, operators := map[string]bool{}, 0, 0
	for _, f := range files {
		if names[f.Name] {
			return nil, config.Errorf(config.KindInvalidPolicy, "two policy files have the name %q", f.Name).At(f.Name)
		}
		names[f.Name] = true
		if bytes += len(f.Text); bytes > MaxBytes {
			return nil, config.Errorf(config.KindTooLarge, "the policy files are too large together").Over(MaxBytes, int64(bytes))
		}
		policies, err := parseFile(f)
		if err != nil {
			return nil, err
		}
		if all = append(all, policies...); len(all) > MaxPolicies {
			return nil, config.Errorf(config.KindTooLarge, "there are too many policies").Over(MaxPolicies, int64(len(all)))
		}
		for _, p := range policies {
			operators += p.operators
		}
		if operators > MaxOperators {
			return nil, config.Errorf(config.KindTooLarge, "the policies have too many operators together: every decision would pay for them").
				Hint("shorten conditions, or say by heads whom and what a policy is about").Over(MaxOperators, int64(operators))
		}
	}
	return all, nil
}

// parseFile reads the policies of one file. The error is of KindTooLarge for a
// file over a bound, else of KindInvalidPolicy, and says where the fault is.
func parseFile(f File) ([]parsed, error) {
	if err := config.CheckName(f.Name); err != nil {
		return nil, config.Errorf(config.KindInvalidPolicy, "a policy file has a name of 1 to %d of a–z, 0–9 and -, that begins with a letter", config.MaxNameBytes)
	}
	if len(f.Text) > MaxFileBytes {
		return nil, config.Errorf(config.KindTooLarge, "the policy file %q is too large", f.Name).Over(MaxFileBytes, int64(len(f.Text))).
			Hint("split it: a tenant may have %d files", MaxFiles)
	}
	if i := noText(f.Text); i >= 0 {
		line, column := position(f.Text, i)
		return nil, invalidAt(f.Name, line, column, "the policy does not parse: this is no character of a text in UTF-8")
	}
	spans, err := scan(f)
	if err != nil {
		return nil, err
	}
	list, err := cedar.NewPolicyListFromBytes(f.Name, []byte(f.Text))
	if err != nil {
		return nil, syntaxError(f.Name, err)
	}
	if len(list) > MaxPolicies {
		return nil, config.Errorf(config.KindTooLarge, "there are too many policies in the file %q", f.Name).Over(MaxPolicies, int64(len(list)))
	}
	return identify(f, list, spans)
}

// identify gives each policy its name: the @id, or its number.
func identify(f File, list cedar.PolicyList, spans []span) ([]parsed, error) {
	all := make([]parsed, len(list))
	lines := map[string]int{} // id → where it was seen first
	for i, policy := range list {
		at := policy.Position()
		p := parsed{
			Ref:    Ref{File: f.Name, ID: "policy " + strconv.Itoa(i+1), Line: at.Line, Column: at.Column, Effect: "forbid"},
			policy: policy, ast: (*ast.Policy)(policy.AST()), text: f.Text[at.Offset:spans[i].end],
			operators: spans[i].operators,
		}
		if policy.Effect() == cedar.Permit {
			p.Effect = "permit"
		}
		if id, ok := policy.Annotations()["id"]; ok {
			if p.ID = string(id); !fitsID(p.ID) {
				return nil, invalidAt(f.Name, at.Line, at.Column, "an @id has 1 to %d bytes of printable text", MaxIDBytes)
			}
		}
		if line, taken := lines[p.ID]; taken {
			return nil, invalidAt(f.Name, at.Line, at.Column, "the policy in line %d has the id %q already", line, p.ID).
				Hint("give each policy of a file an @id of its own")
		}
		lines[p.ID] = at.Line
		all[i] = p
	}
	return all, nil
}

func fitsID(id string) bool {
	return id != "" && len(id) <= MaxIDBytes && utf8.ValidString(id) &&
		strings.IndexFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// span is where a policy ends, and what was counted in it.
type span struct{ end, operators int }

// scan answers where each policy ends, and refuses what would make the trees of
// conditions so deep or so wide that walking them takes long. It knows of the
// language only what strings, comments and brackets are.
func scan(f File) (spans []span, err error) {
	nesting, operators, chain := 0, 0, 0
	for i := 0; i < len(f.Text); i++ {
		c := f.Text[i]
		if end := skip(f.Text, i); end > i {
			if f.Text[i:end] == "if" {
				operators++
			}
			i = end - 1
			continue
		}
		switch c {
		case '(', '[', '{':
			nesting, operators, chain = nesting+1, operators+1, 0
		case ')', ']', '}':
			nesting--
		case '.':
			operators, chain = operators+1, chain+1
		case '!', '-', '+', '*', '&', '|', '<', '>', '=':
			operators, chain = operators+1, 0
		case ';':
			spans = append(spans, span{i + 1, operators})
			nesting, operators, chain = 0, 0, 0
		case ',', ':':
			chain = 0
		}
		if fault := excess(nesting, operators, chain); fault != "" {
			line, column := position(f.Text, i)
			return nil, invalidAt(f.Name, line, column, "%s", fault).Hint("write several policies instead")
		}
		if strings.HasPrefix(f.Text[i:], "/*") { // the parser takes it, Cedar elsewhere does not
			line, column := position(f.Text, i)
			return nil, invalidAt(f.Name, line, column, "a comment begins with // and ends with its line")
		}
	}
	return spans, nil
}

func excess(nesting, operators, chain int) string {
	switch {
	case nesting > maxNesting:
		return fmt.Sprintf("brackets are nested deeper than %d levels", maxNesting)
	case operators > maxOperators:
		return fmt.Sprintf("the policy has more than %d operators", maxOperators)
	case chain > maxChain:
		return fmt.Sprintf("more than %d attributes stand in a row", maxChain)
	}
	return ""
}

// skip answers where the string, comment or word that begins at i ends, i when
// none does.
func skip(text string, i int) int {
	switch c := text[i]; {
	case c == '"':
		for i++; i < len(text) && text[i] != '"'; i++ {
			if text[i] == '\\' {
				i++
			}
		}
		return min(i+1, len(text))
	case strings.HasPrefix(text[i:], "//"):
		if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
			return i + n
		}
		return len(text)
	case isWord(c):
		for i < len(text) && isWord(text[i]) {
			i++
		}
	}
	return i
}

// noText answers where there is a byte that no policy may hold; -1 for nowhere.
func noText(text string) int {
	for i, r := range text {
		if r == 0 || r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
			return i
		}
	}
	return -1
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func position(text string, offset int) (line, column int) {
	before := text[:offset]
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// place finds where the parser says that it stopped, and at which word.
var place = regexp.MustCompile(`<input>:(\d+):(\d+)(?: ("(?:[^"\\]|\\.)+"))?(?:: )?`)

// syntaxError tells of what the parser refused.
func syntaxError(file string, cause error) error {
	line, column, near := 1, 1, ""
	if at := place.FindStringSubmatch(cause.Error()); at != nil {
		line, _ = strconv.Atoi(at[1])
		column, _ = strconv.Atoi(at[2])
		if at[3] != "" {
			near = " near " + at[3]
		}
	}
	for inner := errors.Unwrap(cause); inner != nil; inner = errors.Unwrap(inner) {
		cause = inner
	}
	why := strings.Replace(place.ReplaceAllString(cause.Error(), ""), "got  want", "the text ends, want", 1)
	return invalidAt(file, line, column, "the policy does not parse%s: %s", near, why).
		Hint("a policy is written like permit (principal in Role::\"deployer\", action == Action::\"config.write\", resource in Folder::\"staging/gateway\");")
}

// invalidAt is the refusal of a policy, with its place in the message for people
// and in the pointer for editors.
func invalidAt(file string, line, column int, format string, args ...any) *config.Error {
	return config.Errorf(config.KindInvalidPolicy, "file %q, line %d, column %d: %s", file, line, column, fmt.Sprintf(format, args...)).
		At(fmt.Sprintf("%s:%d:%d", file, line, column))
}
