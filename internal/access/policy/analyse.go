package policy

import (
	"context"
	"fmt"
	"slices"
)

// What a finding is about. The first two refuse the write, as does delegation.
const (
	FindingSyntax        = "syntax"        // the text does not parse
	FindingSchema        = "schema"        // it names or compares what there cannot be
	FindingDelegation    = "delegation"    // its author does not hold what it gives or takes back
	FindingContradictory = "contradictory" // a permit and a forbid for the same
	FindingShadowed      = "shadowed"      // another policy does the same already
	FindingUnreachable   = "unreachable"   // it decides nothing
)

// How sure a finding is. A certain one holds for every request that there can
// be; for a possible one it depends on conditions which the analysis does not
// understand.
const (
	Certain  = "certain"
	Possible = "possible"
)

// Finding is what a check has to say of a policy.
type Finding struct {
	Ref       Ref // its Line and Column are known whenever its file is
	Kind      string
	Certainty string // "" where it is not a question
	Message   string
	Other     *Ref // the policy that is at odds with it, if there is one
	Refused   bool // the file must not be written
}

// analyse finds the policies of a tenant that cannot do what they seem to, as
// far as the file has a part in it, "" being all of them. It looks at heads and at
// constant conditions only, and is conservative: any other condition may be true
// or false. With its context it ends early.
func (s *sheet) analyse(ctx context.Context, file string) (all []Finding) {
	for _, r := range s.rules {
		if ctx.Err() != nil {
			return all
		}
		if r.File == "" {
			continue
		}
		found, dead := s.unreachable(r)
		if !dead {
			found = append(found, s.shadowed(r)...)
		}
		for _, f := range found {
			if concerns(r, file) || f.Other != nil && f.Other.File == file {
				all = append(all, f)
			}
		}
		if concerns(r, file) && !dead {
			all = append(all, s.contradictions(r, file)...)
		}
	}
	return all
}

// concerns says whether a rule is of the file that is checked, or all files are.
func concerns(r *rule, file string) bool { return file == "" || r.File == file }

// finding makes one about a rule, because of others.
func finding(r *rule, kind, certainty string, others []*rule, format string, args ...any) Finding {
	f := Finding{Ref: r.Ref, Kind: kind, Certainty: certainty, Message: fmt.Sprintf(format, args...)}
	if len(others) > 0 {
		f.Other = &others[0].Ref
	}
	return f
}

// unreachable finds why a policy decides nothing. It is dead when that is its
// own fault, so that there is nothing more to say of it.
func (s *sheet) unreachable(r *rule) (found []Finding, dead bool) {
	if why := s.nothing(r); why != "" {
		return []Finding{finding(r, FindingUnreachable, Certain, nil, "the %s never applies: %s", r.Effect, why)}, true
	}
	if name := r.where.environment; name != "" && s.environments != nil && !slices.Contains(s.environments, name) {
		return []Finding{finding(r, FindingUnreachable, Possible, nil, "the %s applies to nothing yet: there is no environment %q", r.Effect, name)}, false
	}
	if !r.permits() {
		return nil, false
	}
	forbids := s.coverage(r, func(q *rule) bool { return !q.permits() && q.applies() })
	if forbids != nil {
		return []Finding{finding(r, FindingUnreachable, Certain, forbids, "the permit allows nothing: %s forbids all of it", names(forbids))}, false
	}
	forbids = s.coverage(r, func(q *rule) bool { return !q.permits() && q.condition.truth != never })
	if forbids != nil {
		return []Finding{finding(r, FindingUnreachable, Possible, forbids, "the permit may allow nothing: %s forbids all of it on conditions", names(forbids))}, false
	}
	return nil, false
}

// nothing says why a policy can never match by itself; "" when it can.
func (s *sheet) nothing(r *rule) string {
	switch {
	case r.condition.truth == never:
		return "its conditions are false for every request"
	case r.who.types == 0:
		return "nobody is selected by its principal; does the role exist?"
	case r.does == 0:
		return "its actions are not taken on anything of this tenant that its resource selects"
	}
	return ""
}

