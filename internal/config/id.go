package config

import (
	"encoding/hex"
	"time"
)

// TenantID identifies a tenant for ever: random, never reused. The zero id is
// the server itself (its own audit chain, its own tokens); no tenant has it.
type TenantID [16]byte

// String is the id as 32 hexadecimal digits.
func (id TenantID) String() string { return hex.EncodeToString(id[:]) }

// ParseTenantID reads what String wrote, and nothing else.
func ParseTenantID(text string) (TenantID, error) {
	var id TenantID
	digits, err := hex.DecodeString(text)
	if copy(id[:], digits); err != nil || id.String() != text {
		return TenantID{}, Errorf(KindBadRequest, "a tenant id has %d lower-case hexadecimal digits", 2*len(id))
	}
	return id, nil
}

// EnvironmentID identifies an environment within its tenant: 1, 2, 3 …, never
// reused, also not after the environment is deleted. Zero is none.
type EnvironmentID uint32

// Revision counts a tenant's committed mutations: 1, 2, 3 …, without gaps.
type Revision int64

// Version counts what one layer (or schema, or key) has been: 1, 2, 3 … It
// goes on after a delete. Zero is "never written".
type Version int64

// Tenant is the unit of isolation.
type Tenant struct {
	ID      TenantID
	Name    string
	Created time.Time
}
