package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// A row sums up the runs of one measurement on both sides.
type row struct {
	name         string
	sides        [2]string // what they are called; server and bare handler if that is not said
	server, bare side
	ratios       []float64
	outcomes     [][2]outcome // of each turn
	perSecond    bool
}

type side struct {
	perSecond  []float64
	perRequest []time.Duration
	latency    histogram
}

func (r *row) add(server, bare outcome) {
	r.perSecond = true
	r.outcomes = append(r.outcomes, [2]outcome{server, bare})
	r.server.add(server)
	r.bare.add(bare)
	r.ratios = append(r.ratios, server.perSecond/bare.perSecond)
}

// times is how much longer a quantile of the latency is on the first side: of all
// turns together, and the range over them.
func (r *row) times(q float64) string {
	var each []float64
	for _, o := range r.outcomes {
		each = append(each, float64(o[0].latency.quantile(q))/float64(o[1].latency.quantile(q)))
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", float64(r.server.latency.quantile(q))/float64(r.bare.latency.quantile(q)), slices.Min(each), slices.Max(each))
}

func (s *side) add(out outcome) {
	s.perSecond = append(s.perSecond, out.perSecond)
	s.perRequest = append(s.perRequest, out.perRequest)
	s.latency.merge(&out.latency)
}

type report struct{ to io.Writer }

func newReport(to io.Writer) report { return report{to} }

// table writes Markdown, medians of the runs with the range of the ratios.
func (r report) table(name string, rows []row) {
	fmt.Fprintf(r.to, "\n### %s\n\n| what | | per second | ratio (least–most) | server CPU each | p50 | p99 |\n| --- | --- | --- | --- | --- | --- | --- |\n", name)
	for _, row := range rows {
		ratio := ""
		if row.perSecond {
			ratio = fmt.Sprintf("%.2f (%.2f–%.2f)", median(row.ratios), slices.Min(row.ratios), slices.Max(row.ratios))
		}
		r.line(row.name, cmp.Or(row.sides[0], "server"), ratio, row.perSecond, &row.server)
		r.line("", cmp.Or(row.sides[1], "bare handler"), "", row.perSecond, &row.bare)
	}
}

func (r report) line(name, who, ratio string, perSecond bool, s *side) {
	rate, cpu := "", ""
	if perSecond {
		rate = fmt.Sprintf("%.0f", median(s.perSecond))
	}
	if len(s.perRequest) > 0 && median(s.perRequest) > 0 {
		cpu = rounded(median(s.perRequest))
	}
	fmt.Fprintf(r.to, "| %s | %s | %s | %s | %s | %s | %s |\n", name, who, rate, ratio, cpu, rounded(s.latency.quantile(0.5)), rounded(s.latency.quantile(0.99)))
}

// ground writes what the figures stand on: the machine and its fsync.
func (r report) ground(dir string) error {
	times, err := fsyncs(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.to, "\n%s, %d CPUs, load generator and server share them. fsync of a 4 KiB append in the data directory: median %s, p99 %s (%d times).\n",
		runtime.Version(), runtime.NumCPU(), rounded(times.quantile(0.5)), rounded(times.quantile(0.99)), times.total)
	return nil
}

func fsyncs(dir string) (*histogram, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	times, page := &histogram{}, make([]byte, 4<<10)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times.add(time.Since(begin))
	}
	return times, nil
}

func median[T int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// rounded keeps three digits of a duration.
func rounded(d time.Duration) string {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
}
