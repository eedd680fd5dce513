package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// printable is a Document as it may be printed.
type printable Document

func (d Document) printable() printable {
	if len(d.Secrets) > 0 {
		d.Data = []byte(Hidden)
	}
	return printable(d)
}

// String is the document as fmt prints a struct, without the Data of one that
// holds secrets.
func (d Document) String() string { return fmt.Sprintf("%+v", d.printable()) }

// GoString is String for %#v.
func (d Document) GoString() string { return fmt.Sprintf("%#v", d.printable()) }

// LogValue is the document without the Data of one that holds secrets.
func (d Document) LogValue() slog.Value { return slog.AnyValue(d.printable()) }

// MarshalJSON is the document without the Data of one that holds secrets.
func (d Document) MarshalJSON() ([]byte, error) { return json.Marshal(d.printable()) }

// maxSecrets bounds the secrets that a document may name.
const maxSecrets = 1000

// parseSecrets reads what api.HeaderSecrets holds: "path version, path version".
// It takes one form of each thing and nothing else, for acknowledgements rest on it.
func parseSecrets(text string) (map[string]int64, error) {
	secrets := map[string]int64{}
	for entry := range strings.SplitSeq(text, ", ") {
		path, digits, _ := strings.Cut(entry, " ")
		version, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case err != nil || version < 1 || strconv.FormatInt(version, 10) != digits || !plainPath(path):
			return nil, errors.New(`not of the form "path version, path version"`)
		case secrets[path] != 0:
			return nil, errors.New("naming a secret twice")
		case len(secrets) == maxSecrets:
			return nil, fmt.Errorf("naming more than %d secrets", maxSecrets)
		}
		secrets[path] = version
	}
	return secrets, nil
}

// plainPath says whether a text is made of the bytes that paths are made of.
func plainPath(text string) bool {
	const bytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~@+=-/"
	return text != "" && strings.Trim(text, bytes) == ""
}
