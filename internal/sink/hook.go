package sink

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// maxBody bounds what is posted at once in bytes. A single event that is larger
// goes alone.
const maxBody = 1 << 20

// hook posts records as batches of CloudEvents.
type hook struct {
	sender *webhook.Sender
}

func (h *hook) Name() string { return h.sender.Name() }
func (h *hook) Close() error { return nil }

func (h *hook) Deliver(ctx context.Context, records []Record) error {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	body := []byte{'['}
	for _, r := range records {
		event, err := audit.AppendCloudEvent(nil, r.Origin, r.Link)
		if err != nil {
			return unavailable(h.Name(), "cannot be given a record that is none", err).Hint("verify the chain %s: llm-config audit verify", r.Origin)
		}
		if len(body) > 1 && len(body)+len(event)+2 > maxBody {
			if err := h.post(ctx, append(body, ']')); err != nil {
				return err
			}
			body = body[:1]
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, event...)
	}
	if len(body) == 1 {
		return nil
	}
	return h.post(ctx, append(body, ']'))
}

func (h *hook) post(ctx context.Context, batch []byte) error {
	return h.sender.Post(ctx, contentID("audit", batch), "application/cloudevents-batch+json", batch)
}

// contentID is the same for the same body, so that a receiver knows one that
// comes again.
func contentID(kind string, body []byte) string {
	sum := sha256.Sum256(body)
	return kind + "_" + hex.EncodeToString(sum[:16])
}

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }
