package main

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// A marker is a random text that stands for the value of a secret, and finds
// itself again wherever it went: as a whole, in pieces, and in every form in
// which programs write bytes.
type marker struct {
	core  string
	first [1 << 16]bool           // the two bytes that forms begin with
	forms map[uint16][]markerForm // those → the forms
}

type markerForm struct {
	name string
	text []byte
}

const (
	markerSize  = 32
	markerPiece = 12 // less than that could be there by chance, or is no loss
)

func newMarker() *marker {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	drawn := make([]byte, markerSize)
	_, _ = rand.Read(drawn) // never fails
	for i, b := range drawn {
		drawn[i] = letters[int(b)%len(letters)]
	}
	return markerOf(string(drawn))
}

// markerOf is a marker that was made by somebody else, like a token.
func markerOf(core string) *marker {
	m := &marker{core: core, forms: map[uint16][]markerForm{}}
	for at := 0; at < len(core); at += markerPiece {
		m.addPiece([]byte(core[min(at, len(core)-markerPiece):][:markerPiece]))
	}
	for at := range len(core) - 7 { // eight bytes as a stack trace shows a word
		m.add("a word in memory", []byte(fmt.Sprintf("%x", backwards([]byte(core[at:at+8])))))
	}
	return m
}

func (m *marker) add(name string, text []byte) {
	first := uint16(text[0])<<8 | uint16(text[1])
	m.first[first] = true
	m.forms[first] = append(m.forms[first], markerForm{name, text})
}

func (m *marker) addPiece(piece []byte) {
	m.add("plain", piece)
	m.add("capitals", bytes.ToUpper(piece))
	m.add("small letters", bytes.ToLower(piece))
	m.add("backwards", backwards(piece))
	m.add("hexadecimal", []byte(hex.EncodeToString(piece)))
	m.add("hexadecimal in capitals", []byte(strings.ToUpper(hex.EncodeToString(piece))))
	for _, between := range []string{" ", ":", ", ", ","} {
		for _, format := range []string{"%d", "%02x", "%02X", "0x%x"} {
			m.add("bytes as "+format, []byte(listed(piece, format, between)))
		}
	}
	little, big := make([]byte, 0, 2*len(piece)), make([]byte, 0, 2*len(piece))
	for _, unit := range utf16.Encode([]rune(string(piece))) {
		little, big = append(little, byte(unit), byte(unit>>8)), append(big, byte(unit>>8), byte(unit))
	}
	m.add("UTF-16", little)
	m.add("UTF-16, big end first", big)
	m.add("UTF-16 backwards", backwards(little))
	for shift := range 3 { // base64 has a form for each place among three bytes; its ends depend on what is beside
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, shift), piece...))
			m.add("base64", []byte(text[(8*shift+5)/6:8*(shift+len(piece))/6]))
		}
	}
}

func listed(piece []byte, format, between string) string {
	parts := make([]string, len(piece))
	for i, b := range piece {
		parts[i] = fmt.Sprintf(format, b)
	}
	return strings.Join(parts, between)
}

func backwards(text []byte) []byte {
	turned := slices.Clone(text)
	slices.Reverse(turned)
	return turned
}

// in says in which form the marker is in something, "" when it is not: as it
// stands, behind escapes, and within gzip.
func (m *marker) in(text []byte) string {
	if found := m.asItStands(text); found != "" {
		return found
	}
	for name, read := range map[string]func([]byte) []byte{
		"escapes of JSON": withoutEscapes, "escapes of URLs": withoutPercents, "entities of HTML": withoutEntities, "gzip": unzipped,
	} {
		if plain := read(text); plain != nil {
			if found := m.asItStands(plain); found != "" {
				return found + " behind " + name
			}
		}
	}
	return ""
}

func (m *marker) asItStands(text []byte) string {
	var first uint16
	for i, b := range text {
		first = first<<8 | uint16(b)
		if i == 0 || !m.first[first] {
			continue
		}
		for _, form := range m.forms[first] {
			if bytes.HasPrefix(text[i-1:], form.text) {
				return form.name
			}
		}
	}
	return ""
}

