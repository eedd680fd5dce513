package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// MaxTests bounds the test cases in all files together: they all run whenever
// one file is written.
const MaxTests = 1000

// testMark begins a line of comment that is a test case:
//
//	//test allow role:deployer config.write document staging/gateway/models
//	//test deny  identity:ci:acme/x as role:deployer secret.read secret production/openai source=10.0.0.1 claim.ref="refs/heads/x y"
//
// Who asks is role:A,B (somebody with these roles and nothing else), token:ID,
// identity:ISSUER:SUBJECT or workload:spiffe://… and workload:dns:NAME. What is
// asked for is document, secret or folder ENVIRONMENT/PATH, environment NAME, or
// tenant. What has blanks in it stands in quotes as in Go.
const testMark = "//test"

// testTime is when a test case happens that does not say it: a Monday at noon.
var testTime = time.Date(2026, time.January, 5, 12, 0, 0, 0, time.UTC)

// testCase is one test case, checked for its form.
type testCase struct {
	line      int
	allow     bool
	form, who string   // role, token, identity or workload; and its id, "" for role
	roles     []string // as they stand there
	action    access.Action
	kind      access.Subject
	place     string // "" for the tenant
	options   []option
}

// option is how the request of a test case comes about.
type option struct{ key, value string }

// word is a part of a test case between blanks.
type word struct {
	text   string
	column int
}

// lineFault is what is wrong with a test case.
type lineFault struct {
	column  int
	message string
}

func faultAt(w word, format string, args ...any) *lineFault {
	return &lineFault{w.column, fmt.Sprintf(format, args...)}
}

// testCases finds the test cases of a file. The error says where the first is
// that is malformed.
func testCases(f File) ([]testCase, error) {
	var all []testCase
	number := 0
	for line := range strings.SplitSeq(f.Text, "\n") {
		number++
		line = strings.TrimSuffix(line, "\r")
		if !isTestLine(line) {
			continue
		}
		c, fault := parseTestLine(line)
		if fault != nil {
			return nil, invalidAt(f.Name, number, fault.column, "the test case does not parse: %s", fault.message).
				Hint("a test case is written like %s allow role:deployer config.write document staging/gateway/models", testMark)
		}
		c.line = number
		all = append(all, c)
	}
	return all, nil
}

func isTestLine(line string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), testMark)
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// parseTestLine reads a line that is a test case.
func parseTestLine(line string) (testCase, *lineFault) {
	words, fault := splitWords(line)
	if fault != nil {
		return testCase{}, fault
	}
	end := word{column: 1 + utf8.RuneCountInString(line)}
	next := func() word {
		if len(words) == 0 {
			return end
		}
		w := words[0]
		words = words[1:]
		return w
	}
	next() // the mark
	var c testCase
	if fault := c.readEffect(next()); fault != nil {
		return c, fault
	}
	if fault := c.readWho(next()); fault != nil {
		return c, fault
	}
	w := next()
	if w.text == "as" && c.form != "role" {
		if fault := c.readRoles(next(), "role:"); fault != nil {
			return c, fault
		}
		w = next()
	}
	kind := next()
	place := end
	if kind.text != "tenant" {
		place = next()
	}
	if fault := c.readAsked(w, kind, place); fault != nil {
		return c, fault
	}
	for _, w := range words {
		if fault := c.readOption(w); fault != nil {
			return c, fault
		}
	}
	return c, nil
}

// splitWords cuts a line at its blanks. A quoted text stands at the end of a word.
func splitWords(line string) (words []word, fault *lineFault) {
	if !utf8.ValidString(line) {
		return nil, &lineFault{1, "it is not UTF-8"}
	}
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		w := word{column: 1 + utf8.RuneCountInString(line[:i])}
		end := len(line)
		if n := strings.IndexAny(line[i:], " \t\""); n >= 0 {
			end = i + n
		}
		w.text = line[i:end]
		if end < len(line) && line[end] == '"' {
			quoted, err := strconv.QuotedPrefix(line[end:])
			if err != nil {
				return nil, faultAt(w, "a quote is not closed, or holds what no Go string does")
			}
			text, _ := strconv.Unquote(quoted) // QuotedPrefix saw that it is well formed
			w.text += text
			if end += len(quoted); end < len(line) && line[end] != ' ' && line[end] != '\t' {
				return nil, faultAt(w, "a quote ends in the midst of a word")
			}
			if !utf8.ValidString(text) {
				return nil, faultAt(w, "what is quoted is not UTF-8")
			}
		}
		words = append(words, w)
		i = end
	}
	return words, nil
}

func (c *testCase) readEffect(w word) *lineFault {
	c.allow = w.text == "allow"
	if !c.allow && w.text != "deny" {
		return faultAt(w, "it says neither allow nor deny")
	}
	return nil
}

func (c *testCase) readWho(w word) *lineFault {
	form, id, _ := strings.Cut(w.text, ":")
	ok := id != ""
	switch form {
	case "role":
		c.form = form
		return c.readRoles(w, "role:")
	case "token":
	case "identity":
		issuer, subject, _ := strings.Cut(id, ":")
		ok = config.CheckName(issuer) == nil && subject != ""
	case "workload":
		spiffe, isSpiffe := strings.CutPrefix(id, "spiffe://")
		dns, isDNS := strings.CutPrefix(id, "dns:")
		ok = isSpiffe && spiffe != "" || isDNS && dns != ""
	default:
		ok = false
	}
	if !ok {
		return faultAt(w, "who asks is role:NAME, token:ID, identity:ISSUER:SUBJECT, workload:spiffe://… or workload:dns:NAME")
	}
	c.form, c.who = form, id
	return nil
}

