package archive

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// cloud is as much of an object store as the archive uses, in memory: objects by
// bucket and key, and the parts of those that are still being put there.
type cloud struct {
	t *testing.T

	mu      sync.Mutex
	objects map[string][]byte         // "bucket/key" → body
	parts   map[string]map[int][]byte // upload → number → part
	ids     map[string]int            // block → number, of Azure
	uploads int                       // in parts, that were begun
	asked   []string                  // method and URL of each request
	refuse  func(http.ResponseWriter) // answers every request; nil: nothing does
	hang    chan struct{}             // requests wait for it to be closed; nil: they do not
}

func newCloud(t *testing.T, serve func(*cloud, http.ResponseWriter, *http.Request, []byte)) (*cloud, *httptest.Server) {
	t.Helper()
	c := &cloud{t: t, objects: map[string][]byte{}, parts: map[string]map[int][]byte{}, ids: map[string]int{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the caller is gone
		}
		c.mu.Lock()
		c.asked = append(c.asked, r.Method+" "+r.URL.String())
		refuse, hang := c.refuse, c.hang
		c.mu.Unlock()
		if hang != nil {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			return
		}
		if refuse != nil {
			refuse(w)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		serve(c, w, r, body)
	}))
	t.Cleanup(s.Close)
	return c, s
}

func (c *cloud) part(upload string, number int, body []byte) {
	if c.parts[upload] == nil {
		c.parts[upload] = map[int][]byte{}
	}
	c.parts[upload][number] = body
}

// whole joins the parts of an upload, which is over then.
func (c *cloud) whole(upload string) []byte {
	parts := c.parts[upload]
	delete(c.parts, upload)
	var body []byte
	for _, number := range slices.Sorted(maps.Keys(parts)) {
		body = append(body, parts[number]...)
	}
	return body
}

func etag(body []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(body)) }

func object(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("ETag", etag(body))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Last-Modified", "Sun, 01 Nov 2026 12:00:00 GMT")
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// unchunked takes the AWS frames off a body: each chunk has its length before
// it, and checksums follow as trailers.
func unchunked(t *testing.T, r *http.Request, body []byte) []byte {
	if !strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		return body
	}
	var whole []byte
	for {
		line, rest, found := bytes.Cut(body, []byte("\r\n"))
		size, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if !found || err != nil || int64(len(rest)) < n {
			t.Errorf("a chunk begins with %q", line)
			return nil
		}
		if n == 0 {
			return whole
		}
		whole, body = append(whole, rest[:n]...), rest[n+2:]
	}
}

