package canon

import (
	"slices"
	"strings"
	"testing"
)

func TestDigest(t *testing.T) {
	d := Sum([]byte("{}"))
	const want = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	if d.String() != want {
		t.Errorf("got %s", d)
	}
	if back, err := ParseDigest(want); back != d || err != nil {
		t.Errorf("got %s, %v", back, err)
	}
	for _, text := range []string{"", want[1:], want + "0", "x" + want[1:], strings.ToUpper(want)} {
		if _, err := ParseDigest(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestSumSet(t *testing.T) {
	a, b := Named{"a", Sum([]byte("1"))}, Named{`b"`, Sum([]byte("2"))}
	text := `[["a","` + a.Digest.String() + `"],["b\"","` + b.Digest.String() + `"]]`
	members := []Named{b, a}
	if got := SumSet(members); got != Sum([]byte(text)) {
		t.Errorf("the encoding is not as documented")
	}
	if !slices.Equal(members, []Named{b, a}) {
		t.Error("the members were reordered")
	}
	if SumSet(nil) != Sum([]byte("[]")) {
		t.Error("the empty set is not []")
	}
	twice := Named{"a", b.Digest}
	if SumSet([]Named{a, twice}) != SumSet([]Named{twice, a}) {
		t.Error("the order of members of one name counts")
	}
}
