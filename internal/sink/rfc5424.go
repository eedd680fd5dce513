package sink

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// Bounds and names of RFC 5424.
const (
	facility    = 13 // log audit
	severityErr = 3
	severityWrn = 4
	severityInf = 6

	maxHostname = 255
	maxMsgID    = 32

	appName   = "llm-config"
	elementID = "audit"
	byteOrder = "\xef\xbb\xbf"

	// stampForm has the six digits that a TIMESTAMP may have at most.
	stampForm = "2006-01-02T15:04:05.000000Z"
)

// form makes syslog messages of records, as RFC 5424 has them.
type form struct {
	hostname   string // as HOSTNAME has it
	process    string // PROCID
	enterprise string // the number behind the @ of the SD-ID
}

func newForm(hostname string, pid int, enterprise string) form {
	return form{printable(hostname, maxHostname), strconv.Itoa(pid), enterprise}
}

// head is what a message shows of a record.
type head struct {
	Event   string        `json:"event"`
	Outcome audit.Outcome `json:"outcome"`
	Time    time.Time     `json:"time"`
}

// message is a whole message. A record that cannot be read, as one of a later schema
// may be, is sent with a header that says less.
func (f form) message(r Record) []byte {
	return append(f.appendHeader(nil, r, false), f.text(r)...)
}

// appendWithin adds a message of so many bytes at most: what is too long is cut at
// its end (RFC 5424 section 6.1), and says so in its structured data.
func (f form) appendWithin(b []byte, r Record, most int) []byte {
	start, text := len(b), f.text(r)
	b = f.appendHeader(b, r, false)
	if len(b)-start+len(text) <= most {
		return append(b, text...)
	}
	b = f.appendHeader(b[:start], r, true)
	room := max(most-(len(b)-start), 0)
	for room > 0 && !utf8.RuneStart(text[room]) {
		room--
	}
	return append(b, text[:room]...)
}

// text is MSG. The mark that begins Unicode stands only where there is more than
// ASCII: JSON has none, and readers of it trip over one.
func (f form) text(r Record) string {
	text := strings.ToValidUTF8(string(r.Record), "\ufffd")
	for _, c := range []byte(text) {
		if c >= utf8.RuneSelf {
			return byteOrder + text
		}
	}
	return text
}

// appendHeader adds all that stands before MSG.
func (f form) appendHeader(b []byte, r Record, cut bool) []byte {
	var h head
	if err := json.Unmarshal(r.Record, &h); err != nil {
		h = head{}
	}
	b = strconv.AppendInt(append(b, '<'), int64(facility*8+severity(h.Outcome)), 10)
	b = append(b, ">1 "...)
	b = append(append(b, stamp(h.Time)...), ' ')
	for _, field := range []string{f.hostname, appName, f.process, printable(h.Event, maxMsgID)} {
		b = append(append(b, field...), ' ')
	}
	b = append(append(append(b, '['), elementID+"@"...), f.enterprise...)
	b = appendParam(b, "chain", r.Origin)
	b = appendParam(b, "sequence", strconv.FormatUint(r.Sequence, 10))
	b = appendParam(b, "hash", hex.EncodeToString(r.Hash[:]))
	if cut {
		b = appendParam(b, "truncated", "true")
	}
	return append(b, "] "...)
}

func severity(o audit.Outcome) int {
	switch o {
	case audit.Denied:
		return severityWrn
	case audit.Failed:
		return severityErr
	}
	return severityInf
}

// stamp is TIMESTAMP, whose years have four digits.
func stamp(t time.Time) string {
	if t = t.UTC(); t.IsZero() || t.Year() > 9999 || t.Year() < 0 {
		return "-"
	}
	return t.Format(stampForm)
}

// printable is a field of the header: printable ASCII without spaces, or a dash.
func printable(text string, most int) string {
	field := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, text)
	if field == "" {
		return "-"
	}
	return field[:min(len(field), most)]
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

func appendParam(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), `="`...)
	b = append(b, escaper.Replace(strings.ToValidUTF8(value, "\ufffd"))...)
	return append(b, '"')
}
