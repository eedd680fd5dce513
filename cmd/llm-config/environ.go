package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// A variable is one environment variable made of a document.
type variable struct {
	name, value string
	origin      string // path#pointer, for messages
	secret      bool   // the value is of a secret, and must be shown nowhere
	file        bool   // the command gets the value in a file, and its name in NAME_FILE
}

// fileSuffix is behind the name of a variable that names a file with the value:
// many programs know it from containers.
const fileSuffix = "_FILE"

// names are those that the variable takes up.
func (v variable) names() []string {
	if v.file {
		return []string{v.name, v.name + fileSuffix}
	}
	return []string{v.name}
}

// environRules say how documents become environment variables. docs/run.md
// explains them to users.
type environRules struct {
	json           bool     // one variable per document, holding its JSON
	keepReferences bool     // ${secret:…} passes as text
	byFile         bool     // what holds a secret goes by file
	revealed       bool     // the documents hold values where references were
	revealable     bool     // the user may ask for that
	allowed        []string // steering names that the user wants set all the same
}

// namedDocument is an effective document and its path.
type namedDocument struct {
	path     string
	document config.Document
	revealed config.Document // the same with values where it refers to secrets; zero when that is not asked for
}

// variables are what the documents say, by name. All that is wrong is told at
// once, so that a document is mended in one go.
func (r environRules) variables(documents []namedDocument) ([]variable, error) {
	f := flattener{rules: r}
	for _, d := range documents {
		f.revealed = nil
		if d.revealed.Exists() {
			f.revealed = d.revealed.Root()
		}
		if r.json {
			f.whole(d)
		} else {
			f.flatten(place{path: d.path}, d.document.Root())
		}
	}
	f.collisions()
	f.steering()
	if f.wrong != nil {
		return nil, f.failure()
	}
	return f.found, nil
}

type flattener struct {
	rules    environRules
	revealed map[string]any // the document at hand with values of secrets; nil when there is none
	found    []variable
	wrong    []string
	arrays   int // how many of wrong are arrays, which --json would cure
	steers   int // how many are names that --allow-env would permit
	kept     int // how many are references to secrets
}

func (f *flattener) whole(d namedDocument) {
	at, keys := place{path: d.path}, strings.Split(d.path, "/")
	if f.revealed != nil {
		f.addSecret(at, keys, f.revealed)
		return
	}
	f.add(variable{value: string(canon.Append(nil, f.settled(at, d.document.Root())))}, at, keys)
}

// place is where in which document something stands.
type place struct {
	path    string
	pointer config.Pointer
}

func (p place) below(name string) place { return place{p.path, p.pointer.Append(name)} }
func (p place) String() string          { return p.path + "#" + p.pointer.String() }

// settled is a value whose strings mean what they say: references refused and
// escapes undone, unless both are to be kept.
func (f *flattener) settled(at place, value any) any {
	switch value := value.(type) {
	case string:
		return f.text(at, value)
	case []any:
		settled := make([]any, len(value))
		for i, element := range value {
			settled[i] = f.settled(at.below(strconv.Itoa(i)), element)
		}
		return settled
	case map[string]any:
		settled := make(map[string]any, len(value))
		for _, name := range canon.SortedKeys(value) {
			settled[name] = f.settled(at.below(name), value[name])
		}
		return settled
	}
	return value
}

func (f *flattener) flatten(at place, value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range canon.SortedKeys(value) {
			f.flatten(at.below(name), value[name])
		}
	case []any:
		f.arrays++
		f.refuse("%s: an array has no form as a variable", at)
	case string:
		if f.revealed != nil && refersToSecret(value) {
			known, _ := at.pointer.Lookup(f.revealed)
			f.addSecret(at, at.pointer.Tokens(), known)
			return
		}
		f.add(variable{value: f.text(at, value)}, at, at.pointer.Tokens())
	default:
		f.add(variable{value: string(canon.Append(nil, value))}, at, at.pointer.Tokens())
	}
}

// addSecret adds what holds a secret: a text as it is, all else as JSON.
func (f *flattener) addSecret(at place, keys []string, value any) {
	text, ok := bare(value)
	if !ok {
		text = string(canon.Append(nil, value))
	}
	f.add(variable{value: text, secret: true, file: f.rules.byFile}, at, keys)
}

// secretReference begins what only the server's reveal can replace; with a $
// before it, it is text.
const (
	secretReference = "${secret:"
	escapedSecret   = "$" + secretReference
)

func refersToSecret(text string) bool {
	return strings.Contains(strings.ReplaceAll(text, escapedSecret, ""), secretReference)
}

func (f *flattener) text(at place, text string) string {
	if f.rules.keepReferences || f.rules.revealed {
		return text
	}
	if refersToSecret(text) {
		f.kept++
		f.refuse("%s: a reference to a secret", at)
	}
	return strings.ReplaceAll(text, escapedSecret, secretReference)
}

