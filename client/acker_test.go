package client

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
)

func TestAckSaysWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{providerPath: providerText("a"), chatPath: `{"limit":1}`})
		f.secrets["db"], f.secrets["tls"], f.secrets["unused"] = fakeSecret{current: 1}, fakeSecret{current: 7, previous: 6, until: time.Now().Add(time.Hour)}, fakeSecret{current: 2}
		s := f.openWith(StoreOptions{Reveal: true, Secrets: []string{"tls"}, Client: "gateway-1"}, providerPath, chatPath)
		pass(ackSoon)
		digest := func(model string) string {
			return setDigest(map[string]string{providerPath: digestOf([]byte(providerText(model))), chatPath: digestOf([]byte(`{"limit":1}`))})
		}
		acked := func(want api.Ack, times int) {
			t.Helper()
			want.Client = "gateway-1"
			got, n := f.acked()
			if diff := cmp.Diff(want, got); diff != "" || n != times {
				t.Errorf("%d acknowledgements, want %d; the last one (-want +got)\n%s", n, times, diff)
			}
		}
		acked(api.Ack{Revision: 10, Digest: digest("a"), Secrets: map[string]int64{"db": 1, "tls": 7}}, 1)
		f.putSecret("db", fakeSecret{current: 2, previous: 1, until: time.Now().Add(time.Hour)})
		pass(ackSoon)
		acked(api.Ack{Revision: 11, Digest: digest("a"), Secrets: map[string]int64{"db": 2, "tls": 7}}, 2)
		f.put(map[string]string{providerPath: providerText("b")})
		f.putSecret("tls", fakeSecret{current: 8})
		pass(ackSoon)
		acked(api.Ack{Revision: 13, Digest: digest("b"), Secrets: map[string]int64{"db": 2, "tls": 8}}, 3)
		// Where only the revision moved there is no hurry.
		f.send(14, progressEvent(14))
		pass(ackLater - time.Nanosecond)
		_, n := f.acked()
		if pass(time.Nanosecond); n != 3 {
			t.Errorf("%d acknowledgements before %s", n, ackLater)
		}
		acked(api.Ack{Revision: 14, Digest: digest("b"), Secrets: map[string]int64{"db": 2, "tls": 8}}, 4)
		if status := s.Status(); status.AckErr != nil || !status.LastAck.Equal(time.Now()) {
			t.Errorf("status %+v", status)
		}
		s.Close()
		if pass(time.Hour); len(f.ackBodies) != 4 {
			t.Error("acknowledges after it was closed")
		}
	})
}

// What the program cannot read now is not acknowledged, though it was served.
func TestAckOfWhatValuesCouldNotFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{"a": providerText("a"), "b": providerText("b")})
		f.secrets["db"] = fakeSecret{current: 1}
		s := f.openWith(StoreOptions{Reveal: true}, "a", "b")
		v := must(Bind[provider](s, "a"))
		f.wait(s, f.put(map[string]string{"a": `{"key":"${secret:db#value}","model":1}`}))
		f.wait(s, f.putSecret("db", fakeSecret{current: 2}))
		pass(ackSoon)
		got, _ := f.acked()
		want := setDigest(map[string]string{"a": digestOf([]byte(providerText("a"))), "b": digestOf([]byte(providerText("b")))})
		if got.Secrets["db"] != 1 || got.Digest != want || v.Get().Key.Reveal() != fakeValue("db", 1) {
			t.Errorf("acknowledged %+v while the value holds %q", got, v.Get().Key.Reveal())
		}
		f.wait(s, f.put(map[string]string{"a": providerText("c")}))
		pass(ackSoon)
		if got, _ = f.acked(); got.Secrets["db"] != 2 {
			t.Errorf("then acknowledged %+v", got)
		}
	})
}

