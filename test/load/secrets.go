package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// secretBody is a secret with a random value of 64 digits.
func secretBody() []byte {
	value := make([]byte, 32)
	rand.Read(value)
	return fmt.Appendf(nil, `{"fields":{"value":%q}}`, hex.EncodeToString(value))
}

// runSecret reveals secrets, each read durably on record before it is answered.
func runSecret(ctx context.Context, a *arena, o options) ([]row, error) {
	for _, target := range []string{"base/secrets/load/key", "production/secrets/load/key"} {
		if _, err := send(ctx, a.server.address, request("PUT", tenant+target, a.token, secretBody())); err != nil {
			return nil, err
		}
	}
	read := request("GET", tenant+"production/secrets/load/key?reveal=true", a.token, nil)
	file, err := record(ctx, a, a.server, "secret", read)
	if err != nil {
		return nil, err
	}
	bare, err := a.startBare(ctx, "secret", file)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	same := func(int) next { return func(int) []byte { return read } }
	r, err := taketurns(o.pairs,
		func() (outcome, error) { return closedLoop(ctx, a.server, o.connections[0], o, same) },
		func() (outcome, error) { return closedLoop(ctx, bare, o.connections[0], o, same) })
	r.name = fmt.Sprintf("secret read, revealed and on record, %d connections", o.connections[0])
	return []row{r}, err
}

// rotateTime bounds how long a rotation may take.
const rotateTime = 10 * time.Minute

// runRotate rotates the tenant's key over many secrets, and reads on meanwhile:
// as many reads at a time as it did before.
func runRotate(ctx context.Context, a *arena, o options) ([]row, error) {
	begin := time.Now()
	if err := fill(ctx, a, o); err != nil {
		return nil, err
	}
	filled := time.Since(begin)
	reads := func(connection int) next {
		return func(n int) []byte {
			return request("GET", fmt.Sprintf("%sproduction/secrets/many/s%d?reveal=true", tenant, (connection*7919+n)%o.secrets), a.token, nil)
		}
	}
	before, err := closedLoop(ctx, a.server, o.connections[0], o, reads)
	if err != nil {
		return nil, err
	}
	if _, err := send(ctx, a.server.address, request("POST", keys+"/rotate", a.token, []byte("{}"))); err != nil {
		return nil, err
	}
	begin = time.Now()
	var during outcome
	var failure error
	var reading sync.WaitGroup
	reading.Go(func() { during, failure = closedLoop(ctx, a.server, o.connections[0], o, reads) })
	took, err := rewrapped(ctx, a, begin)
	reading.Wait()
	if err := errors.Join(err, failure); err != nil {
		return nil, err
	}
	fmt.Printf("\n%d secrets were written in %s; their keys were wrapped anew in %s, with %d connections reading for the first %s.\n",
		o.secrets, filled.Round(time.Second), took.Round(100*time.Millisecond), o.connections[0], o.warmUp+o.duration)
	r := row{name: "secret read, revealed and on record", sides: [2]string{"during the rotation", "before it"}}
	r.add(during, before)
	return []row{r}, nil
}

const keys = "/api/v1/tenants/default/keys"

// fill writes the secrets, over as many connections as there are writers.
func fill(ctx context.Context, a *arena, o options) error {
	errs := make([]error, o.writers)
	var writing sync.WaitGroup
	for i := range o.writers {
		writing.Go(func() { errs[i] = fillSome(ctx, a, o, i) })
	}
	writing.Wait()
	return errors.Join(errs...)
}

func fillSome(ctx context.Context, a *arena, o options, writer int) error {
	w, err := dial(ctx, a.server.address)
	if err != nil {
		return err
	}
	defer w.close()
	for n := writer; n < o.secrets; n += o.writers {
		if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := w.must(request("PUT", fmt.Sprintf("%sproduction/secrets/many/s%d", tenant, n), a.token, []byte(`{"generate":{"kind":"hex"}}`))); err != nil {
			return err
		}
	}
	return nil
}

// rewrapped waits until no data key is left under an older version, and answers
// how long that took.
func rewrapped(ctx context.Context, a *arena, begin time.Time) (time.Duration, error) {
	for time.Since(begin) < rotateTime {
		w, err := dial(ctx, a.server.address)
		if err != nil {
			return 0, err
		}
		err = w.conn.SetDeadline(time.Now().Add(patience))
		if err == nil {
			_, err = w.must(request("GET", keys, a.token, nil))
		}
		var status struct {
			Pending int64 `json:"pending"`
		}
		if err == nil {
			err = json.Unmarshal(w.body, &status)
		}
		w.close()
		if err != nil || status.Pending == 0 {
			return time.Since(begin), err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("keys are still to be wrapped anew after %s", rotateTime)
}
