package httpapi

import (
	"context"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

type listSecretsIn struct {
	InEnvironment
	OnePage
	Prefix  string   `query:"prefix" doc:"Only this path and those below it"`
	Glob    string   `query:"glob" doc:"Only paths like this: * within a segment, ** for whole segments"`
	Label   []string `query:"label,explode" doc:"Only secrets with this label: name=value, or name alone for any value; all of them when there are several"`
	Own     bool     `query:"own" doc:"Only what the environment has itself, nothing that it inherits"`
	Deleted bool     `query:"deleted" doc:"Deleted ones too"`
}

// maxLabels bounds how many labels a list asks for; a secret has no more.
const maxLabels = 32

func (s *Server) listSecrets(ctx context.Context, in *listSecretsIn) (*body[api.SecretList], error) {
	request := service.SecretListRequest{Environment: in.Environment, Own: in.Own, Deleted: in.Deleted, Page: in.page()}
	var err error
	if request.Prefix, err = parameter(config.ParsePrefix(in.Prefix))("prefix"); err != nil {
		return nil, err
	}
	if request.Glob, err = parameter(config.ParseGlob(in.Glob))("glob"); err != nil {
		return nil, err
	}
	if request.Labels, err = labelsOf(in.Label); err != nil {
		return nil, err
	}
	page, err := s.service.Secrets(ctx, callerOf(ctx), in.Tenant, request)
	if err != nil {
		return nil, err
	}
	return answerOf(api.SecretList{Secrets: convert(page.Secrets, secretOf), Revision: int64(page.Revision), Next: string(page.Next)}), nil
}

func labelsOf(texts []string) (map[string]string, error) {
	if len(texts) > maxLabels {
		return nil, config.Errorf(config.KindTooLarge, "too many labels are asked for").At("label").Over(maxLabels, int64(len(texts)))
	}
	labels := make(map[string]string, len(texts))
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		if _, twice := labels[name]; twice || name == "" {
			return nil, config.Errorf(config.KindBadRequest, "a label has no name, or is asked for twice").At("label").Hint("send label=name=value, each name once")
		}
		labels[name] = value
	}
	return labels, nil
}

func (s *Server) secretHistory(ctx context.Context, in *AtPath) (*body[api.SecretHistory], error) {
	path, err := config.ParsePath(in.Path)
	if err != nil {
		return nil, err
	}
	info, err := s.service.Secret(ctx, callerOf(ctx), in.Tenant, in.Environment, path, true)
	if err != nil {
		return nil, err
	}
	return answerOf(api.SecretHistory{Environment: info.Environment, Path: info.Path.String(), Versions: secretVersions(info)}), nil
}

type secretDiffIn struct {
	AtPath
	From string `query:"from" required:"true" doc:"[environment@]version; an environment alone, as in staging@, means the version in use"`
	To   string `query:"to" doc:"[environment@]version; left out, the version in use"`
}

func (s *Server) secretDiff(ctx context.Context, in *secretDiffIn) (*body[api.SecretDiff], error) {
	path, err := config.ParsePath(in.Path)
	if err != nil {
		return nil, err
	}
	from, err := parameter(secretPoint(in.From, in.Environment))("from")
	if err != nil {
		return nil, err
	}
	to, err := parameter(secretPoint(in.To, in.Environment))("to")
	if err != nil {
		return nil, err
	}
	d, err := s.service.SecretDiff(ctx, callerOf(ctx), in.Tenant, path, from, to)
	if err != nil {
		return nil, err
	}
	return answerOf(secretDiff(d)), nil
}

func (s *Server) secretAdoption(ctx context.Context, in *AtPath) (*body[api.SecretAdoption], error) {
	path, err := config.ParsePath(in.Path)
	if err != nil {
		return nil, err
	}
	a, err := s.service.SecretAdoption(ctx, callerOf(ctx), in.Tenant, in.Environment, path)
	if err != nil {
		return nil, err
	}
	return answerOf(adoption(a)), nil
}

// stepIn is a request that moves a secret's versions on. Its body may be left out.
type stepIn[T any] struct {
	AtPath
	Idempotent
	Body *T
}

// stepped makes a step of a secret.
func stepped[T any](in *stepIn[T], run func(path config.Path, in T) (service.SecretResult, error)) (*written[api.SecretResult], error) {
	path, err := config.ParsePath(in.Path)
	if err != nil {
		return nil, err
	}
	var request T
	if in.Body != nil {
		request = *in.Body
	}
	result, err := run(path, request)
	if err != nil {
		return nil, err
	}
	return writtenOf(result.Outcome, secretResult(result)), nil
}

func (s *Server) rotateSecret(ctx context.Context, in *stepIn[api.SecretRotate]) (*written[api.SecretResult], error) {
	return stepped(in, func(path config.Path, r api.SecretRotate) (service.SecretResult, error) {
		return s.service.RotateSecret(ctx, callerOf(ctx), in.Tenant, in.Environment, path, service.SecretStep{
			Generate: generatorOf(r.Generate), Stage: r.Stage, Grace: maybeSeconds(r.GraceSeconds), Now: r.Now, Message: r.Message,
		})
	})
}

func (s *Server) activateSecret(ctx context.Context, in *stepIn[api.SecretActivate]) (*written[api.SecretResult], error) {
	return stepped(in, func(path config.Path, r api.SecretActivate) (service.SecretResult, error) {
		return s.service.ActivateSecret(ctx, callerOf(ctx), in.Tenant, in.Environment, path, service.SecretStep{
			Version: config.Version(r.Version), Grace: maybeSeconds(r.GraceSeconds), Now: r.Now, Message: r.Message,
		})
	})
}

func (s *Server) revokeSecret(ctx context.Context, in *stepIn[api.SecretRevoke]) (*written[api.SecretResult], error) {
	return stepped(in, func(path config.Path, r api.SecretRevoke) (service.SecretResult, error) {
		return s.service.RevokeSecret(ctx, callerOf(ctx), in.Tenant, in.Environment, path,
			service.SecretStep{Version: config.Version(r.Version), Message: r.Message})
	})
}

func (s *Server) undeleteSecret(ctx context.Context, in *stepIn[api.SecretUndelete]) (*written[api.SecretResult], error) {
	return stepped(in, func(path config.Path, r api.SecretUndelete) (service.SecretResult, error) {
		return s.service.UndeleteSecret(ctx, callerOf(ctx), in.Tenant, in.Environment, path, service.SecretStep{Message: r.Message})
	})
}

func (s *Server) destroySecret(ctx context.Context, in *stepIn[api.SecretDestroy]) (*written[api.SecretResult], error) {
	return stepped(in, func(path config.Path, r api.SecretDestroy) (service.SecretResult, error) {
		versions := convert(r.Versions, func(n int64) config.Version { return config.Version(n) })
		return s.service.DestroySecret(ctx, callerOf(ctx), in.Tenant, in.Environment, path, versions, r.All, service.SecretStep{Message: r.Message})
	})
}
