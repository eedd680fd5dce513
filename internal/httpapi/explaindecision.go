package httpapi

import (
	"context"
	"net/netip"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

type explainDecisionIn struct {
	InTenant
	Body api.ExplainDecision
}

func (s *Server) explainDecision(ctx context.Context, in *explainDecisionIn) (*body[api.ExplainedDecision], error) {
	question, err := decisionQuestion(in.Body)
	if err != nil {
		return nil, err
	}
	decision, err := s.service.ExplainDecision(ctx, callerOf(ctx), in.Tenant, question)
	if err != nil {
		return nil, err
	}
	return answerOf(explainedDecision(decision)), nil
}

func decisionQuestion(in api.ExplainDecision) (service.DecisionQuestion, error) {
	question := service.DecisionQuestion{
		Action: access.Action(in.Action), Token: in.Token, Principal: in.Principal,
		Roles: in.Roles, Claims: in.Claims, Certificate: in.Certificate,
	}
	if in.Time != nil {
		question.Time = *in.Time
	}
	var err error
	if question.Resource, err = askedResource(in); err != nil || in.Source == "" {
		return question, err
	}
	if question.Source, err = netip.ParseAddr(in.Source); err != nil || question.Source.Zone() != "" {
		return question, config.Errorf(config.KindBadRequest, "the source is no address").At("/source").Hint("write it like 10.0.0.7 or 2001:db8::7")
	}
	return question, nil
}

// askedResource is what a question is about: a document or a secret, all below a
// prefix, an environment, or the tenant.
func askedResource(in api.ExplainDecision) (access.Resource, error) {
	r := access.Resource{Environment: in.Environment, Secret: in.Secret}
	switch {
	case in.Path != "" && in.Prefix != "":
		return r, config.Errorf(config.KindBadRequest, "a path and a prefix exclude each other").At("/prefix")
	case in.Environment == "" && in.Path+in.Prefix != "":
		return r, config.Errorf(config.KindBadRequest, "a path or prefix needs its environment").At("/environment")
	}
	var err error
	if in.Path != "" {
		r.Path, err = parameter(config.ParsePath(in.Path))("/path")
		return r, err
	}
	r.Prefix, err = parameter(config.ParsePrefix(in.Prefix))("/prefix")
	return r, err
}
