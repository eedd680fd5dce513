package settings

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
)

func TestReloadChangesWhatARunningServerCan(t *testing.T) {
	live := NewLive(Settings{Dev: true}.WithDefaults())
	taken := live.Get()
	next := *taken
	next.LogLevel, next.MaxBody, next.TrustedProxies = "debug", 5<<20, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	next.Data, next.LogFormat = "elsewhere", "text"

	changed, refused, err := live.Reload(next)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"trusted-proxy", "log-level", "max-body"}, changed); diff != "" {
		t.Errorf("changed: %s", diff)
	}
	if diff := cmp.Diff([]string{
		`data stays ".llm-config" until the server is started again; "elsewhere" needs a restart`,
		`log-format stays "json" until the server is started again; "text" needs a restart`,
	}, refused); diff != "" {
		t.Errorf("refused: %s", diff)
	}
	want := *taken
	want.LogLevel, want.MaxBody, want.TrustedProxies = next.LogLevel, next.MaxBody, next.TrustedProxies
	if diff := cmp.Diff(&want, live.Get(), comparePrefixes); diff != "" {
		t.Errorf("in force: %s", diff)
	}
	if taken.LogLevel != "info" {
		t.Error("what a request had taken was changed under it")
	}
}

// TestReloadNeitherBeginsNorEndsTLS: other files are taken up, but a listener
// speaks TLS or does not for as long as it is there.
func TestReloadNeitherBeginsNorEndsTLS(t *testing.T) {
	plain := Settings{MasterKeyFile: "k"}.WithDefaults()
	secure := plain
	secure.TLSCert, secure.TLSKey = "c", "k"
	for _, test := range []struct{ first, next Settings }{{plain, secure}, {secure, plain}} {
		live := NewLive(test.first)
		changed, refused, err := live.Reload(test.next)
		if err != nil || len(changed) != 0 || len(refused) != 2 || live.Get().TLSCert != test.first.TLSCert {
			t.Errorf("changed %v, refused %v, %v", changed, refused, err)
		}
	}
	live, next := NewLive(secure), secure
	next.TLSCert, next.TLSKey = "c2", "k2"
	if changed, refused, err := live.Reload(next); err != nil || len(changed) != 2 || len(refused) != 0 {
		t.Errorf("changed %v, refused %v, %v", changed, refused, err)
	}
}

func TestReloadPrintsNoKeeper(t *testing.T) {
	first := Settings{MasterKey: "hashivault://key?namespace=hunter2"}.WithDefaults()
	live, next := NewLive(first), first
	next.MasterKey, next.PreviousMasterKeys = "passphrase:hunter2", []string{first.MasterKey, "awskms://user:hunter2@key"}
	next.WebhookHosts = []string{"rotator.example.com"}
	next.AuditSinks, next.AuditArchive, next.AuditHot = []string{"https://hooks.example.com/hunter2"}, "file:hunter2", day
	changed, refused, err := live.Reload(next)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"webhook-hosts", "audit-hot"}, changed); diff != "" {
		t.Errorf("changed: %s", diff)
	}
	if diff := cmp.Diff([]string{
		"master-key stays as it is until the server is started again",
		"previous-master-keys stays as it is until the server is started again",
		"audit-archive stays as it is until the server is started again",
		"audit-sinks stays as it is until the server is started again",
	}, refused); diff != "" {
		t.Errorf("refused: %s", diff)
	}
	if live.Get().MasterKey != first.MasterKey || len(live.Get().WebhookHosts) != 1 {
		t.Errorf("in force: %+v", live.Get())
	}
}

func TestReloadKeepsTheOldWhenTheNewIsNotValid(t *testing.T) {
	first := Settings{MasterKeyFile: "k", Listen: ":8700", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}.WithDefaults()
	live := NewLive(first)
	next := first
	next.TrustedProxies, next.Listen, next.LogLevel = nil, "127.0.0.1:8700", "debug"
	_, _, err := live.Reload(next)
	refuse(t, err, "stay", "listen", ":8700", "tls-cert")
	if diff := cmp.Diff(&first, live.Get(), comparePrefixes); diff != "" {
		t.Error(diff)
	}
}

// following runs a follower over a channel of events whose timer is a channel too.
type following struct {
	events  chan fsnotify.Event
	settled chan time.Time
	changed chan struct{}
	asked   chan struct{} // the timer was started
}

func follow(t *testing.T, files ...string) following {
	t.Helper()
	f := following{make(chan fsnotify.Event), make(chan time.Time), make(chan struct{}, 1), make(chan struct{}, 1)}
	run := follower{
		files:   func() []string { return files },
		changed: func() { f.changed <- struct{}{} },
		after:   func(time.Duration) <-chan time.Time { f.asked <- struct{}{}; return f.settled },
		add:     func(string) error { return nil },
		events:  f.events,
		errors:  make(chan error),
	}
	ended := make(chan error, 1)
	go func() { ended <- run.follow(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	f.settle() // the first look
	<-f.changed
	f.event() // taken, so the look is over; the next comes when the test settles
	return f
}

func (f following) event() { f.events <- fsnotify.Event{} }

func (f following) settle() { <-f.asked; f.settled <- time.Time{} }

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestManyEventsAreOneChange(t *testing.T) {
	name := file(t, "a")
	f := follow(t, name)
	write(t, name, "b")
	f.event()
	f.event()
	f.settle()
	<-f.changed
	f.event() // about something else in the folder
	f.settle()
	f.event() // taken, so the look is over
	if len(f.changed) != 0 {
		t.Error("a change was told although no content changed")
	}
}

func TestARemovedFileIsAChange(t *testing.T) {
	name := file(t, "")
	f := follow(t, name)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	f.settle()
	<-f.changed
}

// Kubernetes mounts a link to a link to a folder and swaps the middle one.
func TestWatchSeesSwappedLinks(t *testing.T) {
	dir := t.TempDir()
	for _, generation := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, generation), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, generation, "settings.yaml"), generation)
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("1", "..data")
	name := filepath.Join(dir, "settings.yaml")
	link(filepath.Join("..data", "settings.yaml"), "settings.yaml")

	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		ended <- Watch(ctx, func() []string { return []string{name} }, nil, func() { changed <- struct{}{} })
	}()
	<-changed // the first look
	link("2", "..next")
	if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	<-changed
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAFolderThatCannotBeWatched(t *testing.T) {
	var seen [sha256.Size]byte
	err := follower{files: func() []string { return []string{"", ""} }, changed: func() {}}.look(&seen)
	if err != nil {
		t.Errorf("empty names: %v", err)
	}
	for problem, fatal := range map[error]bool{fs.ErrNotExist: false, errors.New("too many watches"): true} {
		var seen [sha256.Size]byte
		err := follower{
			files:   func() []string { return []string{"/nowhere/settings.yaml"} },
			add:     func(string) error { return problem },
			changed: func() {},
		}.look(&seen)
		if fatal {
			refuse(t, err, "/nowhere/settings.yaml", "too many watches", "SIGHUP")
		} else if err != nil {
			t.Errorf("a missing folder ends the watch: %v", err)
		}
	}
}
