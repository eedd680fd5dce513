package service

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// shortestBody is how long content must be for it to be looked for.
const shortestBody = 16

// storedBody is a body as the store has it.
type storedBody struct {
	place  seal.Place
	sealed []byte
	value  *store.SecretValue // of a secret; nil for another body
}

func (x *examination) open(ctx context.Context, b *storedBody, at seal.Place) ([]byte, error) {
	if b.value == nil {
		return x.s.keyring.Open(ctx, at, b.sealed)
	}
	return x.s.keyring.OpenSecret(ctx, at, seal.SecretSeal{Sealed: b.sealed, Wrapped: b.value.Wrapped, KeyVersion: b.value.KeyVersion})
}

// bodies are some that are stored: of the log and, of a tenant, of layers and secrets.
func (x *examination) bodies(ctx context.Context) ([]storedBody, error) {
	var bodies []storedBody
	entries, _, err := x.s.store.Log(ctx, x.chain.Tenant, nil, store.Page{Limit: compliance.SampledBodies / 4})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		bodies = append(bodies, storedBody{place: entryPlace(x.chain.Tenant, e.Subject), sealed: e.Sealed})
	}
	if x.state == nil {
		return bodies, nil
	}
	scan := store.Scan{Page: store.Page{Limit: compliance.SampledBodies / 4}}
	for _, e := range x.state.tree.Load().All() {
		scan.Environments = append(scan.Environments, e.ID)
	}
	layers, _, err := x.s.store.ScanLayers(ctx, x.chain.Tenant, scan)
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		if l.State == store.Live && len(bodies) < compliance.SampledBodies/2 {
			bodies = append(bodies, storedBody{place: layerPlace(x.chain.Tenant, l.Environment, l.Path, l.Version), sealed: l.Sealed})
		}
	}
	secrets, _, err := x.s.store.ScanSecrets(ctx, x.chain.Tenant, scan)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(secrets) && len(bodies)+1 < compliance.SampledBodies; i++ {
		row := &secrets[i]
		bodies = append(bodies, storedBody{place: recordPlace(x.chain.Tenant, row.Environment, row.Path, row.Version), sealed: row.Sealed})
		value, err := x.valueOf(ctx, *row)
		if err != nil {
			return nil, err
		}
		if value != nil {
			bodies = append(bodies, *value)
		}
	}
	return bodies, nil
}

// valueOf is the value in use of a secret; nil when there is none. What does not
// open says so by its record.
func (x *examination) valueOf(ctx context.Context, row store.Secret) (*storedBody, error) {
	head, err := x.s.openHead(ctx, x.chain.Tenant, row)
	if err != nil || !head.record.Supplies() {
		return nil, nil //nolint:nilerr // see above
	}
	value, err := x.s.store.SecretValue(ctx, x.chain.Tenant, row.Environment, row.Path, head.record.Serves)
	if config.KindOf(err) == config.KindNotFound { // it was destroyed
		return nil, nil
	}
	return &storedBody{valuePlace(x.chain.Tenant, row.Environment, row.Path, head.record.Serves), value.Sealed, &value}, err
}

func (x *examination) sealedAtRest(ctx context.Context) (finding, error) {
	bodies, err := x.bodies(ctx)
	if err != nil {
		return finding{}, err
	}
	for i := range bodies {
		b := &bodies[i]
		plain, err := x.open(ctx, b, b.place)
		clearly := len(plain) >= shortestBody && bytes.Contains(b.sealed, plain)
		clear(plain)
		switch {
		case errors.Is(err, seal.ErrSealBroken):
			return fails("%s does not open", b.place), nil
		case err != nil:
			return finding{}, err
		case clearly:
			return fails("%s is stored in clear", b.place), nil
		}
		elsewhere := b.place
		elsewhere.Version++
		if plain, err := x.open(ctx, b, elsewhere); err == nil {
			clear(plain)
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
			serving, _ := head.record.Find(head.record.Serves)
			if due.IsZero() && serving.Expires.IsZero() {
				continue
			}
			scheduled++
			if !due.IsZero() && x.now.Sub(due) > rotationPatience {
				return fails("%s in %s was due on %s", row.Path, x.state.tree.Load().Name(row.Environment), due.UTC().Format(time.DateOnly)), nil
			}
			if _, err := head.record.Current(x.now); err != nil && head.record.Supplies() {
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