func (c *testCase) readRoles(w word, prefix string) *lineFault {
	names, ok := strings.CutPrefix(w.text, prefix)
	c.roles = strings.Split(names, ",")
	for _, name := range c.roles {
		ok = ok && config.CheckName(name) == nil
	}
	if !ok {
		return faultAt(w, "roles are written like role:viewer or role:viewer,deployer")
	}
	return nil
}

var testKinds = map[string]access.Subject{
	"document": access.OnDocument, "secret": access.OnSecret, "folder": access.OnFolder,
	"environment": access.OnEnvironment, "tenant": access.OnTenant,
}

func (c *testCase) readAsked(action, kind, place word) *lineFault {
	info, ok := access.InfoOf(access.Action(action.text))
	if !ok {
		return faultAt(action, "there is no action %q", action.text)
	}
	if c.kind, ok = testKinds[kind.text]; !ok {
		return faultAt(kind, "what is asked for is a document, a secret, a folder, an environment or the tenant")
	}
	if info.On&c.kind == 0 {
		return faultAt(kind, "the action %s is never taken on a thing of the kind %s", info.Action, kind.text)
	}
	c.action, c.place = info.Action, place.text
	if _, err := thingOf(c.kind, c.place); err != nil {
		return faultAt(place, "a %s is not called %q", kind.text, place.text)
	}
	return nil
}

func (c *testCase) readOption(w word) *lineFault {
	key, value, ok := strings.Cut(w.text, "=")
	if !ok || quoteWord(key) != key {
		return faultAt(w, "after what is asked for, it says how: key=value")
	}
	name, many := key, false
	if prefix, rest, ok := strings.Cut(key, "."); ok && rest != "" && prefix != "certificate" {
		name, many = prefix+".", prefix == "claim"
	}
	check, ok := testOptions[name]
	if !ok || name == key && strings.HasSuffix(key, ".") {
		return faultAt(w, "a request is told by source=, time=, method=, label.NAME=, claim.NAME=, certificate.spiffe= and certificate.dns=, not by %s=", key)
	}
	if !many && name != "certificate.dns" && slices.ContainsFunc(c.options, func(o option) bool { return o.key == key }) {
		return faultAt(w, "%s= stands there twice", key)
	}
	if !check(c, value) {
		return faultAt(w, "%s= cannot be %q here", key, value)
	}
	c.options = append(c.options, option{key, value})
	return nil
}

// testOptions says which value fits an option.
var testOptions = map[string]func(c *testCase, value string) bool{
	"source": func(_ *testCase, v string) bool { a, err := netip.ParseAddr(v); return err == nil && a.Zone() == "" },
	"time":   func(_ *testCase, v string) bool { _, err := time.Parse(time.RFC3339, v); return err == nil },
	"method": func(c *testCase, v string) bool {
		_, known := principalTypes[v]
		return methodOf[c.form] == v || c.form == "role" && known && (v != access.MethodToken || !c.has("claim."))
	},
	"certificate.spiffe": func(_ *testCase, v string) bool { return strings.HasPrefix(v, "spiffe://") },
	"certificate.dns":    func(_ *testCase, v string) bool { return v != "" },
	"label.": func(c *testCase, _ string) bool {
		return c.kind == access.OnDocument || c.kind == access.OnSecret
	},
	"claim.": func(c *testCase, _ string) bool { return c.form != "token" && !c.has("method="+access.MethodToken) },
}

// has says whether an option begins like that.
func (c *testCase) has(beginning string) bool {
	return slices.ContainsFunc(c.options, func(o option) bool { return strings.HasPrefix(o.key+"="+o.value, beginning) })
}

var methodOf = map[string]string{
	"token": access.MethodToken, "identity": access.MethodIdentity, "workload": access.MethodCertificate,
}

// String writes the test case so that it reads back as the same.
func (c testCase) String() string {
	words := []string{testMark, map[bool]string{true: "allow", false: "deny"}[c.allow]}
	roles := "role:" + strings.Join(c.roles, ",")
	if c.form == "role" {
		words = append(words, roles)
	} else {
		words = append(words, c.form+":"+quoteWord(c.who))
		if len(c.roles) > 0 {
			words = append(words, "as", roles)
		}
	}
	words = append(words, string(c.action))
	for name, kind := range testKinds {
		if kind == c.kind {
			words = append(words, name)
		}
	}
	if c.kind != access.OnTenant {
		words = append(words, c.place)
	}
	for _, o := range c.options {
		words = append(words, o.key+"="+quoteWord(o.value))
	}
	return strings.Join(words, " ")
}

// quoteWord writes a text so that it is one word, or the end of one.
func quoteWord(text string) string {
	strange := func(r rune) bool { return r == ' ' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) }
	if text == "" || strings.ContainsFunc(text, strange) {
		return strconv.Quote(text)
	}
	return text
}
