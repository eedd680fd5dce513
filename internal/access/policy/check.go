package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Report is what the checks say of a file that is about to be written.
type Report struct {
	Findings []Finding
	Tests    []TestResult // of all files
}

// Refused says whether the file must not be written.
func (r Report) Refused() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Refused }) ||
		slices.ContainsFunc(r.Tests, func(t TestResult) bool { return !t.Passed })
}

// Check looks at one file of a tenant's policies, of which src holds the text
// that is about to be written. The file is parsed, validated against the schema
// and compared with all other policies; then the test cases of all files run. A
// file that is not in src, because it is about to be deleted, is checked for what
// the others then say of themselves: their test cases. With no file at all, as
// for a change of roles, it is said of every policy what is at odds with it.
func Check(src Source, file string) Report {
	report, _ := CheckContext(context.Background(), src, file) // which never ends
	return report
}

// CheckContext is Check for somebody who may not wait for its end. The error is
// the context's; there is no report then.
func CheckContext(ctx context.Context, src Source, file string) (Report, error) {
	s, ownFindings := readSource(src, file)
	report := Report{Findings: ownFindings}
	if s == nil || report.Refused() {
		return report, ctx.Err()
	}
	report.Findings = append(report.Findings, s.analyse(ctx, file)...)
	slices.SortStableFunc(report.Findings, func(a, b Finding) int { return a.Ref.Line - b.Ref.Line })
	set, err := Compile(src)
	if err == nil {
		report.Tests, err = set.runTests(ctx, src.Files)
	}
	if ctx.Err() != nil {
		return Report{}, ctx.Err()
	}
	if err != nil {
		report.Findings = append(report.Findings, refusal(file, FindingSyntax, err))
	}
	return report, nil
}

// readSource makes the sheet of a source, and finds what refuses it. The sheet is
// nil when nothing more can be said.
func readSource(src Source, file string) (*sheet, []Finding) {
	roles, err := newRoleTree(src.Roles)
	if err != nil {
		return nil, []Finding{refusal(file, FindingSchema, err)}
	}
	for _, f := range src.Files { // this file first: its faults are what the author wants to hear of
		if f.Name == file {
			if _, err := parseFile(f); err != nil {
				return nil, []Finding{refusal(file, FindingSyntax, err)}
			}
		}
	}
	all, err := parseFiles(src.Files)
	if err != nil {
		return nil, []Finding{refusal(file, FindingSyntax, err)}
	}
	s := &sheet{tenant: src.Tenant, roles: roles, environments: src.Environments}
	return s, s.fill(all, file)
}

// newSheet reads a source that was checked before. The error is that of what
// does not parse.
func newSheet(src Source) (*sheet, error) {
	roles, err := newRoleTree(src.Roles)
	if err != nil {
		return nil, err
	}
	all, err := parseFiles(src.Files)
	if err != nil {
		return nil, err
	}
	s := &sheet{tenant: src.Tenant, roles: roles}
	s.fill(all, "")
	return s, nil
}

// maxFaults is after how many faults of a file no more are looked for: finding
// them takes longer than finding none.
const maxFaults = 5

// fill makes the rules of the built-in policies and of all others, and validates
// those of one file.
func (s *sheet) fill(all []parsed, file string) (found []Finding) {
	faults := 0
	for _, key := range slices.Sorted(maps.Keys(builtin().byKey)) {
		if err := s.add(builtin().byKey[key].parsed); err != nil {
			panic("policy: a built-in policy is malformed: " + err.Error())
		}
	}
	for _, p := range all {
		malformed := s.add(p)
		if p.File == file && file != "" && faults < maxFaults {
			more := s.validate(p, malformed)
			for _, f := range more {
				faults += 1 + strings.Count(f.Message, "; ")
			}
			found = append(found, more...)
		}
	}
	return found
}

// validate finds what a policy names or compares that there cannot be.
func (s *sheet) validate(p parsed, malformed error) (found []Finding) {
	refuse := func(format string, args ...any) {
		found = append(found, Finding{Ref: p.Ref, Kind: FindingSchema, Refused: true, Message: fmt.Sprintf(format, args...)})
	}
	if err := validator().Policy("", p.ast); err != nil {
		refuse("the %s does not fit the schema: %s", p.Effect, schemaFaults(err))
	}
	if uid, ok := servesOnly(p.ast.Action); ok {
		refuse("the %s names %s, which no tenant gives or takes: the built-in policies alone decide it", p.Effect, uid)
	}
	if malformed != nil {
		refuse("the %s names what there cannot be: %v", p.Effect, malformed)
	}
	for _, uid := range entitiesIn(p.ast) {
		if _, err := placesIn(uid, s.tenant); err != nil {
			refuse("the %s compares with what there cannot be: %v", p.Effect, malformedID{uid})
		}
	}
	return found
}

// schemaFaults are the messages of the validator, each once and not too many.
func schemaFaults(err error) string {
	const most = 5
	var texts []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.Contains(texts, line) {
			texts = append(texts, line)
		}
	}
	if more := len(texts) - most; more > 0 {
		texts = append(texts[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// servesOnly finds an action or group in a head that belongs to the server.
func servesOnly(scope ast.IsActionScopeNode) (cedar.EntityUID, bool) {
	var uids []cedar.EntityUID
	switch scope := scope.(type) {
	case ast.ScopeTypeEq:
		uids = []cedar.EntityUID{scope.Entity}
	case ast.ScopeTypeIn:
		uids = []cedar.EntityUID{scope.Entity}
	case ast.ScopeTypeInSet:
		uids = scope.Entities
	}
	for _, uid := range uids {
		if uid.Type == typeAction && (uid.ID == cedar.String(access.Serve) || actionsIn(uid)&^tenantActions != 0) {
			return uid, true
		}
	}
	return cedar.EntityUID{}, false
}

// entitiesIn are the entities that stand in the conditions of a policy.
func entitiesIn(p *ast.Policy) (all []cedar.EntityUID) {
	for _, c := range p.Conditions {
		inspect(c.Body, func(n ast.IsNode) {
			if v, ok := n.(ast.NodeValue); ok {
				if uid, ok := v.Value.(cedar.EntityUID); ok {
					all = append(all, uid)
				}
			}
		})
	}
	return all
}

// refusal makes a finding of an error that says in its pointer where it is.
func refusal(file, kind string, err error) Finding {
	f := Finding{Ref: Ref{File: file, Line: 1, Column: 1}, Kind: kind, Message: err.Error(), Refused: true}
	var e *config.Error
	if !errors.As(err, &e) {
		return f
	}
	f.Message = e.Message
	var line, column int
	if at := strings.Split(e.Pointer, ":"); len(at) == 3 {
		if _, err := fmt.Sscan(at[1]+" "+at[2], &line, &column); err == nil {
			f.Ref.File, f.Ref.Line, f.Ref.Column = at[0], max(line, 1), max(column, 1)
		}
	}
	return f
}
