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
}

// environRules say how documents become environment variables. docs/run.md
// explains them to users.
type environRules struct {
	json           bool     // one variable per document, holding its JSON
	keepReferences bool     // ${secret:…} passes as text
	allowed        []string // steering names that the user wants set all the same
}

// namedDocument is an effective document and its path.
type namedDocument struct {
	path     string
	document config.Document
}

// variables are what the documents say, by name. All that is wrong is told at
// once, so that a document is mended in one go.
func (r environRules) variables(documents []namedDocument) ([]variable, error) {
	f := flattener{rules: r}
	for _, d := range documents {
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
	rules  environRules
	found  []variable
	wrong  []string
	arrays int // how many of wrong are arrays, which --json would cure
	steers int // how many are names that --allow-env would permit
	kept   int // how many are references, which --keep-references would pass on
}

func (f *flattener) whole(d namedDocument) {
	root := f.settled(place{path: d.path}, d.document.Root())
	f.add(place{path: d.path}, strings.Split(d.path, "/"), string(canon.Append(nil, root)))
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
		f.add(at, at.pointer.Tokens(), f.text(at, value))
	default:
		f.add(at, at.pointer.Tokens(), string(canon.Append(nil, value)))
	}
}

// secretReference begins what only the server's reveal can replace; with a $
// before it, it is text.
const secretReference = "${secret:"

func (f *flattener) text(at place, text string) string {
	if f.rules.keepReferences {
		return text
	}
	const escaped = "$" + secretReference
	if strings.Contains(strings.ReplaceAll(text, escaped, ""), secretReference) {
		f.kept++
		f.refuse("%s: a reference to a secret", at)
	}
	return strings.ReplaceAll(text, escaped, secretReference)
}

func (f *flattener) add(at place, keys []string, value string) {
	name := variableName(keys)
	switch {
	case strings.Trim(name, "_") == "":
		f.refuse("%s: nothing of this name is a letter or digit", at)
	case name[0] >= '0' && name[0] <= '9':
		f.refuse("%s: the variable %s would begin with a digit", at, name)
	case strings.IndexByte(value, 0) >= 0:
		f.refuse("%s: the value holds a NUL, which no variable can", at)
	default:
		f.found = append(f.found, variable{name, value, at.String()})
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
		origins[v.name] = append(origins[v.name], v.origin)
	}
	for _, name := range slices.Sorted(maps.Keys(origins)) {
		if all := origins[name]; len(all) > 1 {
			f.refuse("%s: more than one value would be %s", strings.Join(all, ", "), name)
		}
	}
}

func (f *flattener) steering() {
	for _, v := range f.found {
		if steersPrograms(v.name) && !slices.Contains(f.rules.allowed, v.name) {
			f.steers++
			f.refuse("%s: %s steers a loader, shell or interpreter", v.origin, v.name)
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
		return failure.hint("--keep-references passes the text on as it stands")
	}
	return failure.hint("docs/run.md has the rules")
}

// mergeEnviron adds variables to an environment. A name that the caller has set
// stays the caller's, unless override.
func mergeEnviron(environ []string, variables []variable, override bool) []string {
	own := map[string]int{}
	merged := slices.Clone(environ)
	for i, entry := range merged {
		name, _, _ := strings.Cut(entry, "=")
		own[name] = i
	}
	for _, v := range variables {
		at, taken := own[v.name]
		switch {
		case !taken:
			merged = append(merged, v.name+"="+v.value)
		case override:
			merged[at] = v.name + "=" + v.value
		}
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
