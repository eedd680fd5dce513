package httpapi

import (
	"context"

	"github.com/llm-devops/llm-config-manager/api"
)

type ackIn struct {
	InEnvironment
	Body api.Ack
}

func (s *Server) ack(ctx context.Context, in *ackIn) (*body[api.AckResult], error) {
	request, err := ackRequest(in.Body)
	if err != nil {
		return nil, err
	}
	expires, err := s.service.Ack(ctx, callerOf(ctx), in.Tenant, in.Environment, request)
	if err != nil {
		return nil, err
	}
	return answerOf(api.AckResult{ExpiresAt: expires.UTC()}), nil
}

func (s *Server) listAcks(ctx context.Context, in *InEnvironment) (*body[api.AckList], error) {
	all, err := s.service.Acks(ctx, callerOf(ctx), in.Tenant, in.Environment)
	if err != nil {
		return nil, err
	}
	return answerOf(clients(all)), nil
}
