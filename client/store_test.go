package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

const chatPath = "gateway/chat"

type chat struct {
	Model string `json:"model"`
	Limit int    `json:"limit"`
}

// newStore is a connected store of gateway/chat, for use within synctest.
func newStore(t *testing.T) (*fakeServer, *Store, *Value[chat]) {
	t.Helper()
	f := newFake(t, map[string]string{chatPath: `{"limit":1,"model":"a"}`})
	s := f.openStore(chatPath)
	v, err := Bind[chat](s, chatPath)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return f, s, v
}

func TestStoreFollowsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		if got := *v.Get(); got != (chat{"a", 1}) {
			t.Fatalf("loaded %+v", got)
		}
		for i := range 5 {
			revision := f.put(map[string]string{chatPath: fmt.Sprintf(`{"limit":%d,"model":"b"}`, i)})
			f.wait(s, revision)
			if got := *v.Get(); got != (chat{"b", i}) || v.Revision() != revision {
				t.Fatalf("after the change %+v at %d, want limit %d at %d", got, v.Revision(), i, revision)
			}
		}
		if d, _ := s.Document(chatPath); d.Revision != 15 || d.Digest != digestOf([]byte(`{"limit":4,"model":"b"}`)) || d.Format != api.TypeJSON {
			t.Errorf("the document is %+v", d)
		}
		if f.readsOf(chatPath) != 1 {
			t.Errorf("read %d times, want once: the watch brings the documents", f.readsOf(chatPath))
		}
		if status := s.Status(); !status.Connected || !status.StaleSince.IsZero() || status.LastError != nil || status.Revision != 15 {
			t.Errorf("status %+v", status)
		}
	})
}

func TestStoreProgressMovesRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, _ := newStore(t)
		f.send(40, progressEvent(40))
		f.wait(s, 40)
		f.endStreams()
		pass(time.Second)
		if got := f.watches(); !slices.Equal(got, []string{"10", "40"}) {
			t.Errorf("watches resumed after %q", got)
		}
	})
}

func TestOpenStoreNamesEveryMissingDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{chatPath: `{}`})
		_, err := OpenStore(t.Context(), f.client, StoreOptions{Environment: "production"}, "gateway/x", chatPath, "limits/y")
		wantError(t, err, `"production"`, "gateway/x", "limits/y")
		if !errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), chatPath+":") {
			t.Errorf("the error is %q", err)
		}
	})
}

func TestOpenStoreRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{chatPath: `{"a":1}`})
		open := func(o StoreOptions, paths ...string) error {
			_, err := OpenStore(t.Context(), f.client, o, paths...)
			return err
		}
		wantError(t, open(StoreOptions{}, chatPath), "no environment")
		wantError(t, open(StoreOptions{Environment: "production"}), "no path")
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			document(w, `{"a": 1}`, 10, digestOf([]byte(`{"a":1}`)))
			return true
		})
		wantError(t, open(StoreOptions{Environment: "production"}, chatPath), "arrived altered", chatPath)
		f.goAway()
		wantError(t, open(StoreOptions{Environment: "production"}, chatPath), "cannot reach http://config.test")
	})
}

func TestStoreServesOnWhileServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		f.goAway()
		left := time.Now()
		pass(10 * time.Minute)
		status := s.Status()
		if v.Get().Model != "a" || status.Connected || status.StaleSince.After(left) || status.LastError == nil {
			t.Errorf("while away: %+v, status %+v", *v.Get(), status)
		}
		revision := f.setQuietly(chatPath, `{"limit":1,"model":"b"}`)
		f.send(revision, changeEvent(revision, map[string]string{chatPath: `{"limit":1,"model":"b"}`}))
		f.comeBack()
		back := time.Now()
		f.wait(s, revision)
		if v.Get().Model != "b" || !s.Status().Connected {
			t.Errorf("after coming back: %+v, status %+v", *v.Get(), s.Status())
		}
		if took := time.Since(back); took > backoff.Max {
			t.Errorf("reconnecting took %s", took)
		}
		if got := f.watches(); !slices.Equal(got, []string{"10", "10"}) {
			t.Errorf("watches resumed after %q", got)
		}
	})
}

func TestStoreBackoffGrowsAndStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, _ := newStore(t)
		began := time.Now()
		var tries []time.Duration
		f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
			tries = append(tries, time.Since(began))
			problem(w, api.CodeUnavailable, "not now")
			return len(tries) < 10
		})
		f.endStreams()
		pass(time.Minute)
		if got, want := fmt.Sprint(tries), "[100ms 300ms 700ms 1.5s 3.1s 6.3s 12.7s 22.7s 32.7s 42.7s]"; got != want {
			t.Errorf("tried after %s, want %s", got, want)
		}
		// The tenth connection has lasted, so that the next wait is a short one again.
		watches := len(f.watches())
		f.endStreams()
		if pass(100 * time.Millisecond); len(f.watches()) != watches+1 {
			t.Error("did not start anew after a connection that lasted")
		}
	})
}

func TestStoreIgnoresWhatIsNotNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		revision := f.put(map[string]string{chatPath: `{"limit":2,"model":"b"}`})
		f.wait(s, revision)
		old := map[string]string{chatPath: `{"limit":1,"model":"a"}`}
		// A server that repeats itself and one that goes back, over several connections.
		f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
			startStream(w)
			fmt.Fprint(w, changeEvent(revision, old), changeEvent(revision-3, old), progressEvent(4), changeEvent(revision-1, map[string]string{chatPath: ""}))
			return true
		})
		f.endStreams()
		pass(time.Minute)
		if len(f.watches()) < 3 || v.Get().Model != "b" || s.Revision() != revision || s.Status().Documents[0].Missing {
			t.Errorf("%d watches, now %+v at %d, status %+v", len(f.watches()), *v.Get(), s.Revision(), s.Status())
		}
	})
}

func TestStoreRefusesServerThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		revision := f.put(map[string]string{chatPath: `{"limit":2,"model":"b"}`})
		f.wait(s, revision)
		f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
			startStream(w)
			fmt.Fprint(w, resetEvent(3))
			return true
		})
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			document(w, `{"limit":0,"model":"old"}`, 3, digestOf([]byte(`{"limit":0,"model":"old"}`)))
			return true
		})
		f.endStreams()
		pass(time.Minute)
		wantError(t, s.Status().LastError, "is behind", "3", "11")
		f.setOnWatch(nil)
		f.send(20, resetEvent(20))
		pass(time.Minute)
		wantError(t, s.Status().LastError, "is behind", "answered at revision 3", "20 or later")
		if v.Get().Model != "b" || s.Revision() != revision {
			t.Errorf("went back to %+v at %d", *v.Get(), s.Revision())
		}
		if got := f.minimums[chatPath][1]; got != "20" {
			t.Errorf("asked for min_revision %s, want 20", got)
		}
	})
}

func TestStoreSurvivesStreamCutWithinEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		revision := f.setQuietly(chatPath, `{"limit":2,"model":"b"}`)
		whole := changeEvent(revision, map[string]string{chatPath: `{"limit":2,"model":"b"}`})
		for cut := range len(whole) {
			f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
				startStream(w)
				fmt.Fprint(w, whole[:cut])
				return true
			})
			f.endStreams()
			seen := len(f.watches())
			for len(f.watches()) == seen {
				pass(100 * time.Millisecond)
			}
			if synctest.Wait(); v.Get().Model != "a" || s.Revision() != 10 {
				t.Fatalf("installed a part of %d bytes", cut)
			}
		}
		f.setOnWatch(nil)
		f.send(revision, whole)
		f.wait(s, revision)
		if v.Get().Model != "b" {
			t.Errorf("after all %+v", *v.Get())
		}
	})
}

func TestStoreRereadsOnReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		before := v.Get()
		f.setQuietly(chatPath, `{"limit":1,"model":"a"}`)
		f.send(11, resetEvent(11))
		f.wait(s, 11)
		if v.Get() != before || f.readsOf(chatPath) != 2 {
			t.Errorf("after %d reads the same document is another value", f.readsOf(chatPath))
		}
		f.setQuietly(chatPath, `{"limit":2,"model":"b"}`)
		f.send(12, resetEvent(12))
		f.wait(s, 12)
		if v.Get().Model != "b" || s.Status().LastError != nil {
			t.Errorf("after the reset %+v, status %+v", *v.Get(), s.Status())
		}
		f.endStreams()
		pass(time.Second)
		if got := f.watches(); !slices.Equal(got, []string{"10", "12"}) {
			t.Errorf("watches resumed after %q", got)
		}
	})
}

