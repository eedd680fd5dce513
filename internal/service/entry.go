package service

import (
	"context"
	"encoding/json"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// entryBody is what a log entry holds besides what the store may see. It has
// digests, which only the sealed may hold, and no values.
type entryBody struct {
	Message string                 `json:"message,omitempty"`
	Summary string                 `json:"summary,omitempty"` // what it was, for entries that are no change
	Edits   []entryEdit            `json:"edits,omitempty"`
	Effects []entryEffect          `json:"effects,omitempty"`
	Secrets []entrySecret          `json:"secrets,omitempty"` // what is in use of a secret now, by the environments that it counts in
	Reset   []config.EnvironmentID `json:"reset,omitempty"`   // environments whose documents may all have changed
	About   *subjectPlace          `json:"about,omitempty"`   // the layer or secret that it is of, when it has no edits
}

type subjectPlace struct {
	Environment config.EnvironmentID `json:"e"`
	Path        string               `json:"p"`
}

type entrySecret struct {
	Environment config.EnvironmentID `json:"e"`
	Path        string               `json:"p"`
	Version     config.Version       `json:"v,omitempty"`
	Supplier    config.EnvironmentID `json:"f,omitempty"` // of what is in use; of an effect it is Environment
}

type entryEdit struct {
	Environment config.EnvironmentID `json:"e"`
	Path        string               `json:"p"`
	Version     config.Version       `json:"v"`
	Delete      bool                 `json:"d,omitempty"`
}

type entryEffect struct {
	Environment config.EnvironmentID `json:"e"`
	Path        string               `json:"p"`
	Digest      string               `json:"h,omitempty"` // absent when the document is no more
	Cause       config.EnvironmentID `json:"c"`
	Version     config.Version       `json:"v"`
	Secret      *entrySecret         `json:"s,omitempty"` // the secret behind it, instead of a layer
}

func (b entryBody) encode() []byte {
	text, err := json.Marshal(b)
	if err != nil {
		panic("service: an entry's body does not encode: " + err.Error()) // strings and numbers always do
	}
	return text
}

// openEntry reads the body of an entry.
func (s *Service) openEntry(ctx context.Context, tenant config.TenantID, e store.Entry) (entryBody, error) {
	var body entryBody
	text, err := s.keyring.Open(ctx, entryPlace(tenant, e.Subject), e.Sealed)
	if err != nil {
		return body, err
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return body, unavailable(err, "a stored log entry does not parse")
	}
	return body, nil
}

// event makes of an entry what watchers were told when it was committed.
func (s *Service) event(ctx context.Context, tenant config.TenantID, e store.Entry) (*watch.Event, error) {
	body, err := s.openEntry(ctx, tenant, e)
	if err != nil {
		return nil, err
	}
	event := &watch.Event{
		Revision: e.Revision, Time: e.Time, Reset: body.Reset, Access: e.Kind == store.EntryToken || e.Kind == store.EntryRule,
		Changes: make([]watch.Change, 0, len(body.Effects)),
	}
	for _, effect := range body.Effects {
		change, err := effect.change()
		if err != nil {
			return nil, unavailable(err, "a stored log entry does not parse")
		}
		event.Changes = append(event.Changes, change)
	}
	for _, told := range body.Secrets {
		path, err := config.ParsePath(told.Path)
		if err != nil {
			return nil, unavailable(err, "a stored log entry does not parse")
		}
		event.Secrets = append(event.Secrets, watch.SecretNotice{Environment: told.Environment, Path: path, Version: told.Version, Supplier: told.Supplier})
	}
	return event, nil
}

func (e entryEffect) change() (watch.Change, error) {
	path, err := config.ParsePath(e.Path)
	if err != nil {
		return watch.Change{}, err
	}
	change := watch.Change{
		Environment: e.Environment, Path: path, Exists: e.Digest != "",
		Cause: watch.Cause{Environment: e.Cause, Version: e.Version},
	}
	if e.Secret != nil {
		from, err := config.ParsePath(e.Secret.Path)
		if err != nil {
			return change, err
		}
		change.Secret = &watch.SecretCause{Environment: e.Secret.Environment, Path: from, Version: e.Secret.Version}
	}
	if change.Exists {
		change.Digest, err = canon.ParseDigest(e.Digest)
	}
	return change, err
}
