// Load measures the server as its clients see it. Each figure stands beside that
// of a bare net/http handler, a process of its own, which answers the same bytes
// to the same requests: the two take turns within one run, so that whatever the
// machine does, it does to both. It talks to nothing but the servers it starts
// on this machine, and stops by itself.
//
//	go run ./test/load -server bin/llm-config [read|write|watch|secret|append|rotate|noisy]…
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options say how hard and how long.
type options struct {
	server      string
	duration    time.Duration
	warmUp      time.Duration
	pairs       int
	connections []int
	writers     int
	watchers    int
	changes     int
	secrets     int
	policies    string // which the tenant has of its own
	limited     bool   // there is a limit, which is never reached
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		exit(bare(os.Args[2:]))
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "products" {
		exit(products(os.Args[2:]))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, os.Args[1:]))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// mode is one way of putting load on the server.
type mode struct {
	name string
	run  func(context.Context, *arena, options) ([]row, error)
}

var modes = []mode{{"read", runRead}, {"write", runWrite}, {"watch", runWatch}, {"secret", runSecret}, {"append", runAppend}, {"rotate", runRotate}, {"noisy", runNoisy}}

func run(ctx context.Context, args []string) error {
	o, names, err := parse(args)
	if err != nil {
		return err
	}
	limit := time.Duration(len(o.connections)+4) * time.Duration(o.pairs) * 3 * (o.duration + o.warmUp + 10*time.Second)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	arena, err := newArena(ctx, o)
	if err != nil {
		return err
	}
	defer arena.close()
	report := newReport(os.Stdout)
	for _, m := range modes {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		rows, err := m.run(ctx, arena, o)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		report.table(m.name, rows)
	}
	return report.ground(arena.dir)
}

func parse(args []string) (options, []string, error) {
	var o options
	var connections string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.StringVar(&o.server, "server", "bin/llm-config", "the server's binary")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "how long one run is measured")
	flags.DurationVar(&o.warmUp, "warm-up", time.Second, "how long it runs before that")
	flags.IntVar(&o.pairs, "pairs", 5, "how often server and bare handler take turns")
	flags.StringVar(&connections, "connections", "64,1000", "numbers of reading connections")
	flags.IntVar(&o.writers, "writers", 64, "writing connections")
	flags.IntVar(&o.watchers, "watchers", 1000, "open watches")
	flags.IntVar(&o.changes, "changes", 40, "changes that the watchers are told of in one run")
	flags.IntVar(&o.secrets, "secrets", 100_000, "secrets under the key that is rotated")
	flags.StringVar(&o.policies, "policies", policiesNone, "reads are decided by a hundred policies of the tenant's own, and kept or decided anew each time: none, kept or anew")
	flags.BoolVar(&o.limited, "limited", false, "with a rate limit that is never reached, and its headers")
	if err := flags.Parse(args); err != nil {
		return o, nil, err
	}
	for text := range strings.SplitSeq(connections, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, nil, fmt.Errorf("-connections %q: write numbers with commas between", connections)
		}
		o.connections = append(o.connections, n)
	}
	if o.pairs < 1 || o.writers < 1 || o.watchers < 1 || o.changes < 1 || o.secrets < 1 || o.duration <= 0 {
		return o, nil, errors.New("every number must be at least 1")
	}
	if !slices.Contains([]string{policiesNone, policiesKept, policiesAnew}, o.policies) {
		return o, nil, fmt.Errorf("-policies %q: write none, kept or anew", o.policies)
	}
	for _, name := range flags.Args() {
		if !slices.ContainsFunc(modes, func(m mode) bool { return m.name == name }) {
			return o, nil, fmt.Errorf("there is no mode %q; take read, write, watch, secret, append, rotate or noisy", name)
		}
	}
	return o, flags.Args(), nil
}
