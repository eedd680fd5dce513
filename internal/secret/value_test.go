package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

const canary = "canary-7Qx9"

// shows says whether text holds the canary, in any of the ways that fmt writes
// a string or bytes.
func shows(text string) bool {
	lower := strings.ToLower(text)
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("% x", canary), fmt.Sprintf("%v", []byte(canary)), fmt.Sprintf("%#v", []byte(canary)), "Y2FuYXJ5LTdReD"} {
		if strings.Contains(lower, strings.ToLower(form)) || strings.Contains(text, form) {
			return true
		}
	}
	return false
}

type named struct {
	Name string
	V    Value
	P    *Value
	F    Field
	S    Fields
}

type closed struct {
	v Value
	p *Value
	f Field
	s Fields
}

// hidden are values in all that they are put into.
func hidden(t *testing.T) map[string]any {
	t.Helper()
	v := NewValue([]byte(canary))
	s := TextFields(map[string][]byte{"value": []byte(canary), "bytes": []byte(canary + "\xff")})
	f, _ := s.Get("value")
	t.Cleanup(func() { v.Wipe(); s.Wipe() })
	return map[string]any{
		"value": v, "pointer": &v, "field": f, "pointer to a field": &f, "fields": s, "pointer to fields": &s,
		"struct": named{"n", v, &v, f, s}, "pointer to a struct": &named{"n", v, &v, f, s},
		"unexported": closed{v, &v, f, s}, "pointer to unexported": &closed{v, &v, f, s},
		"map": map[string]Value{"k": v}, "map of fields": map[string]Fields{"k": s}, "slice": []Value{v, v}, "slice of any": []any{v, f, s, &v}, "array": [1]Field{f}, "nested": map[string][]named{"k": {{"n", v, &v, f, s}}},
	}
}

func TestValuesHideFromFmt(t *testing.T) {
	for name, v := range hidden(t) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%t", "%e", "%U", "%p", "%T", "%w", "%10.3s", "%-20v", "%!", "% x", "%z"} {
			if text := fmt.Sprintf(verb, v); shows(text) {
				t.Errorf("%s with %s: %s", name, verb, text)
			}
		}
		if text := fmt.Sprint(v) + fmt.Sprintln(v); shows(text) {
			t.Errorf("%s: %s", name, text)
		}
		if text := fmt.Errorf("opening %v: %w", v, errors.New("no")).Error(); shows(text) {
			t.Errorf("%s in an error: %s", name, text)
		}
	}
	if got := fmt.Sprintf("%s %v %q %x", NewValue(nil), Value{}, Field{}, Fields{}); got != strings.Repeat(" "+Hidden, 4)[1:] {
		t.Errorf("got %q", got)
	}
}

func TestValuesHideFromEncoders(t *testing.T) {
	for name, v := range hidden(t) {
		if text, err := json.Marshal(v); err != nil || shows(string(text)) {
			t.Errorf("%s as JSON: %s, %v", name, text, err)
		}
		if text, err := yaml.Marshal(v); err != nil || shows(string(text)) {
			t.Errorf("%s as YAML: %s, %v", name, text, err)
		}
		if text, err := xml.Marshal(v); shows(string(text)) {
			t.Errorf("%s as XML: %s, %v", name, text, err)
		}
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(v); shows(b.String()) {
			t.Errorf("%s as gob: %q, %v", name, b.String(), err)
		}
	}
	if text, err := json.Marshal(map[string]any{"a": NewValue([]byte(canary)), "b": Field{}, "c": Fields{}}); err != nil || string(text) != `{"a":"[secret]","b":"[secret]","c":"[secret]"}` {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestValuesHideFromLogs(t *testing.T) {
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		for name, v := range hidden(t) {
			slog.New(h).With("with", v).Info(name, "v", v, slog.Group("g", "v", v), "error", fmt.Errorf("%v", v))
		}
	}
	if shows(b.String()) || !strings.Contains(b.String(), Hidden) {
		t.Errorf("the log shows it:\n%s", b.String())
	}
}

// A dumper that walks all that reflection reaches, unexported fields and
// pointers included, finds no bytes.
func TestValuesHideFromReflection(t *testing.T) {
	for name, v := range hidden(t) {
		var found []byte
		walk(reflect.ValueOf(v), map[uintptr]bool{}, &found)
		if shows(string(found)) {
			t.Errorf("%s: reflection finds it", name)
		}
	}
}

func walk(v reflect.Value, seen map[uintptr]bool, found *[]byte) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.Pointer()] {
			seen[v.Pointer()] = true
			walk(v.Elem(), seen, found)
		}
	case reflect.Interface:
		walk(v.Elem(), seen, found)
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), seen, found)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(v.Index(i), seen, found)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			walk(key, seen, found)
			walk(v.MapIndex(key), seen, found)
		}
	case reflect.Uint8:
		*found = append(*found, byte(v.Uint()))
	case reflect.String:
		*found = append(*found, v.String()...)
	}
}

