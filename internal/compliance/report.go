package compliance

import (
	"cmp"
	"slices"
	"time"
)

// MaxSamples bounds the samples of one event in a report.
const MaxSamples = 3

// Sample is one record that is evidence.
type Sample struct {
	Chain    string    `json:"chain"` // origin
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Outcome  string    `json:"outcome"`
}

// Evidence is what the records of the report's time say of one event.
type Evidence struct {
	Event   string   `json:"event"`
	Count   int64    `json:"count"` // occurrences: a record that counts stands for as many
	Samples []Sample `json:"samples,omitempty"`
}

// Verification is how the chain of the report was followed.
type Verification struct {
	Origin   string    `json:"origin"`
	Holds    bool      `json:"holds"`
	Problem  string    `json:"problem,omitempty"` // the first place where it does not
	First    uint64    `json:"first"`             // sequence numbers, first and last
	Last     uint64    `json:"last"`
	Records  int64     `json:"records"`
	Disposed int64     `json:"disposed"`           // disposed of when their time was over
	SignedTo uint64    `json:"signed_to"`          // by the newest checkpoint; 0 when there is none
	SignedAt time.Time `json:"signed_at,omitzero"` // when
}

// ControlStatus is what a report says of a control.
type ControlStatus string

// What a report says of a control. Met says that the checks beside it passed just
// now; what the organisation has to do about it, they do not see.
const (
	Met            ControlStatus = "met-by-checks"
	Unmet          ControlStatus = "failed"
	Unchecked      ControlStatus = "cannot-be-checked"
	Organisational ControlStatus = "organisational"
)

// ControlReport is what a report says of one control.
type ControlReport struct {
	Control   Control       `json:"control"`
	Status    ControlStatus `json:"status"`
	Results   []Result      `json:"results,omitempty"`
	Elsewhere []CheckName   `json:"elsewhere,omitempty"` // checks that run in reports of the other scope only
	Evidence  []Evidence    `json:"evidence,omitempty"`
}

// Report says how an installation, or one tenant of it, stands to a framework.
type Report struct {
	Framework    FrameworkInfo   `json:"framework"`
	Scope        Scope           `json:"scope"`            // OfServer or OfTenant
	Tenant       string          `json:"tenant,omitempty"` // its name
	From         time.Time       `json:"from,omitzero"`    // evidence is of records from From on, or from the first, and before To
	To           time.Time       `json:"to"`
	Generated    time.Time       `json:"generated"`
	Version      string          `json:"version"` // of the product
	Verification Verification    `json:"verification"`
	Controls     []ControlReport `json:"controls"`
}

// Input is what a Report is built of. A check without a result could not run.
type Input struct {
	Framework    Framework
	Tenant       string // its name; empty for the server
	From, To     time.Time
	Generated    time.Time
	Version      string
	Verification Verification
	Results      map[CheckName]Result

	// Evidence answers what there is of events, in any order. It is called once,
	// with every event that is evidence for a control of the framework; what it
	// leaves out there was none of, and of more than MaxSamples samples the first
	// are taken.
	Evidence func(events []string) ([]Evidence, error)
}

// Build makes a Report. The error is that of an unknown framework, or the one
// that Evidence gave.
func Build(in Input) (Report, error) {
	framework, err := ParseFramework(string(in.Framework))
	if err != nil {
		return Report{}, err
	}
	report := Report{
		Framework: framework, Scope: OfServer, Tenant: in.Tenant,
		From: in.From.UTC(), To: in.To.UTC(), Generated: in.Generated.UTC(),
		Version: in.Version, Verification: in.Verification,
	}
	if in.Tenant != "" {
		report.Scope = OfTenant
	}

	controls := Controls(in.Framework)
	var events []string
	for _, c := range controls {
		events = append(events, c.Events()...)
	}
	slices.Sort(events)
	found, err := in.Evidence(slices.Compact(events))
	if err != nil {
		return Report{}, err
	}
	for _, c := range controls {
		report.Controls = append(report.Controls, reportOf(c, report.Scope, in.Results, found))
	}
	return report, nil
}

func reportOf(c Control, scope Scope, results map[CheckName]Result, found []Evidence) ControlReport {
	r := ControlReport{Control: c}
	for _, name := range c.Checks {
		check, _ := CheckNamed(name)
		if !check.Scope.includes(scope) {
			r.Elsewhere = append(r.Elsewhere, name)
			continue
		}
		result, ran := results[name]
		if !ran {
			result = Result{Status: CannotRun, Detail: "it was not run"}
		}
		result.Check = name
		r.Results = append(r.Results, result)
	}
	r.Status = r.status()
	for _, event := range c.Events() {
		evidence := Evidence{Event: event}
		if i := slices.IndexFunc(found, func(e Evidence) bool { return e.Event == event }); i >= 0 {
			evidence = found[i]
			evidence.Samples = evidence.Samples[:min(MaxSamples, len(evidence.Samples))]
		}
		r.Evidence = append(r.Evidence, evidence)
	}
	return r
}

// status is the worst of the results. An outcome that is not known is not a pass.
func (c *ControlReport) status() ControlStatus {
	if len(c.Control.Checks) == 0 {
		return Organisational
	}
	status := Met
	if len(c.Results) == 0 {
		status = Unchecked
	}
	for _, result := range c.Results {
		switch result.Status {
		case Passed:
		case Failed:
			return Unmet
		default:
			status = Unchecked
		}
	}
	return status
}

// Results are the results of all checks of the report, each once, in the order
// of Checks.
func (r *Report) Results() []Result {
	var all []Result
	for _, c := range r.Controls {
		for _, result := range c.Results {
			if !slices.ContainsFunc(all, func(other Result) bool { return other.Check == result.Check }) {
				all = append(all, result)
			}
		}
	}
	slices.SortFunc(all, func(a, b Result) int { return cmp.Compare(place(a.Check), place(b.Check)) })
	return all
}

func place(name CheckName) int {
	return slices.IndexFunc(Checks, func(c Check) bool { return c.Name == name })
}

// Evidence is that of all controls of the report, of each event once, by name.
func (r *Report) Evidence() []Evidence {
	var all []Evidence
	for _, c := range r.Controls {
		all = append(all, c.Evidence...)
	}
	slices.SortFunc(all, func(a, b Evidence) int { return cmp.Compare(a.Event, b.Event) })
	return slices.CompactFunc(all, func(a, b Evidence) bool { return a.Event == b.Event })
}
