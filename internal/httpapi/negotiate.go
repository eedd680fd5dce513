package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// formats are what documents and answers can be had in.
var formats = map[string]config.Format{api.TypeJSON: config.JSON, api.TypeYAML: config.YAML, api.TypeTOML: config.TOML}

// acceptedFormat is the format that the caller prefers among ours.
func acceptedFormat(r *http.Request) (config.Format, error) {
	lines := r.Header["Accept"]
	if len(lines) == 0 || lines[0] == "*/*" || lines[0] == api.TypeJSON {
		return config.JSON, nil
	}
	if format, ok := formats[negotiate(lines, mediaTypes)]; ok {
		return format, nil
	}
	return "", config.Errorf(config.KindNotAcceptable, "none of the accepted formats can be had").At("Accept").
		Hint("accept application/json, application/yaml or application/toml")
}

// negotiate is the offer that a header likes best, the first of those it likes
// the same, and "" when it takes none of them.
func negotiate(lines, offers []string) string {
	best, most := "", 0.0
	for _, offer := range offers {
		if q := weight(lines, offer); q > most {
			best, most = offer, q
		}
	}
	return best
}

// weight is how much a header likes an offer, from 0 to 1. What names it most
// closely counts.
func weight(lines []string, offer string) float64 {
	q, closest := 0.0, 0
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(element, ";")
			if c := closeness(strings.TrimSpace(name), offer); c > closest {
				q, closest = quality(parameters), c
			}
		}
	}
	return q
}

// closeness says how closely a name in a header means an offer; 0 is not at all.
func closeness(name, offer string) int {
	kind, _, _ := strings.Cut(offer, "/")
	switch {
	case strings.EqualFold(name, offer):
		return 3
	case len(name) == len(kind)+len("/*") && strings.EqualFold(name[:len(kind)], kind) && name[len(kind):] == "/*":
		return 2
	case name == "*/*" || name == "*":
		return 1
	}
	return 0
}

// quality is the q among the parameters of an element, 1 where there is none.
func quality(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		if q, err := strconv.ParseFloat(value, 64); err == nil && q >= 0 && q <= 1 {
			return q
		}
	}
	return 1
}
