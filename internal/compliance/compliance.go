// Package compliance says which controls of five frameworks the product
// implements, which checks prove it on a running server, which audit events are
// evidence, and what only an organisation can do. It is data and text: the checks
// themselves run where the state is that they look at, and hand in their results.
package compliance

import (
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Framework is a set of controls that auditors ask for, by its short name.
type Framework string

// The frameworks.
const (
	SOC2     Framework = "soc2"
	ISO27001 Framework = "iso27001"
	GDPR     Framework = "gdpr"
	HIPAA    Framework = "hipaa"
	NIST     Framework = "nist-800-53"
)

// FrameworkInfo is what is known of a framework.
type FrameworkInfo struct {
	Name    Framework `json:"name"`
	Title   string    `json:"title"`
	Edition string    `json:"edition"` // the one whose numbers are used
	Source  string    `json:"source"`  // where its text is to be had
}

// Frameworks are all frameworks there are reports for.
var Frameworks = []FrameworkInfo{
	{SOC2, "SOC 2, Trust Services Criteria", "TSP section 100: 2017 criteria, points of focus revised in 2022", "https://www.aicpa-cima.com"},
	{ISO27001, "ISO/IEC 27001, Annex A", "numbers of 2013, with those of 2022 beside them", "https://www.iso.org/standard/27001"},
	{GDPR, "General Data Protection Regulation", "Regulation (EU) 2016/679", "https://eur-lex.europa.eu/eli/reg/2016/679/oj"},
	{HIPAA, "HIPAA Security Rule", "45 CFR Part 164, Subpart C, with the Breach Notification Rule of Subpart D", "https://www.ecfr.gov/current/title-45/part-164"},
	{NIST, "NIST SP 800-53", "Revision 5", "https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final"},
}

// ParseFramework finds a framework by its short name. The error is a
// *config.Error that names those there are.
func ParseFramework(name string) (FrameworkInfo, error) {
	known := make([]string, len(Frameworks))
	for i, f := range Frameworks {
		if string(f.Name) == name {
			return f, nil
		}
		known[i] = string(f.Name)
	}
	return FrameworkInfo{}, &config.Error{
		Kind:    config.KindBadRequest,
		Message: "there is no such compliance framework",
		Next:    "ask for one of " + strings.Join(known, ", "),
	}
}

// auditPage is the page of the docs about records, chains and retention.
const auditPage = "audit.md"

// Control is one requirement of a framework and what stands behind it. It has
// checks, or Organisation says who has to meet it, or both.
type Control struct {
	Framework    Framework   `json:"-"`
	ID           string      `json:"id"`
	Later        string      `json:"later,omitempty"` // its number in the newer edition, where ID has that of an older one
	Title        string      `json:"title"`
	Requirement  string      `json:"requirement"`            // in our words, not those of the standard
	Implements   string      `json:"implements,omitempty"`   // what in the product meets it or helps to
	Read         []string    `json:"read,omitempty"`         // pages below docs that say more
	Checks       []CheckName `json:"checks,omitempty"`       // all of them have to pass
	Patterns     []string    `json:"-"`                      // events and families that are evidence, where audit.Events does not name the control
	Organisation string      `json:"organisation,omitempty"` // what no software does
}

// Key names a control among those of all frameworks, as audit.EventInfo does:
// soc2:CC6.1.
func (c *Control) Key() string { return string(c.Framework) + ":" + c.ID }

// Events are the audit events that are evidence for the control, in the order of
// their names. The table of events says it of the controls that it names, and
// Patterns of the others.
func (c *Control) Events() []string {
	var events []string
	for _, e := range audit.Events {
		if slices.Contains(e.Controls, c.Key()) || slices.ContainsFunc(c.Patterns, func(p string) bool { return stands(p, e.Name) }) {
			events = append(events, e.Name)
		}
	}
	return events
}

// stands says whether a pattern, an event or a family such as secret.*, stands
// for an event.
func stands(pattern, event string) bool {
	if family, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(event, family)
	}
	return pattern == event
}

// Controls are the controls of a framework in the order of its numbers, those
// that only an organisation meets behind the others; nil if there is no such
// framework.
func Controls(f Framework) []Control {
	var controls []Control
	switch f {
	case SOC2:
		controls = slices.Clone(soc2)
	case ISO27001:
		controls = slices.Clone(iso27001)
	case GDPR:
		controls = slices.Clone(gdpr)
	case HIPAA:
		controls = slices.Clone(hipaa)
	case NIST:
		controls = slices.Clone(nist)
	}
	for i := range controls {
		controls[i].Framework = f
	}
	return controls
}
