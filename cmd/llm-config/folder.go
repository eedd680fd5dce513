package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// folder is a tree of files DIR/<environment>/<path>.<json|yaml|toml>. It is
// opened once and never left: a link that points outside does not resolve.
type folder struct {
	name string
	root *os.Root
}

// layerFile is one layer that a folder holds.
type layerFile struct {
	environment string
	path        config.Path
	file        string // name within the folder
	format      config.Format
	document    config.Document
}

func (l layerFile) key() layerKey { return layerKey{l.environment, l.path.String()} }

// layerKey addresses a layer.
type layerKey struct{ environment, path string }

func (k layerKey) String() string { return k.environment + ":" + k.path }

func openFolder(name string) (*folder, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, folderError(name, err)
	}
	return &folder{name: name, root: root}, nil
}

func (f *folder) close() { _ = f.root.Close() }

// folderContent is what a folder holds.
type folderContent struct {
	layers       []layerFile     // by environment and path
	environments []string        // those with a folder of their own, sorted
	skipped      []string        // files whose names end in nothing of ours
	prefixes     map[string]bool // first segments of the paths in any environment, also in those not asked for
}

func (c *folderContent) addPrefixes(environment string, names []string) {
	for _, name := range names {
		file := strings.TrimPrefix(name, environment+"/")
		c.prefixes[firstSegment(strings.TrimSuffix(file, path.Ext(file)))] = true
	}
}

func firstSegment(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

// read reads all layers, or those of one environment. Everything wrong is told
// at once.
func (f *folder) read(only string) (folderContent, error) {
	content := folderContent{prefixes: map[string]bool{}}
	top, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return content, folderError(f.name, err)
	}
	var wrong []string
	for _, entry := range top {
		name := entry.Name()
		switch isDir, err := f.isDir(name, entry); {
		case hidden(name):
		case err != nil:
			wrong = append(wrong, err.Error())
		case !isDir && formatOfFile(name) != "":
			wrong = append(wrong, name+": belongs into the folder of an environment")
		case !isDir:
			content.skipped = append(content.skipped, name)
		case config.CheckName(name) != nil:
			wrong = append(wrong, name+": no environment can have this name")
		case only == "" || only == name:
			content.environments = append(content.environments, name)
			wrong = append(wrong, f.walk(name, &content)...)
		default:
			names, _, _ := f.files(name)
			content.addPrefixes(name, names)
		}
	}
	wrong = append(wrong, twice(content.layers)...)
	if wrong != nil {
		refusal := failf("the folder %s cannot be applied", f.name).hint("mend what is listed; nothing was changed")
		refusal.details = wrong
		return content, refusal
	}
	return content, nil
}

// walk reads the layers of one environment and says what is wrong with them.
func (f *folder) walk(environment string, content *folderContent) (wrong []string) {
	names, skipped, wrong := f.files(environment)
	content.skipped = append(content.skipped, skipped...)
	content.addPrefixes(environment, names)
	for _, name := range names {
		layer, err := f.layer(environment, name)
		if err != nil {
			wrong = append(wrong, name+": "+asFailure(err).Error())
			continue
		}
		content.layers = append(content.layers, layer)
	}
	return wrong
}

// files are the names of an environment's documents, whatever they hold, and
// of the files left out.
func (f *folder) files(environment string) (names, skipped, wrong []string) {
	err := fs.WalkDir(f.root.FS(), environment, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case hidden(entry.Name()) && name != environment:
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		isDir, err := f.isDir(name, entry)
		switch {
		case err != nil:
			wrong = append(wrong, err.Error())
		case isDir:
		case formatOfFile(name) == "":
			skipped = append(skipped, name)
		default:
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		wrong = append(wrong, asFailure(err).Error())
	}
	return names, skipped, wrong
}

// isDir follows a link, if it is one, as far as the folder goes.
func (f *folder) isDir(name string, entry fs.DirEntry) (bool, error) {
	if entry.Type()&fs.ModeSymlink == 0 {
		return entry.IsDir(), nil
	}
	info, err := f.root.Stat(name)
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: a link that leads out of the folder, or nowhere", name)
	case info.IsDir():
		return false, fmt.Errorf("%s: a link to a folder; put the files here", name)
	}
	return false, nil
}

