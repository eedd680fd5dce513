package httpapi

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/api"
)

// chainParameters are the parameters that name a chain and select its records,
// as the search of the chain has them.
func chainParameters(spec *huma.OpenAPI, search string, filtered bool, more ...*huma.Param) []*huma.Param {
	var all []*huma.Param
	for _, p := range spec.Paths[search].Get.Parameters {
		if p.Name == "tenant" || p.Name == "deleted" || filtered && slices.Contains(filterNames, p.Name) {
			all = append(all, p)
		}
	}
	return append(all, more...)
}

func exportAuditOperation(spec *huma.OpenAPI, search, id, summary string) *huma.Operation {
	form := in("query", "format", "string", "ndjson, which can be verified and is the default; or cloudevents, one event of CloudEvents 1.0 a line")
	form.Schema.Enum = []any{"ndjson", "cloudevents"}
	return &huma.Operation{
		OperationID: id, Tags: []string{"audit"}, Summary: summary,
		Description: "One JSON value a line, oldest first. An export that is cut off has no end: the connection breaks and, as ndjson, its last line is missing. " +
			"With a filter it leaves records out and cannot be verified as a chain. The export itself is put on record.",
		Parameters: chainParameters(spec, search, true, form,
			in("query", "after", "integer", "Begin behind the record with this sequence number; left out, with the first")),
		Responses: map[string]*huma.Response{
			"200": {
				Description: "The records", Headers: headers("Content-Disposition", "A name for the file"),
				Content: map[string]*huma.MediaType{api.TypeNDJSON: {
					Schema:  &huma.Schema{Type: "string", Description: "Each line is as /docs/audit-schema.json describes it, or a CloudEvent"},
					Example: exampleExport,
				}},
			},
		},
	}
}

// exampleExport shows the lines of an export, of an empty chain.
const exampleExport = `{"chain":"llm-config-0123456789abcdef/server","format":"llm-config-audit/1","from":{"hash":"0000000000000000000000000000000000000000000000000000000000000000","sequence":0}}
{"end":{"hash":"0000000000000000000000000000000000000000000000000000000000000000","sequence":0}}
`

func tailAuditOperation(spec *huma.OpenAPI, search, id, summary string) *huma.Operation {
	schemaOf[api.AuditRecord](spec)
	return &huma.Operation{
		OperationID: id, Tags: []string{"audit"}, Summary: summary,
		Description: "Server-sent events. `record` has an AuditRecord, `progress` only an id: no record up to it is wanted. Ids are sequence numbers; " +
			"Last-Event-ID resumes, in order, without duplicates and without gaps.",
		Parameters: chainParameters(spec, search, true,
			in("header", "Last-Event-ID", "integer", "The sequence number to go on after, 0 for all records; left out, now")),
		Responses: map[string]*huma.Response{
			"200": {Description: "The stream", Content: map[string]*huma.MediaType{api.TypeEvents: {Schema: &huma.Schema{Type: "string"}}}},
		},
	}
}

func verifyAuditOperation(spec *huma.OpenAPI, search, id, summary string) *huma.Operation {
	schemaOf[api.AuditProgress](spec)
	return &huma.Operation{
		OperationID: id, Tags: []string{"audit"}, Summary: summary,
		Description: "One AuditProgress a line, at most one a second; the last one has the report, also of a chain that does not hold. " +
			"An answer without a report was cut off.",
		Parameters: chainParameters(spec, search, false),
		Responses: map[string]*huma.Response{
			"200": {
				Description: "How far it is, and what was found",
				Content: map[string]*huma.MediaType{api.TypeNDJSON: {
					Schema:  &huma.Schema{Type: "string", Description: "Lines of AuditProgress"},
					Example: `{"checked":250000,"of":1000000}` + "\n",
				}},
			},
		},
	}
}