// Of a secret in two copies the one that is behind is acknowledged, be its
// version lower or, after an earlier one was activated again, higher.
func TestAckOfCopyThatIsBehind(t *testing.T) {
	for _, next := range []int64{4, 2} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, map[string]string{"a": providerText("a"), "b": providerText("b")})
			f.secrets["db"] = fakeSecret{current: 3}
			f.openWith(StoreOptions{Reveal: true, Secrets: []string{"db"}}, "a", "b")
			synctest.Wait()
			for _, slow := range []string{"a", "b", "db"} {
				current := int64(3)
				f.setOnRead(func(w http.ResponseWriter, _ *http.Request, path string) bool {
					if path == slow {
						problem(w, api.CodeUnavailable, "not now")
					}
					return path == slow
				})
				f.putSecret("db", fakeSecret{current: next})
				pass(time.Minute)
				if got, _ := f.acked(); got.Secrets["db"] != current {
					t.Errorf("%s is behind at %d, and acknowledged is %d", slow, current, got.Secrets["db"])
				}
				f.setOnRead(nil)
				pass(time.Minute)
				if got, _ := f.acked(); got.Secrets["db"] != next {
					t.Errorf("all are at %d, and acknowledged is %d", next, got.Secrets["db"])
				}
				f.putSecret("db", fakeSecret{current: 3})
				pass(time.Minute)
			}
		})
	}
}

func TestAckBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{chatPath: `{}`})
		f.client.jitter = fullJitter
		f.openStore(chatPath)
		pass(time.Hour)
		var waits []time.Duration
		for i := 1; i < len(f.ackTimes); i++ {
			waits = append(waits, f.ackTimes[i].Sub(f.ackTimes[i-1]))
		}
		if low, high := slices.Min(waits), slices.Max(waits); low < ackBeat*4/5 || high > ackBeat || high-low < time.Second {
			t.Errorf("acknowledged every %s to %s", low, high)
		}
		if got, _ := f.acked(); got.Secrets != nil || got.Digest != setDigest(map[string]string{chatPath: digestOf([]byte(`{}`))}) {
			t.Errorf("acknowledged %+v", got)
		}
	})
}

// Changes that come one upon the other put no acknowledgement off for long, and
// make no more of them than the debounce lets through.
func TestAckDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, _ := newSecretStore(t)
		began := time.Now()
		pass(ackSoon)
		for i := range int64(500) {
			f.putSecret("db", fakeSecret{current: 2 + i})
			pass(10 * time.Millisecond)
		}
		pass(ackSoon)
		bound := int(time.Since(began)/(ackSoon*4/5)) + 1
		got, n := f.acked()
		if n < 15 || n > bound || got.Secrets["db"] != 501 {
			t.Errorf("%d acknowledgements in %s, want 15 to %d; the last one is %+v", n, time.Since(began), bound, got)
		}
	})
}

func TestAckFailuresDisturbNobody(t *testing.T) {
	for code, most := range map[api.Code]int{api.CodeUnavailable: 70, api.CodeForbidden: 22, api.CodeNotFound: 22} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, map[string]string{chatPath: `{"limit":1}`})
			f.setOnAck(func(w http.ResponseWriter) bool {
				problem(w, code, "no acknowledgements")
				return true
			})
			told := 0
			s := f.openWith(StoreOptions{OnStatus: func(s Status) {
				if s.AckErr != nil {
					told++
				}
			}}, chatPath)
			v := must(Bind[chat](s, chatPath))
			for i := range 600 { // changes do not hurry what fails
				f.wait(s, f.put(map[string]string{chatPath: fmt.Sprintf(`{"limit":%d}`, i)}))
				pass(time.Second)
			}
			status := s.Status()
			_, n := f.acked()
			wantError(t, status.AckErr, "no acknowledgements")
			if n < 20 || n > most || status.LastError != nil || !status.Connected || !status.LastAck.IsZero() || v.Get().Limit != 599 || told == 0 {
				t.Errorf("%s: %d acknowledgements in ten minutes, told %d times, status %+v", code, n, told, status)
			}
			f.setOnAck(nil)
			pass(slowly)
			if status = s.Status(); status.AckErr != nil || status.LastAck.IsZero() {
				t.Errorf("%s: after all %+v", code, status)
			}
		})
	}
}

