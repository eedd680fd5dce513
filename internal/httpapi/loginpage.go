package httpapi

import (
	"html/template"
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
)

// loginPage has nothing but text: no script, no style, no form, nothing from
// anywhere. The refresh is not a redirect, because a browser does not send the new
// session along while it follows redirects that began at another site.
var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
{{with .To}}<meta http-equiv="refresh" content="0;url={{.}}">
{{end}}<title>LLM-Config-Manager</title></head><body>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{with .To}}<p><a href="{{.}}">Go on</a></p>
{{end}}{{with .Request}}<p>Request {{.}}</p>
{{end}}</body></html>
`))

type loginText struct{ Title, Text, To, Request string }

var noScripts = []string{"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}

// pageHeader keeps what is in a page's address and in the page to it.
func pageHeader(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h["Content-Security-Policy"] = noScripts
}

func writePage(w http.ResponseWriter, status int, text loginText) {
	pageHeader(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = loginPage.Execute(w, text) // whoever asked may have gone
}

func (s *Server) goOnPage(w http.ResponseWriter, to string) {
	writePage(w, http.StatusOK, loginText{Title: "You are logged in", Text: "You are taken to where you wanted to go.", To: to})
}

func (s *Server) loggedOutPage(w http.ResponseWriter) {
	writePage(w, http.StatusOK, loginText{Title: "You are logged out", Text: "This browser has forgotten its login here. At the issuer you may still be logged in."})
}

// failedPage tells a person what fail tells a program.
func (s *Server) failedPage(w http.ResponseWriter, r *http.Request, err error) {
	p, state := problem(err), stateOf(r.Context())
	state.failed(err, p.Code)
	switch p.Code {
	case api.CodeUnauthenticated:
		w.Header().Set("WWW-Authenticate", `Bearer realm="llm-config"`)
	case api.CodeUnavailable, api.CodeRateLimited, api.CodeOverloaded:
		w.Header().Set("Retry-After", retryAfter(err))
	}
	text := p.Detail + "."
	if p.Next != "" {
		text += " To do: " + p.Next + "."
	}
	writePage(w, p.Status, loginText{Title: "This did not work", Text: text, Request: state.requestID})
}
