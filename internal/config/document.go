package config

import (
	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Bounds of a document. MaxDocumentBytes is the default of a server setting.
const (
	MaxDocumentBytes = 1 << 20
	MaxNesting       = 64
)

// Document is a JSON object (I-JSON, RFC 7493): the unit of validation and
// versioning. Its values are nil, bool, float64, string, []any and
// map[string]any. It is immutable: nobody may change what Root answers. The
// zero Document is absent, which is not the same as {}.
type Document struct {
	root      map[string]any
	canonical []byte
}

// NewDocument makes a document of values that canon.Decode could have made.
func NewDocument(root map[string]any) Document {
	return Document{root: root, canonical: canon.Append(nil, root)}
}

// Exists says whether there is a document; {} is one.
func (d Document) Exists() bool { return d.canonical != nil }

// Root is the document's object. Callers must not change it or anything in it.
func (d Document) Root() map[string]any { return d.root }

// Canonical is the document's RFC 8785 form. Callers must not change it.
func (d Document) Canonical() []byte { return d.canonical }

// Digest is the SHA-256 of the document's RFC 8785 form.
func (d Document) Digest() canon.Digest { return canon.Sum(d.canonical) }
