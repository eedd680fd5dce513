package secret

import (
	"encoding/json"
	"errors"
)

// Encode writes the record as JSON.
func (r Record) Encode() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic("secret: a record is always JSON: " + err.Error())
	}
	return text
}

// DecodeRecord reads what Encode wrote.
func DecodeRecord(text []byte) (Record, error) {
	var r Record
	if json.Unmarshal(text, &r) != nil {
		return Record{}, errors.New("secret: the record of a secret cannot be read")
	}
	return r, nil
}
