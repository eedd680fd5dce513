package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree makes files in a new folder; a name that ends in "->" is a link to the text.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		link, isLink := strings.CutSuffix(name, "->")
		at := filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if isLink {
			if err := os.Symlink(text, at); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadFolder(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		only    string
		want    []string // as environment:path=canonical text
		skipped []string
		wrong   []string // beginnings of the details
	}{
		{
			name: "three formats, nested paths, dots in names",
			files: map[string]string{
				"base/gateway/models.yaml": "a: 1\n", "base/limits.toml": "b = 2\n", "base/v1.2.json": `{"c":3}`, "staging/limits.yml": "{}",
			},
			want: []string{`base:gateway/models={"a":1}`, `base:limits={"b":2}`, `base:v1.2={"c":3}`, `staging:limits={}`},
		},
		{
			name:  "one environment alone",
			files: map[string]string{"base/a.yaml": "{}", "staging/b.yaml": "not: [closed"},
			only:  "base",
			want:  []string{`base:a={}`},
		},
		{
			name:    "hidden and foreign files",
			files:   map[string]string{"base/a.json": "{}", "base/.a.yaml.new": "x", "base/.git/b.json": "x", ".hidden/c.json": "x", "README.md": "x", "base/notes.txt": "x"},
			want:    []string{`base:a={}`},
			skipped: []string{"README.md", "base/notes.txt"},
		},
		{
			name:  "links within the folder",
			files: map[string]string{"base/.store/a.json": `{"x":1}`, "base/a.json->": ".store/a.json"},
			want:  []string{`base:a={"x":1}`},
		},
		{
			name:  "links out of the folder, to folders, to nowhere",
			files: map[string]string{"base/a.json->": "/etc/hostname", "base/b.json->": "../../b.json", "base/sub->": "other", "base/other/c.json": "{}", "base/d.json->": "none.json", "production->": "base"},
			wrong: []string{
				"base/a.json: a link that leads out", "base/b.json: a link that leads out", "base/d.json: a link that leads out",
				"base/sub: a link to a folder", "production: a link to a folder",
			},
		},
		{
			name:  "two files for one document",
			files: map[string]string{"base/a.json": "{}", "base/a.yaml": "{}"},
			wrong: []string{"base/a.json and base/a.yaml: both are base:a"},
		},
		{
			name: "all that is wrong at once",
			files: map[string]string{
				"base/bad name.json": "{}", "base/list.json": "[]", "base/twice.json": `{"a":1,"a":2}`, "Base/x.json": "{}", "loose.yaml": "{}", "base/tabs.yaml": "\ta: 1",
			},
			wrong: []string{
				"Base: no environment", "base/bad name.json: a path may hold only", "base/list.json: a document is an object",
				"base/tabs.yaml: line 1", "base/twice.json: line 1", "loose.yaml: belongs into",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := openFolder(tree(t, c.files))
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
			content, err := f.read(c.only)
			var got, wrong []string
			if err != nil {
				wrong = asFailure(err).details
				slices.Sort(wrong)
			} else {
				for _, l := range content.layers {
					got = append(got, l.key().String()+"="+string(l.document.Canonical()))
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("layers: -want +got\n%s", diff)
			}
			if err == nil && !slices.Equal(c.skipped, content.skipped) {
				t.Errorf("skipped %q, want %q", content.skipped, c.skipped)
			}
			for i, text := range wrong {
				if i >= len(c.wrong) || !strings.HasPrefix(text, c.wrong[i]) {
					t.Errorf("refusal %q is not among %q", text, c.wrong)
				}
			}
			if len(wrong) != len(c.wrong) {
				t.Errorf("refusals %q, want %q", wrong, c.wrong)
			}
		})
	}
}

func TestFolderWritesWholeFiles(t *testing.T) {
	dir := tree(t, map[string]string{"base/a.yaml": "old: 1\n"})
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	for _, name := range []string{"base/a.yaml", "staging/deep/er/b.yaml"} {
		if err := f.write(name, []byte("new: 1\n")); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != "new: 1\n" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	var left []string
	_ = fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, _ error) error {
		if !e.IsDir() {
			left = append(left, name)
		}
		return nil
	})
	if diff := cmp.Diff([]string{"base/a.yaml", "staging/deep/er/b.yaml"}, left); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
}

func TestFolderWritesNothingOutside(t *testing.T) {
	outside := t.TempDir()
	f, err := openFolder(tree(t, map[string]string{"base->": outside}))
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if err := f.write("base/a.yaml", []byte("x")); err == nil {
		t.Error("wrote through a link")
	}
	if _, err := os.Stat(filepath.Join(outside, "a.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is outside: %v", err)
	}
}

func TestSameName(t *testing.T) {
	for _, c := range []struct {
		paths   []string
		refused bool
	}{
		{[]string{"a", "a/b", "b"}, false},
		{[]string{"a/x", "a/y", "a/z/w"}, false},
		{[]string{"a", "A"}, true},
		{[]string{"A/x", "a/y"}, true},
		{[]string{"a", "a.yaml/b"}, true},
		{[]string{"a", "A.YAML/b"}, true},
	} {
		for _, order := range []func([]string){func([]string) {}, slices.Reverse[[]string]} {
			paths := slices.Clone(c.paths)
			order(paths)
			keys := make([]layerKey, len(paths))
			for i, path := range paths {
				keys[i] = layerKey{"base", path}
			}
			err := sameName(keys, func(k layerKey) string { return fileName(k, "yaml") })
			if (err != nil) != c.refused {
				t.Errorf("%q: %v, refused should be %v", paths, err, c.refused)
			}
		}
	}
}
