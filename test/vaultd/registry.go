package main

import (
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/sdk/helper/consts"
)

// registry says which engines are built in: transit.
type registry struct{}

func (registry) Contains(name string, kind consts.PluginType) bool {
	return name == "transit" && (kind == consts.PluginTypeSecrets || kind == consts.PluginTypeUnknown)
}

func (r registry) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	if !r.Contains(name, kind) {
		return nil, false
	}
	return func() (any, error) { return transit.Factory, nil }, true
}

func (r registry) Keys(kind consts.PluginType) []string {
	if r.Contains("transit", kind) {
		return []string{"transit"}
	}
	return nil
}

func (r registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}
