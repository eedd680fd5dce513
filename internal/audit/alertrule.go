package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Per is whom an alert counts apart.
type Per string

// Whom alerts count apart.
const (
	PerActor   Per = "actor"
	PerAddress Per = "address" // in IPv6 the /64 that it is in, all of which one machine may have
	PerTenant  Per = "tenant"

	PerResource Per = "resource" // the one that a record names first
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

// Bounds of rules.
const (
	maxAlertRules    = 64 // beside the built-in ones
	maxRuleName      = 64
	maxThreshold     = 1_000_000
	maxThresholdDiff = 10_000 // of different resources, each of which is kept
	minAlertWindow   = time.Second
	maxAlertWindow   = 24 * time.Hour
)

// BuiltinAlerts are raised unless rules of the same names are given.
var BuiltinAlerts = []AlertRule{
	{Name: "brute-force", Threshold: 10, Event: "authentication.*", Window: 5 * time.Minute, Per: PerAddress},
	{Name: "denial-burst", Threshold: 50, Event: "authorization.denied", Window: 5 * time.Minute, Per: PerActor},
	{Name: "mass-secret-reads", Threshold: 200, Different: true, Event: "secret.read", Window: 5 * time.Minute, Per: PerActor},
	{Name: "break-glass", Threshold: 1, Event: "grant.approve", Window: time.Minute, Per: PerTenant},
	{Name: "break-glass-use", Threshold: 1, Event: "grant.use", Window: 15 * time.Minute, Per: PerActor},
	{Name: "chain-broken", Threshold: 1, Event: "audit.broken", Window: 15 * time.Minute, Per: PerTenant},
	{Name: "sink-down", Threshold: 1, Event: "audit.sink.down", Window: 15 * time.Minute, Per: PerResource},
}

const ruleForm = "NAME: N [different] EVENT in DURATION per actor|address|tenant|resource, or NAME: off"

// ParseAlertRule reads "NAME: N [different] EVENT in DURATION per WHOM", or
// "NAME: off". A name has at most 64 letters a to z, digits and hyphens, and
// begins with a letter; N is 1 to 1,000,000, of different resources to 10,000; a
// duration is of whole seconds, 1s to 24h. Only a built-in rule can be off.
func ParseAlertRule(text string) (AlertRule, error) {
	name, rest, ok := strings.Cut(text, ":")
	if !ok {
		return AlertRule{}, fmt.Errorf("the alert rule %q has no name: write it as %s", shortened(text), ruleForm)
	}
	if !isRuleName(name) {
		return AlertRule{}, fmt.Errorf("the name %q of an alert rule is not one: it is of a to z, 0 to 9 and -, begins with a letter and has at most %d of them", shortened(name), maxRuleName)
	}
	words := strings.Fields(rest)
	if slices.Equal(words, []string{"off"}) {
		if !slices.ContainsFunc(BuiltinAlerts, func(b AlertRule) bool { return b.Name == name }) {
			return AlertRule{}, fmt.Errorf("the alert rule %s is not built in, so that it cannot be off: leave it out; built in are %s", name, builtinNames())
		}
		return AlertRule{Name: name, Off: true}, nil
	}
	r := AlertRule{Name: name}
	if len(words) > 1 && words[1] == "different" {
		r.Different, words = true, slices.Delete(words, 1, 2)
	}
	const wanted = 6 // N EVENT in DURATION per WHOM
	if len(words) != wanted || words[2] != "in" || words[4] != "per" {
		return AlertRule{}, fmt.Errorf("the alert rule %s cannot be read: write it as %s", name, ruleForm)
	}
	var err error
	if r.Threshold, err = r.threshold(words[0]); err != nil {
		return AlertRule{}, err
	}
	if r.Event = words[1]; !anyEvent(r.Event) {
		return AlertRule{}, fmt.Errorf("the alert rule %s is on %q, and there is no such event: %s", name, shortened(r.Event), eventHint(r.Event))
	}
	if r.Window, err = time.ParseDuration(words[3]); err != nil || r.Window < minAlertWindow || r.Window > maxAlertWindow || r.Window%time.Second != 0 {
		return AlertRule{}, fmt.Errorf("the alert rule %s is in %q: give whole seconds from 1s to 24h, such as 5m", name, shortened(words[3]))
	}
	switch r.Per = Per(words[5]); r.Per {
	case PerResource:
		if r.Different {
			return AlertRule{}, fmt.Errorf("the alert rule %s counts different resources per resource, of which there is one: leave out different, or count per actor, address or tenant", name)
		}
		return r, nil
	case PerActor, PerAddress, PerTenant:
		return r, nil
	}
	return AlertRule{}, fmt.Errorf("the alert rule %s counts per %q: count per actor, address, tenant or resource", name, shortened(words[5]))
}

// ParseAlertRules reads rules of different names, at most 64.
func ParseAlertRules(texts []string) ([]AlertRule, error) {
	if len(texts) > maxAlertRules {
		return nil, fmt.Errorf("there are %d alert rules, and %d are allowed: leave some out, or use families such as secret.*", len(texts), maxAlertRules)
	}
	var rules []AlertRule
	for _, text := range texts {
		r, err := ParseAlertRule(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(rules, func(other AlertRule) bool { return other.Name == r.Name }) {
			return nil, fmt.Errorf("the alert rule %s is there twice: keep one, or give the other a name of its own", r.Name)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func (r *AlertRule) threshold(text string) (int64, error) {
	most := int64(maxThreshold)
	if r.Different {
		most = maxThresholdDiff
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("the alert rule %s begins with %q: give a number from 1 to %d", r.Name, shortened(text), most)
	}
	return n, nil
}

func isRuleName(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != "" && len(name) <= maxRuleName
}

func builtinNames() string {
	names := make([]string, len(BuiltinAlerts))
	for i, b := range BuiltinAlerts {
		names[i] = b.Name
	}
	return strings.Join(names, ", ")
}

// shortened is as much of a text as an error shows.
func shortened(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// String is the rule as ParseAlertRule reads it.
func (r AlertRule) String() string {
	if r.Off {
		return r.Name + ": off"
	}
	different := ""
	if r.Different {
		different = "different "
	}
	return fmt.Sprintf("%s: %d %s%s in %s per %s", r.Name, r.Threshold, different, r.Event, shortDuration(r.Window), r.Per)
}

// shortDuration is a duration without the zeros that its String ends with.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
