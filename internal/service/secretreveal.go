package service

import (
	"context"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
)

// Bounds of what one answer reveals.
const (
	maxRevealed       = 100 // secrets of a document
	maxBundleRevealed = 1000
)

// RevealConfig answers an effective document with the values of the secrets that
// it refers to. That each of them leaves is on record before they do.
func (s *Service) RevealConfig(ctx context.Context, who Caller, tenant, environment string, path config.Path, o ReadOptions) (RevealedDocument, error) {
	if !o.At.IsNow() {
		return RevealedDocument{}, config.Errorf(config.KindBadRequest, "secrets have no past, so a document of the past cannot be revealed").At("at").
			Hint("leave out at, or reveal")
	}
	read, err := s.Config(ctx, who, tenant, environment, path, o)
	if err != nil {
		return RevealedDocument{}, err
	}
	state, err := s.tenants.named(ctx, tenant)
	if err != nil {
		return RevealedDocument{}, err
	}
	r := s.revealing(who, state, environment)
	defer r.wipe()
	revealed := RevealedDocument{Digest: read.Document.Digest, Revision: read.Revision}
	if revealed.document, err = r.document(ctx, read.Document.Document, maxRevealed); err != nil {
		return RevealedDocument{}, err
	}
	revealed.Secrets, revealed.Revision = sortUsed(r.used), max(revealed.Revision, r.revision)
	if len(revealed.Secrets) > 0 {
		err = s.recordAccess(ctx, who, state, environment, revealed.Secrets)
	}
	if err != nil {
		return RevealedDocument{}, err
	}
	return revealed, nil
}

// openedSecret is a secret that may be used.
type openedSecret struct {
	secret.Fields
	used UsedSecret
}

// revealing resolves references to secrets for one answer. Each secret is
// opened once.
type revealing struct {
	s           *Service
	who         Caller
	state       *tenantState
	environment string
	opened      map[config.Path]openedSecret
	missing     map[config.Path]bool // that were looked for in vain
	used        []UsedSecret         // by the documents that were revealed
	revision    config.Revision      // the newest of their records
}

func (s *Service) revealing(who Caller, state *tenantState, environment string) *revealing {
	return &revealing{s: s, who: who, state: state, environment: environment, opened: map[config.Path]openedSecret{}, missing: map[config.Path]bool{}}
}

func (r *revealing) wipe() {
	for _, o := range r.opened {
		o.Wipe()
	}
}

// document reveals one document; more secrets than most are refused.
func (r *revealing) document(ctx context.Context, effective config.Document, most int) (config.Document, error) {
	targets, err := config.SecretTargets(effective)
	if err != nil || len(targets) == 0 {
		return effective, err
	}
	for _, target := range targets {
		if err := r.open(ctx, target, most); err != nil {
			return config.Document{}, err
		}
	}
	revealed, err := config.Reveal(effective, maxStored, func(reference config.Reference) (config.Secret, error) {
		field, _ := r.opened[reference.Path].Get(reference.Fragment)
		return revealedField(field)
	})
	if err != nil {
		return config.Document{}, err
	}
	for _, target := range targets {
		r.used = append(r.used, r.opened[target.Reference.Path].used)
	}
	return revealed, nil
}

func revealedField(field secret.Field) (config.Secret, error) {
	text, texts := field.Text()
	if field.Kind() != secret.JSON {
		return config.Secret{Value: text, Text: text, Texts: texts}, nil
	}
	value, err := canon.Decode(field.Value().Reveal(), canon.Limits{Bytes: field.Value().Len() + 1})
	if err != nil {
		return config.Secret{}, unavailable(err, "the value of a secret does not parse")
	}
	return config.Secret{Value: value, Text: text, Texts: texts}, nil
}

