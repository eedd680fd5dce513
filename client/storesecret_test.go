package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/api"
)

const providerPath = "gateway/provider"

type provider struct {
	Key   Secret `json:"key"`
	Model string `json:"model"`
}

func providerText(model string) string {
	return fmt.Sprintf(`{"key":"${secret:db#value}","model":%q}`, model)
}

// newSecretStore is a connected store of a document that refers to the secret
// db, revealed, and of db by name, for use within synctest.
func newSecretStore(t *testing.T) (*fakeServer, *Store, *Value[provider]) {
	t.Helper()
	f := newFake(t, map[string]string{providerPath: providerText("a")})
	f.secrets["db"] = fakeSecret{current: 1}
	s := f.openWith(StoreOptions{Reveal: true, Secrets: []string{"db", "db"}}, providerPath)
	v := must(Bind[provider](s, providerPath))
	synctest.Wait()
	return f, s, v
}

func wantSecret(t *testing.T, s *Store, path string, current, previous int64) {
	t.Helper()
	pair, ok := s.Secret(path)
	if !ok {
		t.Fatalf("the store holds no secret %s", path)
	}
	got := int64(0)
	if pair.Previous != nil {
		got = pair.Previous.Version
	}
	if text, err := pair.Current.Text("value"); pair.Current.Version != current || got != previous || text != fakeValue(path, current) || err != nil {
		t.Errorf("%s is at %d with %d in grace (%v), want %d with %d", path, pair.Current.Version, got, err, current, previous)
	}
}

func TestStoreFollowsSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newSecretStore(t)
		wantSecret(t, s, "db", 1, 0)
		if got := v.Get(); got.Key.Reveal() != fakeValue("db", 1) || got.Model != "a" {
			t.Fatalf("loaded %q", got.Key.Reveal())
		}
		var told []string
		v.OnChange(func(old, updated *provider) { told = append(told, old.Key.Reveal()+"→"+updated.Key.Reveal()) })
		until := time.Now().Add(time.Hour)
		began := time.Now()
		revision := f.putSecret("db", fakeSecret{current: 2, previous: 1, until: until})
		f.wait(s, revision)
		synctest.Wait()
		wantSecret(t, s, "db", 2, 1)
		if took := time.Since(began); v.Get().Key.Reveal() != fakeValue("db", 2) || took != 0 {
			t.Errorf("after %s the document holds %q", took, v.Get().Key.Reveal())
		}
		if want := []string{fakeValue("db", 1) + "→" + fakeValue("db", 2)}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		document, _ := s.Document(providerPath)
		if document.Secrets["db"] != 2 || document.Digest != digestOf([]byte(providerText("a"))) || !strings.Contains(string(document.Data), fakeValue("db", 2)) {
			t.Errorf("the document is %+v with %s", document, document.Data)
		}
		for path, want := range map[string][]string{providerPath: {"", "11"}, "db": {"", "11"}} {
			if got := f.minimums[path]; !slices.Equal(got, want) {
				t.Errorf("read %s with min_revision %q, want %q", path, got, want)
			}
		}
		status := s.Status()
		if d, c := status.Documents[0], status.Secrets[0]; len(status.Secrets) != 1 || d.Secrets["db"] != 2 || c.Path != "db" || c.Version != 2 || c.Previous != 1 || c.Revision != revision || c.Err != nil {
			t.Errorf("status %+v", status)
		}
		if _, ok := s.Secret("other"); ok {
			t.Error("a secret that was not named is there")
		}
	})
}

// A document that is not revealed stays as it is when its secret changes.
func TestStoreLeavesReferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, map[string]string{providerPath: providerText("a")})
		f.secrets["db"] = fakeSecret{current: 1}
		s := f.openStore(providerPath)
		synctest.Wait()
		f.wait(s, f.putSecret("db", fakeSecret{current: 2}))
		f.wait(s, f.put(map[string]string{providerPath: providerText("b")}))
		wantText(t, s, providerPath, providerText("b"))
		if f.readsOf(providerPath) != 1 || f.readsOf("db") != 0 {
			t.Errorf("read %d times and %d secrets", f.readsOf(providerPath), f.readsOf("db"))
		}
	})
}

func TestStoreOfSecretsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil)
		f.secrets["keys/a"], f.secrets["keys/b"] = fakeSecret{current: 1}, fakeSecret{current: 4}
		s := f.openWith(StoreOptions{Secrets: []string{"keys/a", "keys/b"}})
		synctest.Wait()
		f.wait(s, f.putSecret("keys/b", fakeSecret{current: 5}))
		wantSecret(t, s, "keys/a", 1, 0)
		wantSecret(t, s, "keys/b", 5, 0)
		if !slices.Equal(f.prefixes, []string{"keys"}) || f.readsOf("keys/a") != 1 {
			t.Errorf("watched %q, read keys/a %d times", f.prefixes, f.readsOf("keys/a"))
		}
		_, err := OpenStore(t.Context(), f.client, StoreOptions{Environment: "production", Secrets: []string{"keys/c", "keys/a"}}, "x")
		wantError(t, err, "secret keys/c", "document x")
	})
}

func TestStoreDropsVersionAtEndOfGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, _ := newSecretStore(t)
		f.wait(s, f.putSecret("db", fakeSecret{current: 2, previous: 1, until: time.Now().Add(100 * time.Second)}))
		pass(100*time.Second - time.Nanosecond)
		wantSecret(t, s, "db", 2, 1)
		reads := f.readsOf("db")
		pass(time.Nanosecond)
		wantSecret(t, s, "db", 2, 0)
		if got := f.readsOf("db") - reads; got != 1 {
			t.Errorf("read %d times at the end of the grace, want once", got)
		}
		// The server need not be there, and one whose clock is behind does not
		// bring the version back.
		until := time.Now().Add(10 * time.Second)
		f.wait(s, f.putSecret("db", fakeSecret{current: 3, previous: 2, until: until}))
		f.goAway()
		pass(20 * time.Second)
		wantSecret(t, s, "db", 3, 0)
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, path string) bool {
			if path == "db" {
				w.Header().Set("Content-Type", api.TypeJSON)
				fmt.Fprintf(w, `{"path":"db","revision":20,"version":3,"fields":{"value":%q},"previous":{"version":2,"fields":{},"until":%q}}`,
					fakeValue("db", 3), until.Format(time.RFC3339))
			}
			return path == "db"
		})
		f.comeBack()
		pass(time.Minute)
		wantSecret(t, s, "db", 3, 0)
		if err := s.Status().Secrets[0].Err; err != nil {
			t.Error(err)
		}
	})
}

func TestStoreKeepsSecretThatCannotBeRead(t *testing.T) {
	for _, code := range []api.Code{api.CodeSecretUnavailable, api.CodeGone, api.CodeNotFound, api.CodeUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			f, s, v := newSecretStore(t)
			f.setOnRead(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				problem(w, code, "not now")
				return true
			})
			f.putSecret("db", fakeSecret{current: 2})
			pass(5 * time.Minute)
			wantSecret(t, s, "db", 1, 0)
			status := s.Status()
			for _, err := range []error{status.LastError, status.Documents[0].Err, status.Secrets[0].Err} {
				if !errors.Is(err, &api.Problem{Code: code}) {
					t.Errorf("%s: status %+v", code, status)
				}
			}
			missing := code == api.CodeNotFound
			if v.Get().Key.Reveal() != fakeValue("db", 1) || status.Secrets[0].Missing != missing || (s.Revision() == 10) == missing {
				t.Errorf("%s: at %d %q, status %+v", code, s.Revision(), v.Get().Key.Reveal(), status)
			}
			f.setOnRead(nil)
			pass(slowly)
			wantSecret(t, s, "db", 2, 0)
			if status = s.Status(); v.Get().Key.Reveal() != fakeValue("db", 2) || status.Secrets[0].Missing || status.Secrets[0].Err != nil || status.Documents[0].Err != nil {
				t.Errorf("%s: after all %q, status %+v", code, v.Get().Key.Reveal(), status)
			}
		})
	}
}

// Who may not list secrets is told of them only by the documents that refer to them.
func TestStoreFollowsSecretOfDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newSecretStore(t)
		revision := f.putSecretQuietly("db", fakeSecret{current: 2})
		f.send(revision, eventText(api.EventChange, revision, api.WatchEvent{Revision: revision, Changes: []api.WatchChange{
			{Path: providerPath, Digest: digestOf([]byte(providerText("a"))), Secret: &api.SecretRef{Environment: "base", Path: "db", Version: 2}},
		}}))
		f.wait(s, revision)
		wantSecret(t, s, "db", 2, 0)
		if v.Get().Key.Reveal() != fakeValue("db", 2) {
			t.Errorf("the document holds %q", v.Get().Key.Reveal())
		}
	})
}

