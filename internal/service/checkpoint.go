package service

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	chainsAtOnce = 200 // whose checkpoints are kept in one transaction

	// checkAtOnce is how many records of a chain are followed for one checkpoint.
	// One that grows faster has more of them.
	checkAtOnce = 200_000
)

// installationName is drawn once, and is how auditors know whose chains they see.
func (s *Service) newInstallation() (string, error) {
	var b [8]byte
	_, err := io.ReadFull(s.random, b[:])
	return "llm-config-" + hex.EncodeToString(b[:]), err
}

// installation is the name that the chains' origins begin with. The first who
// asks for it makes the key that it belongs to.
func (s *Service) installation(ctx context.Context) (string, error) {
	keys, err := s.signingKeys(ctx)
	if err != nil {
		return "", err
	}
	return keys[0].Name, nil
}

// signingKeys are the keys that sign checkpoints, of which there is always one.
// Each is held against what is sealed of it: whoever writes to the store cannot
// add one, alter its name or its public half, or put it in the place of another.
func (s *Service) signingKeys(ctx context.Context) ([]store.SigningKey, error) {
	for range maxAttempts {
		keys, err := s.store.SigningKeys(ctx)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 {
			_, err = s.openSigningKeys(ctx, keys)
			return keys, err
		}
		name, err := s.newInstallation()
		if err != nil {
			return nil, unavailable(err, "no random numbers can be had")
		}
		if _, err := s.addSigningKey(ctx, system(), nil, name); err != nil && config.KindOf(err) != config.KindConflict {
			return nil, err
		}
	}
	return nil, config.Errorf(config.KindConflict, "others keep making the first key of checkpoints").Hint("try again")
}

func signingPlace(version uint32) seal.Place {
	return seal.Place{Kind: seal.AuditKey, Path: "audit key", Version: int64(version)}
}

// addSigningKey makes the next version of the key, and puts on record what its
// public half is.
func (s *Service) addSigningKey(ctx context.Context, who Caller, keys []store.SigningKey, name string) (AuditKeys, error) {
	var seed [32]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(rand.Reader, seed[:]); err != nil {
		return AuditKeys{}, unavailable(err, "no random numbers can be had")
	}
	key, err := audit.NewSigningKey(name, seed)
	if err != nil {
		return AuditKeys{}, err
	}
	version := uint32(len(keys)) + 1
	plain := append(seed[:len(seed):len(seed)], name...)
	defer clear(plain)
	sealed, err := s.keyring.Seal(ctx, signingPlace(version), plain)
	if err != nil {
		return AuditKeys{}, err
	}
	record := s.record(who, "audit.key.rotate", access.ServerKeyWrite, resourceName(access.Resource{Name: "audit/keys"}))
	record.Details = map[string]string{"version": versionText(config.Version(version)), "public": key.Public()}
	added := store.SigningKey{Version: version, Name: name, Public: key.Public(), Created: s.clock()}
	result := AuditKeys{Outcome: Outcome{Status: Committed, Time: added.Created}, Keys: append(unsealed(keys), added)}
	kept, err := s.keptForServer(ctx, who, result)
	if err != nil {
		return AuditKeys{}, err
	}
	added.Sealed = sealed
	return result, s.store.AddSigningKey(ctx, added, record, kept)
}

// unsealed are the public halves of keys.
func unsealed(keys []store.SigningKey) []store.SigningKey {
	public := slices.Clone(keys)
	for i := range public {
		public[i].Sealed = nil
	}
	return public
}

// AuditKeys answers the keys that sign checkpoints, oldest first, for anybody who
// is somebody: their public halves are no secret.
func (s *Service) AuditKeys(ctx context.Context) ([]store.SigningKey, error) {
	keys, err := s.signingKeys(ctx)
	return unsealed(keys), err
}

// AuditKeys is what a rotation of the key for checkpoints comes to.
type AuditKeys struct {
	Outcome
	Keys []store.SigningKey // oldest first, without what is sealed of them
}

