package archive

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func mustOpen(t *testing.T, url string) *Archive {
	t.Helper()
	a, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// refuse checks an error's kind, that it says what it must and has a next step,
// and that neither it nor its cause shows what it must not.
func refuse(t *testing.T, err error, kind config.Kind, says ...string) {
	t.Helper()
	var e *config.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("want %s, got %v", kind, err)
	}
	text := e.Message + "; " + e.Next
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("%q does not say %q", text, s)
		}
	}
	if e.Cause != nil {
		text += e.Cause.Error()
	}
	if e.Next == "" && e.Limit == 0 || strings.Contains(text, "hunter2") {
		t.Errorf("%q has no next step, or shows a secret", text)
	}
}

// Each kind of place, opened anew over the same objects. The clouds are fakes.
var kinds = map[string]struct {
	serve func(*cloud, http.ResponseWriter, *http.Request, []byte)
	url   func(t *testing.T, host string) string // sets the environment, too
}{
	"file": {nil, func(t *testing.T, _ string) string { return "file://" + t.TempDir() + "/new/archive" }},
	"s3": {serveS3, func(t *testing.T, host string) string {
		t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
		return "s3://bucket?region=eu-central-1&use_path_style=true&endpoint=http://" + host
	}},
	"gs": {serveGCS, func(t *testing.T, host string) string {
		t.Setenv("STORAGE_EMULATOR_HOST", host)
		return "gs://bucket"
	}},
	"azblob": {serveAzure, func(t *testing.T, host string) string {
		t.Setenv("AZURE_STORAGE_ACCOUNT", "account")
		t.Setenv("AZURE_STORAGE_KEY", base64.StdEncoding.EncodeToString([]byte("hunter2")))
		return "azblob://bucket?localemu=true&protocol=http&domain=" + host
	}},
}

func each(t *testing.T, do func(t *testing.T, c *cloud, url string)) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			if kind.serve == nil {
				do(t, nil, kind.url(t, ""))
				return
			}
			c, s := newCloud(t, kind.serve)
			do(t, c, kind.url(t, s.Listener.Addr().String()))
		})
	}
}

func withPath(url, path string) string {
	before, query, found := strings.Cut(url, "?")
	if found {
		return before + path + "?" + query
	}
	return before + path
}

func TestEveryPlace(t *testing.T) {
	each(t, func(t *testing.T, _ *cloud, url string) {
		a := mustOpen(t, url)
		ctx := t.Context()
		put := func(key, body string) {
			t.Helper()
			if err := a.Put(ctx, key, []byte(body)); err != nil {
				t.Fatalf("%s: %v (%v)", key, err, errors.Unwrap(err))
			}
		}
		get := func(from *Archive, key, want string) {
			t.Helper()
			got, err := from.Get(ctx, key)
			if err != nil || string(got) != want {
				t.Errorf("%s is %.40q (%v, %v)", key, got, err, errors.Unwrap(err))
			}
		}
		absent := func(key string) {
			t.Helper()
			_, err := a.Get(ctx, key)
			refuse(t, err, config.KindNotFound, key)
		}
		absent("name/server/1")
		put("name/server/1", "one")
		put("name/server/10", "\x00\xff ten")
		put("name/empty", "")
		get(a, "name/server/1", "one")
		get(a, "name/server/10", "\x00\xff ten")
		get(a, "name/empty", "")
		absent("name/server")
		absent("name")
		put("name/server/1", "another")
		get(a, "name/server/1", "another")
		get(mustOpen(t, url), "name/server/1", "another")
		for range 2 {
			if err := a.Delete(ctx, "name/server/1"); err != nil {
				t.Errorf("delete: %v (%v)", err, errors.Unwrap(err))
			}
		}
		absent("name/server/1")
		get(a, "name/server/10", "\x00\xff ten")

		below := mustOpen(t, withPath(url, "/some/prefix"))
		_, err := below.Get(ctx, "name/empty")
		refuse(t, err, config.KindNotFound)
		if err := below.Put(ctx, "k", []byte("below")); err != nil {
			t.Fatal(err)
		}
		get(a, "some/prefix/k", "below")
	})
}

