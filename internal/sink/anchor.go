package sink

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/archive"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// Anchor is a place for checkpoints that the server should not be able to
// rewrite.
type Anchor interface {
	// Name is the anchor's URL without what may hold a credential.
	Name() string
	// Keep keeps the signed note of a chain's checkpoint; again: nothing more. It
	// is config.KindConflict when the anchor has a note of the same sequence that
	// says something else: the chain was forked or rewritten.
	Keep(ctx context.Context, origin string, sequence uint64, note []byte) error
	Close() error
}

// OpenAnchor opens an anchor: the URL of an archive (see archive.Open), or of a
// webhook, https://… or http://… on this machine. The error is a *config.Error.
func OpenAnchor(ctx context.Context, url string, o Options) (Anchor, error) {
	if isWebhook(url) {
		sender, err := webhook.NewSender(url, o.key(), o.webhook())
		if err != nil {
			return nil, err
		}
		return &posted{sender}, nil
	}
	a, err := archive.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	return &archived{a}, nil
}

// CheckAnchor says whether a text is the URL of an anchor, as Check does for
// sinks.
func CheckAnchor(url string) error {
	_, err := AnchorNameOf(url)
	return err
}

// AnchorNameOf is the Name of the anchor that a URL would open.
func AnchorNameOf(url string) (string, error) {
	if isWebhook(url) {
		return webhook.NameOf(url)
	}
	return archive.NameOf(url)
}

func isWebhook(url string) bool {
	return strings.HasPrefix(url, "https:") || strings.HasPrefix(url, "http:")
}

// posted sends checkpoints to a webhook.
type posted struct {
	sender *webhook.Sender
}

func (p *posted) Name() string { return p.sender.Name() }
func (p *posted) Close() error { return nil }

func (p *posted) Keep(ctx context.Context, origin string, sequence uint64, note []byte) error {
	body := canon.AppendString([]byte(`{"note":`), strings.ToValidUTF8(string(note), "\ufffd"))
	body = canon.AppendString(append(body, `,"origin":`...), strings.ToValidUTF8(origin, "\ufffd"))
	body = append(appendUint(append(body, `,"sequence":`...), sequence), '}')
	return p.sender.Post(ctx, contentID("checkpoint", body), "application/json", body)
}

// kept is what an anchor needs of an archive.
type kept interface {
	Name() string
	Put(ctx context.Context, key string, body []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	Close() error
}

// archived puts checkpoints into an archive: <origin>/checkpoints/<sequence in 20
// digits>.note, and the newest also as latest.note.
type archived struct {
	archive kept
}

func (a *archived) Name() string { return a.archive.Name() }
func (a *archived) Close() error { return a.archive.Close() }

func (a *archived) Keep(ctx context.Context, origin string, sequence uint64, note []byte) error {
	if len(note) > audit.MaxNote {
		return config.Errorf(config.KindTooLarge, "a checkpoint has more than %d bytes", audit.MaxNote).Over(audit.MaxNote, int64(len(note)))
	}
	folder := origin + "/checkpoints/"
	if err := a.keepOnce(ctx, fmt.Sprintf("%s%020d.note", folder, sequence), note); err != nil {
		return err
	}
	newest, err := a.archive.Get(ctx, folder+"latest.note")
	switch {
	case config.KindOf(err) == config.KindNotFound:
	case err != nil:
		return err
	case sequenceOf(newest) > sequence && timeOf(newest).Before(timeOf(note)):
		return config.Errorf(config.KindConflict, "%s has a checkpoint of record %d that is older than this one of record %d: the chain was put back to an earlier state, or written anew", a.Name(), sequenceOf(newest), sequence).
			Hint("compare the two; docs/audit.md says what to do")
	case sequenceOf(newest) > sequence || bytes.Equal(newest, note):
		return nil // checkpoints may come late, or again
	}
	return a.archive.Put(ctx, folder+"latest.note", note)
}

// keepOnce never replaces a note. One of the same head with another time or other
// signatures says nothing new: the first stays.
func (a *archived) keepOnce(ctx context.Context, key string, note []byte) error {
	there, err := a.archive.Get(ctx, key)
	switch {
	case config.KindOf(err) == config.KindNotFound:
		return a.archive.Put(ctx, key, note)
	case err != nil:
		return err
	case statement(there) != statement(note):
		return config.Errorf(config.KindConflict, "the anchor %s has another checkpoint %s: the audit chain was forked or rewritten", a.Name(), key).
			Hint("keep both, and the server's log; verify the chain against the anchor's note: llm-config audit verify")
	}
	return nil
}

// statement is what a note says of a chain: its origin, sequence and hash, which
// are the first three lines. A note of fewer says all that it has.
func statement(note []byte) string {
	lines := strings.SplitN(string(note), "\n", 4)
	return strings.Join(lines[:min(len(lines), 3)], "\n")
}

// timeOf is when a checkpoint was signed, by its fourth line; zero when it does not say.
func timeOf(note []byte) time.Time {
	lines := strings.SplitN(string(note), "\n", 5)
	if len(lines) < 5 {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(lines[3], "time "))
	if err != nil {
		return time.Time{}
	}
	return t
}

// sequenceOf is the sequence of a note; 0 for one that cannot be read, which is
// to be replaced.
func sequenceOf(note []byte) uint64 {
	lines := strings.SplitN(string(note), "\n", 3)
	if len(lines) < 3 {
		return 0
	}
	n, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
