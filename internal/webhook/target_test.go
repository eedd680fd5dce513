package webhook

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func TestCheck(t *testing.T) {
	var list []string
	c := New(Options{Allowed: func() []string { return list }})
	allow := func(url string) {
		t.Helper()
		if err := c.Check(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	deny := func(url string, says ...string) {
		t.Helper()
		refuse(t, c.Check(url), config.KindBadRequest, says...)
	}

	deny("https://rotator.example.com/hook", `"rotator.example.com"`, Setting, "lists no hosts")

	list = []string{"rotator.example.com", "*.hooks.example.com", "api.example.com:8443", "127.0.0.1:9000", "localhost:9001", "10.0.0.7", "[fd00::7]:9443", "*.local.example:80", "plain.example:80", "10.0.0.8:80"}
	allow("https://rotator.example.com")
	allow("https://rotator.example.com/hook?tenant=acme")
	allow("https://ROTATOR.example.com:443/")
	allow("https://a.hooks.example.com/")
	allow("https://a.b.hooks.example.com/")
	allow("https://api.example.com:8443/")
	allow("https://127.0.0.1:9000/")
	allow("http://127.0.0.1:9000/")
	allow("http://localhost:9001/")
	allow("https://10.0.0.7/")
	allow("https://[fd00:0:0::7]:9443/")

	deny("https://evil.example.com/", `"evil.example.com"`, Setting)
	deny("https://rotator.example.com.evil.test/", "not one that the server calls")
	deny("https://xrotator.example.com/", Setting)
	deny("https://hooks.example.com/", Setting)
	deny("https://xhooks.example.com/", Setting)
	deny("https://rotator.example.com:8443/", `"rotator.example.com:8443"`)
	deny("https://api.example.com/", `"api.example.com"`)
	deny("https://[fd00::7]/", `"[fd00::7]"`)
	deny("https://127.0.0.1/", Setting)
	deny("https://127.1:9000/", "host")
	deny("https://2130706433/", "host")
	deny("https://0x7f000001/", "host")
	deny("https://[::ffff:127.0.0.1]:9000/", Setting)
	deny("http://plain.example:80/", "https")
	deny("http://10.0.0.8/", "https")
	deny("http://a.local.example/", "https")
	deny("http://localhost/", Setting)

	deny("", "no URL")
	deny("rotator.example.com", "no URL")
	deny("//rotator.example.com/", "scheme")
	deny("https:rotator.example.com", "no URL")
	deny("https:///hook", "no URL")
	deny("ftp://rotator.example.com/", "scheme")
	deny("file:///etc/passwd", "no URL")
	deny("gopher://rotator.example.com/", "scheme")
	deny("https://user@rotator.example.com/", "user name")
	deny("https://user:pass@rotator.example.com/", "user name")
	deny("https://rotator.example.com@evil.test/", "user name")
	deny("https://rotator.example.com/#x", "fragment")
	deny("https://rotator.example.com/#", "fragment")
	deny("https://rotator.example.com:/", "port")
	deny("https://rotator.example.com:0/", "port")
	deny("https://rotator.example.com:00443/", "port")
	deny("https://rotator.example.com:65536/", "port")
	deny("https://rotator.example.com./", "host")
	deny("https://rotator..example.com/", "host")
	deny("https://%72otator.example.com/", "host")
	deny("https://[fe80::1%25eth0]/", "host")
	deny("https://rotatör.example.com/", "character")
	deny("https://rotator.example.com/\r\nX-Injected: 1", "character")
	deny("https://rotator.example.com/ HTTP/1.1", "character")
	deny("https://rotator.example.com\\@evil.test/", "character")
	deny("https://rotator.example.com/\x00", "character")
	deny("https://rotator.example.com/"+strings.Repeat("a", MaxURL), "2048")

	list = []string{"nonsense entry", "*"}
	deny("https://rotator.example.com/", Setting)
}

func TestPatterns(t *testing.T) {
	for _, text := range []string{"a", "localhost", "rotator.example.com", "*.example.com", "*.example.com:8443", "10.0.0.7", "10.0.0.7:1", "[::1]", "[fd00::7]:65535", "under_score.test"} {
		if err := CheckPattern(text); err != nil {
			t.Error(err)
		}
	}
	for _, text := range []string{
		"", "*", "*.", "*.com", "*.10.0.0.7", "**.example.com", "a.*.example.com", "*example.com", "https://a.example.com", "a.example.com/", "a.example.com:",
		"a.example.com:0", "a.example.com:99999", "a.example.com:http", "a..b", ".a", "a.", "-a.test", "a-.test", "a b", "::1", "[::1", "[10.0.0.7]", "[fe80::1%eth0]", "1.2.3", "a.1",
		strings.Repeat("a.", 130) + "test", strings.Repeat("a", 64) + ".test", "user@a.test",
	} {
		if err := CheckPattern(text); err == nil {
			t.Errorf("%q is taken for a host", text)
		} else if !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not name %q", err, text)
		}
	}
}

// TestReachableSeesThroughTranslations: an address that holds a forbidden one is
// forbidden itself.
func TestReachableSeesThroughTranslations(t *testing.T) {
	to := target{url: &url.URL{Scheme: "https"}, named: true}
	rapid.Check(t, func(t *rapid.T) {
		v4 := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
		if rapid.Bool().Draw(t, "metadata") {
			v4[0], v4[1] = 169, 254
		}
		plain := netip.AddrFrom4(v4)
		mapped := netip.AddrFrom16(plain.As16())
		nat64 := netip.MustParseAddr("64:ff9b::").As16()
		copy(nat64[12:], v4[:])
		sixToFour := [16]byte{0x20, 0x02, v4[0], v4[1], v4[2], v4[3]}
		want := to.reachable(plain)
		if plain.IsLinkLocalUnicast() && want {
			t.Fatalf("%s can be reached", plain)
		}
		if to.reachable(mapped) != want {
			t.Fatalf("%s and %s differ", plain, mapped)
		}
		for _, address := range []netip.Addr{netip.AddrFrom16(nat64), netip.AddrFrom16(sixToFour)} {
			if got := to.reachable(address); got != (want && !plain.IsLoopback()) {
				t.Fatalf("%s can be reached: %t, and %s: %t", plain, want, address, got)
			}
		}
	})
}

// FuzzTarget: what is taken for a target is dialed at the host and port that
// were looked for in the list, and at no other.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"https://rotator.example.com/hook?a=b", "http://127.0.0.1:9000/", "https://[fd00::7]:9443", "https://a@b/", "https://%41.test/",
		"https://a.test:443#", "https://a.test:0443/", "https://[::ffff:1.2.3.4]/", "https://a.test\r\n/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		to, err := parseTarget(text)
		if err != nil {
			if config.KindOf(err) != config.KindBadRequest {
				t.Fatal(err)
			}
			return
		}
		again, err := parseTarget(to.url.String())
		if err != nil || again.host != to.host || again.port != to.port {
			t.Fatalf("%q is sent as %q, which is %s:%s: %v", text, to.url, again.host, again.port, err)
		}
		if to.url.User != nil || to.url.Fragment != "" || strings.ContainsAny(to.url.String(), " \r\n") {
			t.Fatalf("%q", to.url)
		}
		dialed := to.url.Hostname()
		if address, err := netip.ParseAddr(dialed); err == nil {
			dialed = address.String()
		}
		if !strings.EqualFold(dialed, to.host) || to.url.Port() != "" && to.url.Port() != to.port {
			t.Fatalf("%q is dialed at %s, not %s", text, net.JoinHostPort(dialed, to.url.Port()), to.host)
		}
		if err := CheckPattern(to.address()); err != nil {
			t.Fatalf("%q cannot be put on the list: %v", to.address(), err)
		}
	})
}
