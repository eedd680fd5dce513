package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// editor makes a script that acts as an editor: at its nth call it does the
// nth step, shell text in which $1 is the file, and keeps what it was shown.
func editor(t *testing.T, s *session, steps ...string) (shown func(n int) string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	script := "#!/bin/sh\nn=$(ls " + dir + "/shown.* 2>/dev/null | wc -l | tr -d ' ')\ncp \"$1\" " + dir + "/shown.$n\ncase $n in\n"
	for i, step := range steps {
		script += string(rune('0'+i)) + ") " + step + " ;;\n"
	}
	script += "*) echo called too often >&2; exit 1 ;;\nesac\n"
	name := filepath.Join(dir, "an editor") // a space in its name is no trouble
	if err := os.WriteFile(name, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s.env["VISUAL"] = `"` + name + `"`
	t.Cleanup(func() {
		if calls, _ := filepath.Glob(dir + "/shown.*"); len(calls) != len(steps) && !t.Failed() {
			t.Errorf("the editor was opened %d times, want %d", len(calls), len(steps))
		}
	})
	return func(n int) string {
		text, err := os.ReadFile(filepath.Join(dir, "shown."+string(rune('0'+n))))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

// keptFile is the person's text in the file that an error names; "" for none.
func keptFile(t *testing.T, s *session) string {
	t.Helper()
	_, name, found := strings.Cut(s.err.String(), "your text is in ")
	if !found {
		if left, _ := filepath.Glob(os.Getenv("TMPDIR") + "/llm-config-*"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		return ""
	}
	text, err := os.ReadFile(strings.TrimSpace(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// typed is a file, as a terminal is, so that the editor does not drain it.
func typed(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if _, err := w.WriteString(text); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	return r
}

var limits = layerKey{"staging", "gateway/limits"}

func TestEditWritesWhatWasSaved(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":600}`)
	s := newSession(t, w)
	shown := editor(t, s, `sed -i 's/600/700/' "$1"`)
	var message string
	w.onPut = func(m string) { message = m }
	s.run(t, exitDone, "edit", limits.path, "-m", "more")
	if got := w.layer(limits); got != `{"rpm":700}` || message != "more" {
		t.Errorf("layer %s, message %q", got, message)
	}
	if !strings.HasPrefix(shown(0), "# staging:gateway/limits, version 1") || !strings.HasSuffix(shown(0), "\nrpm: 600\n") {
		t.Errorf("the editor showed %q", shown(0))
	}
	if got, want := s.out.String(), "revision 3: staging:gateway/limits is version 2\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	keptFile(t, s)
}

func TestEditLeavesAloneWhatWasNotTouched(t *testing.T) {
	for name, step := range map[string]string{"as it was": ":", "empty": `: > "$1"`, "only the comment": `grep '^#' "$1" > "$1.x"; mv "$1.x" "$1"`} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			w.set(limits, `{"rpm":600}`)
			s := newSession(t, w)
			editor(t, s, step)
			w.onPut = func(string) { t.Error("something was written") }
			s.run(t, exitDone, "edit", limits.path)
			if !strings.HasPrefix(s.out.String(), "unchanged") {
				t.Errorf("printed %q", s.out.String())
			}
			keptFile(t, s)
		})
	}
}

func TestEditCreatesALayer(t *testing.T) {
	for _, format := range []struct{ flag, text string }{{"yaml", "a: 1"}, {"json", `{"a": 1}`}, {"toml", "a = 1"}} {
		t.Run(format.flag, func(t *testing.T) {
			w := newWire(t)
			s := newSession(t, w)
			editor(t, s, `echo '`+format.text+`' > "$1"`)
			s.run(t, exitDone, "edit", limits.path, "-o", format.flag)
			if got := w.layer(limits); got != `{"a":1}` {
				t.Errorf("layer %s", got)
			}
		})
	}
}

func TestEditOpensAgainWithTheReason(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"a":"x"}`)
	s := newSession(t, w)
	shown := editor(t, s,
		`echo 'a: [unclosed' > "$1"`,
		`echo 'a: refuse me' > "$1"`,
		`echo 'a: fine' > "$1"`)
	s.run(t, exitDone, "edit", limits.path)
	if !strings.HasPrefix(shown(1), "# REFUSED: line ") || !strings.HasSuffix(shown(1), "\na: [unclosed\n") {
		t.Errorf("after text that is no YAML the editor showed %q", shown(1))
	}
	if !strings.HasPrefix(shown(2), "# REFUSED: that refers to nothing (at /a); create it first\n") || !strings.HasSuffix(shown(2), "\na: refuse me\n") {
		t.Errorf("after the server's refusal the editor showed %q", shown(2))
	}
	if got := w.layer(limits); got != `{"a":"fine"}` {
		t.Errorf("layer %s", got)
	}
	keptFile(t, s)
}

func TestEditKeepsTextThatWasRefused(t *testing.T) {
	for name, steps := range map[string][]string{
		"saved again as it was": {`echo 'a: refuse me' > "$1"`, ":"},
		"emptied after that":    {`echo 'a: refuse me' > "$1"`, `: > "$1"`},
		"not allowed":           {`echo 'a: refuse me, forbidden' > "$1"`, `echo 'a: forbidden' > "$1"`},
		"the editor failed":     {`echo 'a: forbidden' > "$1"; exit 3`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			w.set(limits, `{"a":"x"}`)
			s := newSession(t, w)
			editor(t, s, steps...)
			s.run(t, exitFailed, "edit", limits.path)
			if text := keptFile(t, s); !strings.Contains(text, "a: refuse me") && !strings.Contains(text, "a: forbidden") {
				t.Errorf("kept %q", text)
			}
			if got := w.layer(limits); got != `{"a":"x"}` {
				t.Errorf("layer %s", got)
			}
		})
	}
}

func TestEditKeepsTextWhenTheLayerMoved(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"a":"x"}`)
	s := newSession(t, w)
	editor(t, s, `echo 'a: mine' > "$1"`)
	w.onPut = func(string) { w.set(limits, `{"a":"theirs"}`) }
	s.run(t, exitFailed, "edit", limits.path)
	if text := keptFile(t, s); !strings.Contains(text, "a: mine") {
		t.Errorf("kept %q", text)
	}
	if got := w.layer(limits); got != `{"a":"theirs"}` {
		t.Errorf("layer %s", got)
	}
	if !strings.Contains(s.err.String(), "went from version 1 to 2 while you were editing") {
		t.Errorf("printed %q", s.err.String())
	}
}

func TestEditOpensAgainOnTheNewVersion(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"a":"x"}`)
	s := newSession(t, w)
	s.interactive, s.stdin = true, typed(t, "y\n")
	shown := editor(t, s, `echo 'a: mine' > "$1"`, `echo 'b: theirs' >> "$1"`)
	once := true
	w.onPut = func(string) {
		if once {
			once = false
			w.set(limits, `{"a":"x","b":"theirs"}`)
		}
	}
	s.run(t, exitDone, "edit", limits.path)
	if !strings.Contains(shown(1), "#   /b: nothing → \"theirs\"\n") || !strings.HasSuffix(shown(1), "\na: mine\n") {
		t.Errorf("the editor showed %q", shown(1))
	}
	if got := w.layer(limits); got != `{"a":"mine","b":"theirs"}` {
		t.Errorf("layer %s", got)
	}
	keptFile(t, s)
}

func TestEditWritesTheSameTextOnTopOfTheNewVersion(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"a":"x"}`)
	s := newSession(t, w)
	s.interactive, s.stdin = true, typed(t, "y\n")
	editor(t, s, `echo 'a: mine' > "$1"`, ":")
	once := true
	w.onPut = func(string) {
		if once {
			once = false
			w.set(limits, `{"a":"theirs"}`)
		}
	}
	s.run(t, exitDone, "edit", limits.path)
	if got := w.layer(limits); got != `{"a":"mine"}` {
		t.Errorf("layer %s", got)
	}
	keptFile(t, s)
}
