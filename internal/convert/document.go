package convert

import (
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// MemberName is the name that a variable has in a document, of which `run` makes
// the variable again.
func MemberName(variable string) string { return strings.ToLower(variable) }

// MemberValue is a variable's text as a value of a document: true, false and
// numbers where the document prints them in the very same form, else the text.
// What would read as a reference is escaped, so that it stays text.
func MemberValue(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	if number, err := strconv.ParseFloat(text, 64); err == nil && number-number == 0 && string(canon.Append(nil, number)) == text {
		return number
	}
	return escapeReferences(text)
}

func escapeReferences(text string) string {
	text = strings.ReplaceAll(text, "${config:", "$${config:")
	return strings.ReplaceAll(text, "${secret:", "$${secret:")
}

// SecretPath is the path of the secret that a variable's value becomes.
func SecretPath(prefix config.Path, variable string) (config.Path, error) {
	return config.ParsePath(prefix.String() + "/" + strings.TrimLeft(MemberName(variable), "_"))
}
