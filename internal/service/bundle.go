package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of one bundle.
const (
	maxBundleDocuments = 10_000
	maxBundleBytes     = 64 << 20
)

// Bundle is every effective document of an environment below a prefix, all at
// one revision.
type Bundle struct {
	Environment string
	Revision    config.Revision
	Digest      canon.Digest // of exactly the documents that are in it
	Documents   []BundleDocument
	Errors      []BundleError
	Secrets     []UsedSecret // whose values are in it
}

// BundleDocument is one of them.
type BundleDocument struct {
	Path     config.Path
	Digest   canon.Digest
	Document config.Document
}

// BundleError is a document that is left out, with the reason.
type BundleError struct {
	Path config.Path
	Err  error
}

// Bundle answers all that an environment says, as one consistent set.
func (s *Service) Bundle(ctx context.Context, who Caller, tenant, environment string, prefix config.Prefix, o ReadOptions) (Bundle, error) {
	state, err := s.guardReadAny(ctx, who, tenant, access.Resource{Environment: environment, Prefix: prefix})
	if err != nil {
		return Bundle{}, err
	}
	if err := s.await(ctx, state, o.MinRevision); err != nil {
		return Bundle{}, err
	}
	if o.Reveal && !o.At.IsNow() {
		return Bundle{}, config.Errorf(config.KindBadRequest, "secrets have no past, so a bundle of the past cannot be revealed").At("at").Hint("leave out at, or reveal")
	}
	n, err := s.past(ctx, state, environment, config.Path{}, o.At)
	if err != nil {
		return Bundle{}, err
	}
	env, err := n.tree.Named(environment)
	if err != nil {
		return Bundle{}, err
	}
	var paths []config.Path
	err = n.scanAll(ctx, n.tree.Chain(env.ID), prefix, maxBundleDocuments, func(path config.Path) error {
		if s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: environment, Path: path}) {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return Bundle{}, err
	}
	bundle := Bundle{Environment: environment, Revision: n.at}
	if err := bundle.fill(ctx, s, who, state, n, env.ID, paths); err != nil || !o.Reveal {
		return bundle, err
	}
	if err := bundle.reveal(ctx, s.revealing(who, state, environment)); err != nil {
		return Bundle{}, err
	}
	return bundle, nil
}

func (b *Bundle) fill(ctx context.Context, s *Service, who Caller, state *tenantState, n *snapshot, env config.EnvironmentID, paths []config.Path) error {
	var members []canon.Named
	size := 0
	v := n.view(nil)
	for len(paths) > 0 {
		batch := paths[:min(len(paths), 200)]
		paths = paths[len(batch):]
		if err := n.readAll(ctx, batch...); err != nil {
			return err
		}
		for _, path := range batch {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			doc, err := s.bundled(ctx, who, state, v, place{env, path})
			switch config.KindOf(err) {
			case "":
			case config.KindForbidden, config.KindGone, config.KindInvalidReference, config.KindTooLarge:
				b.Errors = append(b.Errors, BundleError{path, err})
				continue
			default:
				return err // a part that failed for now must not look like a part that is not there
			}
			if size += len(doc.Document.Canonical()); size > maxBundleBytes {
				return config.Errorf(config.KindTooLarge, "the bundle is too large").Hint("ask for a prefix").Over(maxBundleBytes, int64(size))
			}
			b.Documents = append(b.Documents, doc)
			members = append(members, canon.Named{Name: path.String(), Digest: doc.Digest})
		}
	}
	b.Digest = canon.SumSet(members)
	return nil
}

// bundled is one document of a bundle, if the caller may read all that it takes
// values from.
func (s *Service) bundled(ctx context.Context, who Caller, state *tenantState, v *view, at place) (BundleDocument, error) {
	effective, err := v.effective(at)
	if err != nil {
		return BundleDocument{}, err
	}
	if pointer, ok := s.mayFollow(ctx, who, state, v.tree.Name(at.environment), effective.Targets); !ok {
		return BundleDocument{}, unfollowed(pointer)
	}
	return BundleDocument{Path: at.path, Digest: effective.Document.Digest(), Document: effective.Document}, nil
}

// reveal puts the values of secrets into the documents of a bundle. One that
// refers to a secret which is not there or not for the caller is left out, and
// the digest is of what remains.
func (b *Bundle) reveal(ctx context.Context, r *revealing) error {
	defer r.wipe()
	var members []canon.Named
	kept := b.Documents[:0]
	size := 0
	for _, doc := range b.Documents {
		revealed, err := r.document(ctx, doc.Document, maxBundleRevealed)
		if config.KindOf(err) == config.KindSecretUnavailable {
			b.Errors = append(b.Errors, BundleError{doc.Path, err})
			continue
		}
		if err != nil {
			return err
		}
		if size += len(revealed.Canonical()); size > maxBundleBytes {
			return config.Errorf(config.KindTooLarge, "the bundle is too large").Hint("ask for a prefix").Over(maxBundleBytes, int64(size))
		}
		members = append(members, canon.Named{Name: doc.Path.String(), Digest: doc.Digest})
		doc.Document = revealed
		kept = append(kept, doc)
	}
	b.Documents, b.Digest, b.Secrets = kept, canon.SumSet(members), sortUsed(r.used)
	if len(b.Secrets) == 0 {
		return nil
	}
	return r.s.recordAccess(ctx, r.who, r.state, r.environment, b.Secrets)
}
