package service

import (
	"context"
	"encoding/base32"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Bounds of access by break-glass.
const (
	DefaultGrantTime = time.Hour
	MaxGrantTime     = 4 * time.Hour
	minGrantTime     = time.Minute
	grantPatience    = 24 * time.Hour      // an approval must come within
	grantKept        = 30 * 24 * time.Hour // then it is no longer listed
	maxGrants        = 100                 // of a tenant that are not over, and as many that are
	maxReasonBytes   = 512
)

// grantRoles are the roles that can be had by break-glass. An administrator's is
// not among them: he could make tokens and policies that outlast it.
var grantRoles = []string{access.RoleViewer, access.RoleApplication, access.RoleOperator}

// GrantState says what stands of a grant.
type GrantState string

// The states of grants.
const (
	GrantRequested GrantState = "requested"
	GrantActive    GrantState = "active"
	GrantEnded     GrantState = "ended"
	GrantExpired   GrantState = "expired"
)

// grant is access to a tenant that a server administrator has for a while. Two
// are needed for it: one who asks and has it, and one who approves.
type grant struct {
	ID        string        `json:"id"`
	Role      string        `json:"role"`
	Reason    string        `json:"reason"`
	Requester string        `json:"requester"` // an actor
	Name      string        `json:"name"`      // of the requester, for people
	Ancestors []string      `json:"ancestors,omitempty"`
	Requested time.Time     `json:"requested"`
	For       time.Duration `json:"for"`
	Approver  string        `json:"approver,omitempty"`
	Approved  time.Time     `json:"approved"`
	EndedBy   string        `json:"ended_by,omitempty"`
	Ended     time.Time     `json:"ended"`
}

// Grant is what is known of such access.
type Grant struct {
	grant
	State   GrantState
	Expires time.Time
}

// GrantRequest asks for access to a tenant.
type GrantRequest struct {
	Role   string // "" for viewer
	Reason string
	For    time.Duration // 0 for DefaultGrantTime
}

// GrantResult says what was done about a grant.
type GrantResult struct {
	Outcome
	Grant Grant
}

func (g grant) at(now time.Time) Grant {
	seen := Grant{grant: g, State: GrantRequested, Expires: g.Requested.Add(grantPatience)}
	if !g.Approved.IsZero() {
		seen.State, seen.Expires = GrantActive, g.Approved.Add(g.For)
	}
	switch {
	case !g.Ended.IsZero():
		seen.State = GrantEnded
	case !now.Before(seen.Expires):
		seen.State = GrantExpired
	}
	return seen
}

// granted is a server administrator as he is in a tenant that he has access to.
func (r *rules) granted(p access.Principal, tenant config.TenantID, now time.Time) (access.Principal, *grant) {
	actor := p.Actor()
	for i := range r.grants {
		g := &r.grants[i]
		if g.Requester != actor || g.at(now).State != GrantActive {
			continue
		}
		if p.Tenant != tenant {
			p.Tenant, p.Roles = tenant, nil
		}
		p.Roles = append(slices.Clone(p.Roles), g.Role)
		slices.Sort(p.Roles)
		p.Roles = slices.Compact(p.Roles)
		return p.Sealed(), g
	}
	return p, nil
}

// recordGrantUse puts on record whatever is allowed to who has access by
// break-glass, before it is answered: also what he would have been allowed
// without, because he is of the tenant or because it lets server admins in.
func (s *Service) recordGrantUse(ctx context.Context, who Caller, action access.Action, state *tenantState, r access.Resource, g *grant) error {
	if info, _ := access.InfoOf(action); g == nil || slices.Contains(info.Groups, access.Serve) {
		return nil
	}
	record := s.record(who, "grant.use", action, resourceName(r))
	record.Tenant, record.Details = state.tenant.ID.String(), map[string]string{"grant": g.ID, "role": g.Role}
	if err := s.store.AppendAudit(ctx, state.tenant.ID, record); err != nil {
		return unavailable(err, "the use of break-glass access could not be put on record")
	}
	s.metrics.GrantUse(state.tenant.Name)
	return nil
}

func (r *GrantRequest) check() error {
	if r.Role == "" {
		r.Role = access.RoleViewer
	}
	if r.For == 0 {
		r.For = DefaultGrantTime
	}
	if !slices.Contains(grantRoles, r.Role) {
		return config.Errorf(config.KindBadRequest, "the role is none of %s", strings.Join(grantRoles, ", ")).At("/role")
	}
	if r.For < minGrantTime || r.For > MaxGrantTime {
		return config.Errorf(config.KindBadRequest, "access lasts a minute to %d hours", MaxGrantTime/time.Hour).At("/seconds").
			Over(int64(MaxGrantTime/time.Second), int64(r.For/time.Second))
	}
	ok := strings.TrimSpace(r.Reason) != "" && len(r.Reason) <= maxReasonBytes
	for _, c := range r.Reason {
		ok = ok && c != unicode.ReplacementChar && unicode.IsPrint(c)
	}
	if !ok {
		return config.Errorf(config.KindBadRequest, "the reason has 1 to %d printable characters", maxReasonBytes).At("/reason").
			Hint("say why the tenant must be looked into: its people read it")
	}
	return nil
}

// RequestGrant asks for access to a tenant; another server administrator has to
// approve it.
func (s *Service) RequestGrant(ctx context.Context, who Caller, tenant string, in GrantRequest) (GrantResult, error) {
	state, err := s.guard(ctx, who, access.GrantRequest, tenant, access.Resource{Name: "grants"})
	if err != nil {
		return GrantResult{}, err
	}
	if err := in.check(); err != nil {
		return GrantResult{}, err
	}
	id, err := s.grantID()
	if err != nil {
		return GrantResult{}, err
	}
	g := grant{
		ID: id, Role: in.Role, Reason: in.Reason, Requester: who.Principal.Actor(), Name: who.Principal.Author(),
		Ancestors: who.Principal.Ancestors, Requested: s.clock().UTC(), For: in.For,
	}
	return s.writeGrant(ctx, who, state, "grant.request", access.GrantRequest, id, "", func(now *rules) (grant, error) {
		if open := now.open(s.clock()); open >= maxGrants {
			return g, config.Errorf(config.KindTooLarge, "the tenant has too many grants").Hint("end those that are not needed").Over(maxGrants, int64(open))
		}
		return g, nil
	})
}

func (s *Service) grantID() (string, error) {
	var b [10]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return "", unavailable(err, "no random numbers can be had")
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])), nil
}

