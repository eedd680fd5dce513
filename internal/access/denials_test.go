package access_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

func TestDenialsOfAMinute(t *testing.T) {
	c := &clock{now: epoch.Add(40 * time.Second)}
	d := access.NewDenials(c.Now, 3)
	add := func(actor string, count int64, left time.Duration) {
		t.Helper()
		if n, wait := d.Add(actor); n != count || wait != left {
			t.Errorf("%s: %d and %s, want %d and %s", actor, n, wait, count, left)
		}
	}
	add("token:a", 1, 20*time.Second)
	add("token:a", 2, 20*time.Second)
	add("token:b", 1, 20*time.Second)
	c.Advance(20*time.Second - 1)
	add("token:a", 3, 1)
	c.Advance(1)
	add("token:a", 1, time.Minute)
	c.Advance(-time.Hour)
	add("token:a", 2, time.Minute)
	c.Advance(time.Hour)
	add("token:b", 1, time.Minute)
	add("token:c", 1, time.Minute)
	for i := range int64(10) { // for whom there is no room
		add(fmt.Sprintf("token:d%d", i), i+1, time.Minute)
	}
	add("token:a", 3, time.Minute)
}
