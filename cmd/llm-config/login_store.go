package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/login"
)

// stored is a login as it is kept between commands.
type stored struct {
	Name     string    `json:"name"`   // of the issuer, as the server has it
	Issuer   string    `json:"issuer"` // its URL
	ClientID string    `json:"client_id"`
	Scopes   []string  `json:"scopes,omitempty"`
	CAFile   string    `json:"issuer_ca_file,omitempty"`
	IDToken  string    `json:"id_token"`
	Refresh  string    `json:"refresh_token,omitempty"`
	Expires  time.Time `json:"expires"`
}

// loginFile holds the logins of a person, each by the address of its server. It
// is its owner's alone, and written whole or not at all.
type loginFile string

const maxLoginFile = 1 << 20 // bytes

// loginFile is where logins are kept, empty where this cannot be said. A folder
// that is relative to who knows what counts as none.
func (a *app) loginFile() loginFile {
	folder := a.getenv("XDG_CONFIG_HOME")
	if home := a.getenv("HOME"); !filepath.IsAbs(folder) && filepath.IsAbs(home) {
		folder = filepath.Join(home, ".config")
	}
	if !filepath.IsAbs(folder) {
		return ""
	}
	return loginFile(filepath.Join(folder, "llm-config", "credentials.json"))
}

// read answers all logins; none when there is no file.
func (f loginFile) read() (map[string]stored, error) {
	if f == "" {
		return map[string]stored{}, nil
	}
	opened, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]stored{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, failf("%s is no plain file", f).hint("remove it, and run `llm-config login`")
	case info.Mode().Perm()&0o077 != 0:
		return nil, failf("others may read or write %s, and there are logins in it", f).hint("run chmod 600 %s; if others may have read it, log in anew", f)
	}
	text, err := io.ReadAll(io.LimitReader(opened, maxLoginFile+1))
	if err != nil {
		return nil, err
	}
	var kept struct {
		Servers map[string]stored `json:"servers"`
	}
	if len(text) > maxLoginFile || json.Unmarshal(text, &kept) != nil || kept.Servers == nil {
		return nil, failf("%s is not as this program wrote it", f).hint("remove it, and run `llm-config login`")
	}
	return kept.Servers, nil
}

// change reads all logins, and writes what the function made of them. Of several
// processes one is at it: a refresh token may be good for one use.
func (f loginFile) change(ctx context.Context, a *app, edit func(map[string]stored) error) error {
	if f == "" {
		return failf("there is no place to keep a login").hint("set HOME or XDG_CONFIG_HOME to a folder of yours")
	}
	folder := filepath.Dir(string(f))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return failf("others may write into %s, where logins are kept", folder).hint("run chmod 700 %s", folder)
	}
	unlock, err := lockFile(ctx, a, string(f)+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	all, err := f.read()
	if err != nil {
		return err
	}
	before := maps.Clone(all)
	if err := edit(all); err != nil {
		return err
	}
	if maps.EqualFunc(before, all, sameLogin) {
		return nil
	}
	return f.write(all)
}

func sameLogin(a, b stored) bool {
	return a.IDToken == b.IDToken && a.Refresh == b.Refresh && a.Expires.Equal(b.Expires) && a.Issuer == b.Issuer &&
		a.ClientID == b.ClientID && a.Name == b.Name && a.CAFile == b.CAFile && slices.Equal(a.Scopes, b.Scopes)
}

func (f loginFile) write(all map[string]stored) (err error) {
	text, err := json.MarshalIndent(map[string]any{"servers": all}, "", "  ")
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(string(f)), ".credentials-*") // which is its owner's alone
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(next.Name()))
		}
	}()
	_, err = next.Write(append(text, '\n'))
	err = errors.Join(err, next.Sync(), next.Close())
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), string(f))
}

// loginAddress is a server's address as logins are kept by. Over anything less
// than TLS a token would be for everybody on the way.
func loginAddress(addr string) (string, error) {
	u, err := url.Parse(addr)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", failf("the server's address %q is not a URL", addr).hint("write it like https://config.example.com")
	}
	if u.Scheme == "http" && !login.IsLoopback(u.Hostname()) {
		return "", failf("%s is plain HTTP, and everybody on the way could take the login", addr).hint("use an https:// address")
	}
	host := strings.ToLower(u.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; strings.HasSuffix(host, port) {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host + strings.TrimRight(u.EscapedPath(), "/"), nil
}
