package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

func newLogoutCommand(a *app) *cobra.Command {
	c := a.command("logout", "Forget a login", `Forget the login at a server, and have the issuer take it back if it does that. The
token itself stays good for the minutes that it has left: only the issuer's server
could end it earlier.`, `  llm-config logout
  llm-config logout --all`)
	s := &scope{app: a}
	s.addrFlag(c)
	all := c.Flags().Bool("all", false, "the logins at all servers")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := exclusive(c, "all", "addr"); err != nil {
			return err
		}
		return s.logout(c.Context(), *all)
	}
	return c
}

func (s *scope) logout(ctx context.Context, all bool) error {
	p, file := s.app.printer(), s.app.loginFile()
	kept, err := file.read()
	if err != nil {
		return err
	}
	addresses := slices.Sorted(maps.Keys(kept))
	if !all {
		addr, err := loginAddress(s.address())
		if err != nil {
			return err
		}
		addresses = []string{addr}
	}
	if len(kept) == 0 && all {
		p.printf("no login is kept\n")
	}
	for _, addr := range addresses {
		if _, there := kept[addr]; !there {
			p.printf("no login at %s is kept\n", clean(addr))
			continue
		}
		gone, err := s.app.forgetLogin(ctx, file, addr)
		if err != nil {
			return err
		}
		p.printf("logged out of %s\n", clean(addr))
		if err := gone.revoke(ctx); err != nil {
			fmt.Fprintf(s.app.errors().w, "the login is forgotten here, and the issuer was not told: %s\n", clean(asFailure(err).Error()))
		}
	}
	return nil
}

// forgetLogin takes a login out of the file, and answers what it last was.
func (a *app) forgetLogin(ctx context.Context, file loginFile, addr string) (gone stored, err error) {
	err = file.change(ctx, a, func(all map[string]stored) error {
		gone = all[addr]
		delete(all, addr)
		return nil
	})
	return gone, err
}

// revoke has the issuer take a refresh token back.
func (one stored) revoke(ctx context.Context) error {
	if one.Refresh == "" {
		return nil
	}
	c, err := one.client(ctx)
	if err != nil {
		return err
	}
	return c.Revoke(ctx, one.Refresh)
}
