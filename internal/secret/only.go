package secret

// Only answers one field, and wipes the others. Without such a field nothing is left.
func (f Fields) Only(name string) Fields {
	var only Fields
	for _, e := range f.list {
		if e.name == name {
			only.list = append(only.list, e)
			continue
		}
		e.field.value.Wipe()
	}
	return only
}
