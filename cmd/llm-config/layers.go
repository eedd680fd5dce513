package main

import (
	"context"
	"maps"
	"slices"

	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// heads are the layers that environments themselves have, at one revision.
type heads struct {
	revision int64
	versions map[layerKey]int64
}

// keys are the layers by environment and path.
func (h heads) keys() []layerKey { return slices.SortedFunc(maps.Keys(h.versions), compareKeys) }

// maxListings bounds how often a list is begun anew because others write.
const maxListings = 5

// listHeads lists the layers of environments below a prefix, all as they were
// at one revision.
func listHeads(ctx context.Context, from *client.Client, environments []string, prefix string) (heads, error) {
	for range maxListings {
		found, still, err := listOnce(ctx, from, environments, prefix)
		if err != nil || still {
			return found, err
		}
	}
	return heads{}, failf("tenant %s changes faster than it can be listed", from.Tenant()).hint("try again when less is being written")
}

// listOnce also says whether the tenant stood still meanwhile.
func listOnce(ctx context.Context, from *client.Client, environments []string, prefix string) (found heads, still bool, err error) {
	found = heads{versions: map[layerKey]int64{}}
	for _, environment := range environments {
		list := client.List{Prefix: prefix, Page: client.Page{Limit: maxPage}}
		for more := true; more; more = list.Cursor != "" {
			page, err := from.Configs(ctx, environment, list)
			if err != nil {
				return found, false, err
			}
			if found.revision != 0 && found.revision != page.Revision {
				return found, false, nil
			}
			found.revision = page.Revision
			for _, entry := range page.Configs {
				for _, layer := range entry.Layers {
					if layer.Environment == environment {
						found.versions[layerKey{environment, entry.Path}] = layer.Version
					}
				}
			}
			list.Cursor = page.Next
		}
	}
	return found, true, nil
}

// readVersion reads one version of a layer.
func readVersion(ctx context.Context, from *client.Client, key layerKey, version int64) (config.Document, error) {
	read, err := from.Layer(ctx, key.environment, key.path, client.Read{At: "v" + number(version)})
	if err != nil {
		return config.Document{}, err
	}
	return config.Decode(config.JSON, read.Data, localLimits)
}
