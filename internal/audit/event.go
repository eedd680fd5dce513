package audit

import (
	"cmp"
	"slices"
	"strings"
)

// EventInfo is what is known of an event.
type EventInfo struct {
	Name     string
	Meaning  string   // one sentence
	Counts   bool     // a record of it stands for as many as details.count says
	Controls []string // what it is evidence for, as FRAMEWORK:ID, such as soc2:CC6.1, sorted
}

// countedFailures is the event of failed authentications that have no record of
// their own.
const countedFailures = "authentication.failures"

// Events are all events that records can have, by name. Controls of ISO 27001 are
// numbered as in the edition of 2013; that of 2022 has other numbers for them:
// A.9.4.1 is 8.3, A.12.4.1 is 8.15, A.14.2.8 is 8.29 and A.18.1.3 is 5.33.
var Events = []EventInfo{
	{"audit.alert", "A rule for alerts was raised.", false, evidence(watching, "gdpr:33")},
	{"audit.broken", "A chain of audit records was found not to hold.", false, evidence(watching, keeping, "gdpr:33")},
	{"audit.dispose", "Audit records were disposed of when their time was over.", false, evidence(keeping, "gdpr:30")},
	{"audit.export", "Audit records were exported, or one of them shown in full.", false, evidence(keeping, leaving, "gdpr:30")},
	{"audit.hold.lift", "A legal hold on a tenant's audit records was lifted.", false, evidence(keeping)},
	{"audit.hold.set", "A tenant's audit records were put under legal hold.", false, evidence(keeping)},
	{"audit.key.rotate", "A new key, or the first one, signs checkpoints of the audit chains.", false, evidence(keeping)},
	{"audit.read", "Audit records were searched or counted.", false, evidence(keeping, "gdpr:30")},
	{"audit.sink.down", "A receiver of audit records could not be reached; what it missed is kept for it.", false, evidence(watching)},
	{"audit.sink.up", "A receiver of audit records is back, and has what it missed.", false, evidence(watching)},
	{"audit.tail", "Audit records were followed as they came.", false, evidence(keeping, "gdpr:30")},
	{"audit.verify", "A chain of audit records was verified.", false, evidence(keeping, watching)},
	{"authentication.failed", "Somebody came without credentials that are good; the first time in a minute from a source.", false, evidence(deciding, watching, "gdpr:33", "soc2:CC6.6")},
	{countedFailures, "So many further authentications failed within a minute from a source.", true, evidence(deciding, watching, "gdpr:33", "soc2:CC6.6")},
	{"authorization.denied", "Somebody was refused what the policies do not allow.", false, evidence(deciding, watching, "gdpr:25")},
	{"compliance.report", "A report on compliance was made, with its checks.", false, evidence(keeping, "iso27001:A.14.2.8")},
	{"config.change", "Layers of documents were written or deleted.", false, evidence("gdpr:30")},
	{"config.destroy", "A version of a layer was made unreadable for ever.", false, evidence("gdpr:30", "gdpr:32")},
	{"config.promote", "Layers of one environment were taken over into another.", false, evidence("gdpr:30")},
	{"config.reads", "So many documents were read within a minute by a principal in an environment.", true, evidence(deciding, "gdpr:30")},
	{"config.revert", "One change was undone wherever it had an effect.", false, evidence("gdpr:30")},
	{"config.rollback", "Layers were put back to what they were.", false, evidence("gdpr:30")},
	{"environment.change", "An environment was created, altered or deleted.", false, evidence("gdpr:25")},
	{"grant.approve", "Access to a tenant by break-glass was approved.", false, evidence(deciding, watching)},
	{"grant.end", "Access to a tenant by break-glass was ended.", false, evidence(deciding)},
	{"grant.request", "Access to a tenant by break-glass was asked for.", false, evidence(deciding)},
	{"grant.use", "Something was allowed to somebody who had access by break-glass.", false, evidence(deciding, watching)},
	{"key.destroy", "The keys of a deleted tenant were destroyed, and with them all that they sealed.", false, evidence(sealing)},
	{"key.restore", "Keys were restored from a backup of them.", false, evidence(sealing)},
	{"key.retire", "An old key was retired after nothing was left that it seals.", false, evidence(sealing)},
	{"key.rewrapped", "A tenant's keys were wrapped anew under the newest key above them.", false, evidence(sealing)},
	{"key.rotate", "A new version of a key took over.", false, evidence(sealing)},
	{"policy.delete", "A policy was deleted.", false, evidence(deciding, "gdpr:25")},
	{"policy.put", "A policy was written.", false, evidence(deciding, "gdpr:25")},
	{"policy.recover", "All policies of a tenant were deleted on the server's own machine, because they let nobody in.", false, evidence(deciding, watching)},
	{"policy.rollback", "A policy was put back to what it was.", false, evidence(deciding, "gdpr:25")},
	{"quota.set", "The limits of a tenant were set.", false, evidence("gdpr:32")},
	{"role.delete", "A role was deleted.", false, evidence(deciding, "gdpr:25")},
	{"role.put", "A role was defined.", false, evidence(deciding, "gdpr:25")},
	{"secret.activate", "A staged version of a secret came into use.", false, evidence(sealing)},
	{"secret.delete", "A secret was deleted, and can be undeleted.", false, evidence(sealing)},
	{"secret.destroy", "Versions of a secret were made unreadable for ever.", false, evidence(sealing)},
	{"secret.expire", "A secret's time was over, and it is refused.", false, evidence(sealing)},
	{"secret.overdue", "The deadline of a rotation passed before every client had the new version.", false, evidence(sealing, watching)},
	{"secret.read", "The value of a secret left the server.", false, evidence(deciding, leaving, "gdpr:30", "gdpr:33", "nist-800-53:SC-8")},
	{"secret.retire", "An old version of a secret went out of use.", false, evidence(sealing)},
	{"secret.revoke", "A version of a secret was revoked.", false, evidence(sealing)},
	{"secret.rotate", "A secret was rotated, or its rotation failed.", false, evidence(sealing)},
	{"secret.set", "A new version of a secret was written and came into use.", false, evidence(sealing)},
	{"secret.stage", "A new version of a secret was written and waits.", false, evidence(sealing)},
	{"secret.unavailable", "A document was to be read with a secret that is not there.", false, evidence(deciding)},
	{"secret.undelete", "A deleted secret was brought back.", false, evidence(sealing)},
	{"secret.update", "What is said about a secret was altered, not its value.", false, evidence("gdpr:32")},
	{"tag.delete", "The name of a revision was deleted.", false, evidence()},
	{"tag.set", "A revision was named.", false, evidence()},
	{"tenant.create", "A tenant was created.", false, evidence("gdpr:25", "gdpr:30")},
	{"tenant.delete", "A tenant was deleted with all that it had but its audit records.", false, evidence("gdpr:30", "gdpr:32")},
	{"token.create", "An API token was made.", false, evidence(deciding)},
	{"token.revoke", "An API token was taken back.", false, evidence(deciding)},
	{"token.rotate", "An API token was replaced by a new one.", false, evidence(deciding)},
}

