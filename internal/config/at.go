package config

import (
	"regexp"
	"strconv"
	"time"
)

// At names a point in history, as the asker wrote it. Exactly one of its
// fields is set; the zero At is now.
type At struct {
	Revision Revision  // digits: the tenant's revision
	Version  Version   // v3: a version of the named layer
	Time     time.Time // RFC 3339: the last revision committed at or before it
	Tag      string    // anything else: the revision that the tag names
}

// ParseAt reads an AT; "" is now. The error is of KindInvalidAt.
func ParseAt(text string) (At, error) {
	switch {
	case text == "":
		return At{}, nil
	case allDigits(text):
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return At{}, atError("a revision is a number from 1 up")
		}
		return At{Revision: Revision(n)}, nil
	case text[0] == 'v' && allDigits(text[1:]):
		n, err := strconv.ParseInt(text[1:], 10, 64)
		if err != nil || n < 1 {
			return At{}, atError("a version is v and a number from 1 up")
		}
		return At{Version: Version(n)}, nil
	case isDigit(text[0]):
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || !rfc3339.MatchString(text) || t.IsZero() { // the zero time would be now
			return At{}, atError("a time is written as RFC 3339 has it")
		}
		return At{Time: t}, nil
	}
	if CheckTag(text) != nil {
		return At{}, atError("this names no point in history")
	}
	return At{Tag: text}, nil
}

// rfc3339 is the grammar, of which time.Parse accepts more.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// IsNow says that no point in the past is meant.
func (a At) IsNow() bool { return a == At{} }

// String writes a the way ParseAt reads it; "" for now.
func (a At) String() string {
	switch {
	case a.Revision != 0:
		return strconv.FormatInt(int64(a.Revision), 10)
	case a.Version != 0:
		return "v" + strconv.FormatInt(int64(a.Version), 10)
	case !a.Time.IsZero():
		return a.Time.Format(time.RFC3339Nano)
	}
	return a.Tag
}

func atError(message string) *Error {
	return Errorf(KindInvalidAt, "%s", message).
		Hint("give a revision (1042), a version (v3), a time (2026-11-01T12:00:00Z) or a tag")
}
