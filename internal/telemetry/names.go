package telemetry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
)

// Redacted stands where a credential was.
const Redacted = "[redacted]"

// sensitiveEndings are the ends of field names whose values are credentials, by
// their last byte.
var sensitiveEndings = byLastByte(
	"authorization", "token", "secret", "password", "passwd", "passphrase", "cookie",
	"apikey", "api_key", "api-key", "privatekey", "private_key", "private-key",
	"masterkey", "master_key", "master-key", "credential", "credentials",
)

func byLastByte(endings ...string) (table [256][]string) {
	for _, ending := range endings {
		last := ending[len(ending)-1]
		table[last] = append(table[last], ending)
		table[last-'a'+'A'] = append(table[last-'a'+'A'], ending)
	}
	return table
}

// sensitive says whether what a field holds is hidden because of its name.
func sensitive(name string) bool {
	if name == "" {
		return false
	}
	for _, ending := range sensitiveEndings[name[len(name)-1]] {
		if at := len(name) - len(ending); at >= 0 && strings.EqualFold(name[at:], ending) {
			return true
		}
	}
	return false
}

// clean is the sieve that knows names. It also turns values that a handler would
// write by itself, fields and all, into plain ones.
func clean(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && attr.Key == slog.MessageKey {
		attr.Key = FieldMessage
		return attr
	}
	if sensitive(attr.Key) {
		return slog.String(attr.Key, Redacted)
	}
	for _, group := range groups {
		if sensitive(group) {
			return slog.String(attr.Key, Redacted)
		}
	}
	if attr.Value.Kind() == slog.KindAny {
		attr.Value = plain(attr.Value.Any())
	}
	return attr
}

func plain(value any) slog.Value {
	switch value := value.(type) {
	case nil:
		return slog.AnyValue(nil)
	case []byte:
		return slog.StringValue(string(value))
	case error:
		return slog.StringValue(text(value, value.Error))
	case fmt.Stringer:
		return slog.StringValue(text(value, value.String))
	}
	switch reflect.TypeOf(value).Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Pointer:
		return slog.AnyValue(withoutSensitive(value))
	default:
		return slog.StringValue(fmt.Sprint(value))
	}
}

// text calls a method of a value that may be a nil pointer.
func text(value any, method func() string) string {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && v.IsNil() {
		return "<nil>"
	}
	return method()
}

// withoutSensitive is a value as JSON has it, less the members with sensitive names.
func withoutSensitive(value any) any {
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("!(%T cannot be logged)", value)
	}
	var decoded any
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		return fmt.Sprintf("!(%T cannot be logged)", value)
	}
	return prune(decoded)
}

func prune(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if sensitive(name) {
				value[name] = Redacted
			} else {
				value[name] = prune(member)
			}
		}
	case []any:
		for i, element := range value {
			value[i] = prune(element)
		}
	}
	return value
}
