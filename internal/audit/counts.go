package audit

import (
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Dimension is what records are counted by.
type Dimension string

// The dimensions.
const (
	ByEvent   Dimension = "event"
	ByActor   Dimension = "actor"
	ByAction  Dimension = "action"
	ByOutcome Dimension = "outcome"
	BySource  Dimension = "source"
)

// Counts are records counted by at most two dimensions and a window of time.
type Counts struct {
	By     []Dimension
	Window time.Duration // of whole seconds; 0 for all time as one
	Most   int           // groups; more of them set Over; 0 for DefaultGroups
	Over   bool
	Groups map[CountKey]Count
}

// DefaultGroups is how many groups are counted where Counts.Most says nothing.
const DefaultGroups = 10_000

// maxDimensions is how many dimensions a CountKey has values of.
const maxDimensions = 2

// CountKey is what a group of records has in common.
type CountKey struct {
	Start  int64     // Unix seconds at which the window begins; 0 without windows
	Values [2]string // by Counts.By
}

// Count is a group of records.
type Count struct {
	Records int64
	Weight  int64 // what they stand for: those that are counts themselves stand for as many as they say
}

// Check refuses Counts that are no way to count: too many dimensions, one that
// there is not or twice, a window that is not of whole seconds. The error is a
// *config.Error at by or window.
func (c *Counts) Check() error {
	if len(c.By) > maxDimensions {
		return wrong("by", "too many dimensions to count by").Over(maxDimensions, int64(len(c.By))).Hint("count by one or two")
	}
	for i, d := range c.By {
		switch d {
		case ByEvent, ByActor, ByAction, ByOutcome, BySource:
		default:
			return wrong("by", "there is no dimension %q", string(d)).Hint("count by event, actor, action, outcome or source")
		}
		if slices.Contains(c.By[:i], d) {
			return wrong("by", "the dimension %s is there twice", d).Hint("name it once")
		}
	}
	if c.Window < 0 || c.Window%time.Second != 0 {
		return config.Errorf(config.KindBadRequest, "the window is not of whole seconds").At("window").Hint("give one such as 5m, 1h or 24h")
	}
	return nil
}

// Add counts one record.
func (c *Counts) Add(r *Record) {
	key := CountKey{Start: c.start(r.Time.Unix())}
	for i, d := range c.By {
		key.Values[i] = r.dimension(d)
	}
	c.add(key, Count{1, r.Weight()})
}

// add counts records of one group. Groups beyond Most are not begun.
func (c *Counts) add(key CountKey, n Count) {
	most := c.Most
	if most == 0 {
		most = DefaultGroups
	}
	sum, there := c.Groups[key]
	if !there && len(c.Groups) >= most {
		c.Over = true
		return
	}
	if c.Groups == nil {
		c.Groups = map[CountKey]Count{}
	}
	c.Groups[key] = Count{sum.Records + n.Records, sum.Weight + n.Weight}
}

// start is when the window that a time is in begins, in Unix seconds.
func (c *Counts) start(seconds int64) int64 {
	window := int64(c.Window / time.Second)
	if window <= 0 {
		return 0
	}
	within := seconds % window
	if within < 0 {
		within += window
	}
	return seconds - within
}

func (r *Record) dimension(d Dimension) string {
	switch d {
	case ByEvent:
		return r.Event
	case ByActor:
		return r.Actor
	case ByAction:
		return r.Action
	case ByOutcome:
		return string(r.Outcome)
	case BySource:
		return r.Source
	}
	return ""
}

// dimension is the column of a dimension, and its texts.
func (b *Block) dimension(d Dimension) (*column, *dictionary) {
	switch d {
	case ByEvent:
		return &b.event, &b.events
	case ByActor:
		return &b.actor, &b.actors
	case ByAction:
		return &b.action, &b.actions
	case ByOutcome:
		return &b.outcome, &b.outcomes
	case BySource:
		return &b.source, &b.sources
	}
	return nil, nil
}

// group is a CountKey with places in the dictionaries of a Block for the values.
type group struct {
	start  int64
	values [maxDimensions]uint64
}

// Count adds the records that a Filter selects to counts. Groups are begun in the
// order of the records, as if each were added.
func (b *Block) Count(f *Filter, counts *Counts) {
	s, some := b.search(f)
	if !some {
		return
	}
	var columns [maxDimensions]*column
	var texts [maxDimensions]*dictionary
	for k, d := range counts.By {
		columns[k], texts[k] = b.dimension(d)
	}
	var groups []group
	var sums []Count
	places := map[group]int{} // in groups and sums
	windowed := counts.Window > 0
	for i := range b.count {
		if !s.selects(i) {
			continue
		}
		var g group
		if windowed {
			g.start = counts.start(int64(b.seconds.at(i)))
		}
		for k, c := range columns {
			if c != nil {
				g.values[k] = c.at(i)
			}
		}
		at, there := places[g]
		if !there {
			at = len(groups)
			places[g], groups, sums = at, append(groups, g), append(sums, Count{})
		}
		sums[at].Records++
		sums[at].Weight += int64(b.weight.at(i))
	}
	for at, g := range groups {
		key := CountKey{Start: g.start}
		for k, d := range texts {
			if d != nil {
				key.Values[k] = d.at(int(g.values[k]))
			}
		}
		counts.add(key, sums[at])
	}
}
