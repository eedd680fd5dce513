package convert_test

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/convert"
)

func TestMemberValue(t *testing.T) {
	for text, want := range map[string]any{
		"":                  "",
		"600":               600.0,
		"-1.5":              -1.5,
		"1.10":              "1.10",
		"007":               "007",
		"+1":                "+1",
		"1e3":               "1e3",
		"0x10":              "0x10",
		"NaN":               "NaN",
		"Inf":               "Inf",
		"1_000":             "1_000",
		"9007199254740993":  "9007199254740993",
		"true":              true,
		"True":              "True",
		"null":              "null",
		"[1]":               "[1]",
		"two\nlines":        "two\nlines",
		"${secret:a}":       "$${secret:a}",
		"x $${config:a#/b}": "x $$${config:a#/b}",
		"${OTHER}":          "${OTHER}",
	} {
		if got := convert.MemberValue(text); got != want {
			t.Errorf("MemberValue(%q) = %#v, want %#v", text, got, want)
		}
	}
}

func TestSecretPath(t *testing.T) {
	prefix, err := config.ParsePath("gateway/env")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"OPENAI_API_KEY": "gateway/env/openai_api_key", "_TOKEN": "gateway/env/token", "__": ""} {
		got, err := convert.SecretPath(prefix, name)
		if got.String() != want || (err != nil) != (want == "") {
			t.Errorf("SecretPath(%q) = %q, %v", name, got, err)
		}
	}
}
