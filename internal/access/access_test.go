package access_test

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

func TestNamesOfPrincipals(t *testing.T) {
	cases := []struct {
		p             access.Principal
		actor, author string
	}{
		{access.Principal{}, "anonymous", "anonymous"},
		{access.Principal{ID: "x", Method: "token"}, "token:x", "token:x"},
		{access.Principal{ID: "x", Method: "token", Name: "ci"}, "token:x", "ci"},
	}
	for _, c := range cases {
		if c.p.Actor() != c.actor || c.p.Author() != c.author {
			t.Errorf("%+v is %q and %q, want %q and %q", c.p, c.p.Actor(), c.p.Author(), c.actor, c.author)
		}
	}
}

func TestTheZeroDecisionDenies(t *testing.T) {
	if (access.Decision{}).Allowed {
		t.Error("the zero Decision allows")
	}
}
