package policy_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// expression makes a condition of so many levels at most.
func (d dice) expression(levels int) expression {
	if levels == 0 || d.one(2) {
		return d.leaf()
	}
	a, b := d.expression(levels-1), d.expression(levels-1)
	either := a.labelled || b.labelled
	switch d.IntN(4) {
	case 0:
		return expression{"(" + a.text + " && " + b.text + ")", func(m *moment) (bool, bool) {
			if holds, fails := a.value(m); fails || !holds {
				return false, fails
			}
			return b.value(m)
		}, either}
	case 1:
		return expression{"(" + a.text + " || " + b.text + ")", func(m *moment) (bool, bool) {
			if holds, fails := a.value(m); fails || holds {
				return holds, fails
			}
			return b.value(m)
		}, either}
	case 2:
		return expression{"!(" + a.text + ")", func(m *moment) (bool, bool) {
			holds, fails := a.value(m)
			return !holds, fails
		}, a.labelled}
	}
	c := d.leaf()
	return expression{"(if " + c.text + " then " + a.text + " else " + b.text + ")", func(m *moment) (bool, bool) {
		holds, fails := c.value(m)
		switch {
		case fails:
			return false, true
		case holds:
			return a.value(m)
		}
		return b.value(m)
	}, either || c.labelled}
}

// leaf makes a condition that is made of no others.
func (d dice) leaf() expression {
	switch d.IntN(6) {
	case 0:
		return d.onPrincipal()
	case 1, 4:
		return d.onResource()
	case 2:
		return d.onConnection()
	case 3:
		return d.onTime()
	}
	return d.onToken()
}

// sure is a condition that never fails.
func sure(text string, holds func(m *moment) bool) expression {
	return expression{text: text, value: func(m *moment) (bool, bool) { return holds(m), false }}
}

// needing is a condition that fails without what it looks at.
func needing(text string, has, holds func(m *moment) bool) expression {
	return expression{text: text, value: func(m *moment) (bool, bool) {
		if !has(m) {
			return false, true
		}
		return holds(m), false
	}}
}

func (d dice) onPrincipal() expression {
	tag, value, who := pick(d, tagNames), pick(d, hostile), d.somebody()
	has := func(m *moment) bool { _, ok := m.claims[tag]; return ok }
	switch d.IntN(4) {
	case 0:
		return sure("principal.hasTag("+quote(tag)+")", has)
	case 1:
		return needing("principal.getTag("+quote(tag)+").contains("+quote(value)+")", has, func(m *moment) bool { return slices.Contains(m.claims[tag], value) })
	case 2:
		return sure("principal in "+who.String(), func(m *moment) bool { return m.principal == who || m.principalAncestors[who] })
	}
	other := d.somebody()
	return sure(fmt.Sprintf("principal in [%s, %s]", who, other), func(m *moment) bool {
		return m.principal == who || m.principal == other || m.principalAncestors[who] || m.principalAncestors[other]
	})
}

func (d dice) onResource() expression {
	tag, value, where := pick(d, tagNames), pick(d, hostile), d.place()
	has := func(m *moment) bool { _, ok := m.labels[tag]; return ok }
	placed := func(m *moment) bool {
		return m.resource.kind == "Document" || m.resource.kind == "Secret" || m.resource.kind == "Folder"
	}
	var e expression
	switch d.IntN(7) {
	case 6:
		e = sure("(if context has token then resource else resource).hasTag("+quote(tag)+")", has)
		e.labelled = true
	case 0:
		e = sure("resource.hasTag("+quote(tag)+")", has)
		e.labelled = true
	case 1:
		e = needing("resource.getTag("+quote(tag)+") == "+quote(value), has, func(m *moment) bool { return m.labels[tag] == value })
		e.labelled = true
	case 2:
		e = sure("resource in "+where.String(), func(m *moment) bool { return m.resource == where || m.resAbove[where] })
	case 3:
		environment := pick(d, environments)
		e = needing("resource.environment == "+quote(environment), placed, func(m *moment) bool { return m.request.Resource.Environment == environment })
	case 4:
		path := pick(d, paths)
		e = needing("resource.path like \""+path+"*\"", placed, func(m *moment) bool {
			r := m.request.Resource
			return strings.HasPrefix(r.Path.String()+r.Prefix.String(), path)
		})
	default:
		kind := pick(d, []string{"Document", "Secret", "Folder", "Environment", "Tenant"})
		e = sure("resource is "+kind, func(m *moment) bool { return m.resource.kind == kind })
	}
	return e
}

func (d dice) onConnection() expression {
	from := func(m *moment) netip.Addr { return m.request.Source.Unmap() }
	has := func(m *moment) bool { return from(m).IsValid() }
	certified := func(m *moment) bool { return m.request.Principal.Certificate != nil }
	switch d.IntN(6) {
	case 0:
		return sure("context has source", has)
	case 1:
		return needing(`context.source.isInRange(ip("10.0.0.0/16"))`, has, func(m *moment) bool { return netip.MustParsePrefix("10.0.0.0/16").Contains(from(m)) })
	case 2:
		return sure("context has certificate.spiffe", func(m *moment) bool { return certified(m) && m.request.Principal.Certificate.SPIFFE != "" })
	case 3:
		return needing(`context.certificate.dns.contains("gateway.acme")`, certified, func(m *moment) bool {
			return slices.Contains(m.request.Principal.Certificate.DNS, "gateway.acme")
		})
	case 4:
		fingerprint := [32]byte{1}
		return needing(`context.certificate.fingerprint == "`+hex.EncodeToString(fingerprint[:])+`"`, certified, func(m *moment) bool {
			return m.request.Principal.Certificate.Fingerprint == fingerprint
		})
	}
	return sure("(context has certificate && context has source)", func(m *moment) bool { return has(m) && certified(m) })
}

func (d dice) onTime() expression {
	day := 1 + d.IntN(7)
	when := weekStart.Add(time.Duration(d.IntN(7*24)) * time.Hour)
	switch d.IntN(4) {
	case 0:
		return sure(fmt.Sprintf("context.weekday == %d", day), func(m *moment) bool {
			return int(m.request.Time.Sub(weekStart)/(24*time.Hour))+1 == day
		})
	case 1:
		return sure(`context.time < datetime("`+when.Format("2006-01-02T15:04:05Z")+`")`, func(m *moment) bool { return m.request.Time.Before(when) })
	case 2:
		return sure(`(if context has issuer then context else context).method == "token"`, func(m *moment) bool {
			return m.request.Principal.Method == access.MethodToken
		})
	}
	return expression{text: "context.method < 3", value: func(*moment) (bool, bool) { return false, true }}
}

func (d dice) onToken() expression {
	byToken := func(m *moment) bool { return m.request.Principal.Method == access.MethodToken }
	switch d.IntN(5) {
	case 0:
		method := pick(d, []string{access.MethodToken, access.MethodIdentity, access.MethodCertificate})
		return sure("context.method == "+quote(method), func(m *moment) bool { return m.request.Principal.Method == method })
	case 1:
		issuer := func(m *moment) bool { return m.request.Principal.Issuer != "" }
		return needing(`context.issuer == "ci"`, issuer, func(m *moment) bool { return m.request.Principal.Issuer == "ci" })
	case 2:
		return sure("context has token", byToken)
	case 3:
		environment := pick(d, environments)
		return needing("context.token.environments.contains("+quote(environment)+")", byToken, func(m *moment) bool {
			s := m.request.Principal.Scope
			return s != nil && slices.Contains(s.Environments, environment)
		})
	}
	truth := d.one(2)
	return sure(fmt.Sprint(truth), func(*moment) bool { return truth })
}
