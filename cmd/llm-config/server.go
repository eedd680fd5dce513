package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
)

func newWhoamiCommand(a *app) *cobra.Command {
	c := a.command("whoami", "Show who the server takes you for",
		"Show who the server takes you for: your roles, what your token is narrowed to and\nbound to, and until when it holds.", `  llm-config whoami`)
	s, out := a.serverFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		who, err := from.Identity(c.Context())
		if err != nil {
			return err
		}
		return out.show(identityView(who))
	}
	return c
}

func identityView(who *api.Identity) view {
	return view{data: who, values: []string{who.Name}, people: func(p *printer) {
		narrowed := "-"
		if who.TokenRights != nil {
			narrowed = narrowedText(*who.TokenRights)
		}
		t := newTable("NAME", "ID", "BY", "ROLES", "NARROWED", "EXPIRES")
		t.row(who.Name, who.ID, who.Method, rolesText(who.Roles, who.TenantAdmin, who.ServerAdmin, who.Tenant), narrowed, when(who.Expires))
		t.print(p)
	}}
}

func newVersionCommand(a *app) *cobra.Command {
	c := a.command("version", "Show the version of this program, or of the server",
		"Show the version of this program or, with --server, of the server.", `  llm-config version
  llm-config version --server`)
	s, out := a.serverFlags(c), a.outputFlag(c, listFormats...)
	server := c.Flags().Bool("server", false, "the server's version")
	c.RunE = func(c *cobra.Command, _ []string) error {
		version := &api.Version{Version: buildVersion(), Go: runtime.Version()}
		if *server {
			from, err := s.client(c)
			if err != nil {
				return err
			}
			if version, err = from.Version(c.Context()); err != nil {
				return err
			}
		} else if err := needs(c, "server", "addr", "token-file", "ca-file", "client-cert", "client-key"); err != nil {
			return err
		}
		return out.show(view{data: version, values: []string{version.Version}, people: func(p *printer) {
			p.printf("%s", versionLine(version.Version, version.Go))
		}})
	}
	return c
}

func versionLine(version, goVersion string) string {
	return fmt.Sprintf("llm-config %s (%s)\n", version, goVersion)
}

// buildVersion is what the build says of itself.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