// RotateAuditKey makes a new key for checkpoints, and answers all of them. The
// first checkpoint of each chain after it is signed by the old one as well, so
// that who trusts that one can go on with the new.
func (s *Service) RotateAuditKey(ctx context.Context, who Caller) (AuditKeys, error) {
	if err := s.guardServer(ctx, who, access.ServerKeyWrite, access.Resource{Name: "audit/keys"}); err != nil {
		return AuditKeys{}, err
	}
	return once(ctx, s, who, config.TenantID{}, func() (AuditKeys, error) {
		keys, err := s.signingKeys(ctx)
		if err != nil {
			return AuditKeys{}, err
		}
		return s.addSigningKey(ctx, who, keys, keys[0].Name)
	})
}

// openSigningKeys are keys to sign with.
func (s *Service) openSigningKeys(ctx context.Context, keys []store.SigningKey) ([]*audit.SigningKey, error) {
	opened := make([]*audit.SigningKey, 0, len(keys))
	for _, key := range keys {
		signing, err := s.openSigningKey(ctx, key)
		if err != nil {
			broken := audit.Break{Reason: "the key that signs its checkpoints was altered in the database"}
			if config.KindOf(err) == config.KindInternal { // it was read, and is not what was sealed
				s.chainBroken(ctx, config.TenantID{}, &broken)
			}
			return nil, unavailable(err, "the key that signs checkpoints cannot be opened")
		}
		opened = append(opened, signing)
	}
	return opened, nil
}

