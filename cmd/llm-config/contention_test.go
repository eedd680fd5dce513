package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

const (
	contenders  = 64
	increments  = 10
	sharedPaths = 4
	spectators  = 8
)

// TestContention lets 64 clients count up the same few documents by
// compare-and-set, while spectators watch and keep losing their connection. No
// count may be lost, and every spectator must see every revision of its
// environment in order, exactly once.
func TestContention(t *testing.T) {
	server := startServer(t, filepath.Join(t.TempDir(), "data"))
	begin := seed(t, server.client)

	seen := make([][]int64, spectators) // spectator → revisions, in the order they came
	var watching sync.WaitGroup
	for i := range spectators {
		watching.Go(func() { seen[i] = spectate(t, server.client, begin, begin+contenders*increments) })
	}

	made := make([][]int64, contenders) // client → the revisions it made
	var counting sync.WaitGroup
	for i := range contenders {
		counting.Go(func() {
			for n := range increments {
				made[i] = append(made[i], increment(t, server.client, fmt.Sprintf("counter-%d", (i+n)%sharedPaths)))
			}
		})
	}
	counting.Wait()
	all := slices.Concat(made...)
	slices.Sort(all)
	watching.Wait()

	if len(all) != contenders*increments || all[0] != begin+1 || all[len(all)-1] != begin+int64(len(all)) {
		t.Fatalf("%d revisions from %d to %d: they must be gapless and unrepeated", len(all), all[0], all[len(all)-1])
	}
	for i, revisions := range seen {
		if !slices.Equal(revisions, all) {
			t.Errorf("spectator %d saw %d revisions, in another order or not each once, of %d", i, len(revisions), len(all))
		}
	}
	total := 0
	for i := range sharedPaths {
		total += readShared(t, server.client, fmt.Sprintf("counter-%d", i)).N
	}
	if total != contenders*increments {
		t.Errorf("the documents count %d, %d was written", total, contenders*increments)
	}
}

// seed writes the documents at zero and answers the revision they are at.
func seed(t *testing.T, c *client.Client) int64 {
	t.Helper()
	var edits []api.Edit
	for i := range sharedPaths {
		edits = append(edits, api.Edit{Op: api.OpPut, Environment: "base", Path: fmt.Sprintf("counter-%d", i), Document: json.RawMessage(`{"n":0}`)})
	}
	result, err := c.PostChange(t.Context(), api.Change{Edits: edits})
	if err != nil {
		t.Fatal(err)
	}
	return result.Revision
}

type shared struct {
	N       int
	Version int64
}

func readShared(t *testing.T, c *client.Client, path string) shared {
	t.Helper()
	doc, err := c.Layer(t.Context(), "base", path, client.Read{})
	if err != nil {
		t.Error(err)
		return shared{}
	}
	var value counter
	if err := json.Unmarshal(doc.Data, &value); err != nil {
		t.Error(err)
	}
	return shared{value.N, doc.Version}
}

// increment counts one up, however often others are faster.
func increment(t *testing.T, c *client.Client, path string) int64 {
	for {
		now := readShared(t, c, path)
		result, err := c.PutLayer(t.Context(), "base", path, fmt.Appendf(nil, `{"n":%d}`, now.N+1), client.Write{IfVersion: &now.Version})
		switch {
		case err == nil:
			return result.Revision
		case errors.Is(err, client.ErrPreconditionFailed):
		default:
			t.Error(err)
			return 0
		}
	}
}

// spectate watches production, which inherits everything, and hangs up after a
// random number of events to resume where it was, until the last revision.
func spectate(t *testing.T, c *client.Client, after, last int64) []int64 {
	var revisions []int64
	for after < last {
		patience := 1 + rand.IntN(60)
		for event, err := range c.Watch(t.Context(), "production", client.WatchQuery{After: after}) {
			if err != nil || event.Kind == api.EventReset {
				t.Error(event.Kind, err)
				return revisions
			}
			after = event.Revision
			if event.Kind == api.EventChange {
				revisions = append(revisions, event.Revision)
				patience--
			}
			if after >= last || patience == 0 {
				break
			}
		}
	}
	return revisions
}
