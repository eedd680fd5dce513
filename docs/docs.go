// Package docs gives the program the pages of this folder that it serves.
package docs

import _ "embed" // of the files

// AuditSchema is the JSON Schema of audit records and of the lines of their exports.
//
//go:embed audit-schema.json
var AuditSchema []byte
