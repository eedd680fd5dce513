package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

const (
	maxClaims  = 64
	maxName    = 128 // bytes of what history shows
	maxSubject = 256
)

// ownClaims say something of the token and not of its bearer.
var ownClaims = []string{"iss", "aud", "exp", "nbf", "iat", "jti"}

// flatten makes texts of what a token says: of strings, numbers and truth values,
// of arrays of these, and of the members of objects as claim.member. Anything
// deeper, and what is empty, is left out; so are members with a dot in their
// name, so that a.b.c is never the member b.c of a. Two claims of one name are an
// error.
func flatten(payload map[string]any) (map[string][]string, error) {
	claims := map[string][]string{}
	for name, value := range payload {
		if slices.Contains(ownClaims, name) {
			continue
		}
		members, nested := value.(map[string]any)
		if !nested {
			if err := add(claims, name, value); err != nil {
				return nil, err
			}
			continue
		}
		for member, value := range members {
			if strings.Contains(member, ".") {
				continue
			}
			if err := add(claims, name+"."+member, value); err != nil {
				return nil, err
			}
		}
	}
	return claims, nil
}

// add puts the texts of a value under a name, within the bounds of claims.
func add(claims map[string][]string, name string, value any) error {
	items, many := value.([]any)
	if !many {
		items = []any{value}
	}
	var values []string
	for _, item := range items {
		text, ok := textOf(item)
		if !ok {
			return nil
		}
		if len(text) > maxValue {
			return errors.New("a claim has a value that is too long")
		}
		values = append(values, text)
	}
	_, twice := claims[name]
	switch {
	case len(values) == 0:
		return nil
	case twice:
		return errors.New("two claims have one name")
	case len(values) > maxValues:
		return fmt.Errorf("a claim has %d values", len(values))
	case len(name) > maxClaimName:
		return errors.New("a claim has a name that is too long")
	case len(claims) == maxClaims:
		return errors.New("there are too many claims")
	}
	slices.Sort(values)
	claims[name] = slices.Compact(values)
	return nil
}

// textOf is a plain value as JSON has it in its canonical form, without quotes.
func textOf(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case float64:
		return string(canon.AppendNumber(nil, value)), true
	case bool:
		if value {
			return "true", true
		}
		return "false", true
	}
	return "", false
}

// checkSubject says whether a sub may be a part of an id: nothing in it may look
// like something else in a log.
func checkSubject(sub string) error {
	switch {
	case sub == "":
		return errors.New("sub is missing or empty")
	case len(sub) > maxSubject:
		return errors.New("sub is too long")
	case strings.ContainsFunc(sub, unseen):
		return errors.New("sub holds a control character")
	}
	return nil
}

// unseen are characters that control, rather than are, text.
func unseen(c rune) bool {
	return unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp)
}

// shown is text for people to read: what cannot be seen is replaced, and what is
// too long is cut.
func shown(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return utf8.RuneError
	}, text)
	if len(text) <= maxName {
		return text
	}
	end := maxName
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
