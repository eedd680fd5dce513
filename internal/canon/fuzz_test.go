package canon

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What Decode accepts, encoding/json accepts with the same meaning, and its
// canonical form is read back as the same value and written as the same bytes.
func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := Decode(text, Limits{})
		if err != nil {
			return
		}
		var reference any
		if err := json.Unmarshal(text, &reference); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if diff := cmp.Diff(reference, v); diff != "" {
			t.Fatalf("(-encoding/json +Decode)\n%s", diff)
		}
		canonical := Append(nil, v)
		again, err := Decode(canonical, Limits{Bytes: 8 * DefaultBytes})
		if err != nil {
			t.Fatalf("the canonical form %s is refused: %v", canonical, err)
		}
		if diff := cmp.Diff(v, again); diff != "" {
			t.Fatalf("(-first +second)\n%s", diff)
		}
		if second := Append(nil, again); !bytes.Equal(canonical, second) {
			t.Fatalf("%s became %s", canonical, second)
		}
	})
}

// The canonical form of a double is the shortest text that reads back as it.
func FuzzNumber(f *testing.F) {
	f.Fuzz(func(t *testing.T, bits uint64) {
		x := math.Float64frombits(bits)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		text := string(AppendNumber(nil, x))
		if got, err := ParseNumber(text); err != nil || got != x {
			t.Fatalf("%v was written %s and read %v, %v", x, text, got, err)
		}
		if got, err := ParseNumber(strconv.FormatFloat(x, 'f', -1, 64)); err != nil || got != x {
			t.Fatalf("%v: got %v, %v", x, got, err)
		}
	})
}

func TestFuzzTargetsHaveSeeds(t *testing.T) {
	for _, target := range []string{"FuzzDecode", "FuzzNumber"} {
		seeds, err := os.ReadDir("testdata/fuzz/" + target)
		if err != nil || len(seeds) < 5 {
			t.Errorf("%s: %d seeds, %v", target, len(seeds), err)
		}
	}
}