// A read may be ahead of the watch, which then tells what is known already.
func TestStoreReadsAheadOfWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		next := `{"limit":2,"model":"b"}`
		for range 10 {
			f.setQuietly(chatPath, next)
		}
		f.send(11, resetEvent(11))
		f.wait(s, 11)
		old := `{"limit":0,"model":"old"}`
		f.send(12, changeEvent(12, map[string]string{chatPath: old}))
		f.send(13, bareChangeEvent(13, chatPath, digestOf([]byte(old))))
		f.send(14, changeEvent(14, map[string]string{chatPath: ""}))
		f.wait(s, 14)
		if v.Get().Model != "b" || f.readsOf(chatPath) != 2 || s.Status().Documents[0].Missing {
			t.Errorf("%+v after %d reads, status %+v", *v.Get(), f.readsOf(chatPath), s.Status())
		}
		f.send(15, resetEvent(15))
		f.wait(s, 15)
		if got := f.minimums[chatPath]; !slices.Equal(got, []string{"", "11", "20"}) {
			t.Errorf("read with min_revision %q", got)
		}
	})
}

func TestStoreWatchesFromOldestLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{"a": `{}`, "b": `{}`})
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, path string) bool {
			document(w, `{}`, map[string]int64{"a": 12, "b": 9}[path], digestOf([]byte(`{}`)))
			return true
		})
		f.openStore("a", "b")
		synctest.Wait()
		if got := f.watches(); !slices.Equal(got, []string{"9"}) {
			t.Errorf("watches from %q", got)
		}
	})
}

func TestStoreRereadsAfterHugeEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		f.setQuietly(chatPath, `{"limit":2,"model":"b"}`)
		f.send(11, "event: change\nid: 11\ndata: "+strings.Repeat("x", maxEvent)+"\n\n")
		f.wait(s, 11)
		if v.Get().Model != "b" || len(f.watches()) != 1 {
			t.Errorf("after the event %+v over %d connections", *v.Get(), len(f.watches()))
		}
	})
}

func TestStoreReadsWhatComesWithoutDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		next := `{"limit":2,"model":"b"}`
		failing := true
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			if failing {
				problem(w, api.CodeUnavailable, "the store is away")
			}
			return failing
		})
		revision := f.setQuietly(chatPath, next)
		f.send(revision, bareChangeEvent(revision, chatPath, digestOf([]byte(next))))
		f.send(20, progressEvent(20))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.Wait(ctx, revision)
		wantError(t, err, "waiting for revision 11 at revision 10", "the store is away")
		if !errors.Is(err, context.DeadlineExceeded) || s.Status().Documents[0].Err == nil {
			t.Errorf("the error is %v, status %+v", err, s.Status())
		}
		failing = false
		f.wait(s, 20)
		if v.Get().Model != "b" || s.Status().Documents[0].Err != nil {
			t.Errorf("after all %+v, status %+v", *v.Get(), s.Status())
		}
		reads := f.readsOf(chatPath)
		f.send(21, bareChangeEvent(21, chatPath, digestOf([]byte(next))))
		f.wait(s, 21)
		if f.readsOf(chatPath) != reads {
			t.Error("read a document whose digest is known")
		}
	})
}

func TestStoreChecksDigests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		good, bad := `{"limit":2,"model":"b"}`, `{"limit":2,"model":"x"}`
		revision := f.setQuietly(chatPath, good)
		f.send(revision, strings.Replace(changeEvent(revision, map[string]string{chatPath: good}), `"model":"b"`, `"model":"x"`, 1))
		f.wait(s, revision)
		wantError(t, s.Status().LastError, chatPath, "arrived altered")
		wantText(t, s, chatPath, good)
		if v.Get().Model != "b" || f.readsOf(chatPath) != 2 {
			t.Errorf("after %d reads %+v", f.readsOf(chatPath), *v.Get())
		}
		times := 0
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			if times++; times < 3 {
				document(w, bad, 12, digestOf([]byte(good)))
			}
			return times < 3
		})
		f.setQuietly(chatPath, `{"limit":3,"model":"c"}`)
		f.send(12, resetEvent(12))
		f.wait(s, 12)
		if v.Get().Model != "c" || times != 3 {
			t.Errorf("after %d more reads %+v", times, *v.Get())
		}
	})
}

func TestStoreKeepsDeletedDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		f.wait(s, f.put(map[string]string{chatPath: ""}))
		status := s.Status()
		wantError(t, status.LastError, chatPath, "was deleted at revision 11")
		if !status.Documents[0].Missing || v.Get().Model != "a" {
			t.Errorf("after the deletion %+v, status %+v", *v.Get(), status)
		}
		f.wait(s, f.put(map[string]string{chatPath: `{"limit":9,"model":"z"}`}))
		if v.Get().Model != "z" || s.Status().Documents[0].Missing {
			t.Errorf("after it came back %+v, status %+v", *v.Get(), s.Status())
		}
		f.wait(s, f.put(map[string]string{chatPath: ""}))
		reads := f.readsOf(chatPath)
		f.setQuietly(chatPath, `{"limit":9,"model":"z"}`)
		f.send(14, bareChangeEvent(14, chatPath, digestOf([]byte(`{"limit":9,"model":"z"}`))))
		f.wait(s, 14)
		if f.readsOf(chatPath) != reads+1 || s.Status().Documents[0].Missing {
			t.Errorf("came back the same: %d reads more, status %+v", f.readsOf(chatPath)-reads, s.Status())
		}
	})
}

func TestStoreMissesDocumentOnReread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		f.setQuietly(chatPath, "")
		f.send(11, resetEvent(11))
		f.wait(s, 11)
		if d := s.Status().Documents[0]; !d.Missing || !errors.Is(d.Err, ErrNotFound) || v.Get().Model != "a" {
			t.Errorf("after the reset %+v, document %+v", *v.Get(), d)
		}
		// It is asked for again, in case that only a right was lost for a while.
		f.setQuietly(chatPath, `{"limit":1,"model":"b"}`)
		pass(slowly)
		if v.Get().Model != "b" || s.Status().Documents[0].Missing {
			t.Errorf("after a while %+v, status %+v", *v.Get(), s.Status())
		}
	})
}

func TestStoreWaitsForWhatIsWantedAfterMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		f.setQuietly(chatPath, "")
		f.send(11, resetEvent(11))
		f.wait(s, 11)
		next := `{"limit":1,"model":"b"}`
		f.setQuietly(chatPath, next)
		began := time.Now()
		f.send(12, bareChangeEvent(12, chatPath, digestOf([]byte(next))))
		f.wait(s, 12)
		if v.Get().Model != "b" || time.Since(began) != 0 {
			t.Errorf("%+v after %s", *v.Get(), time.Since(began))
		}
	})
}

func TestStoreKeepsValueThatDoesNotDecode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		before := v.Get()
		f.wait(s, f.put(map[string]string{chatPath: `{"limit":"many","model":"b"}`}))
		if v.Get() != before || *before != (chat{"a", 1}) || v.Revision() != 10 {
			t.Errorf("the value became %+v at %d", *v.Get(), v.Revision())
		}
		wantText(t, s, chatPath, `{"limit":"many","model":"b"}`)
		wantError(t, s.Status().Documents[0].Err, "does not decode into client.chat")
		wantError(t, s.Status().LastError, chatPath, "does not decode into client.chat")
		f.wait(s, f.put(map[string]string{chatPath: `{"limit":3,"model":"c"}`}))
		if *v.Get() != (chat{"c", 3}) || s.Status().Documents[0].Err != nil {
			t.Errorf("then %+v, status %+v", *v.Get(), s.Status())
		}
	})
}

func TestBindRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, _ := newStore(t)
		_, err := Bind[chat](s, "gateway/other")
		wantError(t, err, `does not hold "gateway/other"`, "OpenStore")
		_, err = Bind[[]int](s, chatPath)
		wantError(t, err, chatPath, "does not decode into []int")
		_, err = Bind[struct{ Model string }](s, chatPath, Strict())
		wantError(t, err, `unknown field "limit"`)
		strict, err := Bind[chat](s, chatPath, Strict())
		if err != nil {
			t.Fatal(err)
		}
		f.wait(s, f.put(map[string]string{chatPath: `{"limit":3,"model":"c","more":true}`}))
		if strict.Get().Model != "a" {
			t.Errorf("strict is now %+v", *strict.Get())
		}
		if _, ok := s.Document("gateway/other"); ok {
			t.Error("a document that was not named is there")
		}
	})
}

func TestStoreGivesUpSilentStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, _ := newStore(t)
		f.setOnWatch(func(w http.ResponseWriter, r *http.Request) bool {
			startStream(w)
			<-r.Context().Done()
			return true
		})
		f.endStreams()
		pass(100 * time.Millisecond) // the first backoff
		synctest.Wait()
		began, watches := time.Now(), len(f.watches())
		if !s.Status().Connected {
			t.Fatal("not connected")
		}
		pass(silence - time.Nanosecond)
		if synctest.Wait(); !s.Status().Connected {
			t.Error("gave up early")
		}
		pass(time.Nanosecond)
		synctest.Wait()
		status := s.Status()
		wantError(t, status.LastError, "silent for too long")
		if status.Connected || !status.StaleSince.Equal(began) {
			t.Errorf("status %+v", status)
		}
		pass(backoff.Max)
		if len(f.watches()) == watches {
			t.Error("did not connect anew")
		}
	})
}

