package convert

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of a dotenv file.
const (
	MaxDotenvBytes = 1 << 20
	MaxVariables   = 10_000
)

// Variable is one NAME=value of a dotenv file.
type Variable struct {
	Name  string
	Value string
	Line  int // where it begins, from 1
}

// ParseDotenv reads a dotenv file. Every tool has its own dialect, so what two of
// them read differently is refused, naming the line, and nothing is guessed:
//
//	NAME=text          to the end of the line, or to a # after a space
//	NAME='text'        as it stands, over several lines too
//	NAME="text\n"      with \n \r \t \\ \" \' \$ replaced, over several lines too
//	export NAME=text   the same
//	# comment
//
// Nothing is expanded, neither from the file nor from anybody's environment:
// what other tools would expand is refused unless it stands in single quotes.
// All that is wrong is told at once, as an *config.Error without a value.
func ParseDotenv(text []byte) ([]Variable, error) {
	if len(text) > MaxDotenvBytes {
		return nil, config.Errorf(config.KindTooLarge, "a dotenv file is too large").Over(MaxDotenvBytes, int64(len(text)))
	}
	p := dotenv{rest: string(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))), line: 1, lines: map[string]int{}, uses: map[use]int{}}
	for p.rest != "" && len(p.wrong) < maxRefusals {
		p.statement()
	}
	p.expansions()
	if p.wrong != nil {
		return nil, p.failure()
	}
	if len(p.found) > MaxVariables {
		return nil, config.Errorf(config.KindTooLarge, "a dotenv file has too many variables").Over(MaxVariables, int64(len(p.found)))
	}
	return p.found, nil
}

// maxRefusals bounds how much is told about a file that is none of this kind.
const maxRefusals = 100

type dotenv struct {
	rest  string
	line  int // that rest begins in
	found []Variable
	lines map[string]int // name → the line of its first value
	uses  map[use]int    // → the line of the first
	wrong []config.Problem
}

// use is a name that other tools would replace by a value.
type use struct {
	name   string
	braces bool
}

func (p *dotenv) refuse(line int, format string, args ...any) {
	problem := config.Problem{Message: fmt.Sprintf("line %d: ", line) + fmt.Sprintf(format, args...)}
	if len(p.wrong) == 0 || p.wrong[len(p.wrong)-1] != problem {
		p.wrong = append(p.wrong, problem)
	}
}

func (p *dotenv) failure() error {
	e := config.Errorf(config.KindBadRequest, "the dotenv file cannot be read without guessing").
		Hint("mend the lines; what is meant as it stands goes in single quotes")
	e.Details = p.wrong
	return e
}

// statement reads one line, or the several of a value in quotes.
func (p *dotenv) statement() {
	at := p.line
	head, _, _ := strings.Cut(p.rest, "\n")
	switch trimmed := strings.TrimSpace(head); {
	case trimmed == "" || trimmed[0] == '#':
		p.skipLine()
		return
	case !utf8.ValidString(head):
		p.refuse(at, "it is not UTF-8")
		p.skipLine()
		return
	}
	name, ok := p.name(head)
	if !ok {
		p.skipLine()
		return
	}
	value, ok := p.value(name)
	switch {
	case !ok:
	case strings.IndexByte(value, 0) >= 0:
		p.refuse(at, "the value of %s holds a NUL, which no variable can", name)
	case !utf8.ValidString(value):
		p.refuse(at, "the value of %s is not UTF-8", name)
	default:
		p.add(Variable{name, value, at})
	}
}

func (p *dotenv) add(v Variable) {
	if first, twice := p.lines[v.Name]; twice {
		p.refuse(v.Line, "%s has a value in line %d already", v.Name, first)
		return
	}
	p.lines[v.Name] = v.Line
	p.found = append(p.found, v)
}

// name takes what is up to the equals sign.
func (p *dotenv) name(head string) (name string, ok bool) {
	before, _, found := strings.Cut(head, "=")
	if !found {
		p.refuse(p.line, "there is no =")
		return "", false
	}
	name = strings.TrimSpace(before)
	if rest, exported := strings.CutPrefix(name, "export"); exported && strings.TrimLeft(rest, " \t") != rest {
		name = strings.TrimSpace(rest)
	}
	if !isName(name) {
		// What is before the = may be a piece of a value, so it is not shown.
		p.refuse(p.line, "what is before the = is no name of a variable (letters, digits and _)")
		return "", false
	}
	p.rest = strings.TrimLeft(p.rest[len(before)+1:], " \t")
	return name, true
}