// TestLargeObjects: clouds take them in parts.
func TestLargeObjects(t *testing.T) {
	body := make([]byte, 17<<20+1)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(body)
	each(t, func(t *testing.T, c *cloud, url string) {
		a := mustOpen(t, url)
		if err := a.Put(t.Context(), "large", body); err != nil {
			t.Fatalf("%v (%v)", err, errors.Unwrap(err))
		}
		got, err := a.Get(t.Context(), "large")
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes came back, with the sum %x (%v)", len(got), md5.Sum(got), err)
		}
		if c != nil && c.uploads == 0 {
			t.Error("it was not put there in parts: the test tries too little")
		}
		a.most = 1 << 20
		_, err = a.Get(t.Context(), "large")
		refuse(t, err, config.KindTooLarge, "1048576")
		refuse(t, a.Put(t.Context(), "larger", body), config.KindTooLarge, "1048576")
		a.most = MaxObject
		_, err = a.Get(t.Context(), "larger")
		refuse(t, err, config.KindNotFound)
	})
}

func TestWritersAtOnce(t *testing.T) {
	each(t, func(t *testing.T, _ *cloud, url string) {
		a := mustOpen(t, url)
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				body := bytes.Repeat([]byte{byte(i)}, 10_000)
				for _, key := range []string{"same", fmt.Sprint("own", i)} {
					if err := a.Put(t.Context(), key, body); err != nil {
						t.Error(err, errors.Unwrap(err))
					}
				}
			})
		}
		all.Wait()
		got, err := a.Get(t.Context(), "same")
		if err != nil || len(got) != 10_000 || !bytes.Equal(got, bytes.Repeat(got[:1], 10_000)) {
			t.Errorf("%d bytes, not all of one writer (%v)", len(got), err)
		}
	})
}

func TestKeys(t *testing.T) {
	a := mustOpen(t, "file://"+t.TempDir())
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".partial/x", "a/.b", `a\b`, "a b", "a\x00", "é", strings.Repeat("a", maxKey+1)} {
		refuse(t, a.Put(t.Context(), key, nil), config.KindBadRequest, "letters")
		_, err := a.Get(t.Context(), key)
		refuse(t, err, config.KindBadRequest)
		refuse(t, a.Delete(t.Context(), key), config.KindBadRequest)
	}
	if err := a.Put(t.Context(), strings.Repeat("a/", maxKey/2-1)+"a", nil); err != nil {
		t.Error(err, errors.Unwrap(err))
	}
}

// TestCloudsThatRefuse: neither a right nor a bucket that is lacking looks like
// an object that is gone.
func TestCloudsThatRefuse(t *testing.T) {
	noBucket := map[string]func(http.ResponseWriter){
		"s3": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte("<Error><Code>NoSuchBucket</Code></Error>"))
		},
		"azblob": func(w http.ResponseWriter) {
			w.Header().Set("x-ms-error-code", "ContainerNotFound")
			w.WriteHeader(http.StatusNotFound)
		},
	}
	each(t, func(t *testing.T, c *cloud, url string) {
		if c == nil {
			return
		}
		a := mustOpen(t, url)
		try := func(answer func(http.ResponseWriter)) {
			c.mu.Lock()
			c.refuse = answer
			c.mu.Unlock()
			_, err := a.Get(t.Context(), "k")
			refuse(t, err, config.KindUnavailable, a.Name(), "credentials")
			refuse(t, a.Put(t.Context(), "k", []byte("x")), config.KindUnavailable, a.Name())
		}
		try(func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) })
		refuse(t, a.Delete(t.Context(), "k"), config.KindUnavailable, a.Name())
		scheme, _, _ := strings.Cut(url, ":")
		if answer := noBucket[scheme]; answer != nil {
			try(answer)
		}
	})
}

