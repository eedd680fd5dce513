package httpapi_test

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

// What a caller accepts is read as RFC 9110 has it, whatever it looks like.
func TestAccept(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "a", `{"x":1}`)
	config, list := n.path(api.RouteConfig, "base", "a"), n.path(api.RouteConfigs, "base")
	for accept, want := range map[string]string{
		"":                                api.TypeJSON,
		"*/*":                             api.TypeJSON,
		"application/*":                   api.TypeJSON,
		"application/json":                api.TypeJSON,
		"APPLICATION/YAML":                api.TypeYAML,
		"application/yaml; charset=utf-8": api.TypeYAML,
		"application/json;q=0.5,application/yaml":     api.TypeYAML,
		"application/json;q=0, */*":                   api.TypeYAML,
		"application/toml;q=0.2,text/html":            api.TypeTOML,
		"text/html, application/xhtml+xml, */*;q=0.8": api.TypeJSON,
		"application/yaml;q=0.1, application/*;q=0.9": api.TypeJSON,
		"*/*;q=0.1, application/toml;q=0.2":           api.TypeTOML,
		"application/yaml;,x":                         api.TypeYAML,
		",,;;q=,application/yaml":                     api.TypeYAML,
	} {
		for _, target := range []string{config, list} {
			got := n.call(t, "GET", target, nil, "Accept", accept)
			if got.status != 200 || got.header.Get("Content-Type") != want {
				t.Errorf("Accept %q of %s: %d %s", accept, target, got.status, got.header.Get("Content-Type"))
			}
		}
	}
	for _, accept := range []string{"text/html", "application/xml", "image/*", "application/json;q=0", "*/*;q=0", "application/json;q=0, application/yaml;q=0.0, application/toml;q=0.000", "garbage", ";"} {
		for _, target := range []string{config, list} {
			if p := n.call(t, "GET", target, nil, "Accept", accept).refused(t, api.CodeNotAcceptable); p.Pointer != "Accept" || p.Next == "" {
				t.Errorf("Accept %q: %+v", accept, p)
			}
		}
	}
}

func TestAcceptEncoding(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "a", `{"x":"`+long+`"}`)
	for _, target := range []string{n.path(api.RouteConfig, "base", "a"), n.path(api.RouteLayer, "base", "a"), n.path(api.RouteBundle, "base"), api.RouteOpenAPI, api.RouteDocumentation} {
		for accept, want := range map[string]string{
			"":                     "",
			"identity":             "",
			"deflate":              "",
			"gzip":                 "gzip",
			"GZIP":                 "gzip",
			"gzip, br, zstd":       "zstd",
			"gzip, br":             "br",
			"*":                    "zstd",
			"zstd;q=0, *":          "br",
			"gzip;q=0":             "",
			"gzip; q=0.0":          "",
			"gzip;q=0.5, br;q=0.4": "gzip",
			"identity, gzip;q=0.5": "",
			"identity;q=0.5, gzip": "gzip",
			"gzip;,x":              "gzip",
			";,;;":                 "",
		} {
			got := n.call(t, "GET", target, nil, "Accept-Encoding", accept)
			if got.status != 200 || got.header.Get("Content-Encoding") != want {
				t.Errorf("Accept-Encoding %q of %s: %d %q", accept, target, got.status, got.header.Get("Content-Encoding"))
			}
			if got := got.header.Get("Vary"); got != "Accept, Accept-Encoding" {
				t.Errorf("Vary of %s is %q", target, got)
			}
		}
	}
}
