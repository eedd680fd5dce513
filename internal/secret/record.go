package secret

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// State is what a version of a secret is.
type State string

// The states. A version is staged or active when it is made; at most one is
// staged, one active and one in grace at a time.
const (
	Staged    State = "staged"    // made, and not yet what readers get
	Active    State = "active"    // what readers get
	Grace     State = "grace"     // was active; readers get it beside the active one until its time is over
	Retired   State = "retired"   // over; may be activated again
	Revoked   State = "revoked"   // taken back; never comes back
	Destroyed State = "destroyed" // its value is gone for ever
)

// Source is where the value of a version came from.
type Source string

// The sources.
const (
	FromSet       Source = "set"       // somebody gave it
	FromGenerator Source = "generated" // drawn by a Generator
	FromWebhook   Source = "webhook"   // the answer to a rotation webhook
)

// Overlap says when the grace of a version that was replaced ends.
type Overlap string

// The overlaps.
const (
	OverlapDeadline Overlap = "deadline" // when its time is over; also what "" means
	OverlapAdoption Overlap = "adoption" // as soon as every live client has the next one, at the deadline all the same
)

// Bounds of a record. Of versions that are destroyed, MaxDestroyed are remembered.
const (
	MaxVersions     = 100
	MaxDestroyed    = 20
	DefaultGrace    = 7 * 24 * time.Hour
	MaxGrace        = 90 * 24 * time.Hour
	MinEvery        = time.Hour
	MaxEvery        = 366 * 24 * time.Hour
	MaxLifetime     = 100 * 366 * 24 * time.Hour // of a version that expires
	maxMessageBytes = 4096
	maxAuthorBytes  = 1024
	maxDescription  = 1024
	maxOwner        = 256
	maxLabels       = 32
	maxLabelValue   = 128
	maxWebhookURL   = 2048
)

// Version is one value of a secret, without the value.
type Version struct {
	Number      config.Version    `json:"n"`
	State       State             `json:"s"`
	Source      Source            `json:"o"`
	Fields      []string          `json:"f"`           // their names, sorted
	Hashes      map[string]string `json:"h,omitempty"` // field → keyed hash of its value, in hexadecimal; none once it is destroyed
	Created     time.Time         `json:"c"`
	Author      string            `json:"a,omitempty"`
	Message     string            `json:"m,omitempty"`
	Activated   time.Time         `json:"t"`           // the last time; zero when it never was active
	ActivatedBy string            `json:"b,omitempty"` // who did that
	GraceUntil  time.Time         `json:"g"`           // of state Grace
	Ended       time.Time         `json:"e"`           // when it became retired, revoked or destroyed
	Expires     time.Time         `json:"x"`           // zero for never
	Weak        string            `json:"w,omitempty"` // why a weak value was let in; "" when it is strong
}

// expired says whether v is past its time. It is at that very moment.
func (v Version) expired(now time.Time) bool { return !v.Expires.IsZero() && !now.Before(v.Expires) }

// Rotation says how new versions come about, and how old ones leave.
type Rotation struct {
	Every     time.Duration // 0: by hand only; else MinEvery to MaxEvery, and there is a Generator or Webhook
	Grace     time.Duration // 0 means DefaultGrace; at most MaxGrace
	Overlap   Overlap       // "" means OverlapDeadline
	Generator *Generator    // draws the value, unless the webhook answers one; nil for none
	Webhook   *Webhook      // is asked for a value, and tries it before it is activated; nil for none
}

// grace is for how long a version stays valid that is replaced.
func (r *Rotation) grace() time.Duration {
	if r == nil || r.Grace == 0 {
		return DefaultGrace
	}
	return r.Grace
}

// Webhook is who makes or tries a new value.
type Webhook struct {
	URL     string
	Signing config.Path // secret of the same environment whose field value is the key that signs
}

// Failure is why a rotation failed.
type Failure struct {
	Time   time.Time
	Reason string
}

// Record is all there is to a secret except its values. Its methods never
// change it: they answer another one, and the same content when there was
// nothing to do.
type Record struct {
	Description  string
	Owner        string
	Labels       map[string]string
	Rotation     *Rotation      // nil: by hand, with DefaultGrace
	Versions     []Version      // by number
	Newest       config.Version // counts on after versions were forgotten
	Serves       config.Version // the version activated last, also when it was revoked or destroyed since; 0 when there is none, or none since a delete
	Deleted      time.Time      // zero while it is there
	NextRotation time.Time      // when the schedule rotates next; zero for never
	Failure      *Failure       // why the last rotation failed; nil after one that succeeded
	Overdue      config.Version // the version in grace whose deadline passed before every client had the next one and which was alerted; 0 for none
}

