package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestUntouchedExportsHold(t *testing.T) {
	c := numbered(30)
	disposed := newChain(c.records[:20]...)
	disposed.add(disposed.disposal(1, 7))
	disposed.add(disposed.disposal(8, 10))
	attested := text(slices.Concat([]string{disposed.header(0), disposed.disposed(1, 7), disposed.checkpoint(7), disposed.disposed(8, 10)},
		disposed.lines(10, 22, 22)[1:])...)
	for name, export := range map[string]string{
		"all":                      c.whole(),
		"checkpoints":              c.whole(3, 17, 30),
		"a part":                   text(c.lines(10, 20, 15)...),
		"checkpoint at from":       text(c.lines(10, 20, 10)...),
		"checkpoint before from":   text(c.header(10), c.checkpoint(4), c.line(11), c.end(11)),
		"checkpoint behind its":    text(c.header(0), c.line(1), c.line(2), c.line(3), c.checkpoint(1), c.end(3)),
		"nothing behind a record":  text(c.lines(10, 10)...),
		"empty chain":              text(newChain().lines(0, 0)...),
		"checkpoint of both keys":  text(c.header(29), c.line(30), checkpointText(c.note(30, firstKey, secondKey)), c.end(30)),
		"checkpoint of new key":    text(c.header(29), c.line(30), checkpointText(c.note(30, secondKey)), c.end(30)),
		"signature of a stranger":  text(c.header(29), c.line(30), checkpointText(c.note(30, foreign, firstKey)), c.end(30)),
		"two checkpoints of one":   text(c.header(29), c.line(30), c.checkpoint(30), c.checkpoint(30), c.end(30)),
		"disposed of and attested": attested,
		"escapes in records":       newChain(`{"details":{"},\"sequence\":1}":"\\"},"event":"[{"}`, `{}`).whole(2),
	} {
		t.Run(name, func(t *testing.T) {
			verifyText(export, "-key", firstKey.vkey, "-key", secondKey.vkey).holds(t)
			verifyText(export).holds(t)
		})
	}
}

