package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// runAppend reads one secret from the product twice: from the one that puts each
// read durably on record first, and from one that does not, both in one process
// of their own.
func runAppend(ctx context.Context, a *arena, o options) ([]row, error) {
	sides, tokens, err := a.startProducts(ctx)
	if err != nil {
		return nil, err
	}
	defer sides[0].stop()
	var run [2]func() (outcome, error)
	for i, side := range sides {
		if _, err := send(ctx, side.address, request("PUT", tenant+"production/secrets/load/key", tokens[i], secretBody())); err != nil {
			return nil, err
		}
		read := request("GET", tenant+"production/secrets/load/key?reveal=true", tokens[i], nil)
		run[i] = func() (outcome, error) {
			return closedLoop(ctx, side, o.connections[0], o, func(int) next { return func(int) []byte { return read } })
		}
	}
	r, err := taketurns(o.pairs, run[0], run[1])
	r.name = fmt.Sprintf("secret read, revealed, %d connections", o.connections[0])
	r.sides = [2]string{"on record", "not appended"}
	return []row{r}, err
}

// startProducts runs this program once more, as the product with and without
// records of accesses. Both sides are that process.
func (a *arena) startProducts(ctx context.Context) (sides [2]*process, tokens [2]string, err error) {
	var addresses [2]string
	for i := range addresses {
		if addresses[i], err = freeAddress(ctx); err != nil {
			return sides, tokens, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return sides, tokens, err
	}
	log := filepath.Join(a.dir, "products.log")
	p, err := start(ctx, "the product that records", addresses[0], log, self, "products", a.dir, addresses[0], addresses[1])
	if err != nil {
		return sides, tokens, err
	}
	other := *p
	other.name, other.address = "the product that does not record", addresses[1]
	for i := range tokens {
		token, err := os.ReadFile(filepath.Join(productFolder(a.dir, i), tokenFile))
		if err != nil {
			p.stop()
			return sides, tokens, err
		}
		tokens[i] = string(token)
	}
	return [2]*process{p, &other}, tokens, nil
}