// openSigningKey opens the seed of a key, with which its name is sealed.
func (s *Service) openSigningKey(ctx context.Context, key store.SigningKey) (*audit.SigningKey, error) {
	plain, err := s.keyring.Open(ctx, signingPlace(key.Version), key.Sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	var seed [32]byte
	defer clear(seed[:])
	if copy(seed[:], plain) < len(seed) || string(plain[len(seed):]) != key.Name {
		return nil, errors.New("its name is another's")
	}
	signing, err := audit.NewSigningKey(key.Name, seed)
	if err == nil && signing.Public() != key.Public {
		err = errors.New("its public half is another's")
	}
	return signing, err
}

// SignCheckpoints signs where the chains stand that went on since their last
// checkpoint, having followed them from there, and says whether there may be
// more. A chain that does not hold is not signed, and everybody is told.
func (s *Service) SignCheckpoints(ctx context.Context) (more bool, err error) {
	keys, err := s.signingKeys(ctx)
	if err != nil {
		return false, err
	}
	signing, err := s.openSigningKeys(ctx, keys)
	if err != nil {
		return false, err
	}
	w := signer{s: s, name: keys[0].Name, keys: signing}
	var after *config.TenantID
	for {
		chains, err := s.store.ScanChains(ctx, store.ChainScan{After: after, Limit: chainsAtOnce, Uncheckpointed: true})
		if err != nil {
			return false, err
		}
		if err := w.sign(ctx, chains); err != nil {
			return false, err
		}
		if len(chains) < chainsAtOnce {
			return w.more && len(w.failed) == 0, errors.Join(w.failed...)
		}
		after = &chains[len(chains)-1].Tenant
	}
}

// signer signs checkpoints.
type signer struct {
	s      *Service
	name   string              // of the installation
	keys   []*audit.SigningKey // the newest last
	more   bool
	failed []error // of chains that could not be followed; the others are signed
}

// maxFailed bounds how many chains that could not be followed are told of.
const maxFailed = 10

func (w *signer) sign(ctx context.Context, chains []store.Chain) error {
	var signed []store.Checkpoint
	for _, chain := range chains {
		if w.s.broken.reason(chain.Tenant) != "" {
			continue // until somebody has looked at it, and the server was started anew
		}
		c, err := w.checkpoint(ctx, chain)
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil && len(w.failed) < maxFailed {
			w.failed = append(w.failed, fmt.Errorf("the audit chain of %s: %w", audit.Origin(w.name, chain.Tenant), err))
		}
		if c != nil {
			signed = append(signed, *c)
		}
	}
	if len(signed) == 0 {
		return nil
	}
	if err := w.s.store.PutCheckpoints(ctx, signed); err != nil {
		return err
	}
	w.s.metrics.AuditCheckpoints(len(signed), signed[len(signed)-1].Time)
	return nil
}

// checkpoint follows a chain from its newest checkpoint on, and signs where that
// leads; nil when the chain does not hold, or did not go on.
func (w *signer) checkpoint(ctx context.Context, chain store.Chain) (*store.Checkpoint, error) {
	id := chain.Tenant
	notes, _, err := w.s.store.Checkpoints(ctx, id, store.Page{Limit: 1})
	if err != nil {
		return nil, err
	}
	disposed, err := w.s.disposedEnd(ctx, id)
	if err != nil {
		return nil, err
	}
	now, err := w.s.store.Chain(ctx, id) // after these, because others sign and dispose of records as well
	if err != nil {
		return nil, err
	}
	chain.Head = now.Head
	origin := audit.Origin(w.name, id)
	last, keys, broken := w.newest(chain, origin, notes)
	var head audit.Head
	if broken == nil {
		head, broken, err = w.s.followFrom(ctx, chain, origin, last.Head, disposed)
	}
	switch {
	case err != nil:
		return nil, err
	case broken != nil:
		w.s.chainBroken(ctx, id, broken)
		return nil, nil
	case head == last.Head:
		return nil, nil
	}
	w.more = w.more || head.Sequence < chain.Head.Sequence
	at := w.s.clock().UTC()
	note, err := audit.Checkpoint{Origin: origin, Head: head, Time: at}.Sign(keys...)
	if err != nil {
		return nil, err
	}
	return &store.Checkpoint{Tenant: id, Sequence: head.Sequence, Time: at, Note: note}, nil
}

// newest reads the newest checkpoint of a chain, and answers it with the keys to
// sign the next one with: the newest, and before it the one that signed this, when
// that is another.
func (w *signer) newest(chain store.Chain, origin string, notes []store.Checkpoint) (last audit.Checkpoint, keys []*audit.SigningKey, broken *audit.Break) {
	keys = w.keys[len(w.keys)-1:]
	if len(notes) == 0 && chain.Checkpoint == 0 {
		return last, keys, nil
	}
	if len(notes) == 0 || notes[0].Sequence < chain.Checkpoint {
		return last, nil, lostCheckpoint(chain.Checkpoint)
	}
	for i, key := range slices.Backward(w.keys) {
		last, err := audit.OpenCheckpoint(notes[0].Note, key.Public())
		if err != nil {
			continue
		}
		if last.Origin != origin || last.Head.Sequence != notes[0].Sequence {
			break
		}
		if i < len(w.keys)-1 {
			keys = []*audit.SigningKey{key, keys[0]}
		}
		return last, keys, nil
	}
	return last, nil, &audit.Break{Sequence: notes[0].Sequence, Reason: "its checkpoint in the database is not the one that this server signed"}
}

// lostCheckpoint is the break of a chain whose newest checkpoint is not there.
func lostCheckpoint(sequence uint64) *audit.Break {
	return &audit.Break{Sequence: sequence, Reason: "its checkpoint, the newest of the chain, was removed from the database or replaced"}
}

// followFrom follows a chain from what its checkpoint says, which must still be
// what is there, for as many records as one checkpoint is signed for.
func (s *Service) followFrom(ctx context.Context, chain store.Chain, origin string, last audit.Head, disposed uint64) (head audit.Head, broken *audit.Break, err error) {
	if chain.Head.Sequence < last.Sequence {
		return head, &audit.Break{Sequence: chain.Head.Sequence + 1, Reason: "it is missing: the chain ends before its newest checkpoint"}, nil
	}
	there, err := s.headAt(ctx, chain.Tenant, last.Sequence)
	var segment *brokenSegment
	switch {
	case errors.As(err, &segment):
		return head, &audit.Break{Sequence: segment.segment.First, Reason: segment.Error()}, nil
	case config.KindOf(err) == config.KindNotFound || err == nil && there != last:
		return head, &audit.Break{Sequence: last.Sequence, Reason: "it is not what its checkpoint says: it was altered, or the chain was written anew"}, nil
	case err != nil:
		return head, nil, err
	}
	through := min(chain.Head.Sequence, last.Sequence+checkAtOnce)
	report, err := s.follow(ctx, audit.NewFollower(origin, last), chain, last, disposed, through, nil)
	return report.Head, report.Broken, err
}

// Anchor keeps checkpoints where the server cannot rewrite them.
type Anchor interface {
	Name() string
	Keep(ctx context.Context, origin string, sequence uint64, note []byte) error
}

// KeepCheckpoints brings to an anchor the checkpoints that it does not have yet.
// One that it refuses, because it has another, breaks the chain, and does not keep
// it from those of other chains. It is offered again with the next of its chain.
func (s *Service) KeepCheckpoints(ctx context.Context, anchor Anchor) (more bool, err error) {
	consumer := anchorConsumer(anchor.Name())
	position, err := s.store.Position(ctx, consumer)
	if err != nil {
		return false, err
	}
	notes, err := s.store.CheckpointFeed(ctx, position, notesAtOnce)
	if err != nil || len(notes) == 0 {
		return false, err
	}
	name, err := s.installation(ctx)
	if err != nil {
		return false, err
	}
	k := offering{s: s, anchor: anchor, name: name}
	kept := position
	for _, note := range notes {
		if err = k.keep(ctx, note); err != nil {
			break
		}
		kept = note.Position
	}
	if kept != position {
		err = errors.Join(err, s.store.PutPosition(ctx, consumer, kept))
	}
	return err == nil && len(notes) == notesAtOnce, err
}

// The consumers of the feed of checkpoints that an anchor is: how far it is, and
// the first note of a chain that it refused; 0 for none.
func anchorConsumer(anchor string) string { return "anchor " + anchor }
func refusedBy(anchor string, id config.TenantID) string {
	return "refused by anchor " + anchor + ", of " + id.String()
}

// offering brings checkpoints to an anchor.
type offering struct {
	s      *Service
	anchor Anchor
	name   string // of the installation
}

// keep brings a note, and before it the one of its chain that was refused.
func (k offering) keep(ctx context.Context, note store.Checkpoint) error {
	mark := refusedBy(k.anchor.Name(), note.Tenant)
	position, err := k.s.store.Position(ctx, mark)
	if err != nil {
		return err
	}
	if position != 0 && position < note.Position {
		again, err := k.s.refusedNote(ctx, note.Tenant, position)
		if err != nil {
			return err
		}
		if again == nil { // it is not kept any more
			again = &note
		}
		agrees, err := k.offer(ctx, *again)
		if err != nil {
			return err
		}
		if agrees {
			if err := k.s.store.PutPosition(ctx, mark, 0); err != nil {
				return err
			}
			position = 0
		}
	}
	switch agrees, err := k.offer(ctx, note); {
	case err != nil:
		return err
	case agrees && position == note.Position: // it was refused, and how far this is could not be kept
		return k.s.store.PutPosition(ctx, mark, 0)
	case !agrees && position == 0:
		return k.s.store.PutPosition(ctx, mark, note.Position)
	}
	return nil
}

// offer says whether the anchor has a note now. When it has another one the chain
// is broken.
func (k offering) offer(ctx context.Context, note store.Checkpoint) (agrees bool, err error) {
	err = k.anchor.Keep(ctx, audit.Origin(k.name, note.Tenant), note.Sequence, note.Note)
	if config.KindOf(err) != config.KindConflict {
		return err == nil, err
	}
	k.s.chainBroken(ctx, note.Tenant, otherElsewhere(note.Sequence))
	return false, nil
}

func otherElsewhere(sequence uint64) *audit.Break {
	return &audit.Break{Sequence: sequence, Reason: "a place for checkpoints has another one of it: the chain was written anew, or put back to an earlier state"}
}

// refusedNote is the note of a chain at a position of the feed, nil when it is not
// there any more.
func (s *Service) refusedNote(ctx context.Context, id config.TenantID, position int64) (*store.Checkpoint, error) {
	notes, err := s.store.CheckpointFeed(ctx, position-1, 1)
	if err != nil || len(notes) == 0 || notes[0].Position != position || notes[0].Tenant != id {
		return nil, err
	}
	return &notes[0], nil
}

// refusedElsewhere is the break of a chain of which a place for checkpoints that the
// settings name has another note; nil for none.
func (s *Service) refusedElsewhere(ctx context.Context, id config.TenantID) (*audit.Break, error) {
	for _, name := range s.posture().Anchors {
		position, err := s.store.Position(ctx, refusedBy(name, id))
		if err != nil {
			return nil, err
		}
		if position == 0 {
			continue
		}
		note, err := s.refusedNote(ctx, id, position)
		if err != nil {
			return nil, err
		}
		if note == nil {
			note = &store.Checkpoint{}
		}
		return otherElsewhere(note.Sequence), nil
	}
	return nil, nil
}
