package service_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// modelPaths are all paths that the model and the service are asked for.
var modelPaths = []string{"p0", "p1", "p2", "p3"}

// The model is a tenant as DESIGN.md has it, written down as simply as it can
// be: every revision is a whole state, and nothing is remembered or shared.

// slot is the place of a layer. Environments are known by their number, because
// a name may come again.
type slot struct {
	env  int
	path string
}

// cell is what an environment says at a path.
type cell struct {
	doc     map[string]any // nil when it says nothing
	version int
	rev     int
}

type envModel struct {
	name   string
	parent int // 0 for a root
}

// state is a tenant at one revision.
type state struct {
	envs   map[int]envModel
	layers map[slot]cell
}

// versionModel is one version of a layer.
type versionModel struct {
	cell
	destroyed bool
}

// model is a tenant with its past.
type model struct {
	states  []state // by revision; there is none of revision 0
	times   []time.Time
	edits   map[int][]slot // revision of a change → layers that it wrote
	effects []map[slot]string
	resets  map[int][]int // revision → environments in which anything may have changed
	history map[slot][]*versionModel
	tags    map[string]int
	nextEnv int
}

func newModel(founded time.Time) *model {
	m := &model{
		states: make([]state, 2), times: []time.Time{{}, founded}, effects: make([]map[slot]string, 2),
		edits: map[int][]slot{}, resets: map[int][]int{}, history: map[slot][]*versionModel{}, tags: map[string]int{},
	}
	first := state{map[int]envModel{}, map[slot]cell{}}
	for i, name := range config.FirstEnvironments {
		first.envs[i+1] = envModel{name, 1}
	}
	first.envs[1] = envModel{"base", 0}
	m.nextEnv = len(first.envs) + 1
	m.states[1] = first
	return m
}

func (m *model) newest() int   { return len(m.states) - 1 }
func (m *model) now() state    { return m.states[m.newest()] }
func (s state) clone() state   { return state{maps.Clone(s.envs), maps.Clone(s.layers)} }
func (s state) ids() []int     { return slices.Sorted(maps.Keys(s.envs)) }
func (s state) has(e int) bool { _, ok := s.envs[e]; return ok }

// named is the environment of a name, 0 when there is none.
func (s state) named(name string) int {
	for id, e := range s.envs {
		if e.name == name {
			return id
		}
	}
	return 0
}

// chain is an environment and its ancestors, nil when they do not end.
func (s state) chain(env int) []int {
	var chain []int
	for ; env != 0; env = s.envs[env].parent {
		if !s.has(env) || len(chain) == config.MaxTreeDepth {
			return nil
		}
		chain = append(chain, env)
	}
	return chain
}

func (s state) heirs(env int) []int {
	var heirs []int
	for _, id := range s.ids() {
		if slices.Contains(s.chain(id), env) {
			heirs = append(heirs, id)
		}
	}
	return heirs
}

// reader works out what an environment says in a state.
type reader struct {
	m    *model
	s    state
	env  int
	gone bool // it met a version that was destroyed
}

func (r *reader) merged(path string) map[string]any {
	var merged map[string]any
	chain := r.s.chain(r.env)
	slices.Reverse(chain)
	for _, env := range chain {
		at := slot{env, path}
		c := r.s.layers[at]
		if c.doc == nil {
			continue
		}
		if r.m.history[at][c.version-1].destroyed {
			r.gone = true
			continue
		}
		if merged == nil {
			merged = map[string]any{}
		}
		merged = overlay(merged, c.doc)
	}
	return merged
}

func overlay(lower, upper map[string]any) map[string]any {
	merged := maps.Clone(lower)
	for name, value := range upper {
		object, isObject := value.(map[string]any)
		below, overObject := merged[name].(map[string]any)
		switch {
		case value == nil:
			delete(merged, name)
		case isObject && overObject:
			merged[name] = overlay(below, object)
		case isObject:
			merged[name] = overlay(map[string]any{}, object)
		default:
			merged[name] = value
		}
	}
	return merged
}

var reference = regexp.MustCompile(`\$\{config:([a-z0-9]+)(?:#([/a-z]*))?\}`)

// resolve replaces references; ok is false when one leads nowhere, back to
// itself, or on too far.
func (r *reader) resolve(value any, stack []string) (resolved any, ok bool) {
	switch value := value.(type) {
	case string:
		return r.text(value, stack)
	case map[string]any:
		object := map[string]any{}
		for name, member := range value {
			if object[name], ok = r.resolve(member, stack); !ok {
				return nil, false
			}
		}
		return object, true
	}
	return value, true
}

func (r *reader) text(text string, stack []string) (any, bool) {
	found := reference.FindStringIndex(text)
	if found == nil {
		return text, true
	}
	value, ok := r.follow(text[found[0]:found[1]], stack)
	if !ok || found[1]-found[0] == len(text) {
		return value, ok
	}
	switch value := value.(type) { // the texts of these tests have one reference, at the end
	case string:
		return text[:found[0]] + value, true
	case float64:
		return text[:found[0]] + strconv.FormatFloat(value, 'g', -1, 64), true
	}
	return nil, false
}

