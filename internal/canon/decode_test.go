package canon

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeAccepts(t *testing.T) {
	object := func(key string, v any) any { return map[string]any{key: v} }
	for text, want := range map[string]any{
		`null`:                           nil,
		" \t\r\n true \n":                true,
		`false`:                          false,
		`"a"`:                            "a",
		`""`:                             "",
		`[]`:                             []any{},
		`[ ]`:                            []any{},
		`{}`:                             map[string]any{},
		`{ }`:                            map[string]any{},
		`[null, [1 ,2],"x"]`:             []any{nil, []any{1.0, 2.0}, "x"},
		`{"":{"a" : [ ]}}`:               object("", object("a", []any{})),
		`"\"\\\/\b\f\n\r\t\u0041\u00e9"`: "\"\\/\b\f\n\r\tAé",
		`"\ud83d\ude00 😀 é \uFFFD"`:      "😀 😀 é \uFFFD",
		`"\u0000\u007f"`:                 "\x00\x7f",
		`0`:                              0.0,
		`-0`:                             0.0,
		`-0.0e5`:                         0.0,
		`0e999999999999999999999`:        0.0,
		`1.0`:                            1.0,
		`0.000420`:                       0.00042,
		`1E2`:                            100.0,
		`1e+2`:                           100.0,
		`120e-1`:                         12.0,
		`-17`:                            -17.0,
		`999999999999999`:                999999999999999.0,
		`9007199254740991`:               9007199254740991.0,
		`9007199254740992`:               9007199254740992.0,
		`9007199254740994`:               9007199254740994.0,
		`-9007199254740992`:              -9007199254740992.0,
		`1e22`:                           1e22,
		`10000000000000000000000`:        1e22,
		`5e-324`:                         5e-324,
		`1.7976931348623157e308`:         1.7976931348623157e308,
		`0.1000000000000000`:             0.1,
		`0.30000000000000004`:            0.30000000000000004,
		`333333333.3333333`:              333333333.3333333,
	} {
		got, err := Decode([]byte(text), Limits{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", text, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		text, at, pointer, reason string
	}{
		{"", "1:1", "", "text ends where a value"},
		{"  \n ", "2:2", "", "text ends where a value"},
		{"\xEF\xBB\xBF{}", "1:1", "", "byte order mark"},
		{"{} {}", "1:4", "", "text after the end"},
		{"nul", "1:1", "", "value is expected"},
		{"truer", "1:5", "", "text after the end"},
		{"+1", "1:1", "", "value is expected"},
		{"NaN", "1:1", "", "value is expected"},
		{"Infinity", "1:1", "", "value is expected"},
		{"'a'", "1:1", "", "value is expected"},
		{"01", "1:1", "", "not a JSON number"},
		{"-", "1:1", "", "not a JSON number"},
		{"1.", "1:1", "", "not a JSON number"},
		{"-.5", "1:1", "", "not a JSON number"},
		{"1e", "1:1", "", "not a JSON number"},
		{"1e+", "1:1", "", "not a JSON number"},
		{"1.5.2", "1:1", "", "not a JSON number"},
		{"1-2", "1:2", "", "text after the end"},
		{"1_000", "1:2", "", "text after the end"},
		{"0x10", "1:2", "", "text after the end"},
		{"[1,]", "1:4", "/1", "value is expected"},
		{"[1 2]", "1:4", "", "comma or ]"},
		{"[1", "1:3", "", "comma or ]"},
		{"[", "1:2", "/0", "text ends where a value"},
		{`{"a":1,}`, "1:8", "", "key in double quotes"},
		{`{a:1}`, "1:2", "", "key in double quotes"},
		{`{"a" 1}`, "1:6", "", "colon"},
		{`{"a":}`, "1:6", "/a", "value is expected"},
		{`{"a":1 "b"}`, "1:8", "", "comma or }"},
		{`{"a":1`, "1:7", "", "comma or }"},
		{`{"a":1,`, "1:8", "", "key in double quotes"},
		{`// no`, "1:1", "", "value is expected"},
		{`"abc`, "1:5", "", "ends within a string"},
		{`"abc\`, "1:5", "", "ends within a string"},
		{`"a\n`, "1:5", "", "ends within a string"},
		{`"\x"`, "1:2", "", "escape that JSON does not have"},
		{`"\u12"`, "1:2", "", "no character"},
		{`"\u12g4"`, "1:2", "", "no character"},
		{`"\u+123"`, "1:2", "", "no character"},
		{`"\ud800"`, "1:2", "", "no character"},
		{`"\ud800x"`, "1:2", "", "no character"},
		{`"\ud800\n"`, "1:2", "", "no character"},
		{`"\ud800\ud800"`, "1:2", "", "no character"},
		{`"\udc00"`, "1:2", "", "no character"},
		{`"\udc00\ud800"`, "1:2", "", "no character"},
		{`"\ud83d\u00"`, "1:2", "", "no character"},
		{`"\uffff"`, "1:2", "", "noncharacter"},
		{`"\ud83f\udffe"`, "1:2", "", "noncharacter"},
		{"\"\uFDD0\"", "1:2", "", "noncharacter"},
		{"\"\U0010FFFF\"", "1:2", "", "noncharacter"},
		{"\"a\nb\"", "1:3", "", "control character"},
		{"\"\x00\"", "1:2", "", "control character"},
		{"\"\xff\"", "1:2", "", "invalid UTF-8"},
		{"\"\xed\xa0\x80\"", "1:2", "", "invalid UTF-8"},
		{"\"\xc0\x80\"", "1:2", "", "invalid UTF-8"},
		{"{\"\xff\":1}", "1:3", "", "invalid UTF-8"},
		{`{"a":1,"b":{"x":1,"x":2}}`, "1:19", "/b/x", "there twice"},
		{`{"a":1,"\u0061":2}`, "1:8", "/a", "there twice"},
		{`{"a/b":{"~":[1,{"":nul}]}}`, "1:20", "/a~1b/~0/1/", "value is expected"},
		{"{\n  \"é\": [1,\n 00]}", "3:2", "/é/1", "not a JSON number"},
		{"{\"é\":\"é\"x", "1:9", "", "comma or }"},
	} {
		_, err := Decode([]byte(c.text), Limits{})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: want an *Error, got %v", c.text, err)
			continue
		}
		at := fmt.Sprintf("%d:%d", e.Line, e.Column)
		if at != c.at || e.Pointer != c.pointer || !strings.Contains(e.Reason, c.reason) || e.TooLarge || e.Inexact {
			t.Errorf("%q: got %s %q %q %+v", c.text, at, e.Pointer, e.Reason, e)
		}
	}
}

func TestDecodeRefusesInexactNumbers(t *testing.T) {
	for _, number := range []string{
		"9007199254740993", "-9007199254740993", "1e400", "-1e400", "1e-400", "123456789012345678",
		"0.1000000000000000055511151231257827", "333333333.33333329", "9223372036854775807", "3.14159265358979323846",
		"1e99999999999999999999", "0." + strings.Repeat("0", 400) + "1", "1" + strings.Repeat("0", 400),
	} {
		_, err := Decode([]byte(`{"n":[`+number+`]}`), Limits{})
		var e *Error
		if !errors.As(err, &e) || !e.Inexact || e.Pointer != "/n/0" || e.Column != 7 || !strings.Contains(e.Reason, "as a string") {
			t.Errorf("%.40s: got %v", number, err)
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"\"":`, n) + "1" + strings.Repeat("}", n) }
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d": [ ]`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	for _, c := range []struct {
		name, text    string
		limits        Limits
		limit, actual int64
	}{
		{"bytes, default", strings.Repeat(" ", DefaultBytes-1) + "1", Limits{}, 0, 0},
		{"bytes, default", strings.Repeat(" ", DefaultBytes) + "1", Limits{}, 1 << 20, 1<<20 + 1},
		{"bytes", "[1]", Limits{Bytes: 2}, 2, 3},
		{"depth, default", deep(64), Limits{}, 0, 0},
		{"depth, default", deep(65), Limits{}, 64, 65},
		{"depth of objects", objects(70), Limits{}, 64, 70},
		{"depth, not well-formed", strings.Repeat("[", 1000) + `"`, Limits{}, 64, 1000},
		{"nodes, default", "[" + strings.Repeat("1,", 1<<18-2) + "1]", Limits{}, 0, 0},
		{"nodes, default", "[" + strings.Repeat("1,", 1<<18+41) + "1]", Limits{}, 1 << 18, 1<<18 + 43},
		{"nodes", `{"a":[1,"b,[",{ },null]}`, Limits{Nodes: 6}, 0, 0},
		{"nodes", `{"a":[1,"b,[",{ },null]}`, Limits{Nodes: 5}, 5, 6},
		{"a million keys", keys(1_000_000), Limits{Bytes: 1 << 30}, 1 << 18, 1_000_001},
	} {
		_, err := Decode([]byte(c.text), c.limits)
		var e *Error
		switch {
		case c.limit == 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.limit != 0 && (!errors.As(err, &e) || !e.TooLarge || e.Limit != c.limit || e.Actual != c.actual):
			t.Errorf("%s: want %d over %d, got %+v", c.name, c.actual, c.limit, err)
		case c.limit != 0 && !strings.Contains(err.Error(), fmt.Sprintf("(%d, the limit is %d)", c.actual, c.limit)):
			t.Errorf("%s: the message does not state the figures: %v", c.name, err)
		}
	}
}

func TestErrorNeverQuotesValues(t *testing.T) {
	for _, text := range []string{`{"k":"hunter2\q"}`, `{"k":"hunter2" x}`, `{"k":hunter2}`, "{\"k\":\"hunter2\n\"}"} {
		_, err := Decode([]byte(text), Limits{})
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestParseNumber(t *testing.T) {
	if f, err := ParseNumber("-12.50e1"); f != -125 || err != nil {
		t.Errorf("got %v, %v", f, err)
	}
	for text, inexact := range map[string]bool{"": false, "x": false, "1 ": false, "1x": false, "+1": false, "1e400": true} {
		var e *Error
		if _, err := ParseNumber(text); !errors.As(err, &e) || e.Inexact != inexact {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestCheckString(t *testing.T) {
	for text, want := range map[string]string{"": "", "aé😀\uFFFD": "", "a\xff": "invalid UTF-8", "é\uFFFE": reasonNoncharacter} {
		if got := CheckString(text); got != want {
			t.Errorf("%q: got %q", text, got)
		}
	}
}