func TestCloudsThatHang(t *testing.T) {
	each(t, func(t *testing.T, c *cloud, url string) {
		if c == nil {
			return
		}
		a := mustOpen(t, url)
		a.timeout = 50 * time.Millisecond
		c.hang = make(chan struct{})
		defer close(c.hang)
		_, err := a.Get(t.Context(), "k")
		refuse(t, err, config.KindUnavailable, "in time")
		refuse(t, a.Put(t.Context(), "k", []byte("x")), config.KindUnavailable, "in time")
		refuse(t, a.Delete(t.Context(), "k"), config.KindUnavailable, "in time")
	})
}

func TestURLs(t *testing.T) {
	names := map[string]string{
		"file:///var/archive":       "file:/var/archive",
		"file://localhost/var//a/":  "file:/var/a",
		"file:relative/a%20b":       "file:relative/a b",
		"s3://bucket":               "s3://bucket/",
		"s3://bucket/a/b/?region=x": "s3://bucket/a/b/",
		"gs://bucket":               "gs://bucket/",
		"azblob://box?storage_account=a&protocol=http&domain=127.0.0.1:10000&localemu=true": "azblob://box/",
		"s3://bucket?endpoint=https://storage.example.com":                                  "s3://bucket/",
		"s3://bucket?endpoint=http://localhost:9000":                                        "s3://bucket/",
	}
	for url, name := range names {
		p, err := parse(url)
		if err != nil || p.name != name {
			t.Errorf("%s has the name %q (%v)", url, p.name, err)
		}
	}
	for url, says := range map[string]string{
		"":                                    "is no URL",
		"/var/archive":                        "is no URL",
		"s3://a\x7fhunter2":                   "is no URL",
		"sftp://host/hunter2":                 `"sftp", which is none of file, s3, gs and azblob`,
		"s3://user:hunter2@bucket":            "environment",
		"s3://bucket?secret=hunter2":          `a parameter "secret", which s3 does not take; s3 takes region, endpoint, `,
		"s3://bucket?region=a&region=hunter2": `the parameter "region" more than once; give it once`,
		"s3://bucket#hunter2":                 "fragment",
		"s3://bucket?a=%zzhunter2":            "cannot be read",
		"s3://":                               "no bucket",
		"s3:bucket":                           "no bucket",
		"gs://bucket/.hunter2":                "cannot begin keys",
		"file:":                               "no folder",
		"file://elsewhere/var":                "no folder",
		"file:///var?create_dir=1":            `a parameter "create_dir", and file takes none; leave out what follows`,
		"s3://b?endpoint=http://minio:9000":   "plain http",
		"s3://b?endpoint=https://u:hunter2@h": "more than scheme",
		"s3://b?endpoint=storage.example.com": "no URL",
		"azblob://b?protocol=http":            "https",
	} {
		_, err := Open(t.Context(), url)
		refuse(t, err, config.KindBadRequest, says)
		refuse(t, Check(url), config.KindBadRequest, says)
	}
}

// TestCausesShowNoCredentials: the log has the cause.
func TestCausesShowNoCredentials(t *testing.T) {
	cause := errors.New(`Put "https://user:hunter2@account.example.com/box/key?sv=2&sig=hunter2": dial tcp: lookup failed`)
	err := unavailable("azblob://box/", "did not take an object", cause)
	refuse(t, err, config.KindUnavailable)
	if text := errors.Unwrap(err).Error(); !strings.Contains(text, "account.example.com/box/key?…") || !strings.Contains(text, "lookup failed") {
		t.Errorf("the cause lost what it said: %s", text)
	}
}

func TestEndedContext(t *testing.T) {
	each(t, func(t *testing.T, _ *cloud, url string) {
		a := mustOpen(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		refuse(t, a.Put(ctx, "k", []byte("x")), config.KindUnavailable)
		_, err := a.Get(t.Context(), "k")
		refuse(t, err, config.KindNotFound)
	})
}