func TestBreaksAreNamed(t *testing.T) {
	c := numbered(30)
	other := c.fork(9)
	foreignChain := numbered(30)
	foreignChain.origin = testName + "/tenants/00112233445566778899aabbccddeeff"
	lines := func(edit func(l []string) []string) string { return text(edit(c.lines(0, 30, 20))...) }
	for name, test := range map[string]struct {
		export string
		record int
		reason string
	}{
		// c.lines has record n at line n up to 20, and at n+1 behind the checkpoint
		"edited":            {lines(func(l []string) []string { l[5] = strings.Replace(l[5], "token-5", "token-6", 1); return l }), 5, "altered"},
		"hash edited":       {lines(func(l []string) []string { l[5] = c.line(6)[:73] + c.line(5)[73:]; return l }), 5, "altered"},
		"removed":           {lines(func(l []string) []string { return slices.Delete(l, 5, 6) }), 5, "missing"},
		"last removed":      {lines(func(l []string) []string { return slices.Delete(l, 31, 32) }), 30, "ends at record 30"},
		"repeated":          {lines(func(l []string) []string { return slices.Insert(l, 6, l[5]) }), 5, "repeated"},
		"swapped":           {lines(func(l []string) []string { l[5], l[6] = l[6], l[5]; return l }), 5, "missing"},
		"moved to the back": {lines(func(l []string) []string { return slices.Insert(slices.Delete(l, 5, 6), 15, l[5]) }), 5, "missing"},
		"inserted": {lines(func(l []string) []string {
			return slices.Insert(l, 6, recordText(hexOf(hashOf(c.hash(5), 6, "{}")), "{}", 6))
		}), 6, "repeated"},
		"inserted and numbered anew": {lines(func(l []string) []string {
			return slices.Insert(l, 6, recordText(hexOf(c.hash(4)), "{}", 6))
		}), 6, "altered, inserted"},
		"cut off at a line":         {text(c.lines(0, 30)[:11]...), 11, "cut off"},
		"cut off within a line":     {c.whole()[:len(c.whole())-10], 31, "cut off"},
		"cut off behind a header":   {text(c.header(7)), 8, "cut off"},
		"end of another record":     {text(append(c.lines(0, 29)[:30], c.end(30))...), 30, "missing"},
		"end before the last":       {text(append(c.lines(0, 30)[:31], c.end(28))...), 29, "ends before"},
		"end with another hash":     {text(append(c.lines(0, 30)[:31], other.end(30))...), 30, "another hash"},
		"begins with another hash":  {strings.Replace(c.whole(), strings.Repeat("0", 64), strings.Repeat("1", 64), 1), 1, "does not begin with zeros"},
		"part on another hash":      {text(append([]string{other.header(10)}, c.lines(10, 20)[1:]...)...), 11, "altered"},
		"not one object":            {newChain("{}", `{"a":1},"record":{}`).whole(), 2, "not one JSON object"},
		"no object":                 {newChain("{}", "[]").whole(), 2, "not one JSON object"},
		"not UTF-8":                 {newChain("{\"a\":\"\xff\"}").whole(), 1, "not one JSON object"},
		"signed, with a comma":      {text(c.header(0), c.line(1), checkpointText(sign(strings.Replace(c.text(1), ".123456789Z", ",123456789Z", 1), firstKey)), c.end(1)), 1, "no time"},
		"signed, time unnamed":      {text(c.header(0), c.line(1), checkpointText(sign(strings.Replace(c.text(1), "time ", "", 1), firstKey)), c.end(1)), 1, "no time"},
		"unclosed object":           {newChain(`{"a":"}`).whole(), 1, "not one JSON object"},
		"written anew":              {text(append(other.lines(0, 20)[:21], c.checkpoint(20), other.end(20))...), 20, "written anew"},
		"written anew, late":        {text(append(other.lines(0, 30)[:31], c.checkpoint(20), other.end(30))...), 20, "written anew"},
		"checkpoint moved ahead":    {text(append([]string{other.header(0), c.checkpoint(20)}, other.lines(0, 30)[1:]...)...), 1, "stands before its record"},
		"from differs":              {text(append([]string{other.header(10), c.checkpoint(10)}, other.lines(10, 20)[1:]...)...), 10, "written anew"},
		"truncated":                 {text(append(c.lines(0, 20)[:21], c.checkpoint(25), c.end(20))...), 21, "checkpoint of record 25"},
		"forked checkpoints":        {text(c.header(20), c.checkpoint(10), checkpointText(other.note(10)), c.end(20)), 10, "forked"},
		"checkpoint of a stranger":  {text(c.header(0), c.line(1), checkpointText(c.note(1, foreign)), c.end(1)), 1, "none of the keys"},
		"checkpoint altered":        {text(c.header(0), c.line(1), strings.Replace(c.checkpoint(1), ".123", ".124", 1), c.end(1)), 1, "altered, or forged"},
		"one of two altered":        {text(c.header(0), c.line(1), checkpointText(c.note(1, secondKey)+strings.SplitAfter(c.note(2), "\n\n")[1]), c.end(1)), 1, "altered, or forged"},
		"checkpoint of other chain": {text(c.header(0), c.line(1), foreignChain.checkpoint(1), c.end(1)), 1, "another chain"},
		"no checkpoint":             {text(c.header(0), c.line(1), checkpointText("hello"), c.end(1)), 1, "not a signed note"},
		"no signatures":             {text(c.header(0), c.line(1), checkpointText(c.text(1)+"\n"), c.end(1)), 1, "not a signed note"},
		"signed, of something else": {text(c.header(0), c.line(1), checkpointText(sign("hello\n", firstKey)), c.end(1)), 1, "not the checkpoint"},
		"signed, with no sequence":  {text(c.header(0), c.line(1), checkpointText(sign(strings.Replace(c.text(1), "\n1\n", "\n01\n", 1), firstKey)), c.end(1)), 1, "no sequence"},
		"signed, with no hash":      {text(c.header(0), c.line(1), checkpointText(sign(strings.Replace(c.text(1), "=\n", "\n", 1), firstKey)), c.end(1)), 1, "no hash"},
		"signed, with no time":      {text(c.header(0), c.line(1), checkpointText(sign(strings.Replace(c.text(1), ".123456789Z", "Z", 1), firstKey)), c.end(1)), 1, "no time"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyText(test.export, "-key", firstKey.vkey, "-key", secondKey.vkey).breaks(t, test.record, test.reason)
		})
	}
}