// clone copies what transitions change.
func (r Record) clone() Record {
	r.Labels = maps.Clone(r.Labels)
	r.Versions = slices.Clone(r.Versions)
	return r
}

// Equal says whether two records have the same content.
func (r Record) Equal(o Record) bool { return bytes.Equal(r.Encode(), o.Encode()) }

// Find answers the version of a number.
func (r Record) Find(number config.Version) (Version, bool) {
	if i := r.index(number); i >= 0 {
		return r.Versions[i], true
	}
	return Version{}, false
}

func (r Record) index(number config.Version) int {
	i, there := slices.BinarySearchFunc(r.Versions, number, func(v Version, n config.Version) int { return int(v.Number - n) })
	if !there {
		return -1
	}
	return i
}

// in is the place of the version in a state, or -1.
func (r Record) in(state State) int {
	return slices.IndexFunc(r.Versions, func(v Version) bool { return v.State == state })
}

// Staged answers the staged version.
func (r Record) Staged() (Version, bool) {
	if i := r.in(Staged); i >= 0 {
		return r.Versions[i], true
	}
	return Version{}, false
}

// Supplies says whether the record ends the search along an environment's
// parents: it is not deleted, and has or had an active version. One that
// expired, or was revoked or destroyed, still supplies: what was taken back is
// not quietly replaced by the parent's. What was deleted and has only been
// staged anew does not.
func (r Record) Supplies() bool { return r.Deleted.IsZero() && r.Serves != 0 }

// Current answers the active version. The error is of KindNotFound when there
// is none or the secret is deleted, and of KindGone when it expired or was
// revoked.
func (r Record) Current(now time.Time) (Version, error) {
	if !r.Supplies() {
		return Version{}, config.Errorf(config.KindNotFound, "the secret has no active version")
	}
	v, there := r.Find(r.Serves)
	switch {
	case !there || v.State == Destroyed:
		return Version{}, gone(r.Serves, "is destroyed")
	case v.State == Revoked:
		return Version{}, gone(r.Serves, "is revoked")
	case v.State != Active:
		return Version{}, config.Errorf(config.KindNotFound, "the secret has no active version")
	case v.expired(now):
		return Version{}, gone(r.Serves, "is expired")
	}
	return v, nil
}

func gone(number config.Version, what string) error {
	return config.Errorf(config.KindGone, "version %d of the secret %s", number, what).
		Hint("set a new value, rotate the secret, or activate another version")
}

// Previous answers the version that is still valid beside the active one.
func (r Record) Previous(now time.Time) (Version, bool) {
	i := r.in(Grace)
	if i < 0 || !r.Deleted.IsZero() {
		return Version{}, false
	}
	v := r.Versions[i]
	return v, now.Before(v.GraceUntil) && !v.expired(now)
}

// Due is when the record wants to be looked after next; zero for never. A time
// that is over means now. Adoption needs no looking after: what clients say may
// end a grace at any time before its deadline.
func (r Record) Due(now time.Time) time.Time {
	if !r.Deleted.IsZero() {
		return time.Time{}
	}
	due := r.NextRotation
	sooner := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if i := r.in(Active); i >= 0 && !r.Versions[i].expired(now) {
		sooner(r.Versions[i].Expires)
	}
	if i := r.in(Grace); i >= 0 {
		sooner(r.Versions[i].GraceUntil)
		sooner(r.Versions[i].Expires)
	}
	return due
}

// Reschedule answers the record with its next rotation one interval from now,
// so that however many were missed, one makes up for them; with none when there
// is no schedule.
func (r Record) Reschedule(now time.Time) Record {
	r = r.clone()
	r.NextRotation = time.Time{}
	if r.Rotation != nil && r.Rotation.Every > 0 {
		r.NextRotation = plain(now).Add(r.Rotation.Every)
	}
	return r
}

// plain is t as it is read back from a record.
func plain(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.Unix(0, t.UnixNano()).UTC()
}
