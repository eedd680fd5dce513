package httpapi

import "strings"

// traceID is the trace that a request belongs to, as its traceparent headers say:
// 32 lower-case hexadecimal digits of version 00 of W3C Trace Context. It is ""
// where they say anything else, which the standard asks to be taken for nothing.
func traceID(headers []string) string {
	if len(headers) != 1 {
		return ""
	}
	fields := strings.Split(headers[0], "-")
	if len(fields) != 4 || fields[0] != "00" || !isID(fields[1], 32) || !isID(fields[2], 16) || !isHex(fields[3], 2) {
		return ""
	}
	return fields[1]
}

// isID says whether a text is so many hexadecimal digits, not all of them 0.
func isID(text string, digits int) bool {
	return isHex(text, digits) && strings.Trim(text, "0") != ""
}

func isHex(text string, digits int) bool {
	return len(text) == digits && strings.Trim(text, "0123456789abcdef") == ""
}