func (f *folder) layer(environment, name string) (layerFile, error) {
	layer := layerFile{environment: environment, file: name, format: formatOfFile(name)}
	var err error
	stem := strings.TrimPrefix(strings.TrimSuffix(name, path.Ext(name)), environment+"/")
	if layer.path, err = config.ParsePath(stem); err != nil {
		return layer, err
	}
	text, err := f.readFile(name)
	if err != nil {
		return layer, err
	}
	layer.document, err = config.Decode(layer.format, text, localLimits)
	return layer, err
}

// readFile reads a regular file, and no more of it than a document may have.
func (f *folder) readFile(name string) ([]byte, error) {
	info, err := f.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file)
}

// twice names the documents that more than one file holds.
func twice(layers []layerFile) (wrong []string) {
	slices.SortFunc(layers, func(a, b layerFile) int {
		return cmp.Or(cmp.Compare(a.environment, b.environment), a.path.Compare(b.path), cmp.Compare(a.file, b.file))
	})
	for i := 1; i < len(layers); i++ {
		if a, b := layers[i-1], layers[i]; a.key() == b.key() {
			wrong = append(wrong, fmt.Sprintf("%s and %s: both are %s", a.file, b.file, a.key()))
		}
	}
	return wrong
}

// write replaces a file at once: whoever reads it sees the old text or the new.
func (f *folder) write(name string, text []byte) error {
	if err := f.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	// Hidden, so that a copy left by a crash is never applied.
	temporary := path.Join(path.Dir(name), "."+path.Base(name)+".new")
	if err := f.root.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	return f.root.Rename(temporary, name)
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// formatOfFile is the format that a file's ending names, "" for none of ours.
func formatOfFile(name string) config.Format {
	format, err := config.ParseFormat(path.Ext(name))
	if err != nil {
		return ""
	}
	return format
}

func fileName(key layerKey, format config.Format) string {
	return key.environment + "/" + key.path + "." + string(format)
}

// maxBody is what the server reads of a request. How much of that a document
// may be is the server's to say.
const maxBody = 10 << 20

var localLimits = config.Limits{Bytes: maxBody}

func readBounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if len(text) > maxBody {
		return nil, failf("more than %d bytes, which is more than the server takes", maxBody)
	}
	return text, err
}

func folderError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return failf("there is no folder %s", name).hint("it should hold <environment>/<path>.yaml files; `llm-config export` writes one")
	}
	return err
}

// sameName finds keys whose files would be one file, or a file and a folder of
// one name, on a disk that ignores letter case.
func sameName(keys []layerKey, name func(layerKey) string) error {
	spelled := map[string]string{} // lower-case name → as first seen
	isFile := map[string]bool{}
	clash := func(a, b string) error {
		return failf("%s and %s cannot both be files: some disks ignore letter case, and a name is a file or a folder", a, b).
			hint("rename one, or export one --prefix at a time")
	}
	for _, key := range keys {
		full := name(key)
		for part := full; part != "."; part = path.Dir(part) {
			lower := strings.ToLower(part)
			first, seen := spelled[lower]
			if seen && (first != part || isFile[lower] != (part == full)) {
				return clash(first, part)
			}
			spelled[lower], isFile[lower] = part, part == full
		}
	}
	return nil
}

// putEdit writes a layer that must still have the version seen before.
func putEdit(key layerKey, document config.Document, version int64) api.Edit {
	return api.Edit{
		Op: api.OpPut, Environment: key.environment, Path: key.path,
		Document: document.Canonical(), IfVersion: &version,
	}
}

func compareKeys(a, b layerKey) int {
	return cmp.Or(cmp.Compare(a.environment, b.environment), cmp.Compare(a.path, b.path))
}