// ApproveGrant gives the access that another server administrator asked for.
func (s *Service) ApproveGrant(ctx context.Context, who Caller, tenant, id string) (GrantResult, error) {
	state, err := s.guard(ctx, who, access.GrantApprove, tenant, access.Resource{Name: "grants/" + id})
	if err != nil {
		return GrantResult{}, err
	}
	result, err := s.writeGrant(ctx, who, state, "grant.approve", access.GrantApprove, id, "", func(now *rules) (grant, error) {
		g, err := now.grant(id)
		if err != nil {
			return g, err
		}
		if seen := g.at(s.clock()); seen.State != GrantRequested {
			return g, config.Errorf(config.KindGone, "the access was not waiting for approval: it is %s", seen.State).Hint("ask for it anew")
		}
		if g.sameHands(who.Principal) {
			return g, config.Errorf(config.KindForbidden, "whoever asked cannot approve, nor anybody with a token from the same hands").
				Hint("ask another server administrator, who is known by an issuer or a certificate or has a token of other origin")
		}
		g.Approver, g.Approved = who.Principal.Actor(), s.clock().UTC()
		return g, nil
	})
	return result, s.refused(ctx, who, access.GrantApprove, state.tenant.ID, access.Resource{Name: "grants/" + id}, err)
}

// sameHands says whether somebody could be the one who asked: himself, or both
// have their tokens, however indirectly, from one and the same.
func (g grant) sameHands(p access.Principal) bool {
	asked := append([]string{g.Requester}, g.Ancestors...)
	return slices.Contains(asked, p.Actor()) || slices.ContainsFunc(p.Roots(), func(actor string) bool { return slices.Contains(asked, actor) })
}

// EndGrant ends access, or takes back a request. The tenant's own administrators
// can do it as well as any server administrator.
func (s *Service) EndGrant(ctx context.Context, who Caller, tenant, id, message string) (GrantResult, error) {
	state, err := s.guard(ctx, who, access.GrantEnd, tenant, access.Resource{Name: "grants/" + id})
	if err != nil {
		return GrantResult{}, err
	}
	if err := checkMessage(message); err != nil {
		return GrantResult{}, err
	}
	return s.writeGrant(ctx, who, state, "grant.end", access.GrantEnd, id, message, func(now *rules) (grant, error) {
		g, err := now.grant(id)
		if err != nil {
			return g, err
		}
		if seen := g.at(s.clock()); seen.State == GrantEnded || seen.State == GrantExpired {
			return g, config.Errorf(config.KindGone, "the access is over already: it is %s", seen.State)
		}
		g.EndedBy, g.Ended = who.Principal.Actor(), s.clock().UTC()
		return g, nil
	})
}

