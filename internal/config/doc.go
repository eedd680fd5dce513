// Package config is the domain: tenants, environments, paths, documents, layers,
// and how they merge, refer to each other, differ and are explained. It is pure:
// no input or output, no clock, nothing of a server. What it answers depends on
// what it is given alone, so that server, command line and tests agree.
//
// It trusts nobody's text. ParsePath, ParseAt, Decode and their like are the only
// doors, and everything behind them is valid.
package config
