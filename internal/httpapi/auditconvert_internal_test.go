package httpapi

import (
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/audit/audittest"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// The time of a checkpoint is the one that is signed, whatever the database says.
func TestTimeOfACheckpointIsSigned(t *testing.T) {
	const name = "llm-config-0011223344556677"
	signed := time.Date(2026, 11, 22, 6, 50, 49, 118372910, time.UTC)
	note, err := audit.Checkpoint{Origin: name + "/server", Head: audittest.Links(3)[2].Head(), Time: signed}.Sign(audittest.Key(t, name, 1))
	if err != nil {
		t.Fatal(err)
	}
	kept := store.Checkpoint{Sequence: 3, Time: signed.Add(time.Hour), Note: note}
	if got := checkpoint(kept); !got.Time.Equal(signed) || got.Note != string(note) {
		t.Errorf("a checkpoint signed at %s is shown with %s", signed, got.Time)
	}
	kept.Note = []byte("no note")
	if got := checkpoint(kept); !got.Time.Equal(kept.Time) {
		t.Errorf("without a signed time it is %s", got.Time)
	}
}
