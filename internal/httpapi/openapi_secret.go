package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/api"
)

var revealParameter = in("query", "reveal", "boolean",
	"With the values of the secrets that it refers to; not with at or explain. The answer has no ETag and is not to be kept")

func bundleOperation(spec *huma.OpenAPI) *huma.Operation {
	return &huma.Operation{
		OperationID: "bundle", Tags: []string{"configs"}, Summary: "Read every effective document below a prefix, at one revision",
		Parameters: placeParameters(
			in("query", "prefix", "string", "Only this path and those below it"),
			in("query", "at", "string", "A revision, an RFC 3339 time or a tag; left out, now"),
			in("query", "min_revision", "integer", "Wait up to two seconds until this revision is there"),
			revealParameter,
		),
		Responses: map[string]*huma.Response{
			"200": {Description: "The documents", Content: map[string]*huma.MediaType{api.TypeJSON: {Schema: schemaOf[api.Bundle](spec)}}},
		},
	}
}

func readSecretOperation(spec *huma.OpenAPI) *huma.Operation {
	return &huma.Operation{
		OperationID: "get-secret", Tags: []string{"secrets"}, Summary: "Read what is known of a secret, or its values",
		Description: "The nearest secret along the environment's parents. Values are answered with reveal=true alone, and each time that is put on record.",
		Parameters: placeParameters(pathParameter,
			in("query", "reveal", "boolean", "Answer the values: of the version in use, and of the one in grace"),
			in("query", "version", "integer", "With reveal: this version"),
			in("query", "field", "string", "With reveal: this field alone"),
			in("query", "min_revision", "integer", "With reveal: wait up to two seconds until this revision is there"),
			in("query", "deleted", "boolean", "What the environment has itself, though it is deleted"),
			in("header", "If-None-Match", "string", "Answer 304 when the ETag is still this; not with reveal"),
		),
		Responses: map[string]*huma.Response{
			"200": {Description: "The secret", Headers: headers("ETag", `"r<record>"; absent when the secret is inherited, and with reveal`,
				api.HeaderRevision, "The revision of its last change; with reveal, the one it was read at"),
				Content: map[string]*huma.MediaType{api.TypeJSON: {Schema: &huma.Schema{
					AnyOf: []*huma.Schema{schemaOf[api.Secret](spec), schemaOf[api.RevealedSecret](spec)},
				}}}},
			"304": {Description: "It is what you have"},
		},
	}
}

func writeSecretOperation(spec *huma.OpenAPI, method string) *huma.Operation {
	op := &huma.Operation{
		Tags: []string{"secrets"},
		Parameters: placeParameters(pathParameter,
			in("header", "If-Match", "string", "The secret's ETag, or * for any"),
			in("header", "If-None-Match", "string", "* when there must be no secret"),
			in("header", api.HeaderIdempotent, "string", "A write that comes again with the same key is answered as before, for 24 hours"),
		),
		Responses: map[string]*huma.Response{
			"200": {Description: "What it did", Content: map[string]*huma.MediaType{api.TypeJSON: {Schema: schemaOf[api.SecretResult](spec)}},
				Headers: headers("ETag", "Of the secret as it is now", api.HeaderRevision, "The revision it made", api.HeaderReplayed, "true on an answer that was given before")},
		},
	}
	takes := func(schema *huma.Schema) {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{api.TypeJSON: {Schema: schema}}}
	}
	switch method {
	case http.MethodPut:
		op.OperationID, op.Summary = "put-secret", "Make a new version of a secret"
		takes(schemaOf[api.SecretInput](spec))
	case http.MethodPatch:
		op.OperationID, op.Summary = "patch-secret", "Change what is said about a secret"
		takes(schemaOf[api.SecretUpdate](spec))
	default:
		op.OperationID, op.Summary = "delete-secret", "Hide a secret; its versions stay until they are destroyed"
		op.Parameters = append(op.Parameters,
			in("query", "force", "boolean", "Delete it although documents refer to it"), in("header", api.HeaderMessage, "string", "Why; percent-encoded"))
	}
	return op
}
