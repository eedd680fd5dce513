package webhook

import (
	"net/netip"
	"syscall"
)

// never are networks that no webhook is called in, whatever the list says: they
// are this host's own (0.0.0.0/8), or where clouds hand out credentials.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), // link-local; metadata of most clouds
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.0/24"),       // Oracle Cloud; assigned to protocols
	netip.MustParsePrefix("240.0.0.0/4"),        // reserved; broadcast
	netip.MustParsePrefix("64:ff9b:1::/48"),     // translated by local rules, so it could be any of these
}

// Networks whose addresses hold an IPv4 address, and where.
var embedding = []struct {
	network netip.Prefix
	at      int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible
}

// reachable is what a call may be connected to. A private address is one that
// the list's host names may have; a loopback address must be named itself, so
// that no name below a listed domain can be pointed at this machine.
func (t target) reachable(address netip.Addr) bool {
	address = address.WithZone("").Unmap()
	if address.IsLoopback() {
		return t.named
	}
	if t.url.Scheme != "https" || address.IsUnspecified() || address.IsMulticast() {
		return false
	}
	for _, network := range never {
		if network.Contains(address) {
			return false
		}
	}
	for _, e := range embedding {
		if e.network.Contains(address) {
			bytes := address.As16()
			inner := netip.AddrFrom4([4]byte(bytes[e.at : e.at+4]))
			return !inner.IsLoopback() && t.reachable(inner)
		}
	}
	return true
}

// forbidden is the error of a connection that must not be made.
type forbidden struct{}

func (forbidden) Error() string { return "no webhook is called at this address" }

// control refuses connections by the address that is dialed, after the name was
// resolved: what the name stood for when it was checked does not count.
func (t target) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !t.reachable(to.Addr()) {
		return forbidden{}
	}
	return nil
}
