package service_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// strong is a value that nobody guesses, and the same for the same name.
func strong(name string) string {
	sum := sha256.Sum256([]byte("value of " + name))
	return "Sk1-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// fields are those of a secret with one value.
func (a *actor) fields(name string) secret.Fields {
	return a.fieldsOf(map[string]string{"value": strong(name)})
}

func (a *actor) fieldsOf(texts map[string]string) secret.Fields {
	a.t.Helper()
	raw := map[string]json.RawMessage{}
	for field, text := range texts {
		raw[field] = json.RawMessage(fmt.Sprintf("%q", text))
	}
	fields, err := secret.ParseFields(raw, nil)
	must(a.t, err)
	return fields
}

func (a *actor) tryPut(environment, at string, r service.SecretRequest) (service.SecretResult, error) {
	return a.s.PutSecret(a.t.Context(), a.who, a.tenant, environment, path(at), r)
}

func (a *actor) put1(environment, at string, r service.SecretRequest) service.SecretResult {
	a.t.Helper()
	result, err := a.tryPut(environment, at, r)
	must(a.t, err)
	return result
}

// putSecret sets a secret and answers the version.
func (a *actor) putSecret(environment, at, name string) config.Version {
	a.t.Helper()
	return a.put1(environment, at, service.SecretRequest{Fields: a.fields(name)}).Version
}

func (a *actor) stageSecret(environment, at, name string) config.Version {
	a.t.Helper()
	return a.put1(environment, at, service.SecretRequest{Fields: a.fields(name), Stage: true}).Version
}

// revealed is what a reader gets: the value in use, and after a bar the one in grace.
func (a *actor) revealed(environment, at string) string {
	a.t.Helper()
	text, err := a.reveal(environment, at)
	must(a.t, err)
	return text
}

func (a *actor) reveal(environment, at string) (string, error) {
	return a.revealVersion(environment, at, 0)
}

func (a *actor) revealVersion(environment, at string, version config.Version) (string, error) {
	r, err := a.s.RevealSecret(a.t.Context(), a.who, a.tenant, environment, path(at), service.RevealRequest{Version: version})
	if err != nil {
		return "", err
	}
	defer r.Wipe()
	text := valueOf(r.Fields)
	if r.Previous != nil {
		text += " | " + valueOf(r.Previous.Fields)
	}
	return text, nil
}

func valueOf(f secret.Fields) string {
	var texts []string
	for _, name := range f.Names() {
		field, _ := f.Get(name)
		texts = append(texts, string(field.Value().Reveal()))
	}
	return strings.Join(texts, ",")
}

// reads expects a reader to get the values named, the second in grace.
func (a *actor) gets(environment, at string, names ...string) {
	a.t.Helper()
	var want []string
	for _, name := range names {
		want = append(want, strong(name))
	}
	same(a.t, "value of "+at+" in "+environment, strings.Join(want, " | "), a.revealed(environment, at))
}

func (a *actor) getsNone(environment, at string, kind config.Kind) {
	a.t.Helper()
	_, err := a.reveal(environment, at)
	mustBe(a.t, kind, err)
}

func (a *actor) info(environment, at string) service.SecretInfo {
	a.t.Helper()
	info, err := a.s.Secret(a.t.Context(), a.who, a.tenant, environment, path(at), false)
	must(a.t, err)
	return info
}

// states are the versions of a secret and what they are.
func (a *actor) versions(environment, at string) string {
	a.t.Helper()
	info, err := a.s.Secret(a.t.Context(), a.who, a.tenant, environment, path(at), true)
	must(a.t, err)
	var texts []string
	for _, v := range info.Versions {
		texts = append(texts, fmt.Sprintf("%d %s", v.Number, v.State))
	}
	return strings.Join(texts, ", ")
}

// settle does what the time asks for until nothing is left.
func (a *actor) settle(after time.Duration) {
	a.t.Helper()
	a.clock.move(after)
	for more := true; more; {
		var err error
		more, err = a.s.SettleSecrets(a.t.Context())
		must(a.t, err)
	}
}

type secretVerb func(ctx context.Context, who service.Caller, tenant, environment string, path config.Path, r service.SecretStep) (service.SecretResult, error)

func (a *actor) step(v secretVerb, environment, at string, r service.SecretStep) service.SecretResult {
	a.t.Helper()
	result, err := v(a.t.Context(), a.who, a.tenant, environment, path(at), r)
	must(a.t, err)
	return result
}

func together(tables ...map[string]verb) map[string]verb {
	all := map[string]verb{}
	for _, table := range tables {
		for name, v := range table {
			all[name] = v
		}
	}
	return all
}

// secretVerbs are the verbs on secrets and keys.
var secretVerbs = map[string]verb{
	"Secret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Secret(ctx, who, tenant, in.environment, in.path, false)
		return err
	},
	"RevealSecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RevealSecret(ctx, who, tenant, in.environment, in.path, service.RevealRequest{})
		return err
	},
	"RevealConfig": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RevealConfig(ctx, who, tenant, in.environment, in.path, service.ReadOptions{})
		return err
	},
	"Secrets": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Secrets(ctx, who, tenant, service.SecretListRequest{Environment: in.environment, Page: in.page})
		return err
	},
	"PutSecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.PutSecret(ctx, who, tenant, in.environment, in.path,
			service.SecretRequest{Generate: &secret.Generator{Kind: secret.GenerateHex}, Message: in.message})
		return err
	},
	"SecretDiff": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.SecretDiff(ctx, who, tenant, in.path, service.SecretPoint{Environment: in.environment, Version: 1}, service.SecretPoint{Environment: in.environment})
		return err
	},
	"SecretAdoption": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.SecretAdoption(ctx, who, tenant, in.environment, in.path)
		return err
	},
	"RotateSecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RotateSecret(ctx, who, tenant, in.environment, in.path, service.SecretStep{Generate: &secret.Generator{Kind: secret.GenerateHex}, Message: in.message})
		return err
	},
	"ActivateSecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.ActivateSecret(ctx, who, tenant, in.environment, in.path, service.SecretStep{Message: in.message})
		return err
	},
	"RevokeSecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RevokeSecret(ctx, who, tenant, in.environment, in.path, service.SecretStep{Message: in.message})
		return err
	},
	"DeleteSecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.DeleteSecret(ctx, who, tenant, in.environment, in.path, false, service.SecretStep{Message: in.message})
		return err
	},
	"UndeleteSecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.UndeleteSecret(ctx, who, tenant, in.environment, in.path, service.SecretStep{Message: in.message})
		return err
	},
	"DestroySecret": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.DestroySecret(ctx, who, tenant, in.environment, in.path, []config.Version{in.version}, false, service.SecretStep{Message: in.message})
		return err
	},
	"Ack": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Ack(ctx, who, tenant, in.environment, service.AckRequest{Client: in.name})
		return err
	},
	"Acks": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Acks(ctx, who, tenant, in.environment)
		return err
	},
	"TenantKeys": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, err := s.TenantKeys(ctx, who, tenant)
		return err
	},
	"RotateTenantKey": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RotateTenantKey(ctx, who, tenant, in.message)
		return err
	},
	"RetireTenantKey": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RetireTenantKey(ctx, who, tenant, uint32(in.version), in.message)
		return err
	},
	"RotateToken": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RotateToken(ctx, who, tenant, in.name, service.TokenStep{})
		return err
	},
}
