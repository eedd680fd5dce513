package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
)

func newClientsCommand(a *app) *cobra.Command {
	c := a.command("clients", "List who runs on what",
		`List the live clients of an environment: the revision that each runs on, how far it
is behind the newest, and the versions of the secrets it uses. A client that says
nothing for 90 seconds is left out.`,
		`  llm-config clients -e production
  llm-config clients -e production -o json | jq '.clients[] | select(.behind > 0)'`)
	s, out := a.environmentFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		list, err := from.Acks(c.Context(), s.environment)
		if err != nil {
			return err
		}
		return out.show(clientsView(list))
	}
	return c
}

func clientsView(list *api.AckList) view {
	v := view{data: list}
	for _, c := range list.Clients {
		v.values = append(v.values, c.Client)
	}
	v.people = func(p *printer) {
		t := newTable("CLIENT", "PRINCIPAL", "REVISION", "BEHIND", "SECRETS", "SEEN")
		for _, c := range list.Clients {
			behind := cell{text: number(c.Behind)}
			if c.Behind > 0 {
				behind.style = styleYellow
			}
			t.cells(cell{text: c.Client}, cell{text: c.Principal}, cell{text: number(c.Revision)}, behind, cell{text: secretVersions(c.Secrets)}, cell{text: when(c.Time)})
		}
		t.print(p)
	}
	return v
}

func secretVersions(secrets map[string]int64) string {
	texts := make([]string, 0, len(secrets))
	for _, path := range slices.Sorted(maps.Keys(secrets)) {
		texts = append(texts, path+" v"+number(secrets[path]))
	}
	return cmp.Or(strings.Join(texts, ", "), "-")
}
