package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/jobs"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// How often what runs by itself is run, on one instance at a time.
const (
	settleEvery = 5 * time.Second // secrets whose time has come
	rewrapEvery = 5 * time.Second // keys that an older one still wraps
	tidyEvery   = time.Minute
)

// servedFor is how long it is kept which secrets a principal was served: longer
// than the longest schedule and the longest grace together, since a client may run
// one version for all that time.
const servedFor = 500 * 24 * time.Hour

// background makes the runner of the jobs.
func (p *process) background() (*jobs.Runner, error) {
	holder, err := instanceName()
	if err != nil {
		return nil, err
	}
	return jobs.New(jobs.Options{
		Leases: p.data, Holder: holder, Logger: telemetry.Component(p.logger, "jobs"), Failed: p.metrics.JobFailed,
		Grace: p.live.Get().WithDefaults().ShutdownTimeout,
		Jobs: append(p.auditJobs(),
			jobs.Job{Name: "settle", Every: settleEvery, Run: p.service.SettleSecrets},
			jobs.Job{Name: "rewrap", Every: rewrapEvery, Run: p.service.RewrapKeys},
			jobs.Job{Name: "housekeeping", Every: tidyEvery, Run: p.tidy},
		),
	}), nil
}

// instanceName tells this process from all others, also from one that had its
// process id before.
func instanceName() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	random, err := telemetry.NewRequestID(rand.Reader)
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), random), err
}

// tidy forgets what expired.
func (p *process) tidy(ctx context.Context) (more bool, err error) {
	now := time.Now()
	return false, errors.Join(p.data.ForgetIdempotent(ctx, now), p.data.ForgetServed(ctx, now.Add(-servedFor)))
}

// patterns are the routes as net/http has them.
func patterns(of *httpapi.Server) []string {
	var all []string
	for _, route := range of.Routes() {
		all = append(all, route.Method+" "+route.Pattern)
	}
	return all
}
