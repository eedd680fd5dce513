package httpapi

import (
	"net/netip"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// tokenRequest reads what a new token shall be.
func tokenRequest(in api.NewToken) (service.TokenRequest, error) {
	request := service.TokenRequest{Name: in.Name, TTL: seconds(in.TTLSeconds)}
	request.Grants = access.Grants{
		Roles: in.Roles, Environments: in.Environments, Actions: some(in.Actions, func(a string) access.Action { return access.Action(a) }),
		Certificate: strings.ToLower(in.Certificate),
	}
	if strings.HasPrefix(in.Certificate, "spiffe://") { // which is case-sensitive
		request.Grants.Certificate = in.Certificate
	}
	for _, text := range in.Paths {
		prefix, err := parameter(config.ParsePrefix(text))("/paths")
		if err != nil {
			return request, err
		}
		request.Grants.Paths = append(request.Grants.Paths, prefix)
	}
	for _, text := range in.Addresses {
		prefix, err := address(text)
		if err != nil {
			return request, err
		}
		request.Grants.Addresses = append(request.Grants.Addresses, prefix)
	}
	return request, nil
}

// address reads an address or a network.
func address(text string) (netip.Prefix, error) {
	if one, err := netip.ParseAddr(text); err == nil && one.Zone() == "" {
		one = one.Unmap()
		return netip.PrefixFrom(one, one.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, config.Errorf(config.KindBadRequest, "an address or network does not parse").At("/addresses").
			Hint("write them like 10.0.0.7 or 10.0.0.0/8")
	}
	return prefix.Masked(), nil
}

func tokenRights(roles []string, g access.Grants) api.TokenRights {
	return api.TokenRights{
		Roles: roles, Environments: g.Environments, Certificate: g.Certificate,
		Paths:     some(g.Paths, config.Prefix.String),
		Actions:   some(g.Actions, func(a access.Action) string { return string(a) }),
		Addresses: some(g.Addresses, netip.Prefix.String),
	}
}