func TestDisposalsMustBeAttested(t *testing.T) {
	c := numbered(20)
	c.add(c.disposal(1, 7))
	c.add(strings.Replace(c.disposal(1, 8), "audit.dispose", "audit.export", 1))
	c.add(strings.Replace(c.disposal(1, 8), `"last":"8"`, `"last":"9"`, 1))
	c.add(strings.Replace(c.disposal(1, 8), strings.Repeat("0", 64), c.hex(1), 1))
	other := c.fork(3)
	other.origin = testName + "/tenants/00112233445566778899aabbccddeeff"
	for _, note := range []string{
		"", "hello", c.note(8), sign(c.disposalText(1, 7), firstKey), sign(c.disposalText(1, 8), foreign), sign(other.disposalText(1, 8), firstKey),
		sign(strings.Replace(other.disposalText(1, 8), other.origin, c.origin, 1), firstKey), sign(c.disposalText(1, 8)+"more\n", firstKey),
		sign(strings.Replace(c.disposalText(1, 8), ".123456789Z", "Z", 1), firstKey), strings.Replace(sign(c.disposalText(1, 8), firstKey), ".1", ".2", 1),
	} {
		c.add(c.disposalBy(1, 8, note))
	}
	for _, edit := range [][2]string{
		{`"schema":1`, `"schema":2`}, {`"schema":1,`, ``}, {`"event":`, `"event": `}, {`{"actor"`, `{"actor":"x","actor"`}, {`"time":"2026-`, `"time":"2026`},
		{`,"time"`, `,"revision":7,"time"`}, {`"actor":"s`, `"actor":"\u0073`}, {`"actor"`, `"ACTOR"`}, {`"actor":"system"`, `"actor":"é"`}, {`"outcome":"success"`, `"outcome":""`},
	} {
		c.add(strings.Replace(c.disposal(1, 8), edit[0], edit[1], 1))
	}
	behind := func(n int, head ...string) string {
		return text(append(append([]string{c.header(0)}, head...), c.lines(n, len(c.records))[1:]...)...)
	}
	verifyText(behind(7, c.disposed(1, 7)), "-key", firstKey.vkey).holds(t)
	for name, test := range map[string]struct {
		export string
		record int
		reason string
	}{
		"not attested":          {behind(8, c.disposed(1, 8)), 1, "no later record attests it"},
		"second not attested":   {behind(9, c.disposed(1, 7), c.disposed(8, 9)), 8, "no later record attests it"},
		"with a gap":            {behind(9, c.disposed(1, 7), c.disposed(9, 9)), 8, "records 9 to 9"},
		"not from the first":    {behind(7, c.disposed(2, 7)), 1, "records 2 to 7"},
		"of another chain":      {behind(7, strings.Replace(c.disposed(1, 7), strings.Repeat("0", 64), c.hex(3), 1)), 1, "those of another chain"},
		"with another hash":     {behind(7, strings.Replace(c.disposed(1, 7), c.hex(7), c.hex(8), 1)), 8, "altered"},
		"in the middle":         {text(c.header(0), c.line(1), c.disposed(2, 7), c.end(7)), 2, "beginning of a chain only"},
		"in a part":             {text(c.header(5), c.disposed(6, 7), c.end(7)), 6, "beginning of a chain only"},
		"ends before it begins": {behind(0, `{"disposed":{"first":1,"from":"`+c.hex(0)+`","hash":"`+c.hex(0)+`","last":0}}`), 1, "what was disposed of are records 1 to 0"},
		"checkpoint differs":    {behind(7, c.disposed(1, 7), checkpointText(c.fork(3).note(7))), 7, "written anew"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyText(test.export, "-key", firstKey.vkey).breaks(t, test.record, test.reason)
		})
	}
	t.Run("a checkpoint within is not checked", func(t *testing.T) {
		o := verifyText(behind(7, c.disposed(1, 7), c.checkpoint(4)), "-key", firstKey.vkey)
		o.holds(t)
		if !strings.Contains(o.stdout, "signed: nothing") || !strings.Contains(o.stdout, "not checked") {
			t.Errorf("it counts a checkpoint whose record is gone:\n%s", o.stdout)
		}
	})
}

