package service

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// shortestBody is how long content must be for it to be looked for.
const shortestBody = 16

func (x *examination) sealedAtRest(ctx context.Context) (finding, error) {
	type body struct {
		place  seal.Place
		sealed []byte
	}
	var bodies []body
	entries, _, err := x.s.store.Log(ctx, x.chain.Tenant, nil, store.Page{Limit: compliance.SampledBodies / 2})
	if err != nil {
		return finding{}, err
	}
	for _, e := range entries {
		bodies = append(bodies, body{entryPlace(x.chain.Tenant, e.Subject), e.Sealed})
	}
	if x.state != nil {
		var environments []config.EnvironmentID
		for _, e := range x.state.tree.Load().All() {
			environments = append(environments, e.ID)
		}
		layers, _, err := x.s.store.ScanLayers(ctx, x.chain.Tenant, store.Scan{Environments: environments, Page: store.Page{Limit: compliance.SampledBodies / 4}})
		if err != nil {
			return finding{}, err
		}
		for _, l := range layers {
			if l.State == store.Live && len(bodies) < compliance.SampledBodies {
				bodies = append(bodies, body{layerPlace(x.chain.Tenant, l.Environment, l.Path, l.Version), l.Sealed})
			}
		}
	}
	for _, b := range bodies {
		plain, err := x.s.keyring.Open(ctx, b.place, b.sealed)
		if err != nil {
			return fails("%s does not open", b.place), nil
		}
		if len(plain) >= shortestBody && bytes.Contains(b.sealed, plain) {
			return fails("%s is stored in clear", b.place), nil
		}
		elsewhere := b.place
		elsewhere.Version++
		if _, err := x.s.keyring.Open(ctx, elsewhere, b.sealed); err == nil {
			return fails("%s opens in another's place", b.place), nil
		}
	}
	return holds("%d bodies read raw, opened, and refused at another place", len(bodies)), nil
}

func (x *examination) keysInTime(ctx context.Context) (finding, error) {
	status, err := x.s.keyring.TenantStatus(ctx, x.chain.Tenant)
	if err != nil {
		return finding{}, err
	}
	if !status.Due.IsZero() && x.now.After(status.Due) {
		return fails("the key was due to be rotated on %s", status.Due.UTC().Format(time.DateOnly)), nil
	}
	figures := "next due " + status.Due.UTC().Format(time.DateOnly)
	if x.state == nil {
		master, err := x.s.keyring.MasterStatus(ctx)
		if err != nil {
			return finding{}, err
		}
		if !master.Due.IsZero() && x.now.After(master.Due) {
			return fails("the master key was due to be rotated on %s", master.Due.UTC().Format(time.DateOnly)), nil
		}
		figures += ", master key next due " + master.Due.UTC().Format(time.DateOnly)
	}
	return holds("%s", figures), nil
}

func errNoPosture() error {
	return config.Errorf(config.KindUnavailable, "the program does not say how it is set up")
}

func (x *examination) masterKeyKept(context.Context) (finding, error) {
	p := x.s.posture()
	switch {
	case !p.Known:
		return finding{}, errNoPosture()
	case p.Development:
		return fails("this is a development server, whose master key lies beside the data"), nil
	case p.KeyBeside:
		return fails("the file of the master key lies in the data folder; keep it elsewhere"), nil
	}
	return holds("kept by %s", p.Keeper), nil
}

const (
	maxExamined = 10_000 // secrets that are looked at

	// rotationPatience is how long a rotation may be overdue, since a receiver that
	// does not answer is asked again.
	rotationPatience = time.Hour
)

func (x *examination) secretsRotated(ctx context.Context) (finding, error) {
	var environments []config.EnvironmentID
	for _, e := range x.state.tree.Load().All() {
		environments = append(environments, e.ID)
	}
	looked, scheduled := 0, 0
	scan := store.Scan{Environments: environments, Page: store.Page{Limit: 500}}
	for {
		rows, next, err := x.s.store.ScanSecrets(ctx, x.chain.Tenant, scan)
		if err != nil {
			return finding{}, err
		}
		for _, row := range rows {
			if row.Deleted {
				continue
			}
			head, err := x.s.openHead(ctx, x.chain.Tenant, row)
			if err != nil {
				return finding{}, err
			}
			looked++
			due := head.record.Due(x.now)
			if due.IsZero() {
				continue
			}
			if scheduled++; x.now.Sub(due) > rotationPatience {
				return fails("%s in %s was due on %s", row.Path, x.state.tree.Load().Name(row.Environment), due.UTC().Format(time.DateOnly)), nil
			}
			if _, err := head.record.Current(x.now); config.KindOf(err) == config.KindGone {
				return fails("%s in %s has no version that is good", row.Path, x.state.tree.Load().Name(row.Environment)), nil
			}
		}
		if scan.Page.Cursor = next; next == "" {
			return holds("%d secrets, %d with a schedule or an end, none overdue", looked, scheduled), ctx.Err()
		}
		if looked >= maxExamined {
			return finding{}, config.Errorf(config.KindTooLarge, "there are more than %s secrets", strconv.Itoa(maxExamined))
		}
	}
}

func (x *examination) transportEncrypted(context.Context) (finding, error) {
	p := x.s.posture()
	switch {
	case !p.Known:
		return finding{}, errNoPosture()
	case p.TLS:
		return holds("TLS 1.3; client certificates: %s", p.ClientAuth), nil
	case p.Loopback:
		return holds("plain HTTP, on loopback only"), nil
	case p.Proxies:
		return holds("plain HTTP, from trusted proxies only"), nil
	}
	return fails("the API is served over plain HTTP to others"), nil
}

func (x *examination) limitsOn(context.Context) (finding, error) {
	p := x.s.posture()
	if !p.Known {
		return finding{}, errNoPosture()
	}
	requests, connections := p.RequestsLimited, p.ConnectionsLimited
	if x.state != nil {
		quota := x.state.rules.Load().quota
		if quota.RequestsPerMinute != nil {
			requests = *quota.RequestsPerMinute > 0
		}
		if quota.Connections != nil {
			connections = *quota.Connections > 0
		}
	}
	switch {
	case !requests:
		return fails("requests a minute have no limit; set rate-limit, or the quota requests-per-minute"), nil
	case !connections:
		return fails("requests at once have no limit; set tenant-connections, or the quota connections"), nil
	}
	return holds("requests a minute and at once are limited"), nil
}
