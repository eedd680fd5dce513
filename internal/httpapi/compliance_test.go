package httpapi_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
)

// A report comes as a value or as text to read, and is put on record.
func TestCompliance(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "p", `{}`)
	for _, f := range compliance.Frameworks {
		target := n.path(api.RouteCompliance, string(f.Name))
		var report compliance.Report
		n.call(t, "GET", target, nil).want(t, 200).wantHeaders(t, "Content-Type", api.TypeJSON, "Cache-Control", "no-store").into(t, &report)
		if report.Framework.Name != f.Name || report.Tenant != n.name || len(report.Controls) == 0 || !report.Verification.Holds {
			t.Errorf("%s: %+v", f.Name, report)
		}
		for accept, query := range map[string]string{"": "?format=markdown", api.TypeMarkdown: "", "text/*, application/json;q=0.5": "", "application/json": "?format=markdown"} {
			got := n.call(t, "GET", target+query, nil, "Accept", accept).want(t, 200).wantHeaders(t, "Content-Type", "text/markdown; charset=utf-8")
			if !strings.HasPrefix(string(got.body), "# ") {
				t.Errorf("%s, %q%s: %.100s", f.Name, accept, query, got.body)
			}
		}
	}
	soc2 := n.path(api.RouteCompliance, "soc2")
	n.call(t, "GET", soc2, nil, "Accept", "application/yaml, text/markdown;q=0.1").want(t, 200).wantHeaders(t, "Content-Type", api.TypeYAML)
	n.call(t, "GET", soc2, nil, "Accept", "text/html").refused(t, api.CodeNotAcceptable)
	n.call(t, "HEAD", soc2, nil).want(t, 405)
	w.call(t, w.root, "GET", api.Build(api.RouteServerComply, "hipaa")+"?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", nil).want(t, 200)
	for query, pointer := range map[string]string{"?from=x": "from", "?to=x": "to", "?format=xml": "format", "?deleted=" + aTrace: "deleted", "?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z": "to"} {
		if p := n.call(t, "GET", soc2+query, nil).refused(t, api.CodeBadRequest); p.Pointer != pointer {
			t.Errorf("%s: %+v", query, p)
		}
	}
	if p := n.call(t, "GET", n.path(api.RouteCompliance, "none"), nil).refused(t, api.CodeBadRequest); p.Pointer != "framework" || !strings.Contains(p.Next, "soc2") {
		t.Errorf("%+v", p)
	}
	if got := n.search(t, "event=compliance.report"); len(got) == 0 {
		t.Error("no report is on record")
	}
}

// What an export holds is as the schema that is served says.
func TestAuditSchemaIsServed(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "p", `{}`)
	n.sign(t)
	got := w.call(t, "", "GET", api.RouteAuditSchema, nil).want(t, 200).wantHeaders(t, "Content-Type", "application/schema+json")
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///audit-schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("file:///audit-schema.json")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range bytes.Lines(n.call(t, "GET", n.path(api.RouteAuditExport), nil).want(t, 200).body) {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, line)
		}
		lines++
	}
	if lines < 5 {
		t.Errorf("%d lines", lines)
	}
}
