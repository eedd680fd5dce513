package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// errLost ends the context of a run whose lease is no longer ours.
var errLost = errors.New("the lease was lost")

// follower is one job of a Runner.
type follower struct {
	*Runner
	job      Job
	name     string // of the lease
	held     bool   // the lease, as far as is known
	failures int    // in a row
	next     time.Time
}

// round runs the job if this instance may, as often as there is more to do.
func (f *follower) round(stopping, running context.Context) {
	now := f.Clock()
	if now.Before(f.next) {
		return
	}
	until := now.Add(leaseTime)
	held, err := f.Leases.TakeLease(running, f.name, f.Holder, now, until)
	if err != nil {
		f.failed(running, fmt.Errorf("its lease cannot be taken: %w", err))
		return
	}
	if f.held = held; !held {
		f.failures = 0 // another instance does it now
		return
	}
	ctx, end := context.WithCancelCause(running)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		f.renew(ctx, end, until)
	}()
	err = f.repeat(stopping, ctx)
	end(nil)
	<-renewed
	switch {
	case errors.Is(context.Cause(ctx), errLost):
		f.held = false
		f.Logger.Warn("a background job was ended, because its lease was lost", "job", f.job.Name, "error", context.Cause(ctx).Error())
	case err == nil:
		f.failures = 0
	case running.Err() == nil:
		f.failed(running, err)
	}
}

// repeat runs the job until there is no more to do, or no time to.
func (f *follower) repeat(stopping, ctx context.Context) error {
	for range maxRepeats {
		more, err := f.once(ctx)
		if err != nil || !more || stopping.Err() != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// once makes of a panic an error: one job must not end the server.
func (f *follower) once(ctx context.Context) (more bool, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			f.Logger.Error("panic", "job", f.job.Name, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			more, err = false, errors.New("it panicked")
		}
	}()
	return f.job.Run(ctx)
}

// renew keeps the lease until the run ends, and ends the run when the lease
// cannot be kept.
func (f *follower) renew(ctx context.Context, end context.CancelCauseFunc, until time.Time) {
	ticks, stop := f.Ticker(renewEvery)
	defer stop()
	for {
		select {
		case <-ticks:
		case <-ctx.Done():
			return
		}
		now := f.Clock()
		held, err := f.Leases.TakeLease(ctx, f.name, f.Holder, now, now.Add(leaseTime))
		switch {
		case err == nil && held:
			until = now.Add(leaseTime)
		case err == nil:
			end(errLost)
			return
		case !now.Before(until.Add(-renewEvery)):
			end(fmt.Errorf("%w: %w", errLost, err))
			return
		}
	}
}

// failed notes a run that failed. The next waits longer each time, and the lease
// is dropped meanwhile: another instance may be able to do it.
func (f *follower) failed(running context.Context, err error) {
	wait := maxWait
	if shift := f.failures; shift < 16 && f.job.Every<<shift < maxWait {
		wait = f.job.Every << shift
	}
	f.failures++
	f.next = f.Clock().Add(wait)
	f.Failed(f.job.Name)
	f.Logger.Error("a background job failed", "job", f.job.Name, "error", telemetry.Causes(err), "failures", f.failures, "next_try_in", wait.String())
	f.drop(running)
}

// drop lets another instance have the job at once.
func (f *follower) drop(running context.Context) {
	if !f.held {
		return
	}
	f.held = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(running), storeTime)
	defer cancel()
	if err := f.Leases.DropLease(ctx, f.name, f.Holder); err != nil {
		f.Logger.Warn("a lease was not dropped; it expires by itself", "job", f.job.Name, "error", telemetry.Causes(err))
	}
}