// withoutEscapes reads \u0041 and \x41, also where backslashes are escaped
// themselves, and leaves the rest; nil when there is none.
func withoutEscapes(text []byte) []byte {
	if !bytes.Contains(text, []byte(`\u`)) && !bytes.Contains(text, []byte(`\x`)) {
		return nil
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		digits := 0
		if text[i] == '\\' && i+1 < len(text) {
			digits = map[byte]int{'u': 4, 'x': 2}[text[i+1]]
		}
		if digits == 0 || i+2+digits > len(text) {
			plain = append(plain, text[i])
			continue
		}
		c, err := strconv.ParseUint(string(text[i+2:i+2+digits]), 16, 32)
		if err != nil {
			plain = append(plain, text[i])
			continue
		}
		plain = append(bytes.TrimRight(plain, `\`), string(rune(c))...)
		i += 1 + digits
	}
	return plain
}

func withoutPercents(text []byte) []byte {
	if !bytes.Contains(text, []byte{'%'}) {
		return nil
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+3 <= len(text) {
			if c, err := url.PathUnescape(string(text[i : i+3])); err == nil {
				plain, i = append(plain, c...), i+2
				continue
			}
		}
		plain = append(plain, text[i])
	}
	return plain
}

func withoutEntities(text []byte) []byte {
	if !bytes.Contains(text, []byte("&#")) {
		return nil
	}
	return []byte(html.UnescapeString(string(text)))
}

func unzipped(text []byte) []byte {
	if !bytes.HasPrefix(text, []byte{0x1f, 0x8b}) {
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(io.LimitReader(r, 64<<20)) // what is cut short is looked at as far as it goes
	return plain
}

// TestMarkersAreFound holds the search to what the tests built on it rely on.
func TestMarkersAreFound(t *testing.T) {
	m := newMarker()
	all := []byte(m.core)
	escapes, percents, entities, half := "", "", "", ""
	for i, c := range all {
		escapes += fmt.Sprintf(`\u%04X`, c)
		percents += fmt.Sprintf("%%%02x", c)
		entities += fmt.Sprintf("&#%d;", c)
		if half += string(c); i%2 == 0 {
			half = strings.TrimSuffix(half, string(c)) + fmt.Sprintf(`\\u%04x`, c)
		}
	}
	var units []byte
	for _, c := range all {
		units = append(units, c, 0)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte("a value: " + m.core))
	_ = w.Close()
	shown := map[string]string{
		"plain": m.core, "a beginning": m.core[:markerPiece], "an end": m.core[markerSize-markerPiece:],
		"capitals": strings.ToUpper(m.core), "small letters": strings.ToLower(m.core),
		"hexadecimal": fmt.Sprintf("%x", m.core), "hexadecimal in capitals": fmt.Sprintf("%X", m.core), "hexadecimal in pairs": fmt.Sprintf("% x", m.core),
		"%v of bytes": fmt.Sprintf("%v", all), "%#v of bytes": fmt.Sprintf("%#v", all), "%+q of text": fmt.Sprintf("%+q", m.core),
		"escapes": escapes, "some escapes, twice": half, "escapes of URLs": percents, "entities": entities,
		"UTF-16": string(units), "UTF-16 backwards": string(backwards(units)), "backwards": string(backwards(all)),
		"gzip": packed.String(), "a word on a stack": fmt.Sprintf("main.f(0x%x, 0x20)", backwards(all[5:13])),
	}
	for shift := range 3 {
		for name, encoding := range map[string]*base64.Encoding{
			"base64": base64.StdEncoding, "base64 of URLs": base64.URLEncoding, "raw base64": base64.RawStdEncoding, "raw base64 of URLs": base64.RawURLEncoding,
		} {
			shown[fmt.Sprintf("%s, %d bytes later", name, shift)] = encoding.EncodeToString([]byte("\xfb\xff"[:shift] + m.core + "\xff"))
		}
	}
	for name, text := range shown {
		around := "some " + text + " text"
		if name == "gzip" {
			around = text
		}
		if m.in([]byte(around)) == "" {
			t.Errorf("not found: %s in %q", name, text)
		}
		if other := newMarker(); other.in([]byte(around)) != "" {
			t.Errorf("found where it is not: %s in %q", name, text)
		}
	}
	if m.in(nil) != "" || m.in([]byte{m.core[0]}) != "" {
		t.Error("found in next to nothing")
	}
}
