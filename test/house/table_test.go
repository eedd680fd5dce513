package house

// product is everything that the serve command wires together. Arrows run down
// only: what a package may import stands above it in this file.
var (
	pure    = []string{"internal/canon", "internal/config", "internal/audit"}
	storage = join(pure, "internal/store", "internal/telemetry")
	ground  = join(storage, "internal/access", "internal/access/identity", "internal/access/policy", "internal/access/identity", "internal/seal", "internal/cache", "internal/watch", "internal/secret")
	product = join(ground, "api", "client", "internal/service", "internal/httpapi", "internal/store/sqlite", "internal/settings", "internal/harden", "internal/seal/keepers", "internal/webhook", "internal/jobs", "internal/limit", "internal/transport", "internal/transport/devca", "internal/archive", "internal/sink")
)

// allowed says for each package which packages of this project its code may
// import; its tests may import more. A key ending in "/…" stands for a tree.
var allowed = map[string][]string{
	"internal/canon":     {},
	"internal/config":    {"internal/canon"},
	"internal/audit":     {"internal/canon", "internal/config"},
	"internal/secret":    {"internal/canon", "internal/config", "internal/guess"},
	"internal/guess":     {},
	"internal/harden":    {},
	"internal/telemetry": {},
	"internal/settings":  {"internal/archive", "internal/audit", "internal/config", "internal/sink", "internal/telemetry", "internal/transport", "internal/webhook"},
	"internal/webhook":   {"internal/config"},
	"internal/archive":   {"internal/config"},
	"internal/sink":      {"internal/archive", "internal/audit", "internal/canon", "internal/config", "internal/webhook"},
	"internal/convert":   {"internal/config", "internal/canon"},
	"internal/transport": {"api", "internal/config", "internal/telemetry"},

	"internal/transport/devca": {},

	"internal/compliance": {"internal/audit", "internal/config"},

	"internal/jobs":  {"internal/store", "internal/telemetry"},
	"internal/limit": {"internal/config"},

	"internal/store":           pure,
	"internal/store/storetest": join(pure, "internal/store"),
	"internal/store/sqlite":    storage,

	"internal/seal":            join(storage, "internal/guess", "internal/store"),
	"internal/seal/keepers":    {"internal/seal"},
	"internal/access":          storage,
	"internal/access/policy":   {"internal/config", "internal/access"},
	"internal/access/identity": {"internal/canon", "internal/config", "internal/access"},

	"internal/access/identity/issuertest": {},                 // tests only: a local issuer
	"internal/audit/audittest":            {"internal/audit"}, // tests only: exports that were tampered with

	"internal/access/login": {"internal/config"},

	"internal/cache":   storage,
	"internal/watch":   storage,
	"internal/service": join(ground, "internal/compliance", "internal/webhook"),
	"internal/httpapi": join(ground, "docs", "internal/access/login", "internal/compliance", "internal/limit", "internal/service", "internal/transport", "api"),

	"api":    {},
	"docs":   {},
	"client": {"api"},

	"cmd/llm-config":   {"api", "client", "internal/access/login", "internal/audit", "internal/compliance", "internal/config", "internal/canon", "internal/convert", "internal/secret", "internal/settings", "internal/transport/devca"},
	"examples/service": {"api", "client"},
	"test/…":           product,

	"cmd/llm-config-verify": {}, // for auditors, who build it from its folder alone; its tests compare it with internal/audit
}

// wiring are the files of cmd/llm-config that build a server of its parts, or a
// key for one; they alone may import all of product.
var wiring = []string{"cmd/llm-config/process.go", "cmd/llm-config/network.go", "cmd/llm-config/serve_jobs.go", "cmd/llm-config/serve_audit.go", "cmd/llm-config/serve_key.go"}

