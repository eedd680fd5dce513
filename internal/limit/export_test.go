package limit

// Accounts is how many accounts are kept.
func (l *Limiter) Accounts() (n int) {
	for i := range l.shards {
		n += len(l.shards[i].accounts)
	}
	return n
}
