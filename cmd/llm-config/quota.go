package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
)

func newQuotaCommand(a *app) *cobra.Command {
	return a.group("quota", "Limits of a tenant, and what it uses of them",
		`A tenant's limits keep it from using what others need. Its administrators see them;
those of the server set them.`,
		`  llm-config quota show
  llm-config quota set -t acme requests-per-minute=6000 bytes=512MiB`,
		newQuotaShowCommand(a), newQuotaSetCommand(a))
}

// quotaLimit is one limit of a tenant.
type quotaLimit struct {
	name  string
	value func(*api.QuotaLimits) **int64
	used  func(api.QuotaUsed) (int64, bool) // false where nothing is counted up
	bytes bool
}

// quotaLimits are all of them, in the order of their table.
var quotaLimits = []quotaLimit{
	{name: "requests-per-minute", value: func(l *api.QuotaLimits) **int64 { return &l.RequestsPerMinute }, used: func(api.QuotaUsed) (int64, bool) { return 0, false }},
	{name: "watchers", value: func(l *api.QuotaLimits) **int64 { return &l.Watchers }, used: func(u api.QuotaUsed) (int64, bool) { return u.Watchers, true }},
	{name: "connections", value: func(l *api.QuotaLimits) **int64 { return &l.Connections }, used: func(u api.QuotaUsed) (int64, bool) { return u.Connections, true }},
	{name: "documents", value: func(l *api.QuotaLimits) **int64 { return &l.Documents }, used: func(u api.QuotaUsed) (int64, bool) { return u.Documents, true }},
	{name: "bytes", value: func(l *api.QuotaLimits) **int64 { return &l.Bytes }, used: func(u api.QuotaUsed) (int64, bool) { return u.Bytes, true }, bytes: true},
	{name: "secrets", value: func(l *api.QuotaLimits) **int64 { return &l.Secrets }, used: func(u api.QuotaUsed) (int64, bool) { return u.Secrets, true }},
}

// text writes a figure of this limit.
func (l quotaLimit) text(n int64) string {
	if l.bytes {
		return sizeText(n)
	}
	return number(n)
}

func newQuotaShowCommand(a *app) *cobra.Command {
	c := a.command("show", "Show the limits of a tenant, and what it uses",
		`Show the limits of a tenant and what it uses of them. "default" is what the server
allows every tenant. Watchers and connections are those of the instance that answers.`,
		`  llm-config quota show
  llm-config quota show -o json`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		quota, err := from.Quota(c.Context())
		if err != nil {
			return err
		}
		return out.show(quotaView(quota))
	}
	return c
}

func quotaView(quota *api.Quota) view {
	v := view{data: quota}
	for _, l := range quotaLimits {
		v.values = append(v.values, l.name+"="+limitWord(*l.value(&quota.Limits)))
	}
	v.people = func(p *printer) {
		t := newTable("LIMIT", "USED", "ALLOWED")
		for _, l := range quotaLimits {
			used, allowed := cell{text: "-"}, "default"
			if n, counted := l.used(quota.Used); counted {
				used.text = l.text(n)
			}
			if most := *l.value(&quota.Limits); most != nil {
				allowed = "no limit"
				if n, _ := l.used(quota.Used); *most > 0 {
					allowed = l.text(*most)
					if n >= *most {
						used.style = styleRed
					}
				}
			}
			t.cells(cell{text: l.name}, used, cell{text: allowed})
		}
		t.print(p)
	}
	return v
}

// limitWord is a limit as quota set takes it.
func limitWord(limit *int64) string {
	switch {
	case limit == nil:
		return "default"
	case *limit == 0:
		return "none"
	}
	return number(*limit)
}

func newQuotaSetCommand(a *app) *cobra.Command {
	c := a.command("set KEY=VALUE…", "Set limits of a tenant",
		`Set limits of a tenant, as an administrator of the server: requests-per-minute,
watchers, connections, documents, bytes and secrets. A value is a number, for bytes
also like 512MiB; "none" is no limit, and "default" is what every tenant has. Limits
that are not named stay as they are. A tenant that is over a new limit keeps what it
has.`,
		`  llm-config quota set -t acme requests-per-minute=6000 bytes=512MiB -m "as agreed"
  llm-config quota set -t acme watchers=none documents=default`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	message := a.messageFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		changes, err := parseLimits(args)
		if err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		quota, err := to.Quota(c.Context())
		if err != nil {
			return err
		}
		in := api.PutQuota{Limits: quota.Limits, Message: *message, IfVersion: &quota.Version}
		for _, change := range changes {
			*change.limit.value(&in.Limits) = change.to
		}
		if quota, err = to.PutQuota(c.Context(), in); err != nil {
			return err
		}
		return out.show(quotaView(quota))
	}
	return c
}

// limitChange is what one KEY=VALUE asks for; nil is the default.
type limitChange struct {
	limit quotaLimit
	to    *int64
}

func parseLimits(args []string) (changes []limitChange, _ error) {
	for _, arg := range args {
		name, text, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, failf("%q is not KEY=VALUE", arg).hint("write it like requests-per-minute=6000")
		}
		at := slices.IndexFunc(quotaLimits, func(l quotaLimit) bool { return l.name == name })
		if at < 0 {
			return nil, failf("there is no limit %q", name).hint("there are %s", limitNames())
		}
		if slices.ContainsFunc(changes, func(c limitChange) bool { return c.limit.name == name }) {
			return nil, failf("%s is given twice", name).hint("give it once")
		}
		to, err := quotaLimits[at].parse(text)
		if err != nil {
			return nil, err
		}
		changes = append(changes, limitChange{quotaLimits[at], to})
	}
	return changes, nil
}

func limitNames() string {
	names := make([]string, len(quotaLimits))
	for i, l := range quotaLimits {
		names[i] = l.name
	}
	return strings.Join(names, ", ")
}

// parse reads a limit; nil is the default, and 0 is none.
func (l quotaLimit) parse(text string) (*int64, error) {
	switch text {
	case "default":
		return nil, nil
	case "none":
		return new(int64(0)), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if l.bytes && err != nil {
		n, err = parseSize(text)
	}
	switch {
	case err != nil && l.bytes:
		return nil, failf("%s=%s is no size", l.name, text).hint("write it like 512MiB or 1048576; none is no limit, and default what every tenant has")
	case err != nil:
		return nil, failf("%s=%s is no number", l.name, text).hint("write it like %s=600; none is no limit, and default what every tenant has", l.name)
	case n < 1:
		return nil, failf("%s=%s would allow nothing", l.name, text).hint("give at least 1; none is no limit, and default what every tenant has")
	}
	return &n, nil
}

// units are those of sizes, the largest first.
var units = []struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// parseSize reads a number of bytes with a unit.
func parseSize(text string) (int64, error) {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err == nil && n > (1<<62)/unit.size {
			err = strconv.ErrRange
		}
		return n * unit.size, err
	}
	return 0, strconv.ErrSyntax
}

// sizeText is a number of bytes the way people read it, to a tenth.
func sizeText(n int64) string {
	for _, unit := range units {
		switch {
		case n < unit.size:
			continue
		case n%unit.size == 0:
			return number(n/unit.size) + unit.name
		}
		return strconv.FormatFloat(float64(n)/float64(unit.size), 'f', 1, 64) + unit.name
	}
	return counted(int(n), "byte")
}
