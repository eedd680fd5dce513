package audit

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

// column is a run of integers, each of the same few bytes, that is read where it
// stands in the encoded Block. Of zero bytes it is a column of one value.
type column struct {
	base  uint64
	width int    // bytes of an integer, at most 8
	data  []byte // width bytes of each, little-endian, to be added to base
}

// at answers the integer at i.
func (c *column) at(i int) uint64 {
	switch c.width {
	case 0:
		return c.base
	case 1:
		return c.base + uint64(c.data[i])
	case 2:
		return c.base + uint64(binary.LittleEndian.Uint16(c.data[2*i:]))
	case 8:
		return c.base + binary.LittleEndian.Uint64(c.data[8*i:])
	}
	const word = 8
	if begin := i * c.width; begin+word <= len(c.data) {
		return c.base + binary.LittleEndian.Uint64(c.data[begin:])&(1<<(8*c.width)-1)
	}
	var n uint64
	for k, b := range c.data[i*c.width : (i+1)*c.width] {
		n |= uint64(b) << (8 * k)
	}
	return c.base + n
}

// above is how much more than base the highest of n integers is.
func (c *column) above(n int) (most uint64) {
	switch c.width {
	case 0:
	case 1:
		for _, b := range c.data {
			most = max(most, uint64(b))
		}
	case 2:
		for rest := c.data; len(rest) >= 2; rest = rest[2:] {
			most = max(most, uint64(binary.LittleEndian.Uint16(rest)))
		}
	default:
		for i := range n {
			most = max(most, c.at(i)-c.base)
		}
	}
	return most
}

// sum of n integers.
func (c *column) sum(n int) (sum uint64) {
	for i := range n {
		sum += c.at(i)
	}
	return sum
}

// constant says whether all integers of the column are n.
func (c *column) constant(n uint64) bool { return c.width == 0 && c.base == n }

// appendColumn writes integers: base, bytes of each, and what each is more than base.
func appendColumn(dst []byte, values []uint64) []byte {
	lowest, highest := uint64(math.MaxUint64), uint64(0)
	for _, v := range values {
		lowest, highest = min(lowest, v), max(highest, v)
	}
	if len(values) == 0 {
		lowest = 0
	}
	width := 0
	if len(values) > 0 {
		width = (bits.Len64(highest-lowest) + 7) / 8
	}
	dst = append(binary.AppendUvarint(dst, lowest), byte(width))
	for _, v := range values {
		for k := range width {
			dst = append(dst, byte((v-lowest)>>(8*k)))
		}
	}
	return dst
}

// dictionary are the different texts of a member.
type dictionary struct {
	count int
	ends  column // of each text
	text  []byte // all of them, one behind the other
}

func (d *dictionary) at(i int) string {
	begin := uint64(0)
	if i > 0 {
		begin = d.ends.at(i - 1)
	}
	return string(d.text[begin:d.ends.at(i)])
}

// chosen says for each text whether it is wanted, and whether any is.
func (d *dictionary) chosen(want func(string) bool) (set []bool, some bool) {
	text, begin := string(d.text), uint64(0) // at once, which is cheaper than one by one
	for i := range d.count {
		end := d.ends.at(i)
		if want(text[begin:end]) {
			if set == nil {
				set = make([]bool, d.count)
			}
			set[i] = true
		}
		begin = end
	}
	return set, set != nil
}

// collector makes a dictionary.
type collector struct {
	index map[string]uint64
	texts []string
}

func (c *collector) add(text string) uint64 {
	if i, ok := c.index[text]; ok {
		return i
	}
	if c.index == nil {
		c.index = map[string]uint64{}
	}
	i := uint64(len(c.texts))
	c.index[text], c.texts = i, append(c.texts, text)
	return i
}

func (c *collector) append(dst []byte) []byte {
	ends, end := make([]uint64, len(c.texts)), uint64(0)
	for i, text := range c.texts {
		end += uint64(len(text))
		ends[i] = end
	}
	dst = appendColumn(binary.AppendUvarint(dst, uint64(len(c.texts))), ends)
	dst = binary.AppendUvarint(dst, end)
	for _, text := range c.texts {
		dst = append(dst, text...)
	}
	return dst
}

var errBlock = errors.New("this is no block of the audit index")

// blockReader reads what Encode wrote. After the first failure its answers are
// zero and mean nothing.
type blockReader struct {
	rest   []byte
	failed bool
}

func (r *blockReader) fail() { r.failed, r.rest = true, nil }

// number reads an integer of at most most.
func (r *blockReader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > most {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *blockReader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// column reads n integers.
func (r *blockReader) column(n int) column {
	c := column{base: r.number(math.MaxUint64)}
	if width := r.bytes(1); len(width) == 1 && width[0] <= 8 {
		c.width = int(width[0])
	} else {
		r.fail()
	}
	if c.data = r.bytes(uint64(n) * uint64(c.width)); c.data == nil {
		c.width = 0
	}
	return c
}

// below reads n integers that are less than bound.
func (r *blockReader) below(n int, bound uint64) column {
	c := r.column(n)
	if n > 0 && (c.base >= bound || c.above(n) >= bound-c.base) {
		r.fail()
	}
	return c
}

// dictionary reads at most most texts.
func (r *blockReader) dictionary(most uint64) dictionary {
	d := dictionary{count: int(r.number(most))}
	d.ends = r.column(d.count)
	d.text = r.bytes(r.number(math.MaxUint64))
	last := uint64(0)
	for i := range d.count {
		end := d.ends.at(i)
		if end < last || end > uint64(len(d.text)) {
			r.fail()
			return dictionary{}
		}
		last = end
	}
	if last != uint64(len(d.text)) {
		r.fail()
	}
	return d
}
