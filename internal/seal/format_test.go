package seal_test

import (
	"encoding/hex"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// counting is a source of bytes that everybody can predict.
type counting struct{ next byte }

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.next
		c.next++
	}
	return len(b), nil
}

// What was written once must open for ever. These bytes were made by the first
// version of each format; a test that fails here must not be "repaired".
func TestFormatsStandStill(t *testing.T) {
	w := newWorld(t)
	k := w.start(t, seal.Options{Rand: &counting{}})
	mustFound(t, k, tenantA)

	rows, err := w.data.inner.DataKeys(t.Context(), tenantA)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d data keys, %v", len(rows), err)
	}
	if got := hex.EncodeToString(rows[0].Wrapped); got != wrappedDataKeyV1 {
		t.Errorf("the wrapped data key is %s", got)
	}
	if got := hex.EncodeToString(mustSeal(t, k, place, []byte("text"))); got != sealedV1 {
		t.Errorf("the sealed form is %s", got)
	}
	mustOpen(t, k, place, mustHex(sealedV1), []byte("text"))
	if sum, err := k.MAC(t.Context(), tenantA, "purpose", []byte("data")); err != nil || hex.EncodeToString(sum[:]) != macV1 {
		t.Errorf("the MAC is %x, %v", sum, err)
	}

	keeper, err := seal.OpenFileKeeper(writeKeyFile(t, keyLine(goodKey), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := keeper.Unwrap(t.Context(), mustHex(fileWrappedV1), []byte("here")); err != nil || string(plain) != "plain" {
		wrapped, _ := keeper.Wrap(t.Context(), []byte("plain"), []byte("here"))
		t.Errorf("the wrapped form of a file keeper does not open: %v; today's is %x", err, wrapped)
	}
}

const (
	wrappedDataKeyV1 = "0100000001d6d7d8d9dadbdcdddedfe0e1b9a7f05299d0b2d9f7ccb808abae538123a9ee2fc15335693d4c06607d83e1b77ac5e3315745d710912d750d7cb78240"
	sealedV1         = "0100000001e2e3e4e5e6e7e8e9eaebeced3537b50c7ce8e79c7ec25d3f3faa5da3780254144e"
	macV1            = "2fce9845ff2a0eeabbfe78f7828766223b703dceae5632d59244922d24e9df83"
	fileWrappedV1    = "018800896e5718b4c0161cb58c75a875d020ab97cb1e89247416e572458fb1681e3cd555e9c0924e8c43"
)
