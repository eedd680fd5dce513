package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"github.com/llm-devops/llm-config-manager/internal/service"
)

// page is an answer that stays the same while the server runs. Anybody may ask
// for it, so it is made and compressed once.
type page struct {
	header http.Header
	body   []byte
	tag    string

	packed [4]func() []byte // by service.Render
}

func newPage(body []byte, header http.Header) *page {
	sum := sha256.Sum256(body)
	p := &page{header: header, body: body, tag: hex.EncodeToString(sum[:16])}
	for i := range p.packed {
		p.packed[i] = sync.OnceValue(func() []byte { return compress(service.Render(i), body) })
	}
	return p
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	render, encoding := encodingOf(r, len(p.body))
	header := w.Header()
	for name, values := range p.header {
		header[name] = values
	}
	tag := `"` + p.tag + "-" + strconv.Itoa(int(render)) + `"`
	header["Etag"], header["Vary"], header["Cache-Control"] = []string{tag}, varyHeader, noCache
	if matches(r.Header["If-None-Match"], tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
	}
	_, _ = w.Write(p.packed[render]())
}

// openAPI is the description of the API.
func (s *Server) openAPI() []byte {
	body, err := json.Marshal(s.spec)
	if err != nil {
		panic(err) // nothing in it comes from outside
	}
	return body
}
