// Package jobs runs what the service does by itself: each job at its pace, and
// on one instance at a time, whoever holds its lease. It trusts no instance to
// end well: a lease expires, and another takes the job over. What a job does
// must do no harm when two do it for a moment, because a process can be stopped
// for longer than a lease and not notice.
package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/store"
)

// The times of a lease. A run whose lease could not be renewed is ended one
// renewal before the lease does.
const (
	leaseTime  = 30 * time.Second
	renewEvery = leaseTime / 3
)

const (
	defaultGrace = 10 * time.Second
	maxWait      = 5 * time.Minute // between runs that fail
	maxRepeats   = 1000            // runs at once of a job that says it has more to do
	storeTime    = 5 * time.Second // for a lease to be dropped
)

// A Job is run every so often, and at once when the Runner begins.
type Job struct {
	Name  string
	Every time.Duration
	// Run does some of what there is to do, and says whether there is more. It
	// must end soon after its context.
	Run func(context.Context) (more bool, err error)
}

// Options are what a Runner is made with. Leases, Holder and Logger are needed.
type Options struct {
	Leases store.Leases
	Holder string // names this instance and no other
	Logger *slog.Logger
	Jobs   []Job

	// Failed is told of each run that failed; nil for nobody.
	Failed func(job string)
	// Grace is how long runs may take to end once the Runner stops; 0 for 10 s.
	Grace time.Duration
	Clock func() time.Time // nil for time.Now
	// Ticker makes a channel that tells each time that so much time has passed,
	// and drops what nobody waits for; nil for time.NewTicker.
	Ticker func(time.Duration) (ticks <-chan time.Time, stop func())
}

// Runner runs jobs.
type Runner struct{ Options }

// New makes a Runner.
func New(o Options) *Runner {
	if o.Leases == nil || o.Holder == "" || o.Logger == nil {
		panic("jobs: leases, a holder and a logger are needed")
	}
	if o.Failed == nil {
		o.Failed = func(string) {}
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Ticker == nil {
		o.Ticker = func(every time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(every)
			return t.C, t.Stop
		}
	}
	return &Runner{o}
}

// Run runs the jobs until the context ends. Then it lets each finish what it is
// at; what is not done within Grace has its context ended, and is left behind
// when that does not help either. Leases are dropped, so that another instance
// goes on at once; that of a run left behind expires.
func (r *Runner) Run(ctx context.Context) {
	running, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var work sync.WaitGroup
	for _, job := range r.Jobs {
		work.Go(func() { r.follow(ctx, running, job) })
	}
	<-ctx.Done()
	done := make(chan struct{})
	go func() {
		work.Wait()
		close(done)
	}()
	late, stop := r.Ticker(r.Grace)
	defer stop()
	select {
	case <-done:
		return
	case <-late:
		r.Logger.Warn("background jobs are cut short", "after", r.Grace.String())
		cut()
	}
	select {
	case <-done:
	case <-late:
		r.Logger.Error("background jobs do not end; their leases expire by themselves")
	}
}

// follow runs one job at each tick until stopping ends.
func (r *Runner) follow(stopping, running context.Context, job Job) {
	f := follower{Runner: r, job: job, name: "jobs/" + job.Name}
	defer f.drop(running)
	ticks, stop := r.Ticker(job.Every)
	defer stop()
	for stopping.Err() == nil {
		f.round(stopping, running)
		select {
		case <-ticks:
		case <-stopping.Done():
		}
	}
}
