package seal_test

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// The database never counts fewer seals than were made, and no data key makes
// more than its share: whatever crashes, and however many processes there are.
func TestSealsAreNeverUndercounted(t *testing.T) {
	w := newWorld(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		w.data.crash = false
		options := seal.Options{
			SealsPerEpoch: rapid.Int64Range(1, 20).Draw(r, "seals per epoch"),
			SealsPerBlock: rapid.Int64Range(1, 8).Draw(r, "seals per block"),
		}
		run++
		id := config.TenantID{1, byte(run >> 8), byte(run)}
		processes := []*seal.Keyring{w.start(t, options), w.start(t, options)}
		mustFound(t, processes[0], id)
		made := map[uint32]int64{}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			n := rapid.IntRange(0, 1).Draw(r, "process")
			switch rapid.SampledFrom([]string{"seal", "seal", "seal", "restart", "crash in reservation"}).Draw(r, "step") {
			case "seal":
				at := seal.Place{Kind: seal.Entry, Tenant: id, Version: int64(len(made))}
				sealed := mustSeal(r, processes[n], at, []byte("text"))
				made[epochOf(sealed)]++
				mustOpen(r, processes[1-n], at, sealed, []byte("text"))
			case "restart":
				processes[n] = w.start(t, options)
			case "crash in reservation":
				w.data.crash = true
				sealed, err := processes[n].Seal(t.Context(), seal.Place{Tenant: id}, nil)
				if w.data.crash = false; err == nil {
					made[epochOf(sealed)]++
				}
			}
			reserved := w.data.reserved(t, id)
			for epoch, count := range made {
				if count > reserved[epoch] {
					r.Fatalf("epoch %d: %d seals made, %d counted", epoch, count, reserved[epoch])
				}
				if count > options.SealsPerEpoch {
					r.Fatalf("epoch %d: %d seals made, %d allowed", epoch, count, options.SealsPerEpoch)
				}
			}
		}
	})
}

func TestEpochsFollowEachOther(t *testing.T) {
	w, k := founded(t, seal.Options{SealsPerEpoch: 10, SealsPerBlock: 4})
	var epochs []uint32
	for range 20 {
		epochs = append(epochs, epochOf(mustSeal(t, k, place, nil)))
	}
	// Two blocks of four fit into ten seals; the third would not.
	const want = "[1 1 1 1 1 1 1 1 2 2 2 2 2 2 2 2 3 3 3 3]"
	if got := fmt.Sprint(epochs); got != want {
		t.Errorf("epochs of 20 seals are %s, want %s", got, want)
	}
	sealed := mustSeal(t, w.start(t, seal.Options{SealsPerEpoch: 10, SealsPerBlock: 4}), place, nil)
	if got := epochOf(sealed); got != 3 {
		t.Errorf("after a restart the epoch is %d, want 3", got)
	}
}

func TestAnEpochIsNotSmallerThanABlock(t *testing.T) {
	_, k := founded(t, seal.Options{SealsPerEpoch: 3})
	for i := range 9 {
		if got, want := epochOf(mustSeal(t, k, place, nil)), uint32(i/3+1); got != want {
			t.Errorf("seal %d is of epoch %d, want %d", i, got, want)
		}
	}
}

func TestProcessesSealAtOnce(t *testing.T) {
	options := seal.Options{SealsPerEpoch: 64, SealsPerBlock: 8}
	w, k := founded(t, options)
	processes := []*seal.Keyring{k, w.start(t, options)}
	const workers, each = 16, 100
	var (
		mu     sync.Mutex
		made   = map[uint32]int64{}
		nonces = map[string]bool{}
		wg     sync.WaitGroup
	)
	for worker := range workers {
		wg.Go(func() {
			for i := range each {
				at := place
				at.Version = int64(worker*each + i)
				text := fmt.Appendf(nil, "text %d", at.Version)
				sealed, err := processes[worker%2].Seal(t.Context(), at, text)
				if err != nil {
					t.Error(err)
					return
				}
				plain, err := processes[(worker+1)%2].Open(t.Context(), at, sealed)
				if err != nil || string(plain) != string(text) {
					t.Errorf("Open(%s) = %q, %v", at, plain, err)
				}
				mu.Lock()
				made[epochOf(sealed)]++
				nonces[string(sealed[5:17])] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	reserved := w.data.reserved(t, tenantA)
	for epoch, count := range made {
		if count > options.SealsPerEpoch || count > reserved[epoch] {
			t.Errorf("epoch %d: %d seals made, %d counted, %d allowed", epoch, count, reserved[epoch], options.SealsPerEpoch)
		}
	}
	if len(nonces) != workers*each {
		t.Errorf("%d seals have %d nonces", workers*each, len(nonces))
	}
}
