package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// list is one question that is answered page by page.
type list[T any] struct {
	query    store.Query
	page     store.Page
	position func(*T) string // what the page after this item begins behind
}

// read asks for one item more than the page holds, which tells whether there is
// another page.
func (l list[T]) read(
	ctx context.Context, s *Store, ask func(c *conn, after string, limit int64, add func(T)) error,
) ([]T, store.Cursor, error) {
	if err := checkLimit(l.page.Limit); err != nil {
		return nil, "", err
	}
	after, err := store.DecodeCursor(l.query, l.page.Cursor)
	if err != nil {
		return nil, "", err
	}
	var items []T
	err = s.snapshot(ctx, func(c *conn) error {
		return ask(c, after, int64(l.page.Limit)+1, func(item T) { items = append(items, item) })
	})
	if err != nil || len(items) <= l.page.Limit {
		return items, "", err
	}
	items = items[:l.page.Limit]
	return items, store.EncodeCursor(l.query, l.position(&items[len(items)-1])), nil
}

func checkLimit(limit int) error {
	if limit < 1 {
		return config.Errorf(config.KindBadRequest, "a limit must be at least 1, not %d", limit).At("limit")
	}
	return nil
}
