package guess

import (
	"encoding/json"
	"math"
	"strings"
	"sync"

	"github.com/nbutton23/zxcvbn-go/data"
)

// A lexicon is all lists in one, because whoever guesses tries them side by
// side.
type lexicon struct {
	ranks   map[string]int32 // word in lower case → its place in the list where it comes earliest, from 1
	longest int
}

// common has all common words. It takes some 25 ms once, and 4 MB from then on.
var common = sync.OnceValue(func() lexicon {
	all := lexicon{ranks: map[string]int32{}}
	for _, name := range []string{"English", "Passwords", "MaleNames", "FemaleNames", "Surnames"} {
		var file struct{ List []string }
		read(name, &file)
		for i, word := range file.List {
			rank := int32(i + 1)
			if before, ok := all.ranks[word]; ok {
				rank = min(rank, before)
			}
			all.ranks[word] = rank
			all.longest = max(all.longest, len(word))
		}
	}
	return all
})

// read reads a list or a keyboard that is part of the program.
func read(name string, into any) {
	if err := json.Unmarshal(data.MustAsset("data/"+name+".json"), into); err != nil {
		panic("guess: " + name + ": " + err.Error())
	}
}

// Load reads the lists, if that has not been done. Weigh does so by itself;
// whoever weighs under a regime that is for secrets alone loads before it.
func Load() {
	common()
	keyboards()
}

// dictionary finds common words.
func dictionary(parts []part, text, low string) []part {
	words := common()
	for from := range len(low) {
		for to := from + 1; to <= min(len(low), from+words.longest); to++ {
			if rank, ok := words.ranks[low[from:to]]; ok {
				parts = append(parts, word(Word, text, from, to, int(rank)))
			}
		}
	}
	return parts
}

// own finds the words that were handed in.
func own(parts []part, text, low string, words []string) []part {
	for i, given := range words {
		given = lower(plain(given))
		if given == "" {
			continue
		}
		for from := 0; ; from++ {
			at := strings.Index(low[from:], given)
			if at < 0 {
				break
			}
			from += at
			parts = append(parts, word(Own, text, from, from+len(given), i+1))
		}
	}
	return parts
}

// word is the part of the text that is the word of this rank.
func word(kind Kind, text string, from, to, rank int) part {
	return part{kind, from, to, math.Log2(float64(rank)) + capitals(text[from:to])}
}

// capitals is what the way adds in which a word is written: a bit for Word, WORD
// and worD, and for others all ways with as many capitals, or fewer.
func capitals(word string) float64 {
	var lower, upper int
	for i := range len(word) {
		switch c := word[i]; {
		case isLower(c):
			lower++
		case isUpper(c):
			upper++
		}
	}
	switch {
	case upper == 0:
		return 0
	case lower == 0, upper == 1 && (isUpper(word[0]) || isUpper(word[len(word)-1])):
		return 1
	}
	return math.Log2(choices(lower+upper, min(lower, upper)))
}