// Controls that events are evidence for together.
const (
	deciding = "gdpr:32 iso27001:A.9.4.1 nist-800-53:AC-3 soc2:CC6.1" // who may do what
	sealing  = "gdpr:32 nist-800-53:SC-28 soc2:CC6.1"                 // that what rests is encrypted
	leaving  = "soc2:CC6.7"                                           // what goes out, and to whom
	watching = "soc2:CC7.2"                                           // that what is unusual is noticed
	keeping  = "iso27001:A.18.1.3"                                    // that records are protected
)

// evidence are controls, and those that every audit record is evidence for.
func evidence(controls ...string) []string {
	all := strings.Fields("hipaa:164.312(b) iso27001:A.12.4.1 nist-800-53:AU-2")
	for _, some := range controls {
		all = append(all, strings.Fields(some)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// EventNamed finds an event.
func EventNamed(name string) (EventInfo, bool) {
	i, found := slices.BinarySearchFunc(Events, name, func(e EventInfo, name string) int { return cmp.Compare(e.Name, name) })
	if !found {
		return EventInfo{}, false
	}
	return Events[i], true
}

// inFamily says whether name is pattern or, where pattern is a family such as
// secret.*, one of it.
func inFamily(pattern, name string) bool {
	if family, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasSuffix(family, ".") && strings.HasPrefix(name, family)
	}
	return pattern == name
}

// anyEvent says whether there is an event that a pattern stands for.
func anyEvent(pattern string) bool {
	return slices.ContainsFunc(Events, func(e EventInfo) bool { return inFamily(pattern, e.Name) })
}

// nearestEvents are the events and families whose names are hardly different
// from one that there is not, the nearest first, at most three.
func nearestEvents(name string) []string {
	const most = 3
	type near struct {
		name     string
		distance int
	}
	var all []near
	seen := map[string]bool{}
	consider := func(candidate string) {
		if d := distance(name, candidate); !seen[candidate] && d <= max(2, len(candidate)/3) {
			all = append(all, near{candidate, d})
		}
		seen[candidate] = true
	}
	for _, e := range Events {
		consider(e.Name)
		consider(e.Name[:strings.LastIndexByte(e.Name, '.')] + ".*")
	}
	slices.SortStableFunc(all, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, n := range all[:min(most, len(all))] {
		names = append(names, n.name)
	}
	return names
}

// distance is how many bytes have to be put in, taken out or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of the prefix of a so far, to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