func (r *reader) follow(text string, stack []string) (any, bool) {
	if slices.Contains(stack, text) || len(stack) == config.MaxReferenceDepth {
		return nil, false
	}
	stack = append(slices.Clone(stack), text)
	parts := reference.FindStringSubmatch(text)
	root := r.merged(parts[1])
	if root == nil {
		return nil, false
	}
	var value any = root
	for _, name := range strings.FieldsFunc(parts[2], func(c rune) bool { return c == '/' }) {
		if text, ok := value.(string); ok {
			if value, ok = r.text(text, stack); !ok {
				return nil, false
			}
		}
		object, _ := value.(map[string]any)
		var found bool
		if value, found = object[name]; !found {
			return nil, false
		}
	}
	return r.resolve(value, stack)
}

// outcomeOfRead is how an effective document stands.
type outcomeOfRead int

const (
	isAbsent outcomeOfRead = iota
	isThere
	isGone
	isBroken
)

func (m *model) effective(s state, env int, path string) (string, outcomeOfRead) {
	r := &reader{m: m, s: s, env: env}
	merged := r.merged(path)
	if merged == nil {
		if r.gone {
			return "", isGone
		}
		return "", isAbsent
	}
	resolved, ok := r.resolve(merged, nil)
	switch {
	case r.gone:
		return "", isGone
	case !ok:
		return "", isBroken
	}
	return encode(resolved), isThere
}

func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// standing are all effective documents of a state; ok is false when any is broken.
func (m *model) standing(s state) (all map[slot]string, ok bool) {
	all = map[slot]string{}
	for env := range s.envs {
		for _, path := range modelPaths {
			text, outcome := m.effective(s, env, path)
			switch outcome {
			case isThere:
				all[slot{env, path}] = text
			case isBroken:
				return nil, false
			}
		}
	}
	return all, true
}

// wanted is a write as it would leave the layers: nil where nothing is to be said.
type wanted map[slot]map[string]any

// change commits what is wanted, if anything of it is new and everything stands.
func (m *model) change(want wanted, at time.Time) service.Status {
	next, revision := m.now().clone(), m.newest()+1
	var touched []slot
	for where, doc := range want {
		was := next.layers[where]
		if (was.doc == nil) == (doc == nil) && encode(was.doc) == encode(doc) {
			continue
		}
		touched = append(touched, where)
		next.layers[where] = cell{doc, was.version + 1, revision}
	}
	if len(touched) == 0 {
		return service.Unchanged
	}
	for _, where := range touched {
		c := next.layers[where]
		m.history[where] = append(m.history[where], &versionModel{cell: c})
	}
	after, ok := m.standing(next)
	if !ok {
		for _, where := range touched {
			m.history[where] = m.history[where][:len(m.history[where])-1]
		}
		return refusedStatus
	}
	before, _ := m.standing(m.now())
	effects := map[slot]string{}
	for where := range next.envs {
		for _, path := range modelPaths {
			if at := (slot{where, path}); before[at] != after[at] {
				effects[at] = after[at]
			}
		}
	}
	m.commit(next, at, effects)
	m.edits[revision] = touched
	return service.Committed
}

// refusedStatus is what the model answers where the service answers an error.
const refusedStatus service.Status = "refused"

func (m *model) commit(next state, at time.Time, effects map[slot]string) {
	m.states, m.times, m.effects = append(m.states, next), append(m.times, at), append(m.effects, effects)
}

// marks commits something that changes no state but makes a revision.
func (m *model) mark(at time.Time) { m.commit(m.now(), at, nil) }

// move gives an environment a parent, making it if there is none of that name.
func (m *model) move(name, parent string, at time.Time) service.Status {
	next := m.now().clone()
	above := next.named(parent)
	id := next.named(name)
	switch {
	case parent != "" && above == 0:
		return refusedStatus
	case id != 0 && next.envs[id].parent == above:
		return service.Unchanged
	}
	reset := map[int]bool{}
	fresh := id == 0
	if fresh {
		id = m.nextEnv
	} else {
		for _, heir := range next.heirs(id) {
			reset[heir] = true
		}
	}
	next.envs[id] = envModel{name, above}
	for _, env := range next.ids() {
		if next.chain(env) == nil {
			return refusedStatus
		}
	}
	if _, ok := m.standing(next); !ok {
		return refusedStatus
	}
	if fresh {
		m.nextEnv++
	}
	for _, heir := range next.heirs(id) {
		reset[heir] = true
	}
	m.commit(next, at, nil)
	m.resets[m.newest()] = slices.Sorted(maps.Keys(reset))
	return service.Committed
}

func (m *model) remove(name string, at time.Time) service.Status {
	next := m.now().clone()
	id := next.named(name)
	if id == 0 || len(next.heirs(id)) > 1 {
		return refusedStatus
	}
	for where, c := range next.layers {
		if where.env == id && c.doc != nil {
			return refusedStatus
		}
	}
	delete(next.envs, id)
	m.commit(next, at, nil)
	m.resets[m.newest()] = []int{id}
	return service.Committed
}

// destroyed says whether what an environment says in a state can be read no more.
func (m *model) destroyed(s state, where slot) bool {
	c := s.layers[where]
	return c.doc != nil && m.history[where][c.version-1].destroyed
}