func (f *flattener) add(v variable, at place, keys []string) {
	v.name, v.origin = variableName(keys), at.String()
	switch name := v.name; {
	case strings.Trim(name, "_") == "":
		f.refuse("%s: nothing of this name is a letter or digit", at)
	case name[0] >= '0' && name[0] <= '9':
		f.refuse("%s: the variable %s would begin with a digit", at, name)
	case !v.file && strings.IndexByte(v.value, 0) >= 0:
		f.refuse("%s: the value holds a NUL, which no variable can", at)
	default:
		f.found = append(f.found, v)
	}
}

// variableName is the names from a document's root down as one variable's name.
func variableName(keys []string) string {
	name := []byte(strings.Join(keys, "_"))
	for i, c := range name {
		switch {
		case c >= 'a' && c <= 'z':
			name[i] = c - 'a' + 'A'
		case (c < '0' || c > '9') && (c < 'A' || c > 'Z'):
			name[i] = '_'
		}
	}
	return string(name)
}

func (f *flattener) collisions() {
	origins := map[string][]string{}
	for _, v := range f.found {
		for _, name := range v.names() {
			origins[name] = append(origins[name], v.origin)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(origins)) {
		if all := origins[name]; len(all) > 1 {
			f.refuse("%s: more than one value would be %s", strings.Join(all, ", "), name)
		}
	}
}

func (f *flattener) steering() {
	for _, v := range f.found {
		for _, name := range v.names() {
			if steersPrograms(name) && !slices.Contains(f.rules.allowed, name) {
				f.steers++
				f.refuse("%s: %s steers a loader, shell or interpreter", v.origin, name)
			}
		}
	}
}

func (f *flattener) refuse(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

func (f *flattener) failure() error {
	failure := failf("these documents cannot become environment variables")
	failure.details = f.wrong
	switch len(f.wrong) {
	case f.arrays:
		return failure.hint("--json gives each document as one variable")
	case f.steers:
		return failure.hint("--allow-env NAME permits one; docs/run.md lists them")
	case f.kept:
		if f.rules.revealable {
			return failure.hint("--reveal prints the values in their place")
		}
		return failure.hint("-o json prints them as they stand")
	}
	return failure.hint("docs/run.md has the rules")
}

// mergeEnviron adds variables to an environment. A name that the caller has set
// stays the caller's, unless override. A variable whose value is in a file gets
// its name in NAME_FILE, and has no NAME beside it.
func mergeEnviron(environ []string, variables []variable, override bool) []string {
	merged := slices.Clone(environ)
	for _, v := range variables {
		if slices.ContainsFunc(merged, v.isIn) {
			if !override {
				continue
			}
			merged = keep(merged, func(entry string) bool { return !v.isIn(entry) })
		}
		names := v.names()
		merged = append(merged, names[len(names)-1]+"="+v.value)
	}
	return merged
}

// steersPrograms says that a variable makes loaders, shells, interpreters or
// tools run or read something else, so that whoever may write a document could
// run code as whoever runs the command.
func steersPrograms(name string) bool {
	return slices.Contains(steeringNames, name) || slices.ContainsFunc(steeringPrefixes, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// steeringPrefixes and steeringNames are listed in docs/run.md; a test compares.
var (
	steeringPrefixes = []string{"LD_", "DYLD_", "BASH_FUNC_", "GIT_", "LLM_CONFIG_", "MALLOC_", "NPM_CONFIG_"}
	steeringNames    = []string{
		"BASHOPTS", "BASH_ENV", "BROWSER", "CDPATH", "CLASSPATH", "COMSPEC", "DOTNET_STARTUP_HOOKS", "EDITOR", "ENV",
		"FPATH", "GCONV_PATH", "GLIBC_TUNABLES", "GODEBUG", "GOFLAGS", "GOTRACEBACK", "HOME", "HOSTALIASES", "IFS", "JAVA_OPTS",
		"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "LESSCLOSE", "LESSOPEN", "LOCPATH", "LUA_CPATH", "LUA_INIT", "LUA_PATH",
		"MAKEFLAGS", "NLSPATH", "NODE_EXTRA_CA_CERTS", "NODE_OPTIONS", "NODE_PATH", "OPENSSL_CONF", "OPENSSL_ENGINES",
		"OPENSSL_MODULES", "PAGER", "PATH", "PATHEXT", "PERL5DB", "PERL5LIB", "PERL5OPT", "PERLLIB", "PERL_UNICODE", "PHPRC",
		"PHP_INI_SCAN_DIR", "PROMPT_COMMAND", "PS4", "PWD", "PYTHONBREAKPOINT", "PYTHONEXECUTABLE", "PYTHONHOME",
		"PYTHONINSPECT", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONWARNINGS",
		"RESOLV_HOST_CONF", "RES_OPTIONS", "RUBYLIB", "RUBYOPT", "RUSTC_WRAPPER", "SHELL", "SHELLOPTS", "TMPDIR", "VISUAL",
		"XDG_CONFIG_HOME", "ZDOTDIR", "_JAVA_OPTIONS",
	}
)
