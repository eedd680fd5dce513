package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// developed is what dev-cert makes, as a client needs it.
type developed struct {
	devCertificates
	roots *x509.CertPool
}

func developCertificates(t *testing.T, dir string) developed {
	t.Helper()
	made, err := makeDevCertificates(dir, devHosts, "spiffe://example.test/worker", 30)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(made.Authority.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	d := developed{made, x509.NewCertPool()}
	d.roots.AppendCertsFromPEM(text)
	return d
}

// TestMutualTLS serves with what dev-cert makes, to who has a certificate of it
// and to nobody else, and takes up by itself what dev-cert makes anew.
func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	made := developCertificates(t, filepath.Join(dir, "tls"))
	admin := freeAddress(t)
	server := startServer(t, filepath.Join(dir, "data"), "--admin-listen", admin, "--tls-cert", made.Server.Certificate, "--tls-key", made.Server.Key,
		"--client-ca", made.Authority.Certificate, "--client-auth", "required")
	at := func(options ...client.Option) error {
		t.Helper()
		c, err := client.New(server.client.Address(), append(options, client.WithToken(server.token), client.WithRootCAs(made.roots), client.WithRetry(client.Retry{Attempts: 1}))...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Identity(t.Context())
		return err
	}
	if err := at(client.WithClientCertificate(made.Client.Certificate, made.Client.Key)); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := at(); err == nil {
		t.Error("without a certificate it must not be served")
	}
	if err := at(client.WithClientCertificate(made.Server.Certificate, made.Server.Key)); err == nil {
		t.Error("a server's certificate must not do for a client's")
	}
	if status, _ := getText(t, "http://"+admin+api.RouteReady); status != http.StatusOK {
		t.Errorf("a probe of the operators' listener is answered %d", status)
	}
	if _, text := getText(t, "http://"+admin+"/metrics"); !strings.Contains(text, `certificate_expires_timestamp_seconds{certificate="client-ca"}`) {
		t.Error("the metrics do not say when the authority ends")
	}

	before := shownSerial(t, server, made)
	made = developCertificates(t, filepath.Join(dir, "tls"))
	until(t, func() bool { return shownSerial(t, server, made) != before })
	if err := at(client.WithClientCertificate(made.Client.Certificate, made.Client.Key)); err != nil {
		t.Errorf("with the next certificate: %v", err)
	}
}

// TestCertificateWithoutToken asks with a certificate and nothing else: no token is
// sent, and none is missed. One that is given is sent beside it.
func TestCertificateWithoutToken(t *testing.T) {
	made := developCertificates(t, t.TempDir())
	pair, err := tls.LoadX509KeyPair(made.Server.Certificate, made.Server.Key)
	if err != nil {
		t.Fatal(err)
	}
	var sent []string
	var shown *x509.Certificate
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, shown = r.Header.Values("Authorization"), r.TLS.PeerCertificates[0]
		answer(w, api.Identity{ID: "spiffe://example.test/worker", Name: "worker", Method: "certificate"})
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: made.roots}
	server.StartTLS()
	t.Cleanup(server.Close)

	s := &teller{session: newSession(t, &wire{url: server.URL})}
	s.env = map[string]string{envAddr: server.URL, envCAFile: made.Authority.Certificate, "XDG_CONFIG_HOME": t.TempDir()}
	s.tells(t, exitFailed, "whoami", "no token is given")
	s.tells(t, exitDone, "whoami --client-cert "+made.Client.Certificate+" --client-key "+made.Client.Key, "worker")
	if shown == nil || len(shown.URIs) != 1 || shown.URIs[0].String() != "spiffe://example.test/worker" || len(sent) != 0 {
		t.Errorf("%v was shown and %q sent", shown, sent)
	}
	s.env[envClientCert], s.env[envClientKey] = made.Client.Certificate, made.Client.Key
	s.tells(t, exitDone, "whoami", "worker")
	if len(sent) != 0 {
		t.Errorf("%q was sent", sent)
	}
	s.env[envToken] = "a-token"
	s.tells(t, exitDone, "whoami", "worker")
	if len(sent) != 1 || sent[0] != "Bearer a-token" {
		t.Errorf("%q was sent beside the certificate", sent)
	}
	s.tells(t, exitFailed, "whoami --token-file "+filepath.Join(t.TempDir(), "none"), "no such file")
}

// shownSerial is the serial of the certificate that a server shows.
func shownSerial(t *testing.T, server *runningServer, made developed) (serial string) {
	t.Helper()
	config := &tls.Config{RootCAs: made.roots, VerifyConnection: func(state tls.ConnectionState) error {
		serial = state.PeerCertificates[0].SerialNumber.String()
		return nil
	}}
	c, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", strings.TrimPrefix(server.client.Address(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	return serial
}

