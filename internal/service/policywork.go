package service

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of what goes into checking and trying policies, which takes far longer
// than deciding by them. A tenant has one turn at a time and the server two, so
// that those who read have processors left.
const (
	turnsOfTenant  = 1
	turnsOfServer  = 2
	turnPatience   = 2 * time.Second // for a turn
	turnTime       = 5 * time.Second // that trying may take
	maxSimulated   = 2000            // past decisions that are tried at once
	usualSimulated = 1000
)

// turns are a number of places for work on policies.
type turns chan struct{}

// take waits for a place.
func (t turns) take(ctx context.Context) bool {
	select {
	case t <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// policyTurn waits until it is the tenant's turn to have policies worked on, and
// answers how to end it.
func (s *Service) policyTurn(ctx context.Context, state *tenantState) (end func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, turnPatience)
	defer cancel()
	if !state.turns.take(waiting) {
		return nil, noTurn("the tenant's policies are being worked on", turnsOfTenant)
	}
	if !s.turns.take(waiting) {
		<-state.turns
		return nil, noTurn("the server works on the policies of other tenants", turnsOfServer)
	}
	return func() { <-s.turns; <-state.turns }, nil
}

func noTurn(message string, most int64) error {
	return config.Errorf(config.KindOverloaded, "%s", message).Hint("try again in a moment").Over(most, most+1).After(turnPatience)
}

// tried makes of the end of the time that trying policies may take an error that
// says so.
func tried[T any](ctx context.Context, work func(ctx context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	answer, err := work(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = config.Errorf(config.KindOverloaded, "trying the policies takes longer than %s", turnTime).
			Hint("try fewer decisions, or fewer and simpler policies")
	}
	return answer, err
}

// simulated tries past decisions on other policies.
func (s *Service) simulated(ctx context.Context, state *tenantState, now *rules, src policy.Source, name string, limit int) (result Simulation, err error) {
	if result.Report, err = policy.CheckContext(ctx, withEnvironments(state, src), name); err != nil || unreadable(result.Report) {
		return result, err // the report says why nothing was tried
	}
	next, err := policy.Compile(src)
	if err != nil {
		return result, err
	}
	if err := s.flushSamples(ctx); err != nil {
		return result, err
	}
	past, err := s.pastSamples(ctx, state.tenant.ID, limit)
	if err != nil {
		return result, err
	}
	return result, result.try(ctx, state.tenant, past, now.set, next)
}

// try decides past questions by two sets of policies.
func (r *Simulation) try(ctx context.Context, tenant config.Tenant, past []sample, now, next *policy.Set) error {
	for _, one := range past {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		request, err := one.request(tenant)
		if err != nil {
			return unavailable(err, "a kept decision does not parse")
		}
		r.Tried++
		before, after := now.Decide(&request), next.Decide(&request)
		if before.Allowed != after.Allowed {
			r.Changed = append(r.Changed, SimulatedChange{request.Principal, request, before, after, one.Time})
		}
	}
	return nil
}
