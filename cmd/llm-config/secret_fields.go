package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// maxSecret bounds what is read for one secret; the server takes no more.
const maxSecret = 64 << 10

// secretFields reads the fields of a secret from wherever they are, never from
// the arguments themselves, and never says a value.
type secretFields struct {
	app         *app
	field       string   // of a value that comes alone
	asBytes     []string // fields that are bytes, whatever they look like
	jsonFile    string
	keepNewline bool

	values map[string]json.RawMessage
	base64 []string
	piped  bool // standard input has been read
}

// read reads the fields that the arguments behind PATH name, else those of the
// JSON file, else one value from standard input.
func (f *secretFields) read(args []string) error {
	f.values = map[string]json.RawMessage{}
	if f.jsonFile != "" {
		return f.readJSON()
	}
	sources := make([]fieldSource, len(args))
	for i, arg := range args {
		var err error
		if sources[i], err = parseFieldSource(arg); err != nil {
			return err
		}
		if slices.ContainsFunc(sources[:i], func(s fieldSource) bool { return s.field == sources[i].field }) {
			return failf("the field %s is given twice", sources[i].field).hint("give it once")
		}
	}
	if len(sources) == 0 {
		sources = []fieldSource{{field: f.field, from: "-"}}
	}
	for _, source := range sources {
		if err := f.readField(source); err != nil {
			return err
		}
	}
	for _, field := range f.asBytes {
		if _, ok := f.values[field]; !ok {
			return failf("--bytes names the field %s, and no value is given for it", field)
		}
	}
	return nil
}

// fieldSource is FIELD=@FILE or FIELD=-.
type fieldSource struct{ field, from string }

func parseFieldSource(arg string) (fieldSource, error) {
	field, from, found := strings.Cut(arg, "=")
	// What is before the = may be a piece of a value too, so it is shown only
	// where it has the form of a name, and is not base64 with what fills it up.
	if _, err := config.ParsePath(field); err != nil || !found || strings.Contains(field, "/") || strings.Trim(from, "=") == "" {
		return fieldSource{}, failf("what stands behind PATH is not FIELD=@FILE or FIELD=-").
			hint("a value is never an argument: leave it out to be asked for it, or give it on standard input or in a file")
	}
	switch file, inFile := strings.CutPrefix(from, "@"); {
	case from == "-":
		return fieldSource{field, from}, nil
	case inFile && file != "":
		return fieldSource{field, file}, nil
	}
	return fieldSource{}, failf("the field %s is given among the arguments, which everybody on this machine can read", field).
		hint("write %s=@FILE, %s=- for standard input, or leave it out and give --field %s to be asked; and if that was the real value, replace it: it is in your shell's history",
			field, field, field)
}

func (f *secretFields) readField(s fieldSource) error {
	value, err := f.readSource(s)
	if err != nil {
		return err
	}
	defer clear(value)
	switch {
	case len(value) == 0:
		return failf("the value for the field %s is empty", s.field).hint("give one, or delete the secret with `llm-config secret delete`")
	case slices.Contains(f.asBytes, s.field) || !utf8.Valid(value):
		f.base64 = append(f.base64, s.field)
		f.values[s.field] = quoted(base64.StdEncoding.EncodeToString(value))
		return nil
	}
	if !f.keepNewline {
		if cut := withoutNewline(value); len(cut) < len(value) {
			if value = cut; len(value) == 0 {
				return failf("the value for the field %s is a newline and nothing else", s.field).hint("give a value")
			}
			f.app.note("%s: the newline at the end is left out; --keep-newline keeps it", s.field)
		}
	}
	f.values[s.field] = quoted(string(value))
	return nil
}

// quoted is a text as JSON.
func quoted(text string) json.RawMessage { return canon.Append(nil, text) }

func withoutNewline(value []byte) []byte {
	value, found := bytes.CutSuffix(value, []byte{'\n'})
	if found {
		value = bytes.TrimSuffix(value, []byte{'\r'})
	}
	return value
}

func (f *secretFields) readSource(s fieldSource) ([]byte, error) {
	if s.from != "-" {
		return readSecretFile(s.from)
	}
	if isTerminal(f.app.stdin) {
		return f.app.askSecret(s.field)
	}
	if f.piped {
		return nil, failf("two fields are to come from standard input").hint("give one of them as FIELD=@FILE, or all of them with --json-file")
	}
	f.piped = true
	return readSecretBytes(f.app.stdin, "standard input")
}

func readSecretFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readSecretBytes(file, name)
}

func readSecretBytes(r io.Reader, name string) ([]byte, error) {
	value, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if len(value) > maxSecret {
		clear(value)
		return nil, failf("%s is more than the %d bytes that a secret may have", name, maxSecret).hint("is it the right file?")
	}
	return value, err
}

// readJSON reads all fields from one JSON object.
func (f *secretFields) readJSON() error {
	name, read := f.jsonFile, func() ([]byte, error) { return readSecretFile(f.jsonFile) }
	if name == "-" {
		name, read = "standard input", func() ([]byte, error) { return readSecretBytes(f.app.stdin, "standard input") }
	}
	text, err := read()
	if err != nil {
		return err
	}
	defer clear(text)
	document, err := config.Decode(config.JSON, text, config.Limits{Bytes: maxSecret})
	if err != nil {
		refusal := *asFailure(inArgument(name, err))
		refusal.where, refusal.details = "", nil // keys of a value are as secret as the rest; the line is said
		return &refusal
	}
	if len(document.Root()) == 0 {
		return failf("%s has no fields", name).hint(`write them like {"user": "app", "password": "…"}`)
	}
	for field, value := range document.Root() {
		f.values[field] = canon.Append(nil, value)
	}
	for _, field := range f.asBytes {
		if _, ok := f.values[field]; !ok {
			return failf("--bytes names the field %s, which %s does not have", field, name)
		}
	}
	f.base64 = f.asBytes
	return nil
}

// askSecret asks for a value at the terminal, twice and without showing it. The
// question goes to the terminal itself, whatever standard error is, and only
// when the terminal shows nothing any more.
func (a *app) askSecret(field string) ([]byte, error) {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, failf("there is no terminal to ask for the field %s at", field).hint("give it on standard input or as %s=@FILE", field)
	}
	defer terminal.Close()
	before, err := term.MakeRaw(int(terminal.Fd()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = term.Restore(int(terminal.Fd()), before) }()
	lines := term.NewTerminal(terminal, "")
	first, err := lines.ReadPassword("Value of " + field + ": ")
	if err != nil {
		return nil, unanswered(err)
	}
	again, err := lines.ReadPassword("The same again: ")
	if err != nil {
		return nil, unanswered(err)
	}
	if first != again {
		return nil, failf("the two differ, so nothing was written").hint("try again")
	}
	return []byte(first), nil
}

// unanswered tells Ctrl-C and Ctrl-D from a terminal that fails.
func unanswered(err error) error {
	if errors.Is(err, io.EOF) {
		return failf("no value was given, so nothing was written")
	}
	return err
}