// serveS3 has path-style addresses: /BUCKET/KEY.
func serveS3(c *cloud, w http.ResponseWriter, r *http.Request, body []byte) {
	key, query := strings.TrimPrefix(r.URL.Path, "/"), r.URL.Query()
	body = unchunked(c.t, r, body)
	answer := func(name string, fields ...string) {
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprintf(w, "<%s>%s</%s>", name, strings.Join(fields, ""), name)
	}
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKID/"):
		w.WriteHeader(http.StatusForbidden)
		answer("Error", "<Code>AccessDenied</Code>")
	case r.Method == http.MethodPost && query.Has("uploads"):
		c.uploads++
		answer("InitiateMultipartUploadResult", fmt.Sprintf("<UploadId>u%d</UploadId>", c.uploads))
	case r.Method == http.MethodPut && query.Has("uploadId"):
		number, _ := strconv.Atoi(query.Get("partNumber"))
		c.part(query.Get("uploadId"), number, body)
		w.Header().Set("ETag", etag(body))
	case r.Method == http.MethodPost && query.Has("uploadId"):
		c.objects[key] = c.whole(query.Get("uploadId"))
		answer("CompleteMultipartUploadResult", "<ETag>&quot;x&quot;</ETag>")
	case r.Method == http.MethodDelete && query.Has("uploadId"):
		delete(c.parts, query.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		c.objects[key] = body
		w.Header().Set("ETag", etag(body))
	case r.Method == http.MethodDelete:
		delete(c.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		if found, ok := c.objects[key]; ok {
			object(w, r, found)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		answer("Error", "<Code>NoSuchKey</Code>")
	default:
		c.t.Errorf("S3 was asked %s %s", r.Method, r.URL)
	}
}

// serveGCS has the JSON API for writing and the XML API for reading.
func serveGCS(c *cloud, w http.ResponseWriter, r *http.Request, body []byte) {
	answer := func(key string) {
		sum := md5.Sum(c.objects[key])
		bucket, name, _ := strings.Cut(key, "/")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"bucket": bucket, "name": name, "generation": "1", "size": strconv.Itoa(len(c.objects[key])), "md5Hash": base64.StdEncoding.EncodeToString(sum[:]),
		})
	}
	name := func(metadata []byte) string {
		var o struct{ Name string }
		if err := json.Unmarshal(metadata, &o); err != nil {
			c.t.Errorf("the metadata %q: %v", metadata, err)
		}
		return o.Name
	}
	bucket, isUpload := strings.CutPrefix(r.URL.Path, "/upload/storage/v1/b/")
	bucket = strings.TrimSuffix(bucket, "/o")
	api, isAPI := strings.CutPrefix(r.URL.EscapedPath(), "/storage/v1/b/")
	switch query := r.URL.Query(); {
	case isUpload && query.Get("uploadType") == "multipart":
		metadata, media := related(c.t, r, body)
		key := bucket + "/" + name(metadata)
		c.objects[key] = media
		answer(key)
	case isUpload && query.Get("uploadType") == "resumable" && query.Get("upload_id") == "":
		c.uploads++
		id := bucket + "/" + name(body)
		w.Header().Set("Location", "http://"+r.Host+r.URL.Path+"?uploadType=resumable&upload_id="+id)
	case isUpload:
		id := query.Get("upload_id")
		c.part(id, len(c.parts[id]), body)
		if strings.HasSuffix(r.Header.Get("Content-Range"), "/*") {
			sent := 0
			for _, part := range c.parts[id] {
				sent += len(part)
			}
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", sent-1))
			w.Header().Set("X-HTTP-Status-Code-Override", "308")
			return
		}
		c.objects[id] = c.whole(id)
		answer(id)
	case isAPI && r.Method == http.MethodDelete:
		key := strings.ReplaceAll(strings.Replace(api, "/o/", "/", 1), "%2F", "/")
		if _, ok := c.objects[key]; !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		delete(c.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet:
		found, ok := c.objects[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		sum := crc32.Checksum(found, crc32.MakeTable(crc32.Castagnoli))
		w.Header().Set("X-Goog-Hash", "crc32c="+base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}))
		w.Header().Set("X-Goog-Generation", "1")
		object(w, r, found)
	default:
		c.t.Errorf("GCS was asked %s %s", r.Method, r.URL)
	}
}

// related are the two parts of a multipart/related body: metadata and media.
func related(t *testing.T, r *http.Request, body []byte) (metadata, media []byte) {
	_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	reader := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	var parts [2][]byte
	for i := range parts {
		part, err := reader.NextPart()
		if err != nil {
			t.Error(err)
			return nil, nil
		}
		if parts[i], err = io.ReadAll(part); err != nil {
			t.Error(err)
		}
	}
	return parts[0], parts[1]
}

// serveAzure has the addresses of the local emulator: /ACCOUNT/CONTAINER/KEY.
func serveAzure(c *cloud, w http.ResponseWriter, r *http.Request, body []byte) {
	key, query := strings.TrimPrefix(r.URL.Path, "/"), r.URL.Query()
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey account:"):
		w.WriteHeader(http.StatusForbidden)
	case r.Method == http.MethodPut && query.Get("comp") == "block":
		if c.parts[key] == nil {
			c.uploads++
		}
		number := len(c.ids)
		c.ids[query.Get("blockid")] = number
		c.part(key, number, body)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut && query.Get("comp") == "blocklist":
		var list struct{ Latest []string }
		if err := xml.Unmarshal(body, &list); err != nil {
			c.t.Error(err)
		}
		var whole []byte
		for _, id := range list.Latest {
			whole = append(whole, c.parts[key][c.ids[id]]...)
		}
		delete(c.parts, key)
		c.objects[key] = whole
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		if r.Header.Get("x-ms-blob-type") != "BlockBlob" {
			c.t.Errorf("the blob's type is %q", r.Header.Get("x-ms-blob-type"))
		}
		c.objects[key] = body
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet, r.Method == http.MethodHead, r.Method == http.MethodDelete:
		found, ok := c.objects[key]
		if !ok {
			w.Header().Set("x-ms-error-code", "BlobNotFound")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if r.Method == http.MethodDelete {
			delete(c.objects, key)
			w.WriteHeader(http.StatusAccepted)
			return
		}
		w.Header().Set("x-ms-blob-type", "BlockBlob")
		object(w, r, found)
	default:
		c.t.Errorf("Azure was asked %s %s", r.Method, r.URL)
	}
}
