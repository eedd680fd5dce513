package config

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// decodeTOML reads TOML. The library gives the values; what it cannot tell of
// them afterwards, and what it would take too long over, is refused before.
func decodeTOML(text []byte) (any, *Error) {
	s := tomlScanner{text: string(text)}
	if fault := checkText(s.text); fault != nil {
		return nil, fault
	}
	if fault := s.scan(); fault != nil {
		return nil, fault
	}
	var root map[string]any
	if _, err := toml.Decode(s.text, &root); err != nil {
		return nil, tomlFault(err)
	}
	return tomlObject(root)
}

func tomlFault(err error) *Error {
	var e toml.ParseError
	if !errors.As(err, &e) {
		return Errorf(KindInvalidDocument, "this is not TOML")
	}
	reason, hint := withoutQuotes(e.Message), ""
	if strings.Contains(reason, " is out of range ") {
		reason, hint = "a number is out of range", hintInexact
	}
	fault := Errorf(KindInvalidDocument, "this is not TOML: %s", reason)
	if e.Position.Line > 0 { // at the end of the text the library may not know
		fault = faultAt(e.Position.Line, max(e.Position.Col, 1), reason)
	}
	fault.Next = hint
	if e.LastKey != "" {
		fault.Message += " (after the key " + strconv.Quote(e.LastKey) + ")"
	}
	return fault
}

func tomlObject(table map[string]any) (any, *Error) {
	for key, v := range table {
		if reason := canon.CheckString(key); reason != "" {
			return nil, Errorf(KindInvalidDocument, "a key holds %s", reason)
		}
		v, fault := tomlValue(v)
		if fault != nil {
			return nil, fault.below(key)
		}
		table[key] = v
	}
	return table, nil
}

// tomlValue makes one of our values of one of the library's.
func tomlValue(v any) (any, *Error) {
	switch v := v.(type) {
	case map[string]any:
		return tomlObject(v)
	case []map[string]any:
		array := make([]any, len(v))
		for i := range v {
			array[i] = v[i]
		}
		return tomlArray(array)
	case []any:
		return tomlArray(v)
	case int64:
		f, err := canon.ParseNumber(strconv.FormatInt(v, 10))
		if err != nil {
			return nil, Errorf(KindInvalidDocument, reasonInexact).Hint(hintInexact)
		}
		return f, nil
	case float64:
		if v-v != 0 {
			return nil, Errorf(KindInvalidDocument, "infinity and not-a-number, which JSON does not have").
				Hint("leave it out, or put it in quotes")
		}
		return v + 0, nil // -0 becomes 0
	case string:
		if reason := canon.CheckString(v); reason != "" {
			return nil, Errorf(KindInvalidDocument, "a string holds %s", reason)
		}
		return v, nil
	case time.Time:
		return nil, Errorf(KindInvalidDocument, "a date or time, which JSON does not have").Hint("put it in quotes")
	}
	return v, nil // a boolean
}

func tomlArray(array []any) (any, *Error) {
	for i, v := range array {
		v, fault := tomlValue(v)
		if fault != nil {
			return nil, fault.below(strconv.Itoa(i))
		}
		array[i] = v
	}
	return array, nil
}
