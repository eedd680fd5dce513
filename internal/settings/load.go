package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds a settings file in bytes.
const maxFile = 1 << 20

// given is what one place says about a setting.
type given struct {
	text  string
	where string // how the operator finds it again
}

// Load reads the settings from flags by name, an environment as os.Environ gives
// it, and the settings file that either of them names. What it answers has its
// defaults and is valid; the error names everything that is wrong.
func Load(flags map[string]string, environ []string) (Settings, error) {
	fromEnv, err := readEnv(environ)
	if err != nil {
		return Settings{}, err
	}
	fromFlags, err := readFlags(flags)
	if err != nil {
		return Settings{}, err
	}
	places := []map[string]given{fromFlags, fromEnv}
	if file, ok := pick(SettingsFile, places); ok {
		fromFile, err := readFile(file.text)
		if err != nil {
			return Settings{}, err
		}
		places = append(places, fromFile)
	}
	return settle(places)
}

// settle takes each setting from the first place that has it.
func settle(places []map[string]given) (Settings, error) {
	var s Settings
	var wrong []error
	for _, o := range options {
		if value, ok := pick(o.name, places); ok {
			if err := o.set(&s, value.text); err != nil {
				wrong = append(wrong, fmt.Errorf("%s (%s): %s %w", o.name, value.where, o.quoted(value.text), err))
			}
		}
	}
	if len(wrong) > 0 {
		return Settings{}, errors.Join(wrong...)
	}
	s = s.WithDefaults()
	return s, s.Validate()
}

func pick(name string, places []map[string]given) (given, bool) {
	for _, place := range places {
		if value, ok := place[name]; ok {
			return value, true
		}
	}
	return given{}, false
}

func readFlags(flags map[string]string) (map[string]given, error) {
	found := make(map[string]given, len(flags))
	for name, text := range flags {
		if _, ok := find(name); !ok {
			return nil, fmt.Errorf("there is no setting %q%s", name, nearest(name))
		}
		found[name] = given{text, "flag --" + name}
	}
	return found, nil
}

// readEnv takes an empty variable for one that is not set: that is how
// deployment tools write "nothing".
func readEnv(environ []string) (map[string]given, error) {
	found := map[string]given{}
	var wrong []error
	for _, entry := range environ {
		variable, text, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(variable, EnvPrefix)
		if !ours || text == "" {
			continue
		}
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if o, ok := find(name); !ok || o.env() != variable {
			wrong = append(wrong, fmt.Errorf("environment variable %s: there is no setting %q%s", variable, name, nearest(name)))
			continue
		}
		found[name] = given{text, "environment variable " + variable}
	}
	return found, errors.Join(wrong...)
}

func readFile(file string) (map[string]given, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the settings file cannot be read: %w; check the path, or leave --%s out", err, SettingsFile)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("the settings file cannot be read: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %s, which is no settings file; check --%s", file, formatSize(maxFile), SettingsFile)
	}
	return parseFile(file, text)
}

// parseFile reads a flat YAML mapping of names to values or lists of values.
func parseFile(file string, text []byte) (map[string]given, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var document yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s is not YAML: %w", file, err)
	}
	if err := loader.Load(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s holds more than one YAML document; keep one", file)
	}
	root := &document
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: settings are written as `name: value`, one a line", file, root.Line)
	}
	return readMapping(file, root)
}

func readMapping(file string, root *yaml.Node) (map[string]given, error) {
	found := map[string]given{}
	var wrong []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		where := fmt.Sprintf("%s:%d", file, key.Line)
		if _, ok := find(key.Value); !ok {
			wrong = append(wrong, fmt.Errorf("%s: there is no setting %q%s", where, key.Value, nearest(key.Value)))
			continue
		}
		if key.Value == SettingsFile {
			wrong = append(wrong, fmt.Errorf("%s: a settings file cannot name another; remove the line", where))
			continue
		}
		if first, twice := found[key.Value]; twice {
			wrong = append(wrong, fmt.Errorf("%s: %s is set already at %s; keep one", where, key.Value, first.where))
			continue
		}
		text, err := scalarText(value)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %s %w", where, key.Value, err))
			continue
		}
		found[key.Value] = given{text, where}
	}
	return found, errors.Join(wrong...)
}

// scalarText is a value as a flag would have it; a list has commas.
func scalarText(value *yaml.Node) (string, error) {
	switch value.Kind {
	case yaml.ScalarNode:
		if value.Tag == "!!null" {
			return "", errors.New("has no value; give it one, or remove the line for the default")
		}
		return value.Value, nil
	case yaml.SequenceNode:
		texts := make([]string, len(value.Content))
		for i, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("holds a list of something else than plain values; write [a, b]")
			}
			texts[i] = item.Value
		}
		return strings.Join(texts, ","), nil
	default:
		return "", errors.New("is neither a plain value nor a list of them; settings are flat")
	}
}

// nearest proposes the setting that was probably meant, as the end of a sentence.
func nearest(name string) string {
	best := slices.MinFunc(options, func(a, b option) int {
		return distance(name, a.name) - distance(name, b.name)
	})
	if distance(name, best.name) <= 2 {
		return fmt.Sprintf("; did you mean %q?", best.name)
	}
	return "; `llm-config serve --help` lists them"
}

// distance is the number of characters to add, drop or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			before, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, before+cost)
		}
	}
	return row[len(b)]
}