// Every single tampering of every record of a chain of 300 is found, and at the
// record where it was done.
func TestEveryTamperingIsFound(t *testing.T) {
	const n = 300
	c := numbered(n)
	all := c.lines(0, n, n)
	args := []string{"-key", firstKey.vkey}
	verifyText(text(all...), args...).holds(t)
	edited := func(edit func(l []string) []string) string { return text(edit(slices.Clone(all))...) }
	for i := 1; i <= n; i++ {
		verifyText(edited(func(l []string) []string { l[i] = strings.Replace(l[i], "success", "denied", 1); return l }), args...).breaks(t, i, "altered")
		verifyText(edited(func(l []string) []string { return slices.Delete(l, i, i+1) }), args...).breaks(t, i, "missing")
		verifyText(edited(func(l []string) []string { return slices.Insert(l, i, l[i]) }), args...).breaks(t, i, "repeated")
		if i < n {
			verifyText(edited(func(l []string) []string { l[i], l[i+1] = l[i+1], l[i]; return l }), args...).breaks(t, i, "missing")
		}
		// What was cut off or written anew with right hashes is found by what was signed.
		verifyText(text(append(c.lines(0, i-1)[:i], c.checkpoint(n), c.end(i-1))...), args...).breaks(t, i, "missing")
		forked := c.fork(i - 1)
		verifyText(text(append(forked.lines(0, n)[:n+1], c.checkpoint(n), forked.end(n))...), args...).breaks(t, n, "written anew")
	}
}

func TestCheckpointsOfElsewhere(t *testing.T) {
	c := numbered(30)
	other := c.fork(9)
	part := text(c.lines(10, 20)...)
	run := func(export string, notes ...string) outcome {
		args := []string{"-key", firstKey.vkey}
		for _, note := range notes {
			args = append(args, "-checkpoint", write(t, note))
		}
		return verifyText(export, args...)
	}
	run(part, c.note(10), c.note(15), c.note(20)).holds(t)
	run(part, c.note(3)).holds(t)
	run(part, c.note(25)).breaks(t, 21, "had record 25")
	run(part, other.note(15)).breaks(t, 15, "written anew")
	run(part, other.note(5)).holds(t) // before the fork
	run(part, c.note(25), other.note(25)).breaks(t, 25, "forked")
	run(c.whole(25), other.note(25)).breaks(t, 25, "written anew")
	run(part, c.note(15, foreign)).breaks(t, 10, "none of the keys")
	run(part, strings.Replace(c.note(15), "\n15\n", "\n14\n", 1)).breaks(t, 10, "altered, or forged")
	run(part, "hello").refuses(t, "not a signed note")
	run(part, "").refuses(t, "not a signed note")
	run(part, strings.Repeat("x", maxNote+1)).refuses(t, "longer than 8192 bytes")
}

