package policy

import (
	_ "embed"
	"sync"

	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedarschema
var schemaText string

// Schema is the Cedar schema that the policies of every tenant must fit.
func Schema() string { return schemaText }

// resolvedSchema is the schema with its types looked up. Its text is ours, so
// that a fault in it is a fault of the program.
var resolvedSchema = sync.OnceValue(func() *resolved.Schema {
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(schemaText)); err != nil {
		panic("policy: the schema does not parse: " + err.Error())
	}
	r, err := s.Resolve()
	if err != nil {
		panic("policy: the schema does not resolve: " + err.Error())
	}
	return r
})

// validator checks policies against the schema, strictly. It is never changed.
var validator = sync.OnceValue(func() *validate.Validator {
	return validate.New(resolvedSchema(), validate.WithStrict())
})