// owners says where a module may be used outside tests. What is missing here
// may be used nowhere: a library that leaks through the tree cannot be replaced.
var owners = map[string][]string{
	"github.com/BurntSushi/toml":                                     {"internal/config"},
	"github.com/andybalholm/brotli":                                  {"internal/httpapi"},
	"github.com/cedar-policy/cedar-go":                               {"internal/access/policy"},
	"github.com/danielgtaylor/huma/v2":                               {"internal/httpapi"},
	"github.com/fsnotify/fsnotify":                                   {"internal/settings"},
	"github.com/go-jose/go-jose/v4":                                  {"internal/access/identity"},
	"github.com/klauspost/compress":                                  {"internal/seal", "internal/httpapi", "internal/audit"},
	"github.com/maypok86/otter/v2":                                   {"internal/access", "internal/access/identity", "internal/access/policy", "internal/cache", "internal/seal"},
	"github.com/nbutton23/zxcvbn-go":                                 {"internal/guess"},
	"github.com/pressly/goose/v3":                                    {"internal/store/sqlite"},
	"github.com/failsafe-go/failsafe-go":                             {"internal/webhook"},
	"github.com/standard-webhooks/standard-webhooks/libraries":       {"internal/webhook"},
	"github.com/prometheus/client_golang":                            {"internal/telemetry"},
	"github.com/rs/cors":                                             {"internal/transport"},
	"github.com/spf13/cobra":                                         {"cmd/llm-config"},
	"github.com/spf13/pflag":                                         {"cmd/llm-config", "internal/settings"},
	"go.yaml.in/yaml/v4":                                             {"internal/config", "internal/settings", "internal/access/identity"},
	"golang.org/x/crypto":                                            {"internal/seal"},
	"golang.org/x/mod":                                               {"internal/audit"},
	"golang.org/x/oauth2":                                            {"internal/access/login"},
	"golang.org/x/sync":                                              {"cmd/llm-config", "internal/access", "internal/seal"},
	"golang.org/x/sys":                                               {"internal/store/sqlite", "internal/secret", "internal/harden", "cmd/llm-config"},
	"golang.org/x/term":                                              {"cmd/llm-config"},
	"golang.org/x/time":                                              {"internal/limit"},
	"modernc.org/sqlite":                                             {"internal/store/sqlite"},
	"cloud.google.com/go/kms":                                        {"internal/seal/keepers"},
	"gocloud.dev":                                                    {"internal/archive"},
	"google.golang.org/api":                                          {"internal/archive", "internal/seal/keepers"},
	"google.golang.org/grpc":                                         {"internal/seal/keepers"},
	"google.golang.org/protobuf":                                     {"internal/seal/keepers"},
	"github.com/Azure/azure-sdk-for-go/sdk/azcore":                   {"internal/archive", "internal/seal/keepers"},
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity":               {"internal/seal/keepers"},
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys": {"internal/seal/keepers"},
	"github.com/aws/aws-sdk-go-v2":                                   {"internal/seal/keepers"},
	"github.com/aws/aws-sdk-go-v2/config":                            {"internal/seal/keepers"},
	"github.com/aws/aws-sdk-go-v2/credentials":                       {"internal/seal/keepers"},
	"github.com/aws/aws-sdk-go-v2/service/kms":                       {"internal/seal/keepers"},
	"github.com/aws/aws-sdk-go-v2/service/sts":                       {"internal/seal/keepers"},
	"github.com/aws/smithy-go":                                       {"internal/seal/keepers"},
	"github.com/hashicorp/vault/api":                                 {"internal/seal/keepers"},
	"github.com/ThalesGroup/crypto11":                                {"internal/seal/keepers"},
	"github.com/miekg/pkcs11":                                        {"test/…"},
	"github.com/google/go-cmp":                                       {"internal/store/storetest", "test/…"},
	"pgregory.net/rapid":                                             {"internal/store/storetest", "test/…"},
	"github.com/rogpeppe/go-internal":                                {"internal/httpapi"},
}

func join(packages []string, more ...string) []string {
	return append(append([]string{}, packages...), more...)
}
