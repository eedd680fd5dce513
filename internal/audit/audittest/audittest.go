// Package audittest makes audit chains and tampers with their exports in every
// way that a verifier has to find. It is for tests only. What is expected of a
// verifier is said in terms of the export's form, so that any verifier can be
// held against it, whoever wrote it.
package audittest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// Key is a signing key for tests. The same name and number make the same key;
// other numbers are other versions of it.
func Key(tb testing.TB, name string, number byte) *audit.SigningKey {
	tb.Helper()
	key, err := audit.NewSigningKey(name, [32]byte{number})
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// Record is the canonical form of a record that differs for each number, of a
// length that is usual.
func Record(number int) []byte {
	return audit.Record{
		Time: start.Add(time.Duration(number) * time.Second), Event: "secret.read", Actor: fmt.Sprintf("token %08x (service-%d)", number*7919, number%7),
		Tenant: "0a0b0c0d0e0f00112233445566778899", Resource: fmt.Sprintf("production/providers/openai-%d", number%50), Action: "secret.read",
		Outcome: audit.Success, Reason: "role operator", RequestID: fmt.Sprintf("01JD%012d", number), Source: "10.1.2.3", UserAgent: `curl/8 "{é}"`,
		Details: map[string]string{"environment": "production", "version": "3"},
	}.Canonical()
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// Links are a chain of n records.
func Links(n int) []audit.Link {
	var links []audit.Link
	var head audit.Head
	for i := range n {
		link := head.Next(Record(i + 1))
		links, head = append(links, link), link.Head()
	}
	return links
}

// Note is a checkpoint of where a chain stood, signed by keys.
func Note(tb testing.TB, origin string, head audit.Head, keys ...*audit.SigningKey) []byte {
	tb.Helper()
	note, err := audit.Checkpoint{Origin: origin, Head: head, Time: start.Add(time.Duration(head.Sequence) * time.Second)}.Sign(keys...)
	if err != nil {
		tb.Fatal(err)
	}
	return note
}

// Disposal is the record that attests that the records of a stub were disposed of.
func Disposal(stub audit.Stub, note []byte) []byte {
	details := stub.DisposeDetails(note)
	if note == nil {
		delete(details, "note")
	}
	return audit.Record{Time: start, Event: audit.DisposeEvent, Actor: "system:server", Outcome: audit.Success, Details: details}.Canonical()
}

// Export is the export of links from the beginning of a chain, with a
// checkpoint, signed by key, behind every so many records and the last one.
func Export(tb testing.TB, origin string, links []audit.Link, every int, key *audit.SigningKey) []byte {
	tb.Helper()
	var b bytes.Buffer
	e, err := audit.NewExporter(&b, origin, audit.Head{}, false)
	for i, l := range links {
		if err == nil {
			err = e.Link(l)
		}
		if err == nil && ((i+1)%every == 0 || i+1 == len(links)) {
			err = e.Checkpoint(Note(tb, origin, l.Head(), key))
		}
	}
	if err == nil {
		err = e.End()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// Lines are the lines of an export, each with its newline.
func Lines(export []byte) [][]byte {
	return slices.Collect(bytes.Lines(export))
}