func TestStoreLivesOnComments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, _ := newStore(t)
		pass(time.Hour)
		if status := s.Status(); len(f.watches()) != 1 || !status.Connected || time.Since(status.LastSeen) > 15*time.Second {
			t.Errorf("%d watches, status %+v", len(f.watches()), status)
		}
	})
}

func TestStoreAsksSlowlyWhenRefused(t *testing.T) {
	for _, code := range []api.Code{api.CodeUnauthenticated, api.CodeForbidden, api.CodeNotFound} {
		synctest.Test(t, func(t *testing.T) {
			f, s, v := newStore(t)
			f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
				problem(w, code, "no more")
				return true
			})
			f.endStreams()
			pass(5 * time.Minute)
			if n := len(f.watches()); n != 11 {
				t.Errorf("%s: %d watches, want one every %s", code, n, slowly)
			}
			if status := s.Status(); status.Connected || !errors.Is(status.LastError, &api.Problem{Code: code}) || v.Get().Model != "a" {
				t.Errorf("%s: status %+v", code, status)
			}
			f.setOnWatch(nil)
			f.wait(s, f.put(map[string]string{chatPath: `{"limit":1,"model":"b"}`}))
		})
	}
}

func TestStoreHonoursRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, _ := newStore(t)
		var at []time.Time
		f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
			at = append(at, time.Now())
			switch len(at) {
			case 1:
				startStream(w)
				fmt.Fprint(w, "retry: 7000\n\n")
			case 2:
				problem(w, api.CodeUnavailable, "still starting")
			}
			return len(at) < 3
		})
		f.endStreams()
		pass(20 * time.Second)
		if len(at) != 3 || at[1].Sub(at[0]) != 7*time.Second || at[2].Sub(at[1]) >= 7*time.Second {
			t.Errorf("connected at %v", at)
		}
	})
}

func TestStoreWatchesNoMoreThanNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{"gateway/eu/chat": `{}`, "gateway/eu/embed": `{}`, "gateway/eu2": `{}`})
		f.openStore("gateway/eu/chat", "gateway/eu/embed", "gateway/eu/chat")
		f.openStore("gateway/eu/chat", "gateway/eu2")
		synctest.Wait()
		slices.Sort(f.prefixes)
		if !slices.Equal(f.prefixes, []string{"gateway", "gateway/eu"}) {
			t.Errorf("watched %q", f.prefixes)
		}
	})
}

func TestStoreTellsStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{chatPath: `{"model":"a"}`})
		var last atomic.Pointer[Status]
		s, err := OpenStore(t.Context(), f.client, StoreOptions{Environment: "production", OnStatus: func(s Status) { last.Store(&s) }}, chatPath)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		told := func(what string, ok func(Status) bool) {
			t.Helper()
			if synctest.Wait(); last.Load() == nil || !ok(*last.Load()) {
				t.Errorf("%s: last told %+v", what, last.Load())
			}
		}
		told("connected", func(s Status) bool { return s.Connected })
		f.put(map[string]string{chatPath: ""})
		told("deleted", func(s Status) bool { return s.Documents[0].Missing })
		f.put(map[string]string{chatPath: `{"model":"b"}`})
		told("recovered", func(s Status) bool { return !s.Documents[0].Missing })
		f.goAway()
		told("away", func(s Status) bool { return !s.Connected && s.LastError != nil })
	})
}

func TestStoreClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newStore(t)
		waiting := make(chan error)
		go func() { waiting <- s.Wait(t.Context(), 99) }()
		synctest.Wait()
		f.setOnRead(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
			<-r.Context().Done() // a read that hangs is ended as well
			return true
		})
		f.send(11, resetEvent(11))
		synctest.Wait()
		s.Close()
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Errorf("whoever waits learns %v", err)
		}
		s.Close() // twice is as good as once
		if v.Get().Model != "a" || s.Status().Connected {
			t.Errorf("after closing %+v, %+v", *v.Get(), s.Status())
		}
	})
}
