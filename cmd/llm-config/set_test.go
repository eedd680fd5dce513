package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestSetKeepsWhatSomebodyElseWroteMeanwhile(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":600}`)
	s := newSession(t, w)
	others := 0
	w.onPut = func(string) {
		if others++; others <= 2 {
			w.set(limits, fmt.Sprintf(`{"rpm":600,"other":%d}`, others))
		}
	}
	s.run(t, exitDone, "set", limits.path, "burst=20")
	if got, want := w.layer(limits), `{"burst":20,"other":2,"rpm":600}`; got != want {
		t.Errorf("layer %s, want %s", got, want)
	}
}

func TestSetTriesAgainAfterAConflict(t *testing.T) {
	w := newWire(t)
	w.conflicts = 3
	s := newSession(t, w)
	s.run(t, exitDone, "set", limits.path, "burst=20")
	if got, want := s.out.String(), "revision 2: staging:gateway/limits is version 1\n  + /burst  20\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestSetGivesUpInTheEnd(t *testing.T) {
	for _, c := range []struct {
		args  []string
		tries int
		wrong string
	}{
		{nil, 20, "others wrote staging:gateway/limits each of the 20 times that it was tried, so nothing was written; try again"},
		{[]string{"--if-version", "1"}, 1, "the layer moved"},
	} {
		w := newWire(t)
		w.set(limits, `{"rpm":600}`)
		s := newSession(t, w)
		tries := 0
		w.onPut = func(string) {
			tries++
			w.set(limits, fmt.Sprintf(`{"rpm":%d}`, tries))
		}
		s.run(t, exitFailed, append([]string{"set", limits.path, "burst=20"}, c.args...)...)
		if tries != c.tries || !strings.Contains(s.err.String(), c.wrong) {
			t.Errorf("%q: %d tries, want %d; printed %q", c.args, tries, c.tries, s.err.String())
		}
	}
}

func TestAssignments(t *testing.T) {
	for _, c := range []struct {
		args  []string
		wrong string
	}{
		{[]string{`a.b=1`, `a.c=2`, `ab=3`, `a\.b=4`}, ""},
		{[]string{"a"}, `"a" is not KEY=VALUE`},
		{[]string{"=1"}, `"": a key has an empty name`},
		{[]string{"a=1", "a=2"}, "a and a set the same"},
		{[]string{"a.b=1", "a=2"}, "a.b and a set the same"},
		{[]string{"a=1", "a.b.c=2"}, "a and a.b.c set the same"},
		{[]string{"a=9007199254740993"}, "a: line 1"},
		{[]string{`/a.b/c=1`}, `/a.b/c is a JSON pointer, and a key is names joined by dots; write it like a\.b.c=1`},
		{[]string{`routes./v1/chat=1`, `a={}`, `b=[1]`, `c="x"`, `d=`, `e=${config:x#/y}`}, ""},
		{[]string{`a={b:1}`}, `a: {b:1} begins like JSON and is none; quote names`},
		{[]string{`a=[x]`}, `a: [x] begins like JSON`},
		{[]string{`a="x`}, `a: "x begins like JSON`},
		{[]string{"a=@no/such/file"}, "a: cannot open no/such/file"},
	} {
		_, err := parseAssignments(c.args)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.HasPrefix(asFailure(err).Error(), c.wrong) {
			t.Errorf("%q: %v, want %q", c.args, err, c.wrong)
		}
	}
}