func TestValue(t *testing.T) {
	given := []byte(canary)
	v := NewValue(given)
	if !bytes.Equal(given, make([]byte, len(canary))) {
		t.Error("the bytes that were handed over are still there")
	}
	shared := v
	revealed := v.Reveal()
	if string(revealed) != canary || v.Len() != len(canary) || !v.Equal(shared) || !shared.Equal(v) {
		t.Errorf("got %q", revealed)
	}
	shared.Wipe()
	if v.Reveal() != nil || v.Len() != 0 || shared.Reveal() != nil {
		t.Error("a copy is still there after the wipe")
	}
	if !bytes.Equal(revealed, make([]byte, len(canary))) {
		t.Error("the bytes were not overwritten")
	}
	v.Wipe()
	Value{}.Wipe()
	if v.Equal(shared) || v.Equal(Value{}) || (Value{}).Equal(v) {
		t.Error("a wiped value equals something")
	}
}

func TestEqual(t *testing.T) {
	a, b, c, empty := NewValue([]byte("a")), NewValue([]byte("a")), NewValue([]byte("b")), NewValue(nil)
	for name, ok := range map[string]bool{
		"the same bytes": a.Equal(b) && b.Equal(a), "others": !a.Equal(c) && !c.Equal(a), "empty": empty.Equal(Value{}) && (Value{}).Equal(empty) && empty.Equal(NewValue(nil)) && (Value{}).Equal(Value{}),
		"empty and not": !a.Equal(empty) && !a.Equal(Value{}) && !(Value{}).Equal(a), "longer": !a.Equal(NewValue([]byte("aa"))),
	} {
		if !ok {
			t.Error(name)
		}
	}
}

// What nobody holds any more is wiped.
func TestForgottenValuesAreWiped(t *testing.T) {
	before := respite
	respite = 0
	defer func() { respite = before }()
	for name, size := range map[string]int{"in the arena": 100, "in ordinary memory": chunkBytes + 1} {
		data := func() []byte { return NewValue(bytes.Repeat([]byte{7}, size)).Reveal() }()
		wiped := func() bool {
			memory.mu.Lock()
			defer memory.mu.Unlock()
			return data[0] == 0 && data[size-1] == 0
		}
		for deadline := time.Now().Add(10 * time.Second); !wiped(); runtime.GC() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: it is still there", name)
			}
		}
	}
}

func TestValuesFromManyGoroutines(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			want := strings.Repeat(string(rune('a'+i)), 100*(i+1))
			for range 500 {
				v := NewValue([]byte(want))
				copies := v
				var both sync.WaitGroup
				if string(v.Reveal()) != want {
					t.Error("another value's bytes")
				}
				both.Go(copies.Wipe)
				both.Go(func() { copies.Equal(v); v.Len(); v.Wipe() })
				both.Wait()
			}
		})
	}
	all.Wait()
}

func TestEraseRuns(t *testing.T) {
	ran := false
	Erase(func() { ran = true })
	if !ran {
		t.Error("it did not run")
	}
}

// The other half of Erase is built by toolchains that know the experiment.
func TestBuildsWithRuntimeSecret(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the package anew")
	}
	run := func(args ...string) ([]byte, error) {
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Env = append(os.Environ(), "GOEXPERIMENT=runtimesecret")
		return command.CombinedOutput()
	}
	if out, err := run("list", "runtime/secret"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the toolchain of CI does not know runtimesecret: %s", out)
		}
		t.Skipf("this toolchain does not know runtimesecret: %s", out)
	}
	if out, err := run("vet", "."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestArena(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chunks := 0
		a := arena{pages: func(size int) []byte {
			if chunks++; chunks > 2 {
				return nil
			}
			return make([]byte, size)
		}}
		type piece struct {
			data  []byte
			place place
			mark  byte
		}
		var held []piece
		mark := byte(0)
		check := func(p piece) {
			for _, c := range p.data {
				if c != p.mark {
					t.Fatal("two pieces overlap")
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				size := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{64, 65, 4096, chunkBytes/2 + 1, chunkBytes, chunkBytes + 1})).Draw(t, "size")
				data, where := a.take(size)
				if len(data) != size || size > 0 && !bytes.Equal(data, make([]byte, size)) {
					t.Fatal("a piece is not of zeros")
				}
				mark++
				for i := range data {
					data[i] = mark
				}
				held = append(held, piece{data, where, mark})
			},
			"give": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("there is nothing to give back")
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "piece")
				check(held[i])
				a.give(held[i].data, held[i].place)
				held = append(held[:i], held[i+1:]...)
			},
			"": func(*rapid.T) {
				for _, p := range held {
					check(p)
				}
			},
		})
		for _, p := range held {
			a.give(p.data, p.place)
		}
		for _, c := range a.chunks {
			if c.free[1] != rootOrder+1 {
				t.Fatal("the pieces did not become one again")
			}
		}
	})
}

func TestArenaIsBounded(t *testing.T) {
	given := 0
	a := arena{pages: func(size int) []byte { given += size; return make([]byte, size) }}
	inside := 0
	for range 3 * maxChunks {
		if _, where := a.take(chunkBytes); where.chunk > 0 {
			inside++
		}
	}
	if inside != maxChunks || given != 8<<20 {
		t.Errorf("%d pieces of %d bytes", inside, given)
	}
}
