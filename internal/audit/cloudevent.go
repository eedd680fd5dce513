package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// eventType begins the type of each CloudEvent; the record's event follows.
const eventType = "llm-config."

// AppendCloudEvent writes a record as a CloudEvents 1.0 event in JSON: id is the
// sequence number, source the chain's origin, type the event, subject the
// resource, data the record's exact bytes. The extension attribute chainhash is
// the link's hash in hexadecimal, so that events can be held against an export.
// Members are in their sorted order, as everywhere. The error is of a record
// that does not parse or has no event.
func AppendCloudEvent(b []byte, origin string, l Link) ([]byte, error) {
	r, err := ParseRecord(l.Record)
	if err == nil && r.Event == "" {
		err = errors.New("it has no event, and a CloudEvent has to have a type")
	}
	if err != nil {
		return b, fmt.Errorf("record %d of %s as a CloudEvent: %w", l.Sequence, origin, err)
	}
	b = append(b, `{"chainhash":"`...)
	b = append(hex.AppendEncode(b, l.Hash[:]), `","data":`...)
	b = append(append(b, l.Record...), `,"datacontenttype":"application/json","id":"`...)
	b = append(strconv.AppendUint(b, l.Sequence, 10), `","source":`...)
	b = append(canon.AppendString(b, origin), `,"specversion":"1.0"`...)
	b = appendText(b, "subject", r.Resource)
	b = append(appendName(b, "time"), '"')
	b = append(r.Time.UTC().AppendFormat(b, timeForm), '"')
	b = appendText(b, "type", eventType+r.Event)
	return append(b, '}'), nil
}
