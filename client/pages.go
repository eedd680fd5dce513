package client

import "iter"

// Page selects a part of a list. The zero Page is the first, of the server's
// usual size.
type Page struct {
	Limit  int    // entries of a page, 1 to 1000; 0 leaves it to the server
	Cursor string // the next_cursor of the page before; empty means the first
}

func (p Page) apply(r *request) { r.setInt("limit", int64(p.Limit)).set("cursor", p.Cursor) }

// all goes through every page from the given one on. It ends after an error.
func all[T any](page Page, fetch func(Page) (entries []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for p := page; ; {
			entries, next, err := fetch(p)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, entry := range entries {
				if !yield(entry, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			p.Cursor = next
		}
	}
}
