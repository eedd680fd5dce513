//go:build !linux

package main

import (
	"errors"
	"os"
)

// secretFile is a file that holds a value and has no name any more, so that
// nobody else can open it and it is gone with the last process that has it.
// Where /dev/fd/N is the same opening again, as on BSD and macOS, a command
// that reads it twice has to go back to the beginning.
func secretFile(value string) (file *os.File, err error) {
	file, err = os.CreateTemp("", "llm-config-*")
	if err != nil {
		return nil, err
	}
	name := file.Name()
	_, err = file.WriteString(value)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(name))
	}
	file, err = os.Open(name)
	return file, errors.Join(err, os.Remove(name))
}