// shadowed finds the policies that do already what one does. Of two that do the
// same, the later one is shadowed.
func (s *sheet) shadowed(r *rule) []Finding {
	before := func(q *rule) bool {
		return q.Effect == r.Effect && (q.number < r.number || q.applies() && !r.applies() || !s.same(q, r))
	}
	others := s.coverage(r, func(q *rule) bool { return before(q) && q.applies() })
	if others != nil {
		if r.permits() && r.condition.fails {
			return []Finding{finding(r, FindingShadowed, Possible, others, "the permit adds nothing to %s; it only denies where its condition fails", names(others))}
		}
		return []Finding{finding(r, FindingShadowed, Certain, others, "the %s adds nothing to %s", r.Effect, names(others))}
	}
	others = s.coverage(r, func(q *rule) bool {
		return before(q) && q.condition.truth != never && (!r.applies() || !s.same(q, r))
	})
	if others != nil {
		return []Finding{finding(r, FindingShadowed, Possible, others, "the %s may add nothing to %s, which does the same on conditions", r.Effect, names(others))}
	}
	return nil
}

// contradictions finds the policies of the other effect that meet one in part. A
// policy about everything meets all of them, which is worth no mention.
func (s *sheet) contradictions(r *rule, file string) (all []Finding) {
	var certain, possible []*rule
	for _, q := range s.rules {
		if q.File == "" || q.Effect == r.Effect || !r.permits() && (q.File == r.File || file == "") || s.nothing(q) != "" {
			continue // a pair of files that are checked is told of at its permit
		}
		permit, forbid := r, q
		if !r.permits() {
			permit, forbid = q, r
		}
		switch {
		case s.same(r, q) && r.applies() && q.applies():
			certain = append(certain, q)
		case !r.general() && !q.general() && s.meet(r, q) && !s.covers(forbid, permit):
			possible = append(possible, q)
		}
	}
	if certain != nil {
		all = append(all, finding(r, FindingContradictory, Certain, certain, "the %s is the very opposite of %s", r.Effect, names(certain)))
	}
	if possible != nil {
		all = append(all, finding(r, FindingContradictory, Possible, possible, "the %s meets %s, and where both apply the forbid counts", r.Effect, names(possible)))
	}
	return all
}

// names lists policies in a message.
func names(rules []*rule) string {
	text := rules[0].Ref.String()
	if more := len(rules) - 1; more > 0 {
		text += fmt.Sprintf(" (with %d more)", more)
	}
	return text
}

// covers says whether the head of q selects all that the head of r does.
func (s *sheet) covers(q, r *rule) bool {
	return r.does&^q.does == 0 && q.where.contains(r.where) && s.contains(q.who, r.who)
}

func (s *sheet) same(q, r *rule) bool { return s.covers(q, r) && s.covers(r, q) }

// meet says whether there may be a request that both heads select.
func (s *sheet) meet(q, r *rule) bool {
	both := q.does & r.does
	return both != 0 && s.overlap(q.who, r.who) && !q.where.intersect(r.where).only(both.on()).empty()
}

// coverage finds rules that together select all that the head of r does; nil
// when there are none. Each action of the head must be selected by one of them
// for all the principals and places.
func (s *sheet) coverage(r *rule, candidate func(*rule) bool) (found []*rule) {
	var part []*rule
	for _, q := range s.rules {
		if q == r || q.does&r.does == 0 || !s.contains(q.who, r.who) || !candidate(q) {
			continue
		}
		if s.covers(q, r) {
			return []*rule{q}
		}
		part = append(part, q)
	}
	for a, where := range r.heads() {
		i := slices.IndexFunc(part, func(q *rule) bool { return q.at(a).contains(where) })
		if i < 0 {
			return nil
		}
		if !slices.Contains(found, part[i]) {
			found = append(found, part[i])
		}
	}
	return found
}