// open opens the secret that a reference names, if it is there, has the field
// and is for the caller. Whichever is not so, the answer is the same.
func (r *revealing) open(ctx context.Context, target config.Located, most int) error {
	path := target.Reference.Path
	if r.missing[path] {
		return secretUnavailable(target)
	}
	opened, known := r.opened[path]
	if !known {
		if tried := len(r.opened) + len(r.missing); tried >= most {
			return config.Errorf(config.KindTooLarge, "too many secrets are referred to").At(target.Pointer.String()).
				Hint("refer to fewer of them, or ask for less at a time").Over(int64(most), int64(tried+1))
		}
		var err error
		if opened, err = r.find(ctx, path); err != nil {
			r.missing[path] = true
			return r.unavailable(ctx, err, target)
		}
		r.opened[path] = opened
	}
	if _, has := opened.Get(target.Reference.Fragment); !has {
		return r.unavailable(ctx, noField(path, target.Reference.Fragment), target)
	}
	return nil
}

func (r *revealing) find(ctx context.Context, path config.Path) (openedSecret, error) {
	if _, err := r.s.guard(ctx, r.who, access.SecretRead, r.state.tenant.Name, secretResource(r.environment, path)); err != nil {
		return openedSecret{}, err
	}
	head, err := r.s.findSecret(ctx, r.who, access.SecretRead, r.state, r.environment, path)
	if err != nil {
		return openedSecret{}, err
	}
	current, err := head.record.Current(r.s.clock())
	if err != nil {
		return openedSecret{}, err
	}
	fields, err := r.s.openValue(ctx, r.state.tenant.ID, head, current.Number)
	if err != nil {
		return openedSecret{}, err
	}
	r.revision = max(r.revision, head.Revision)
	return openedSecret{fields, UsedSecret{r.state.tree.Load().Name(head.Environment), path, current.Number}}, nil
}

// unavailable is the one answer for a reference that leads to nothing for this
// caller. What is missing is put on record like what is forbidden, so that the
// time it takes tells them apart no more than the text does.
func (r *revealing) unavailable(ctx context.Context, cause error, target config.Located) error {
	switch config.KindOf(cause) {
	case config.KindForbidden:
	case config.KindNotFound, config.KindGone:
		resource := secretResource(r.environment, target.Reference.Path)
		resource.Tenant = r.state.tenant.ID
		record := r.s.record(r.who, "secret.unavailable", access.SecretRead, resourceName(resource))
		record.Tenant, record.Outcome, record.Reason = r.state.tenant.ID.String(), audit.Failed, reasonOf(cause)
		if err := r.s.store.AppendAudit(ctx, r.state.tenant.ID, record); err != nil {
			return unavailable(err, "the failure could not be put on record")
		}
	default:
		return cause
	}
	return secretUnavailable(target)
}

func secretUnavailable(target config.Located) error {
	return config.Errorf(config.KindSecretUnavailable, "the document refers to a secret that is not there, or not for you").
		At(target.Pointer.String()).Hint("see to the secret %s, or ask an administrator of the tenant", target.Reference.Path)
}

// accessRecords are one record for each secret that leaves.
func (s *Service) accessRecords(who Caller, state *tenantState, environment string, used []UsedSecret) []audit.Record {
	records := make([]audit.Record, 0, len(used))
	for _, u := range used {
		asked := secretResource(environment, u.Path)
		asked.Tenant = state.tenant.ID
		record := s.record(who, "secret.read", access.SecretRead, resourceName(asked))
		record.Tenant = state.tenant.ID.String()
		record.Details = map[string]string{"version": versionText(u.Version)}
		if environment != u.Environment { // it is inherited, and another's value
			supplied := asked
			supplied.Environment = u.Environment
			record.Resources = []string{resourceName(supplied)}
			record.Details["supplier"] = u.Environment
		}
		records = append(records, record)
	}
	return records
}

// sortUsed sorts secrets by path and leaves each in once.
func sortUsed(used []UsedSecret) []UsedSecret {
	slices.SortFunc(used, func(a, b UsedSecret) int { return a.Path.Compare(b.Path) })
	return slices.Compact(used)
}
