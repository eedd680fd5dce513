package httpapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// markdown is the format of answers that are for people alone.
const markdown config.Format = "markdown"

var markdownHeader = []string{api.TypeMarkdown + "; charset=utf-8"}

// complianceReport runs the checks of a framework, and answers what they found
// as a value or as text.
func (s *Server) complianceReport(w http.ResponseWriter, r *http.Request) {
	request, err := complianceRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // to follow a long chain takes longer than other answers
	report, err := s.service.Compliance(r.Context(), callerOf(r.Context()), service.Chain{Tenant: r.PathValue("tenant")},
		request.framework, request.from, request.to)
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if request.format == markdown {
		buffer := bufferFor(w, r, config.JSON)
		buffer.header["Content-Type"] = markdownHeader
		_, _ = buffer.Write(compliance.Markdown(report))
		s.finish(w, r, buffer)
		return
	}
	s.answer(w, r, report, request.format)
}

// complianceParameters are what a report is asked for with.
type complianceParameters struct {
	framework compliance.Framework
	from, to  time.Time
	format    config.Format
}

func complianceRequest(r *http.Request) (in complianceParameters, err error) {
	query, err := parseQuery(r)
	if err != nil {
		return in, err
	}
	for name := range query {
		if name != "from" && name != "to" && name != "format" {
			return in, unknownParameter(name)
		}
	}
	framework, err := parameter(compliance.ParseFramework(r.PathValue("framework")))("framework")
	if err != nil {
		return in, err
	}
	in.framework = framework.Name
	if in.from, err = parameter(parseTime(query.Get("from")))("from"); err != nil {
		return in, err
	}
	if in.to, err = parameter(parseTime(query.Get("to")))("to"); err != nil {
		return in, err
	}
	switch {
	case query.Get("format") == string(markdown):
		in.format = markdown
	case query.Has("format"):
		in.format, err = formatOf(query.Get("format"))
	case negotiate(r.Header["Accept"], slices.Concat(mediaTypes, []string{api.TypeMarkdown})) == api.TypeMarkdown:
		in.format = markdown
	default:
		in.format, err = acceptedFormat(r)
	}
	return in, err
}

func complianceOperation(spec *huma.OpenAPI, id, summary string, of ...*huma.Param) *huma.Operation {
	framework := in("path", "framework", "string", "The framework")
	for _, f := range compliance.Frameworks {
		framework.Schema.Enum = append(framework.Schema.Enum, string(f.Name))
	}
	return &huma.Operation{
		OperationID: id, Tags: []string{"audit"}, Summary: summary,
		Description: "The checks of each control are run for the answer, the audit chain is followed, and the records between from and to are counted as evidence. " +
			"That a report was made is put on record.",
		Parameters: append(of, framework,
			in("query", "from", "string", "Evidence from this time (RFC 3339) on; left out, from the first record"),
			in("query", "to", "string", "Evidence from before this time (RFC 3339); left out, up to now"),
			in("query", "format", "string", "json, yaml, toml or markdown; beats Accept")),
		Responses: map[string]*huma.Response{
			"200": {Description: "The report", Content: map[string]*huma.MediaType{
				api.TypeJSON:     {Schema: schemaOf[compliance.Report](spec)},
				api.TypeMarkdown: {Schema: &huma.Schema{Type: "string"}},
			}},
		},
	}
}