// Grants answers who has, had or wants access to the tenant, newest first.
func (s *Service) Grants(ctx context.Context, who Caller, tenant string) ([]Grant, error) {
	state, err := s.guard(ctx, who, access.GrantRead, tenant, access.Resource{Name: "grants"})
	if err != nil {
		return nil, err
	}
	var all []Grant
	for _, g := range state.rules.Load().grants {
		all = append(all, g.at(s.clock()))
	}
	slices.SortFunc(all, func(a, b Grant) int { return b.Requested.Compare(a.Requested) })
	return all, nil
}

func (r *rules) grant(id string) (grant, error) {
	for _, g := range r.grants {
		if g.ID == id {
			return g, nil
		}
	}
	return grant{}, config.Errorf(config.KindNotFound, "there is no access of that id").Hint("`llm-config break-glass ls` lists them")
}

// open counts the grants that are not over.
func (r *rules) open(now time.Time) (n int) {
	for _, g := range r.grants {
		if state := g.at(now).State; state == GrantRequested || state == GrantActive {
			n++
		}
	}
	return n
}

// stale are grants that have been over for so long that nobody looks for them, and
// the oldest where many are over. All that was done with them is on record.
func (r *rules) stale(now time.Time) []ruleWrite {
	var over []Grant
	for _, g := range r.grants {
		if seen := g.at(now); seen.State == GrantEnded || seen.State == GrantExpired {
			over = append(over, seen)
		}
	}
	slices.SortFunc(over, func(a, b Grant) int { return b.over().Compare(a.over()) })
	var drop []ruleWrite
	for i, g := range over {
		if i >= maxGrants || now.Sub(g.over()) > grantKept {
			drop = append(drop, ruleWrite{kind: store.RuleGrant, name: g.ID, deleted: true})
		}
	}
	return drop
}

// over is when a grant that is over ended.
func (g Grant) over() time.Time {
	if !g.Ended.IsZero() {
		return g.Ended
	}
	return g.Expires
}

// writeGrant commits what became of a grant: on the tenant's record with the
// change itself, and on the server's before that.
func (s *Service) writeGrant(ctx context.Context, who Caller, state *tenantState, event string, action access.Action, id, message string, become func(*rules) (grant, error)) (GrantResult, error) {
	return once(ctx, s, who, state.tenant.ID, func() (GrantResult, error) {
		var result GrantResult
		outcome, err := s.commit(ctx, state, rulesQueue, func(ctx context.Context, n *snapshot) (*proposal, error) {
			now, err := s.rulesNow(ctx, state)
			if err != nil {
				return nil, err
			}
			g, err := become(now)
			if err != nil {
				return nil, err
			}
			record := s.record(who, event, action, resourceName(access.Resource{Tenant: n.tenant, Name: "grants/" + id}))
			record.Tenant, record.Reason = n.tenant.String(), g.Reason
			record.Details = map[string]string{"grant": id, "role": g.Role, "requester": g.Requester, "for": g.For.String()}
			if err := s.store.AppendAudit(ctx, config.TenantID{}, record); err != nil {
				return nil, unavailable(err, "the access could not be put on the server's record")
			}
			p, err := s.proposeEntry(who, n, store.EntryRule, id, message, grantText(event, g, who), record)
			if err != nil {
				return nil, err
			}
			writes := append(now.stale(s.clock()), ruleWrite{kind: store.RuleGrant, name: id, body: g})
			if err := s.proposeRules(ctx, state, now, p, writes...); err != nil {
				return nil, err
			}
			result.Grant = g.at(s.clock())
			answer := result
			answer.Status = Committed
			return p, s.keep(ctx, who, n.tenant, &p.write, answer)
		})
		result.Outcome = outcome
		if err == nil {
			s.logger.Warn("break-glass access", "event", event, "tenant", state.tenant.Name, "grant", id,
				"role", result.Grant.Role, "requester", result.Grant.Requester, "actor", who.Principal.Actor())
		}
		return result, err
	})
}

func grantText(event string, g grant, who Caller) string {
	switch event {
	case "grant.request":
		return "break-glass access " + g.ID + " as " + g.Role + " was asked for by " + g.Name + ": " + g.Reason
	case "grant.approve":
		return "break-glass access " + g.ID + " as " + g.Role + " was given to " + g.Name + " for " + g.For.String()
	}
	return "break-glass access " + g.ID + " was ended by " + who.Principal.Author()
}
