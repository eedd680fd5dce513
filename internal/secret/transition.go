package secret

import (
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Addition is a new version of a secret.
type Addition struct {
	Source  Source
	Fields  []string          // their names
	Hashes  map[string]string // see Version
	Author  string
	Message string
	Weak    string        // why a weak value is let in
	Expires time.Time     // zero for never
	Stage   bool          // readers do not get it before Activate
	Grace   time.Duration // of the version it replaces; 0 means what Rotation says, below 0 is Now
	Now     bool          // the version it replaces is revoked at once
}

// Add answers the record with one more version, its number, and the versions
// that were destroyed to make room: their values are to be dropped.
//
// The version becomes active: the former active one stays valid for its grace,
// or is revoked at once, and one that was in grace is retired. A staged version
// stays staged. With Stage nothing changes for readers, and an older staged
// version is retired. What was deleted comes back with the new version alone;
// all the others stay retired.
func (r Record) Add(a Addition, now time.Time) (Record, config.Version, []config.Version, error) {
	now = plain(now)
	if err := a.check(now); err != nil {
		return r, 0, nil, err
	}
	r = r.clone()
	if !r.Deleted.IsZero() {
		r = r.revive(now)
	}
	r.Newest++
	v := Version{
		Number: r.Newest, State: Staged, Source: a.Source, Fields: slices.Sorted(slices.Values(a.Fields)), Hashes: cloneMap(a.Hashes),
		Created: now, Author: a.Author, Message: a.Message, Expires: plain(a.Expires), Weak: a.Weak,
	}
	if a.Stage {
		r.end(r.in(Staged), Retired, now)
		r.Versions = append(r.Versions, v)
	} else {
		r.Versions = append(r.Versions, v)
		r.activate(len(r.Versions)-1, a.Grace, a.Now, a.Author, now)
	}
	dropped := r.trim(now)
	return r, v.Number, dropped, nil
}

func (a Addition) check(now time.Time) error {
	switch {
	case len(a.Fields) == 0 || len(a.Fields) > MaxFields:
		return config.Errorf(config.KindBadRequest, "a version has 1 to %d fields", MaxFields).At("/fields")
	case a.Stage && (a.Grace != 0 || a.Now):
		return config.Errorf(config.KindBadRequest, "a staged version replaces none, so there is no grace to set").At("/grace_seconds").Hint("say it when the version is activated")
	case len(a.Message) > maxMessageBytes:
		return config.Errorf(config.KindTooLarge, "the message is too long").At("/message").Over(maxMessageBytes, int64(len(a.Message)))
	case len(a.Author) > maxAuthorBytes:
		return config.Errorf(config.KindTooLarge, "the author's name is too long").Over(maxAuthorBytes, int64(len(a.Author)))
	case !a.Expires.IsZero() && !a.Expires.After(now):
		return config.Errorf(config.KindBadRequest, "the version would have expired already").At("/expires_at").Hint("give a time that is to come, or none")
	case !a.Expires.IsZero() && a.Expires.After(now.Add(MaxLifetime)):
		return config.Errorf(config.KindBadRequest, "the version would expire in more than a hundred years").At("/expires_at").Hint("give an earlier time, or none")
	}
	return checkGrace(a.Grace)
}

func checkGrace(grace time.Duration) error {
	if grace > MaxGrace {
		return config.Errorf(config.KindTooLarge, "the grace is too long").At("/grace_seconds").
			Over(int64(MaxGrace/time.Second), int64(grace/time.Second))
	}
	return nil
}

// revive takes a delete back without bringing any version back.
func (r Record) revive(now time.Time) Record {
	for i := range r.Versions {
		switch r.Versions[i].State {
		case Staged, Active, Grace:
			r.end(i, Retired, now)
		}
	}
	r.Deleted, r.Serves = time.Time{}, 0
	return r
}

// end puts the i-th version, if there is one, into a state that is over.
func (r *Record) end(i int, state State, at time.Time) {
	if i < 0 {
		return
	}
	v := &r.Versions[i]
	v.State, v.Ended, v.GraceUntil = state, at, time.Time{}
	if state == Destroyed {
		v.Hashes = nil // whoever has the key could still try values against them
	}
}

// activate makes the i-th version the active one.
func (r *Record) activate(i int, grace time.Duration, immediately bool, author string, now time.Time) {
	if former := r.in(Grace); former != i {
		r.end(former, Retired, now)
	}
	if former := r.in(Active); former >= 0 {
		r.replace(former, grace, immediately, now)
	}
	v := &r.Versions[i]
	v.State, v.Activated, v.ActivatedBy = Active, now, author
	v.GraceUntil, v.Ended = time.Time{}, time.Time{}
	r.Serves, r.Overdue = v.Number, 0
}

// replace ends the active version, the i-th, or begins its grace.
func (r *Record) replace(i int, grace time.Duration, immediately bool, now time.Time) {
	if grace == 0 {
		grace = r.Rotation.grace()
	}
	switch v := &r.Versions[i]; {
	case immediately || grace < 0:
		r.end(i, Revoked, now)
	case v.expired(now):
		r.end(i, Retired, now)
	default:
		v.State, v.GraceUntil = Grace, now.Add(grace)
	}
}

// trim keeps the record bounded: beyond MaxVersions it destroys those that ended
// first in order of their numbers (of all there are, at most three have not
// ended), and beyond MaxDestroyed it forgets destroyed ones.
func (r *Record) trim(now time.Time) (dropped []config.Version) {
	kept, destroyed := 0, 0
	for _, v := range r.Versions {
		if v.State == Destroyed {
			destroyed++
		} else {
			kept++
		}
	}
	for i := range r.Versions {
		if s := r.Versions[i].State; kept > MaxVersions && (s == Retired || s == Revoked) {
			r.end(i, Destroyed, now)
			dropped = append(dropped, r.Versions[i].Number)
			kept, destroyed = kept-1, destroyed+1
		}
	}
	r.Versions = slices.DeleteFunc(r.Versions, func(v Version) bool {
		forget := v.State == Destroyed && destroyed > MaxDestroyed
		if forget {
			destroyed--
		}
		return forget
	})
	return dropped
}

// Activate answers the record with a staged version active, or one that was
// active before: in grace or retired. The version it replaces is treated as by
// Add. Of a version that is active already only the end of the one in grace changes.
func (r Record) Activate(number config.Version, grace time.Duration, immediately bool, author string, now time.Time) (Record, error) {
	now = plain(now)
	i, err := r.find(number)
	if err != nil {
		return r, err
	}
	if err := checkGrace(grace); err != nil {
		return r, err
	}
	v := r.Versions[i]
	switch {
	case !r.Deleted.IsZero():
		return r, config.Errorf(config.KindNotFound, "the secret is deleted").Hint("undelete it, or set a new value")
	case v.State == Destroyed:
		return r, gone(number, "is destroyed")
	case v.State == Revoked:
		return r, gone(number, "is revoked, for good")
	case v.State == Active:
		return r.regrace(grace, immediately, now), nil
	case v.expired(now):
		return r, gone(number, "is expired")
	}
	r = r.clone()
	r.activate(i, grace, immediately, author, now)
	return r, nil
}

// regrace answers the record with another end for the version in grace: now, or
// as long from now as it says; 0 leaves it.
func (r Record) regrace(grace time.Duration, immediately bool, now time.Time) Record {
	i := r.in(Grace)
	if i < 0 || grace == 0 && !immediately {
		return r
	}
	r = r.clone()
	if immediately || grace < 0 {
		r.end(i, Revoked, now)
	} else {
		r.Versions[i].GraceUntil = now.Add(grace)
	}
	return r
}

// find is the place of a version that has to be there.
func (r Record) find(number config.Version) (int, error) {
	if i := r.index(number); i >= 0 {
		return i, nil
	}
	if number > 0 && number <= r.Newest {
		return 0, config.Errorf(config.KindGone, "version %d of the secret is destroyed and forgotten", number)
	}
	return 0, config.Errorf(config.KindNotFound, "the secret has no version %d", number).Hint("its history lists the versions there are")
}

// Revoke answers the record with a version taken back for good, whatever it is,
// also in a deleted secret. When it was the active one, readers get KindGone
// until another is activated. One that is revoked stays as it is, and one that
// is destroyed is KindGone.
func (r Record) Revoke(number config.Version, now time.Time) (Record, error) {
	i, err := r.find(number)
	switch {
	case err != nil:
		return r, err
	case r.Versions[i].State == Destroyed:
		return r, gone(number, "is destroyed")
	case r.Versions[i].State == Revoked:
		return r, nil
	}
	r = r.clone()
	r.end(i, Revoked, plain(now))
	return r, nil
}

// Destroy answers the record with versions destroyed, all or none; those that
// are already stay as they are. What readers are given, the active one and the one in
// grace, is KindInUse unless the secret is deleted.
func (r Record) Destroy(numbers []config.Version, now time.Time) (Record, error) {
	next := r.clone()
	for _, number := range numbers {
		i, err := r.find(number)
		if err != nil {
			return r, err
		}
		if s := r.Versions[i].State; (s == Active || s == Grace) && r.Deleted.IsZero() {
			return r, config.Errorf(config.KindInUse, "readers are still given version %d of the secret", number).
				Hint("revoke it before, or delete the secret")
		}
		if r.Versions[i].State != Destroyed {
			next.end(i, Destroyed, plain(now))
		}
	}
	next.trim(plain(now))
	return next, nil
}

// Delete answers the record hidden. Its versions stay what they are, for Undelete.
func (r Record) Delete(now time.Time) (Record, error) {
	if !r.Deleted.IsZero() {
		return r, nil
	}
	r = r.clone()
	r.Deleted = plain(now)
	return r, nil
}

// Undelete answers the record as it was before Delete, without what ended in
// the meantime.
func (r Record) Undelete(now time.Time) (Record, error) {
	if r.Deleted.IsZero() {
		return r, nil
	}
	r = r.clone()
	r.Deleted = time.Time{}
	r, _ = r.Settle(now)
	return r, nil
}

// Settle answers the record with its version in grace retired when that time is
// over or the version is expired. With OverlapAdoption that is the deadline:
// whoever calls has asked before whether every client has the next one. An
// active version that expired stays active; Current refuses it.
func (r Record) Settle(now time.Time) (Record, bool) {
	i := r.in(Grace)
	if i < 0 {
		return r, false
	}
	end := r.Versions[i].GraceUntil
	if x := r.Versions[i].Expires; !x.IsZero() && x.Before(end) {
		end = x
	}
	if now.Before(end) {
		return r, false
	}
	r = r.clone()
	r.end(i, Retired, end)
	return r, true
}

// EndGrace answers the record with its version in grace retired now.
func (r Record) EndGrace(now time.Time) (Record, bool) {
	i := r.in(Grace)
	if i < 0 {
		return r, false
	}
	r = r.clone()
	r.end(i, Retired, plain(now))
	return r, true
}

func cloneMap(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}