// TestBrowsers asks a real server what it tells them.
func TestBrowsers(t *testing.T) {
	const origin = "https://console.test"
	server := startServer(t, filepath.Join(t.TempDir(), "data"), "--cors-origins", origin)
	ask := func(method, path string, header ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.client.Address()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := answer.Header.Get(name); got != value {
				t.Errorf("%s %s: %s is %q", method, path, name, got)
			}
		}
		if policy := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s %s: the policy is %q", method, path, policy)
		}
		if len(answer.Header.Values("Access-Control-Allow-Credentials")) > 0 {
			t.Errorf("%s %s: credentials are allowed", method, path)
		}
		return answer
	}
	write(t, server.client, "base", "a", `{"b":1}`)
	document := api.Build(api.RouteConfig, "default", "base", "a")
	if answer := ask("OPTIONS", document, "Origin", origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization"); answer.StatusCode != http.StatusNoContent || answer.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Errorf("a preflight is answered %d, %v", answer.StatusCode, answer.Header)
	}
	answer := ask("GET", document, "Origin", origin, "Authorization", "Bearer "+server.token)
	if vary := strings.Join(answer.Header["Vary"], ", "); answer.StatusCode != http.StatusOK || answer.Header.Get("Access-Control-Allow-Origin") != origin || !strings.Contains(vary, "Origin") || !strings.Contains(vary, "Accept") {
		t.Errorf("a read is answered %d, %v", answer.StatusCode, answer.Header)
	}
	if answer := ask("GET", document, "Origin", "https://evil.test", "Authorization", "Bearer "+server.token); answer.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin is allowed")
	}
	if answer := ask("GET", document); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token it is answered %d", answer.StatusCode)
	}
	if answer := ask("GET", api.RouteDocumentation); answer.StatusCode != http.StatusOK || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "style-src") {
		t.Errorf("the documentation is answered %d, with the policy %q", answer.StatusCode, answer.Header.Get("Content-Security-Policy"))
	}
}

// TestConnectionsAreBounded holds one connection where one is allowed.
func TestConnectionsAreBounded(t *testing.T) {
	admin := freeAddress(t)
	server := startServer(t, filepath.Join(t.TempDir(), "data"), "--max-connections", "1", "--admin-listen", admin)
	address := strings.TrimPrefix(server.client.Address(), "http://")
	held, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.client.Identity(t.Context()); err == nil {
		t.Error("a second connection must be cut")
	}
	if _, text := getText(t, "http://"+admin+"/metrics"); !strings.Contains(text, "\nllm_config_manager_connections_refused_total ") || strings.Contains(text, "connections_refused_total 0\n") {
		t.Error("it is not counted")
	}
	_ = held.Close()
	until(t, func() bool { _, err := server.client.Identity(t.Context()); return err == nil })
}

// TestForwarded speaks from two addresses of this machine, of which one is a
// trusted proxy: only its X-Forwarded-For is believed, only its last entry that is
// no proxy, and nothing else that proxies write.
func TestForwarded(t *testing.T) {
	const proxy, other = "127.0.0.2", "127.0.0.3"
	var log bytes.Buffer
	server := startLogging(t, &log, "--trusted-proxy", proxy)
	cases := []struct {
		from   string
		header http.Header
		client string
	}{
		{proxy, http.Header{}, proxy},
		{proxy, http.Header{"X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.7"},
		{proxy, http.Header{"X-Forwarded-For": {"198.51.100.1, 203.0.113.7"}}, "203.0.113.7"},
		{proxy, http.Header{"X-Forwarded-For": {"198.51.100.1", "203.0.113.7"}}, "203.0.113.7"},
		{proxy, http.Header{"X-Forwarded-For": {"203.0.113.7, 127.0.0.2"}}, "203.0.113.7"},
		{proxy, http.Header{"X-Forwarded-For": {"203.0.113.7, nonsense"}}, "unknown"},
		{proxy, http.Header{"Forwarded": {"for=203.0.113.7"}}, proxy},
		{proxy, http.Header{"X-Real-Ip": {"203.0.113.7"}, "True-Client-Ip": {"203.0.113.7"}}, proxy},
		{other, http.Header{"X-Forwarded-For": {"203.0.113.7"}}, other},
		{other, http.Header{"X-Forwarded-For": {proxy}, "Forwarded": {"for=203.0.113.7"}}, other},
	}
	for i, test := range cases {
		if status := askFrom(t, server, test.from, api.RouteLive, number(int64(i)), test.header); status != http.StatusOK {
			t.Errorf("case %d: answered %d", i, status)
		}
	}
	if status := askFrom(t, server, proxy, api.RouteIdentity, "identity", http.Header{
		"X-Forwarded-Client-Cert": {`By=spiffe://a/b;URI=spiffe://example.test/worker;Hash=00`}, "X-Ssl-Client-Verify": {"SUCCESS"},
		"X-Ssl-Client-S-Dn": {"CN=worker"}, "X-Client-Cert": {"worker"}, "Client-Cert": {":AAAA:"}, "X-Spiffe-Id": {"spiffe://example.test/worker"},
		"X-Forwarded-User": {"admin"}, "X-Remote-User": {"admin"},
	}); status != http.StatusUnauthorized {
		t.Errorf("who has nothing but what a proxy might write is answered %d", status)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for line := range strings.Lines(log.String()) {
		var entry struct{ Request, Client string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Client != "" {
			seen[entry.Request] = entry.Client
		}
	}
	for i, test := range cases {
		if got := seen["forwarded-case-"+number(int64(i))]; got != test.client {
			t.Errorf("from %s with %v: the client is %q, and expected %q", test.from, test.header, got, test.client)
		}
	}
}

// loggingServer is one whose log is read after its end.
type loggingServer struct {
	*exec.Cmd
	address string
}

func startLogging(t *testing.T, log *bytes.Buffer, flags ...string) *loggingServer {
	t.Helper()
	address := freeAddress(t)
	args := append([]string{"serve", "--dev", "--data", filepath.Join(t.TempDir(), "data"), "--listen", address}, flags...)
	c := exec.CommandContext(t.Context(), "llm-config", args...)
	c.Env = withoutRaceWait()
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	until(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return &loggingServer{c, address}
}

// askFrom asks without a token, from an address of this machine.
func askFrom(t *testing.T, server *loggingServer, from, path, name string, header http.Header) int {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	r.Header.Set(api.HeaderRequestID, "forwarded-case-"+name)
	answer, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