// In whatever order answers and events come, a copy never takes up what is of an
// older revision, nor an older version of a secret of the same one.
func TestCopiesInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		document := &localCopy{path: "a", freshness: newFreshness()}
		secret := &secretCopy{path: "db", freshness: newFreshness()}
		var newest, version int64
		for range rapid.IntRange(1, 30).Draw(t, "answers") {
			revision, current := rapid.Int64Range(1, 10).Draw(t, "revision"), rapid.Int64Range(1, 4).Draw(t, "version")
			if rapid.Bool().Draw(t, "wanted") {
				document.want(revision, 0)
				secret.want(revision, 0)
			}
			_, _ = document.install(&Document{Data: []byte(fakeValue("db", current)), Revision: revision, Secrets: map[string]int64{"db": current}})
			secret.install(&RevealedSecret{Revision: revision, RevealedVersion: RevealedVersion{Version: current}}, time.Time{})
			if revision > newest || revision == newest && current > version {
				newest, version = revision, current
			}
			d, c := document.current.Load(), secret.current.Load()
			if d.Secrets["db"] != version || string(d.Data) != fakeValue("db", version) || c.Current.Version != version || c.Revision != newest {
				t.Fatalf("after revision %d with version %d: the document has %d, the secret %d, want %d", revision, current, d.Secrets["db"], c.Current.Version, version)
			}
			if running, at := document.runs(); running != d || at != newest {
				t.Fatalf("runs on %v of revision %d, want %d", running.Secrets, at, newest)
			}
		}
	})
}

// An environment's own secret begins at version 1, as the one that it inherited did.
func TestSameVersionOfAnotherEnvironment(t *testing.T) {
	d := &localCopy{path: "a", freshness: newFreshness()}
	v := &Value[provider]{}
	for revision, key := range []string{"inherited", "own"} {
		next := &Document{Data: fmt.Appendf(nil, `{"key":%q}`, key), Revision: int64(revision), Digest: "same", Secrets: map[string]int64{"db": 1}}
		if _, err := d.install(next); err != nil {
			t.Fatal(err)
		}
		if revision == 0 {
			if err := d.bind(v); err != nil {
				t.Fatal(err)
			}
		}
		if got := v.Get().Key.Reveal(); got != key || d.current.Load() != next {
			t.Errorf("holds %q, want %q", got, key)
		}
	}
}

func TestStoreRereadsSecretsOnReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newSecretStore(t)
		revision := f.putSecretQuietly("db", fakeSecret{current: 2})
		f.send(revision, resetEvent(revision))
		f.wait(s, revision)
		wantSecret(t, s, "db", 2, 0)
		if v.Get().Key.Reveal() != fakeValue("db", 2) {
			t.Errorf("the document holds %q", v.Get().Key.Reveal())
		}
	})
}

// An event with the same digest must not settle a read that is due for a secret.
func TestStoreReadsSecretThoughDocumentIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newSecretStore(t)
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			problem(w, api.CodeUnavailable, "not now")
			return true
		})
		f.putSecret("db", fakeSecret{current: 2})
		synctest.Wait()
		f.send(12, bareChangeEvent(12, providerPath, digestOf([]byte(providerText("a")))))
		synctest.Wait()
		if s.Revision() != 10 {
			t.Errorf("claims to be current up to %d", s.Revision())
		}
		f.mu.Lock()
		f.revision = 12
		f.mu.Unlock()
		f.setOnRead(nil)
		f.wait(s, 12)
		if v.Get().Key.Reveal() != fakeValue("db", 2) {
			t.Errorf("the document holds %q", v.Get().Key.Reveal())
		}
	})
}

// A read may be ahead of its revision as to secrets; one of the same revision
// that is not changes nothing.
func TestStoreKeepsNewerSecretOfSameRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, v := newSecretStore(t)
		f.wait(s, f.putSecret("db", fakeSecret{current: 3}))
		f.mu.Lock()
		f.secrets["db"] = fakeSecret{current: 2} // a server that is behind, at the same revision
		f.mu.Unlock()
		f.send(12, resetEvent(11))
		synctest.Wait()
		pass(time.Minute)
		wantSecret(t, s, "db", 3, 0)
		if v.Get().Key.Reveal() != fakeValue("db", 3) || f.readsOf("db") != 3 {
			t.Errorf("after %d reads the document holds %q", f.readsOf("db"), v.Get().Key.Reveal())
		}
		// At a later revision it is an earlier version that was activated again.
		f.wait(s, f.putSecret("db", fakeSecret{current: 2}))
		wantSecret(t, s, "db", 2, 0)
		if v.Get().Key.Reveal() != fakeValue("db", 2) {
			t.Errorf("the document holds %q", v.Get().Key.Reveal())
		}
	})
}

