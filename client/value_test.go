package client

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

func TestOnChangeTellsOldAndNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		var told []string
		v.OnChange(func(old, updated *chat) {
			told = append(told, fmt.Sprintf("%s→%s", old.Model, updated.Model))
			if v.Get() != updated {
				t.Error("told of something that is not there to get")
			}
		})
		for _, model := range []string{"b", "c", "c", "d"} {
			f.wait(s, f.put(map[string]string{chatPath: fmt.Sprintf(`{"model":%q}`, model)}))
			synctest.Wait()
		}
		f.wait(s, f.put(map[string]string{chatPath: `{"model":1}`}))
		synctest.Wait()
		if want := []string{"a→b", "b→c", "c→d"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestOnChangeSlowCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		var told []int
		release := make(chan struct{})
		v.OnChange(func(old, updated *chat) {
			told = append(told, old.Limit, updated.Limit)
			<-release
		})
		for i := 2; i <= 20; i++ {
			f.wait(s, f.put(map[string]string{chatPath: fmt.Sprintf(`{"limit":%d}`, i)}))
			if synctest.Wait(); v.Get().Limit != i {
				t.Fatalf("limit %d behind a slow callback, want %d", v.Get().Limit, i)
			}
		}
		release <- struct{}{}
		synctest.Wait()
		if want := []int{1, 2, 2, 20}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		for _, i := range []int{21, 20} { // there and back again is no change
			f.wait(s, f.put(map[string]string{chatPath: fmt.Sprintf(`{"limit":%d}`, i)}))
		}
		close(release)
		synctest.Wait()
		if len(told) != 4 {
			t.Errorf("told %v of nothing new", told[4:])
		}
	})
}

func TestOnChangeUnregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		var first, second, third int
		var leave, expel func()
		leave = v.OnChange(func(_, _ *chat) { first++; leave(); expel() }) // from within
		expel = v.OnChange(func(_, _ *chat) { third++ })
		v.OnChange(func(_, _ *chat) { second++ })
		for i := range 3 {
			f.wait(s, f.put(map[string]string{chatPath: fmt.Sprintf(`{"limit":%d}`, i+5)}))
			synctest.Wait()
		}
		if first != 1 || second != 3 || third != 0 {
			t.Errorf("called %d, %d and %d times, want 1, 3 and 0", first, second, third)
		}
	})
}

func TestGetAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, v := newStore(t)
		var total int
		if n := testing.AllocsPerRun(1000, func() { total += v.Get().Limit }); n != 0 {
			t.Errorf("Get allocates %v times", n)
		}
		if n := testing.AllocsPerRun(1000, func() { d, _ := s.Document(chatPath); total += len(d.Data) }); n != 0 {
			t.Errorf("Document allocates %v times", n)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	v := benchmarkValue()
	b.ReportAllocs()
	total := 0
	for b.Loop() {
		total += v.Get().Limit
	}
}

func BenchmarkGetParallel(b *testing.B) {
	v := benchmarkValue()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		total := 0
		for pb.Next() {
			total += v.Get().Limit
		}
	})
}

func benchmarkValue() *Value[chat] {
	v := &Value[chat]{}
	v.current.Store(&decoded[chat]{value: chat{"a", 1}})
	return v
}

// TestStoreConverges has a store follow random changes over connections that
// break, lag and repeat, while readers check that nothing ever goes back.
func TestStoreConverges(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			paths := []string{"a/x", "a/y", "b"}
			first := map[string]string{}
			for _, path := range paths {
				first[path] = `{"limit":0}`
			}
			f := newFake(t, first)
			f.client.jitter = fullJitter
			s := f.openStore(paths...)
			stop := make(chan struct{})
			var readers sync.WaitGroup
			for _, path := range paths {
				v := must(Bind[chat](s, path))
				last := 0
				v.OnChange(func(old, updated *chat) {
					if old.Limit != last || updated.Limit <= last {
						t.Errorf("seed %d: %s: told %d→%d after %d", seed, path, old.Limit, updated.Limit, last)
					}
					last = updated.Limit
				})
				readers.Go(func() { readForwardOnly(t, v, stop) })
			}
			for step := range 200 {
				f.disturb(random, paths, step+1)
				pass(time.Duration(random.IntN(300)) * time.Millisecond)
			}
			f.setOnWatch(nil)
			f.setOnRead(nil)
			f.comeBack()
			f.wait(s, f.put(map[string]string{"a/x": `{"limit":1000}`}))
			close(stop)
			readers.Wait()
			for _, path := range paths {
				wantText(t, s, path, f.documents[path])
			}
		})
	}
}

func readForwardOnly(t *testing.T, v *Value[chat], stop chan struct{}) {
	t.Helper()
	for last := 0; ; {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		now := v.Get().Limit
		if now < last {
			t.Errorf("went back from %d to %d", last, now)
		}
		last = now
	}
}

// disturb changes something, or makes trouble.
func (f *fakeServer) disturb(random *rand.Rand, paths []string, step int) {
	path, text := paths[random.IntN(len(paths))], fmt.Sprintf(`{"limit":%d}`, step)
	switch random.IntN(9) {
	case 0, 1:
		f.put(map[string]string{path: text})
	case 2:
		revision := f.setQuietly(path, text)
		f.send(revision, bareChangeEvent(revision, path, digestOf([]byte(text))))
	case 3:
		revision := f.setQuietly(path, text)
		f.send(revision, resetEvent(revision))
	case 4:
		f.endStreams()
	case 5:
		f.goAway()
	case 6:
		f.comeBack()
	case 7:
		old := fmt.Sprintf(`{"limit":%d}`, step/2)
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			document(w, old, 10, digestOf([]byte(old)))
			return true
		})
		f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
			startStream(w)
			fmt.Fprint(w, changeEvent(10, map[string]string{path: old}))
			return true
		})
	default:
		f.setOnRead(nil)
		f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
			if step%2 == 0 {
				problem(w, api.CodeOverloaded, "too many watchers")
			}
			return step%2 == 0
		})
	}
}
