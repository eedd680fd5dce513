package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// platform is examples/platform as a server would merge it: environment → path → layer.
type platform map[string]map[config.Path]config.Document

func readPlatform(t *testing.T) platform {
	t.Helper()
	root, p := filepath.Join(top(t), "examples", "platform"), platform{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		environment, file, _ := strings.Cut(filepath.ToSlash(relative), "/")
		extension := filepath.Ext(file)
		format, err := config.ParseFormat(extension[1:])
		if err != nil {
			return err
		}
		path, err := config.ParsePath(strings.TrimSuffix(file, extension))
		if err != nil {
			return err
		}
		if p[environment] == nil {
			p[environment] = map[config.Path]config.Document{}
		}
		p[environment][path], err = config.Decode(format, text, config.Limits{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// merged is the document at a path before references are resolved.
func (p platform) merged(environment string) func(config.Path) config.Document {
	return func(path config.Path) config.Document {
		var layers []config.Document
		for _, name := range []string{environment, config.BaseEnvironment} {
			if layer, ok := p[name][path]; ok {
				layers = append(layers, layer)
			}
		}
		return config.Merge(layers)
	}
}

func TestTheExamplePlatformIsSound(t *testing.T) {
	p := readPlatform(t)
	kinds := map[string]int{}
	for path := range p[config.BaseEnvironment] {
		kind, _, _ := strings.Cut(path.String(), "/")
		kinds[kind]++
	}
	for kind, least := range map[string]int{"gateway": 2, "models": 6, "providers": 4, "prompts": 2, "limits": 2, "routing": 2} {
		if kinds[kind] < least {
			t.Errorf("base has %d documents under %s; the example promises %d", kinds[kind], kind, least)
		}
	}
	for _, environment := range []string{"development", "staging", "production"} {
		if len(p[environment]) == 0 {
			t.Errorf("%s says nothing of its own", environment)
		}
		for path := range p[config.BaseEnvironment] {
			effective, err := config.Resolve(path, p.merged(environment), config.MaxDocumentBytes)
			if err != nil {
				t.Errorf("%s of %s: %v", path, environment, err)
				continue
			}
			text := string(effective.Document.Canonical())
			if strings.Contains(text, "${config:") {
				t.Errorf("%s of %s keeps a reference: %s", path, environment, text)
			}
			if strings.HasPrefix(path.String(), "providers/") && !strings.Contains(text, "${secret:"+path.String()+"#") {
				t.Errorf("%s of %s does not take its key from a secret", path, environment)
			}
		}
	}
}

func TestTheExamplesRemovalMarkRemoves(t *testing.T) {
	p := readPlatform(t)
	path, err := config.ParsePath("gateway/chat")
	if err != nil {
		t.Fatal(err)
	}
	for environment, has := range map[string]bool{"development": true, "staging": true, "production": false} {
		service, ok := p.merged(environment)(path).Root()["service"].(map[string]any)
		if _, found := service["debug"]; !ok || found != has {
			t.Errorf("%s: service.debug is there: %t", environment, found)
		}
	}
}