func TestStoreRefusesRevealedDocumentWithoutDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil)
		for _, digest := range []string{"", "ab", strings.Repeat("g", 64), strings.Repeat("A", 64)} {
			f.setOnRead(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				document(w, `{}`, 10, digest)
				return true
			})
			_, err := OpenStore(t.Context(), f.client, StoreOptions{Environment: "production", Reveal: true}, "a")
			wantError(t, err, "document a", api.HeaderDigest)
		}
	})
}

func TestSecretAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, _ := newSecretStore(t)
		total := 0
		if n := testing.AllocsPerRun(1000, func() {
			pair, _ := s.Secret("db")
			text, _ := pair.Current.Text("value")
			total += len(text)
		}); n != 0 {
			t.Errorf("Secret allocates %v times", n)
		}
	})
}

// TestSecretsNeverGoBack has a store follow random rotations over connections
// that break, lag and repeat, while readers check that no older version of a
// secret, by name or in a document, ever comes after a newer one.
func TestSecretsNeverGoBack(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			f, s, v := newSecretStore(t)
			f.client.jitter = fullJitter
			var last atomic.Int64
			v.OnChange(func(_, updated *provider) {
				var version int64
				if _, err := fmt.Sscanf(updated.Key.Reveal(), "canary-db-%d", &version); err != nil || version < last.Load() {
					t.Errorf("seed %d: told of version %d after %d, %v", seed, version, last.Load(), err)
				}
				last.Store(version)
			})
			stop := make(chan struct{})
			var readers sync.WaitGroup
			readers.Go(func() { readSecretForwardOnly(t, s, stop) })
			version := int64(1)
			for range 200 {
				version = f.disturbSecret(random, version)
				pass(time.Duration(random.IntN(300)) * time.Millisecond)
			}
			f.setOnWatch(nil)
			f.setOnRead(nil)
			f.comeBack()
			f.wait(s, f.putSecret("db", fakeSecret{current: version + 1}))
			close(stop)
			readers.Wait()
			wantSecret(t, s, "db", version+1, 0)
			if v.Get().Key.Reveal() != fakeValue("db", version+1) {
				t.Errorf("seed %d: the document holds %q", seed, v.Get().Key.Reveal())
			}
		})
	}
}

func readSecretForwardOnly(t *testing.T, s *Store, stop chan struct{}) {
	t.Helper()
	for byName, inDocument := int64(0), int64(0); ; {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		pair, _ := s.Secret("db")
		document, _ := s.Document(providerPath)
		if pair.Current.Version < byName || document.Secrets["db"] < inDocument {
			t.Errorf("went back from %d to %d, or %d to %d", byName, pair.Current.Version, inDocument, document.Secrets["db"])
		}
		byName, inDocument = pair.Current.Version, document.Secrets["db"]
	}
}

// disturbSecret changes something, or makes trouble.
func (f *fakeServer) disturbSecret(random *rand.Rand, version int64) int64 {
	switch next := (fakeSecret{current: version + 1, previous: version, until: time.Now().Add(time.Duration(random.IntN(2000)) * time.Millisecond)}); random.IntN(10) {
	case 0, 1:
		f.putSecret("db", next)
		return version + 1
	case 2:
		revision := f.putSecretQuietly("db", next)
		f.send(revision, resetEvent(revision))
		return version + 1
	case 3:
		f.put(map[string]string{providerPath: providerText(fmt.Sprint(random.IntN(5)))})
	case 4:
		f.endStreams()
	case 5:
		f.goAway()
	case 6:
		f.comeBack()
	case 7: // a replica that is behind, for reads
		f.mu.Lock()
		behind, secret, text := f.revision-1-int64(random.IntN(3)), f.secrets["db"], f.documents[providerPath]
		f.mu.Unlock()
		behind = min(behind, secret.at-1) // when the version before was in use
		secret.current = max(1, secret.current-1)
		f.setOnRead(func(w http.ResponseWriter, _ *http.Request, path string) bool {
			if path == "db" {
				secretAnswer(w, path, secret, behind)
				return true
			}
			w.Header().Set(api.HeaderSecrets, fmt.Sprintf("db %d", secret.current))
			document(w, strings.ReplaceAll(text, "${secret:db#value}", fakeValue("db", secret.current)), behind, digestOf([]byte(text)))
			return true
		})
	case 8: // reads that take their time, and so overtake one another
		wait := time.Duration(random.IntN(500)) * time.Millisecond
		f.setOnRead(func(http.ResponseWriter, *http.Request, string) bool {
			<-time.After(wait)
			return false
		})
	default:
		f.setOnRead(nil)
	}
	return version
}
