package audit

import (
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Per is whom an alert counts apart.
type Per string

// Whom alerts count apart.
const (
	PerActor   Per = "actor"
	PerAddress Per = "address"
	PerTenant  Per = "tenant"
)

// AlertRule is raised when there are too many of an event within a time.
type AlertRule struct {
	Name      string
	Threshold int64
	Different bool   // only different resources count
	Event     string // an event, or a family as in authentication.*
	Window    time.Duration
	Per       Per
	Off       bool // the built-in rule of this name is not to be raised
}

// BuiltinAlerts are raised unless rules of the same names are given.
var BuiltinAlerts = []AlertRule{}

// ParseAlertRule reads "NAME: N [different] EVENT in DURATION per WHOM", or
// "NAME: off".
func ParseAlertRule(text string) (AlertRule, error) { panic("not yet") }

// String is the rule as ParseAlertRule reads it.
func (r AlertRule) String() string { panic("not yet") }

// Alert is a rule that was raised.
type Alert struct {
	Rule     AlertRule
	Key      string // the actor, address or tenant
	Chain    config.TenantID
	Count    int64
	Sequence uint64    // of the record that raised it, in Chain
	Time     time.Time // of that record
}

// Alerts counts records by rules, in bounded memory.
type Alerts struct {
	rules []AlertRule
}

// NewAlerts counts by rules: the built-in ones, replaced or turned off by those
// given of the same names.
func NewAlerts(rules []AlertRule) *Alerts { panic("not yet") }

// Rules are those in force.
func (a *Alerts) Rules() []AlertRule { return a.rules }

// Longest is the longest window of any rule.
func (a *Alerts) Longest() time.Duration { panic("not yet") }

// Add counts a record and answers the rules that it raises. Time is the record's
// own; records of one chain come in their order.
func (a *Alerts) Add(chain config.TenantID, sequence uint64, r *Record) []Alert { panic("not yet") }
