// Package storetest is the store's contract as a test suite: one case for every
// "must" in package store. Every engine runs it, and so does everything that
// wraps one. A bug found in one engine becomes a case here.
package storetest

import (
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Run checks an engine. open must give an empty store that reads its time from
// clock, and see to its end.
func Run(t *testing.T, open func(t *testing.T, clock func() time.Time) store.Store) {
	for name, test := range map[string]func(*testing.T, *world){
		"tenants":                  tenants,
		"tenant deleted":           tenantDeleted,
		"tenant made anew":         tenantMadeAnew,
		"environments":             environments,
		"layers at revisions":      layersAtRevisions,
		"layer text":               layerText,
		"layer versions":           layerVersions,
		"scan prefix":              scanPrefix,
		"scan pages":               scanPages,
		"scan selection":           scanSelection,
		"scan history":             scanHistory,
		"versions pages":           versionsPages,
		"destroy":                  destroy,
		"edges":                    edges,
		"log":                      logEntries,
		"revision at a time":       revisionAt,
		"tags":                     tags,
		"clock goes backwards":     clockBackwards,
		"expect paths":             expectPaths,
		"expect referrers":         expectReferrers,
		"expect environments":      expectEnvironments,
		"expect everything":        expectEverything,
		"expect secrets":           expectSecrets,
		"expect secret edges":      expectSecretEdges,
		"refused leaves nothing":   refusedLeavesNothing,
		"committed":                committed,
		"concurrent writers":       concurrentWriters,
		"contended writers":        contendedWriters,
		"context":                  contextHeeded,
		"idempotent":               idempotent,
		"tokens":                   tokens,
		"tokens expire":            expireTokens,
		"audit":                    auditChain,
		"data keys":                dataKeys,
		"keys below a version":     keysBelow,
		"rewrap":                   rewrap,
		"rewrap passes over":       rewrapPassesOver,
		"rewrap under writes":      rewrapUnderWrites,
		"secret records":           secretRecords,
		"secret compare and set":   secretCompareAndSet,
		"secret values":            secretValues,
		"secret referrers":         secretReferrers,
		"scan secrets":             scanSecretsSelection,
		"scan secrets paths":       scanSecretsPaths,
		"due secrets":              dueSecrets,
		"acks":                     acks,
		"acks dropped":             acksDropped,
		"concurrent acks":          concurrentAcks,
		"served":                   served,
		"served many":              servedMany,
		"concurrent access":        concurrentAccess,
		"leases":                   leases,
		"contended lease":          contendedLease,
		"rules":                    rules,
		"rule names":               ruleNames,
		"rule versions pages":      ruleVersionsPages,
		"rule compare and set":     ruleCompareAndSet,
		"expect rules":             expectRules,
		"usage":                    usage,
		"quota":                    quota,
		"concurrent quota":         concurrentQuota,
		"past decisions":           pastDecisions,
		"token uses":               tokenUses,
		"limits":                   limits,
		"cursors":                  cursors,
		"isolation":                isolation,
		"large":                    large,
		"closed":                   closed,
		"random against reference": random,
	} {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, open)) })
	}
}
