package guess

import (
	"math"
	"sync"
	"unicode/utf8"
)

// A keyboard says which characters lie side by side.
type keyboard struct {
	steps        [utf8.RuneSelf][utf8.RuneSelf]step
	keys, degree float64 // characters to begin with, and to go on with on each side
}

// A step goes from one character to its neighbour; none is 0.
type step uint8

const shifted step = 0x80 // for the neighbour the shift key is held; the rest is the direction, from 1

// keyboards are what people walk over. The two of a kind are taken for equally
// likely, so they have the figures of the first.
var keyboards = sync.OnceValue(func() []*keyboard {
	var all []*keyboard
	for _, kind := range [][]string{{"Qwerty", "Dvorak"}, {"Keypad", "MacKeypad"}} {
		first := newKeyboard(kind[0])
		second := newKeyboard(kind[1])
		second.keys, second.degree = first.keys, first.degree
		all = append(all, first, second)
	}
	return all
})

func newKeyboard(name string) *keyboard {
	// A key's neighbours are listed by direction, each as the character alone
	// and then the one with shift: the direction up left of q is "1!".
	var file struct{ Graph map[string][]string }
	read(name, &file)
	k, sides, characters := &keyboard{}, 0, 0
	for key, neighbours := range file.Graph {
		for direction, neighbour := range neighbours {
			for i := range len(neighbour) {
				s := step(direction + 1)
				if i == 1 {
					s |= shifted
				}
				k.steps[key[0]][neighbour[i]] = s
			}
			sides++
			characters += len(neighbour)
		}
	}
	// A key has more neighbours than one of its sides has characters, so walks
	// are worth less here than they might be. The library has it so, and it is the
	// safe side.
	k.keys, k.degree = float64(len(file.Graph)), float64(characters)/float64(sides)
	return k
}

func (k *keyboard) step(from, to byte) step {
	if from >= utf8.RuneSelf || to >= utf8.RuneSelf {
		return 0
	}
	return k.steps[from][to]
}

// walks finds three neighbouring keys and more.
func walks(parts []part, text string) []part {
	for _, k := range keyboards() {
		for from := 0; from < len(text); {
			to, turns, shifts := k.walk(text, from)
			if to-from >= 3 {
				parts = append(parts, part{Walk, from, to, k.bits(to-from, turns, shifts)})
			}
			from = to
		}
	}
	return parts
}

// walk goes on from a character as far as neighbours follow.
func (k *keyboard) walk(text string, from int) (to, turns, shifts int) {
	var before step
	for to = from + 1; to < len(text); to++ {
		s := k.step(text[to-1], text[to])
		if s == 0 {
			break
		}
		if s&shifted != 0 {
			shifts++
		}
		if s &^= shifted; s != before {
			turns++
			before = s
		}
	}
	return to, turns, shifts
}

// bits counts the walks that are no longer and turn no more often.
func (k *keyboard) bits(length, turns, shifts int) float64 {
	sum := 0.0
	for steps := 1; steps <= length; steps++ {
		ways := k.keys * k.degree
		for turn := 0; turn <= min(turns, steps); turn++ {
			sum += ways
			ways *= float64(steps-turn) / float64(turn+1) * k.degree
		}
	}
	bits := math.Log2(sum)
	if shifts > 0 {
		bits += math.Log2(choices(length, min(shifts, length-shifts)))
	}
	return bits
}
