package canon

import (
	"math"
	"slices"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// The vectors of RFC 8785, appendix B.
func TestNumberVectors(t *testing.T) {
	for bits, want := range map[uint64]string{
		0x0000000000000000: "0",
		0x8000000000000000: "0",
		0x0000000000000001: "5e-324",
		0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308",
		0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992",
		0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22",
		0x44b52d02c7e14af6: "1e+23",
		0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000",
		0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7",
		0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555554: "333333333.33333325",
		0x41b3de4355555555: "333333333.3333333",
		0x41b3de4355555556: "333333333.3333334",
		0x41b3de4355555557: "333333333.33333343",
		0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		if got := string(AppendNumber(nil, math.Float64frombits(bits))); got != want {
			t.Errorf("%016x: got %s, want %s", bits, got, want)
		}
	}
}

func TestAppendPanicsOnWhatIsNotJSON(t *testing.T) {
	for _, v := range []any{1, math.NaN(), math.Inf(1), math.Inf(-1), []string{"a"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v: no panic", v)
				}
			}()
			Append(nil, []any{v})
		}()
	}
}

// The samples of RFC 8785, section 3.2.
func TestAppendVectors(t *testing.T) {
	for text, want := range map[string]string{
		`{
			"numbers": [333333333.3333333, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
			"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
			"literals": [null, true, false]
		}`: `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		`{
			"\u20ac": "Euro Sign",
			"\r": "Carriage Return",
			"\ufb33": "Hebrew Letter Dalet With Dagesh",
			"1": "One",
			"\ud83d\ude00": "Emoji: Grinning Face",
			"\u0080": "Control",
			"\u00f6": "Latin Small Letter O With Diaeresis"
		}`: `{"\r":"Carriage Return","1":"One","` + "\u0080" + `":"Control","ö":"Latin Small Letter O With Diaeresis",` +
			`"€":"Euro Sign","😀":"Emoji: Grinning Face","` + "\uFB33" + `":"Hebrew Letter Dalet With Dagesh"}`,
		`"\b\t\n\f\r\u0000\u001f\u007f\u2028<>&"`:  `"\b\t\n\f\r\u0000\u001f` + "\u007f\u2028" + `<>&"`,
		`{"b":{"d":1,"c":[{"z":1,"y":2}]},"a":[]}`: `{"a":[],"b":{"c":[{"y":2,"z":1}],"d":1}}`,
		`[1e-6,1e-7,123456.75e-10]`:                `[0.000001,1e-7,0.000012345675]`,
	} {
		v, err := Decode([]byte(text), Limits{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := string(Append([]byte("x"), v)); got != "x"+want {
			t.Errorf("got  %s\nwant x%s", got, want)
		}
	}
}

func TestAppenderLetsKeysGo(t *testing.T) {
	var a appender
	a.value(map[string]any{"a": map[string]any{"b": 1.0, "c": 2.0}, "d": nil})
	for _, key := range a.keys[:cap(a.keys)] {
		if key != "" {
			t.Errorf("%q is kept", key)
		}
	}
}

func TestKeysAreSortedByCodeUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringOf(rapid.SampledFrom([]rune("ab€\uD7FF\uE000\uFB33\uFFFD\U00010000😀\U0010FFFD")))
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		if got := CompareKeys(a, b); sign(got) != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
	got := SortedKeys(map[string]any{"\uFFFD": nil, "😀": nil, "a": nil})
	if want := []string{"a", "😀", "\uFFFD"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
