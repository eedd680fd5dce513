package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/llm-devops/llm-config-manager/api"
)

// When a Store acknowledges. Every wait has some chance in it, so that clients
// that learned of a change together do not all tell of it together.
const (
	ackBeat  = 30 * time.Second       // at the latest after the one before
	ackSoon  = 250 * time.Millisecond // at the latest after a document or secret changed
	ackLater = 5 * time.Second        // at the latest after only the revision moved, which it may do every second
)

const maxClientName = 128 // bytes

// clientName is the name of this instance in acknowledgements; empty when none
// are wanted.
func clientName(o StoreOptions) (string, error) {
	switch name := o.Client; {
	case len(name) > maxClientName || strings.ContainsFunc(name, unprintable):
		return "", fmt.Errorf("the client name %.20q… is not of printable characters, at most %d bytes", name, maxClientName)
	case o.NoAcks:
		return "", nil
	case name != "":
		return name, nil
	}
	host, err := os.Hostname()
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		host = "host"
	}
	var chance [4]byte
	_, _ = rand.Read(chance[:]) // it never fails
	tail := "-" + strconv.Itoa(os.Getpid()) + "-" + hex.EncodeToString(chance[:])
	return host[:min(len(host), maxClientName-len(tail))] + tail, nil
}

// unprintable says whether a character cannot stand in a name. Bytes that are no
// UTF-8 are read as the replacement character.
func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }

// acknowledge tells the server what the program runs, again and again. That it
// fails disturbs nobody: it shows in the status.
func (s *Store) acknowledge(ctx context.Context) {
	var last api.Ack
	failures := 0
	due := time.Now().Add(s.ackWait(ackSoon))
	for {
		timer := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.acks:
			timer.Stop()
			if failures == 0 { // else the wait is not to be shortened
				due = s.sooner(due, last)
			}
			continue
		case <-timer.C:
		}
		ack := s.ack()
		_, err := s.client.Ack(ctx, s.environment, ack)
		if ctx.Err() != nil {
			return
		}
		s.acknowledged(err)
		last, failures = ack, failures+1
		wait := s.client.delay(failures, err)
		switch {
		case err == nil:
			failures, wait = 0, s.ackWait(ackBeat)
		case notServed(err) && failures&(failures-1) == 0: // ever more rarely: each read is on record
			s.rereadSecrets(ctx)
		}
		due = time.Now().Add(wait)
	}
}

// notServed says that the server does not know to have given this caller a
// version of a secret. So it is after the program's token was replaced: what one
// token has read another may not acknowledge.
func notServed(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && p.Code == api.CodeBadRequest && strings.HasPrefix(p.Pointer, "/secrets")
}

// rereadSecrets has everything read anew that holds secrets.
func (s *Store) rereadSecrets(ctx context.Context) {
	for _, d := range s.documents {
		if len(d.current.Load().Secrets) > 0 {
			s.reread(ctx, d, 0)
		}
	}
	for _, c := range s.secrets {
		s.reread(ctx, c, 0)
	}
}

// ackWait is a wait of this length or somewhat less.
func (s *Store) ackWait(longest time.Duration) time.Duration {
	return longest - longest/5 + s.client.jitter(longest/5)
}

// sooner is when to acknowledge what may have changed since the last time.
func (s *Store) sooner(due time.Time, last api.Ack) time.Time {
	now := s.ack()
	wait := ackLater
	switch {
	case now.Digest != last.Digest || !maps.Equal(now.Secrets, last.Secrets):
		wait = ackSoon
	case now.Revision == last.Revision:
		return due
	}
	// Only the first of several changes sets the time, else they would put it off.
	if soon := time.Now().Add(s.ackWait(wait)); soon.Before(due) {
		return soon
	}
	return due
}

// ack is what the program runs: of a document that a value could not follow, the
// version before.
func (s *Store) ack() api.Ack {
	ack := api.Ack{Client: s.name, Revision: s.Revision(), Secrets: map[string]int64{}}
	digests := make(map[string]string, len(s.documents))
	seen := map[string]int64{} // path of a secret → the revision at which its version was current
	runs := func(path string, version, revision int64) {
		// Of two copies the one that is behind counts: until it has caught up,
		// the program may use that version.
		before, known := seen[path]
		if c := cmp.Or(cmp.Compare(revision, before), cmp.Compare(version, ack.Secrets[path])); !known || c < 0 {
			seen[path], ack.Secrets[path] = revision, version
		}
	}
	for path, d := range s.documents {
		running, revision := d.runs()
		digests[path] = running.Digest
		for secret, version := range running.Secrets {
			runs(secret, version, revision)
		}
	}
	for path, c := range s.secrets {
		pair := c.current.Load()
		runs(path, pair.Current.Version, pair.Revision)
	}
	if len(digests) > 0 {
		ack.Digest = setDigest(digests)
	}
	return ack
}

// setDigest is the digest of a set of documents, as the server computes it: of
// [[path,digest],…] in canonical JSON, sorted by path. A path has no character
// that JSON escapes.
func setDigest(digests map[string]string) string {
	text := []byte{'['}
	for i, path := range slices.Sorted(maps.Keys(digests)) {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, `["`+path+`","`+digests[path]+`"]`...)
	}
	return digestOf(append(text, ']'))
}