// A token that takes the place of another has read nothing yet.
func TestAckAfterTokenWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{providerPath: providerText("a"), chatPath: `{"limit":1}`})
		f.secrets["db"] = fakeSecret{current: 1}
		s := f.openWith(StoreOptions{Reveal: true, Secrets: []string{"db"}}, providerPath, chatPath)
		pass(time.Minute)
		served := 0 // reads when the token was replaced
		refuse := func(always bool) func(w http.ResponseWriter) bool {
			return func(w http.ResponseWriter) bool {
				refused := always || f.readsOf("db") == served || f.readsOf(providerPath) == served
				if refused {
					w.Header().Set("Content-Type", api.ProblemType)
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprint(w, `{"code":"bad_request","detail":"version 1 was not given to you","pointer":"/secrets/db"}`)
				}
				return refused
			}
		}
		served = f.readsOf("db")
		f.setOnAck(refuse(false))
		pass(time.Minute + ackSoon)
		if status := s.Status(); status.AckErr != nil || time.Since(status.LastAck) > time.Minute || f.readsOf("db") != served+1 || f.readsOf(chatPath) != 1 {
			t.Errorf("%d reads, %d of a document without secrets, status %+v", f.readsOf("db"), f.readsOf(chatPath), status)
		}
		// One that is never content is not read for again and again.
		f.setOnAck(refuse(true))
		pass(time.Hour)
		if n := f.readsOf("db") - served - 1; n < 5 || n > 8 || s.Status().AckErr == nil {
			t.Errorf("read %d times in an hour, status %+v", n, s.Status())
		}
	})
}

func TestAckEndsWithStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{chatPath: `{}`})
		release := make(chan struct{})
		defer close(release)
		f.setOnAck(func(http.ResponseWriter) bool { <-release; return false }) // one that hangs is ended as well
		s := f.openStore(chatPath)
		pass(time.Second)
		began := time.Now()
		if s.Close(); time.Since(began) != 0 || len(f.ackBodies) != 1 {
			t.Errorf("closing took %s, after %d acknowledgements", time.Since(began), len(f.ackBodies))
		}
	})
}

func TestNoAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{chatPath: `{}`})
		s := f.openWith(StoreOptions{NoAcks: true}, chatPath)
		f.wait(s, f.put(map[string]string{chatPath: `{"limit":1}`}))
		pass(time.Hour)
		if _, n := f.acked(); n != 0 {
			t.Errorf("%d acknowledgements", n)
		}
	})
}

func TestClientName(t *testing.T) {
	for name, ok := range map[string]bool{
		"gateway-1": true, "eu gateway/ä": true, strings.Repeat("ä", 64): true, strings.Repeat("a", 128): true,
		strings.Repeat("a", 129): false, strings.Repeat("ä", 65): false, "a\ufffd": false, "a\nb": false, "a\x00": false, "a\xff": false, "a\u202e": false,
	} {
		got, err := clientName(StoreOptions{Client: name})
		if (err == nil) != ok || ok && got != name {
			t.Errorf("%q gives %q, %v", name, got, err)
		}
		if !ok {
			_, err = OpenStore(t.Context(), must(New("http://config.test", WithTenant("acme"))), StoreOptions{Environment: "e", Client: name, NoAcks: true}, "a")
			wantError(t, err, "printable")
		}
	}
	names := map[string]bool{}
	for range 10 {
		name := must(clientName(StoreOptions{}))
		if names[name] || len(name) > maxClientName || !strings.Contains(name, fmt.Sprintf("-%d-", os.Getpid())) {
			t.Errorf("the name %q", name)
		}
		names[name] = true
	}
}

// TestSetDigest compares with how the server computes it.
func TestSetDigest(t *testing.T) {
	const letters = "abzABZ019._~@+=-/"
	random := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		digests := map[string]string{}
		var members []canon.Named
		for range random.IntN(8) {
			path := make([]byte, 1+random.IntN(6))
			for i := range path {
				path[i] = letters[random.IntN(len(letters))]
			}
			if digests[string(path)] != "" {
				continue
			}
			sum := canon.Sum([]byte(fmt.Sprint(random.Uint64())))
			digests[string(path)] = sum.String()
			members = append(members, canon.Named{Name: string(path), Digest: sum})
		}
		if got, want := setDigest(digests), canon.SumSet(members).String(); got != want {
			t.Fatalf("the digest of %v is %s, want %s", digests, got, want)
		}
	}
}