// A checkpoint may stand far behind its record, as long as its hash is known.
func TestCheckpointsFarBehind(t *testing.T) {
	c := numbered(recentHashes + 10)
	n := len(c.records)
	at := func(record int) (outcome, string) {
		o := verifyText(text(append(c.lines(0, n)[:n+1], c.checkpoint(record), c.end(n))...), "-key", firstKey.vkey)
		return o, o.stdout
	}
	o, out := at(11)
	o.holds(t)
	if !strings.Contains(out, "signed: up to record 11 ") {
		t.Errorf("the checkpoint was not counted:\n%s", out)
	}
	o, out = at(10)
	o.holds(t)
	if !strings.Contains(out, "signed: nothing") {
		t.Errorf("the checkpoint was counted:\n%s", out)
	}
}

func TestExportsAreCompared(t *testing.T) {
	c := numbered(30)
	other := c.fork(14)
	tenant := numbered(3)
	tenant.origin = testName + "/tenants/00112233445566778899aabbccddeeff"
	disposed := newChain(c.records[:20]...)
	disposed.add(disposed.disposal(1, 7))
	gone := text(append([]string{disposed.header(0), disposed.disposed(1, 7)}, disposed.lines(7, 21)[1:]...)...)
	compare := func(args []string, exports ...string) outcome {
		args = append([]string{"-key", firstKey.vkey}, args...)
		for _, e := range exports {
			args = append(args, write(t, e))
		}
		var stdout, stderr strings.Builder
		code := run(args, strings.NewReader(""), &stdout, &stderr)
		return outcome{code, stdout.String(), stderr.String()}
	}
	compare(nil, c.whole(), c.whole(20), text(c.lines(10, 20)...)).holds(t)
	compare(nil, text(c.lines(0, 12)...), text(c.lines(12, 30)...)).holds(t)
	apart := "which none of the others has: exports that are given together must overlap"
	compare(nil, text(c.lines(0, 10)...), text(c.lines(20, 30)...)).refuses(t, "ends at record 10, "+apart)
	compare(nil, text(c.lines(0, 10)...), text(c.lines(10, 20)...), text(c.lines(20, 30, 30)...)).holds(t)
	// What is signed in one export says nothing of one that has no record in common
	// with it, be it that it goes over the other's with a line of what was disposed of.
	compare(nil, text(other.lines(0, 18)...), text(c.lines(20, 30, 30)...)).refuses(t, "ends at record 18, "+apart)
	compare(nil, text(other.lines(0, 5)...), gone).refuses(t, "ends at record 5, "+apart)
	compare(nil, gone, text(disposed.lines(0, 21)...)).holds(t)
	compare(nil, c.whole(), text(other.lines(0, 14)...)).holds(t) // not forked yet
	compare(nil, c.whole(), text(other.lines(0, 15)...)).breaks(t, 15, "forked")
	compare(nil, text(other.lines(20, 30)...), c.whole()).breaks(t, 20, "forked")
	compare(nil, text(c.lines(0, 14)...), text(other.lines(20, 30)...)).refuses(t, "ends at record 14, "+apart)
	compare(nil, text(c.lines(0, 15)...), text(other.lines(15, 30)...)).breaks(t, 15, "forked")
	compare(nil, gone, text(newChain(c.records[0], "{}", "{}", "{}", "{}", "{}", "{}", "{}").lines(0, 8)...)).breaks(t, 7, "forked")
	compare([]string{"-checkpoint", write(t, c.note(25))}, text(c.lines(0, 20)...), c.whole()).holds(t)
	compare([]string{"-checkpoint", write(t, c.note(25))}, text(c.lines(0, 20)...), text(c.lines(0, 24)...)).breaks(t, 25, "missing")
	compare(nil, text(c.lines(0, 20, 10)...), text(append(other.lines(10, 12)[:3], other.checkpoint(12), other.end(12))...)).holds(t)
	compare(nil, c.whole(), text(tenant.lines(0, 3)...)).refuses(t, "check them one by one")
}

func hexOf(h [32]byte) string { return fmt.Sprintf("%x", h) }
