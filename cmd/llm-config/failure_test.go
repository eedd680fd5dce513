package main

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

func TestProblemNamesWhatThePersonGave(t *testing.T) {
	for pointer, want := range map[string]string{
		"at":    "there is none (in --at)",
		"paths": "there is none (in PATHS)",
		"/at":   "there is none (at /at)",
		"":      "there is none",
	} {
		if got := asFailure(&api.Problem{Detail: "there is none", Pointer: pointer}).Error(); got != want {
			t.Errorf("%q: %q, want %q", pointer, got, want)
		}
	}
}
