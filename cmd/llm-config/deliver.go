package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// delivery is how the values of secrets reach a command: in files that only it
// inherits, or that only its user can read, so that neither the environment nor
// the arguments hold them.
type delivery struct {
	set   []variable // with the name of a file where a value was
	files []*os.File // for the command to inherit
}

// deliver makes the files. numbered says which descriptor the command will have
// each as; a folder, when there is one, is used instead.
func (r *running) deliver(set []variable, numbered func(i int, file *os.File) int) (*delivery, error) {
	d := &delivery{}
	var kept []string
	for _, v := range set {
		switch {
		case !v.file:
			d.set = append(d.set, v)
			continue
		case !r.override && slices.ContainsFunc(r.app.environ(), v.isIn):
			continue // the caller's own stays, and the command has no use for another
		}
		var name string
		var err error
		if r.folder != nil {
			name, err = r.folder.write(v.name, v.value)
			kept = append(kept, v.name)
		} else {
			name, err = d.inherit(v.value, numbered)
		}
		if err != nil {
			d.close()
			return nil, fmt.Errorf("hand %s on: %w", v.name, err)
		}
		v.value = name
		d.set = append(d.set, v)
	}
	if r.folder != nil {
		return d, r.folder.keepOnly(kept)
	}
	return d, nil
}

// isIn says that an entry of an environment is one of the variable's names.
func (v variable) isIn(entry string) bool {
	name, _, _ := strings.Cut(entry, "=")
	return slices.Contains(v.names(), name)
}

func (d *delivery) inherit(value string, numbered func(int, *os.File) int) (string, error) {
	file, err := secretFile(value)
	if err != nil {
		return "", err
	}
	d.files = append(d.files, file)
	return fmt.Sprintf("/dev/fd/%d", numbered(len(d.files)-1, file)), nil
}

// close lets go of the files; the command has them as its own.
func (d *delivery) close() {
	for _, file := range d.files {
		_ = file.Close()
	}
}

// secretsFolder is the folder of --secrets-dir.
type secretsFolder struct {
	name    string // absolute
	root    *os.Root
	made    bool // by us, so it goes at the end
	written []string
}

// openSecretsFolder makes the folder, or takes one that nobody else looks into.
func openSecretsFolder(name string) (*secretsFolder, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	made := true
	if err := os.Mkdir(name, 0o700); errors.Is(err, fs.ErrExist) {
		made = false
	} else if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode().Perm()&0o077 != 0:
		err = failf("others may use the folder %s (mode %04o)", name, info.Mode().Perm()).hint("`chmod 700 %s`, or name one that is not there yet", name)
	case !known || int(owner.Uid) != os.Geteuid():
		err = failf("the folder %s belongs to somebody else", name).hint("name one that is not there yet")
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &secretsFolder{name: name, root: root, made: made}, nil
}

// write replaces a file as a whole, and answers its name.
func (f *secretsFolder) write(name, value string) (string, error) {
	next := "." + name + ".next"
	if err := f.root.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	file, err := f.root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(value)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, f.root.Remove(next))
	}
	if err := f.root.Rename(next, name); err != nil {
		return "", err
	}
	if !slices.Contains(f.written, name) {
		f.written = append(f.written, name)
	}
	return filepath.Join(f.name, name), nil
}

// keepOnly removes what was written before and is of no use any more.
func (f *secretsFolder) keepOnly(names []string) error {
	var errs []error
	f.written = keep(f.written, func(name string) bool {
		if slices.Contains(names, name) {
			return true
		}
		errs = append(errs, f.root.Remove(name))
		return false
	})
	return errors.Join(errs...)
}

// remove takes away all that was written.
func (f *secretsFolder) remove() error {
	err := errors.Join(f.keepOnly(nil), f.root.Close())
	if f.made && err == nil {
		return os.Remove(f.name)
	}
	return err
}
