package audit

import "time"

// Times are those of the Block's first and last record.
func (b *Block) Times() (first, last time.Time) { panic("not yet") }