func isName(text string) bool {
	for i, c := range []byte(text) {
		if !isNameByte(c) || i == 0 && c >= '0' && c <= '9' {
			return false
		}
	}
	return text != ""
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// value takes a value and the rest of its line.
func (p *dotenv) value(name string) (value string, ok bool) {
	at := p.line
	if p.rest == "" {
		return "", true
	}
	switch quote := p.rest[0]; quote {
	case '\'', '"':
		if value, ok = p.quoted(quote); !ok {
			p.refuse(at, "the quote that %s begins with is not closed", name)
			p.rest = ""
			return "", false
		}
		if !p.onlyComment() {
			p.refuse(p.line, "something stands behind the closing quote of %s", name)
			p.skipLine()
			return "", false
		}
		p.skipLine()
		return value, true
	case '`':
		p.refuse(at, "the value of %s begins with a backquote, which some tools take for a quote: use ' instead", name)
		p.skipLine()
		return "", false
	}
	return p.plain(name)
}

// quoted takes text up to the closing quote.
func (p *dotenv) quoted(quote byte) (text string, ok bool) {
	var b strings.Builder
	line := p.line
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.advance(i + 1)
			return b.String(), true
		case c == '\\' && quote == '"' && i+1 < len(p.rest):
			if plain, known := escapes[p.rest[i+1]]; known {
				b.WriteByte(plain)
				i++
				continue
			}
			b.WriteByte(c)
		case c == '\r' && i+1 < len(p.rest) && p.rest[i+1] == '\n': // a line's end is one character
		case c == '$' && quote == '"':
			p.expands(p.rest[i:], line)
			b.WriteByte(c)
		default:
			if c == '\n' {
				line++
			}
			b.WriteByte(c)
		}
	}
	return "", false
}

var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '"': '"', '\'': '\'', '$': '$'}

// plain takes text without quotes.
func (p *dotenv) plain(name string) (value string, ok bool) {
	at := p.line
	value, _, _ = strings.Cut(p.rest, "\n")
	p.skipLine()
	if value != "" && value[0] == '#' && !strings.HasPrefix(value, "# ") {
		p.refuse(at, "the value of %s begins with #, which some tools take for a comment: put it in quotes", name)
		return "", false
	}
	for i := range len(value) {
		if value[i] == '#' && (i == 0 || value[i-1] == ' ' || value[i-1] == '\t') {
			value = value[:i]
			break
		}
	}
	value = strings.TrimRight(value, " \t\r")
	if strings.HasSuffix(value, `\`) {
		p.refuse(at, "the value of %s ends with a backslash, which some tools take for a line that goes on: put it in single quotes", name)
		return "", false
	}
	for i := range len(value) {
		if value[i] == '$' {
			p.expands(value[i:], at)
		}
	}
	return value, true
}

// expands notes what other tools would replace: $NAME, ${NAME}, ${NAME:-text}, $(command).
func (p *dotenv) expands(text string, line int) {
	if strings.HasPrefix(text, "$(") {
		p.refuse(line, "$( would be a command in a shell, and nothing is run: put the value in single quotes")
		return
	}
	inner, braces := strings.CutPrefix(text[1:], "{")
	end := 0
	for end < len(inner) && isNameByte(inner[end]) {
		end++
	}
	name, rest := inner[:end], inner[end:]
	closed := rest != "" && rest[0] == '}' || len(rest) > 1 && rest[0] == ':' && strings.IndexByte("-=?+", rest[1]) >= 0 ||
		rest != "" && strings.IndexByte("-=?+", rest[0]) >= 0
	if isName(name) && (!braces || closed) {
		p.uses[use{name, braces}] = cmp.Or(p.uses[use{name, braces}], line)
	}
}

// expansions refuses what was noted: with braces it is meant for sure, and
// without when the file has that name.
func (p *dotenv) expansions() {
	for u, line := range p.uses {
		switch _, known := p.lines[u.name]; {
		case u.braces:
			p.refuse(line, "${%s} would be replaced by other tools, and nothing is expanded here: write the value out, or put it in single quotes", u.name)
		case known:
			p.refuse(line, "$%s would be replaced by other tools, and nothing is expanded here: write the value out, or put it in single quotes", u.name)
		}
	}
	slices.SortFunc(p.wrong, func(a, b config.Problem) int {
		return cmp.Or(cmp.Compare(lineOf(a), lineOf(b)), strings.Compare(a.Message, b.Message))
	})
	p.wrong = p.wrong[:min(len(p.wrong), maxRefusals)]
}

func lineOf(problem config.Problem) (line int) {
	_, _ = fmt.Sscanf(problem.Message, "line %d:", &line)
	return line
}

// onlyComment says that the rest of the line is empty or a comment.
func (p *dotenv) onlyComment() bool {
	rest, _, _ := strings.Cut(p.rest, "\n")
	trimmed := strings.TrimSpace(rest)
	return trimmed == "" || trimmed[0] == '#' && rest[0] != '#'
}

func (p *dotenv) skipLine() {
	_, p.rest, _ = strings.Cut(p.rest, "\n")
	p.line++
}

func (p *dotenv) advance(n int) {
	p.line += strings.Count(p.rest[:n], "\n")
	p.rest = p.rest[n:]
}
