package sink

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// signed is a note of a head; more tells two of the same head apart.
func signed(sequence uint64, hash, more string) []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\ntime 2026-11-01T12:04:05.000000000Z\n\n— llm-config %s\n", origin, sequence, hash, more)
}

func TestAnchorInAFolder(t *testing.T) {
	folder := t.TempDir()
	a, err := OpenAnchor(t.Context(), "file://"+folder, Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, want string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(folder, origin, "checkpoints", name))
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v)", name, got, err)
		}
	}
	keep := func(sequence uint64, note []byte) {
		t.Helper()
		if err := a.Keep(t.Context(), origin, sequence, note); err != nil {
			t.Fatal(err)
		}
	}
	ten, twenty := signed(10, "aGFzaDEw", "a"), signed(20, "aGFzaDIw", "a")
	keep(10, ten)
	file("00000000000000000010.note", string(ten))
	file("latest.note", string(ten))
	keep(20, twenty)
	keep(20, twenty)
	file("00000000000000000020.note", string(twenty))
	file("latest.note", string(twenty))

	keep(10, ten) // late
	file("latest.note", string(twenty))
	again := signed(20, "aGFzaDIw", "by another key")
	keep(20, again) // the same head: the first note stays
	file("00000000000000000020.note", string(twenty))
	file("latest.note", string(again))

	for _, forked := range [][]byte{signed(20, "Zm9yaw==", "a"), signed(21, "aGFzaDIw", "a"), []byte(strings.Replace(string(twenty), origin, "other", 1)), nil} {
		refuse(t, a.Keep(t.Context(), origin, 20, forked), config.KindConflict, "forked", "00000000000000000020.note")
		file("00000000000000000020.note", string(twenty))
		file("latest.note", string(again))
	}
	if err := a.Keep(t.Context(), origin, 30, make([]byte, audit.MaxNote+1)); config.KindOf(err) != config.KindTooLarge {
		t.Errorf("a large note: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, origin, "checkpoints", "latest.note"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	keep(30, signed(30, "aGFzaDMw", "a"))
	file("latest.note", string(signed(30, "aGFzaDMw", "a")))
	if err := a.Close(); err != nil || a.Name() != "file:"+folder {
		t.Errorf("%s, %v", a.Name(), err)
	}
}

func TestAnchorAtAWebhook(t *testing.T) {
	r := receive(t)
	a, err := OpenAnchor(t.Context(), r.URL+"/hunter2", r.options)
	if err != nil {
		t.Fatal(err)
	}
	note := signed(10, "aGFzaDEw", "a")
	for range 2 {
		if err := a.Keep(t.Context(), origin, 10, note); err != nil {
			t.Fatal(err)
		}
	}
	var got struct {
		Origin, Note string
		Sequence     uint64
	}
	if err := json.Unmarshal(r.bodies[0], &got); err != nil || got.Origin != origin || got.Sequence != 10 || got.Note != string(note) {
		t.Errorf("%s (%v)", r.bodies[0], err)
	}
	if r.ids[0] != r.ids[1] || !strings.HasPrefix(r.ids[0], "checkpoint_") || r.types[0] != "application/json" || a.Name() != r.URL {
		t.Errorf("ids %v, types %v, %s", r.ids, r.types, a.Name())
	}
	r.mu.Lock()
	r.status = 500
	r.mu.Unlock()
	refuse(t, a.Keep(t.Context(), origin, 10, note), config.KindUnavailable)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnchorURLs(t *testing.T) {
	for _, url := range []string{"file:///var/anchor", "s3://bucket/anchor?region=eu-central-1", "gs://bucket", "azblob://box", "https://anchor.example.com/a", "http://localhost:9000"} {
		if err := CheckAnchor(url); err != nil {
			t.Error(url, err)
		}
	}
	for _, url := range []string{"", "syslog+tcp://h:601/hunter2", "http://anchor.example.com/hunter2", "ftp://hunter2"} {
		refuse(t, CheckAnchor(url), config.KindBadRequest)
		_, err := OpenAnchor(t.Context(), url, Options{})
		refuse(t, err, config.KindBadRequest)
	}
}
