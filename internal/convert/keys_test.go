package convert_test

import (
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/convert"
)

// random is text that looks drawn. Provider keys are put together here, so that
// no scanner takes this file for one that holds some.
func random(n int) string {
	const drawn = "q7Zt2mKx9LwPv4RbYc8JdNf3HsGa6TeUi1ZoXk5WnEjM0rBvQyCl2pDhS8uFgA9t"
	return strings.Repeat(drawn, n/len(drawn)+1)[:n]
}

func hex(n int) string {
	const drawn = "9f3a7c1be05d824669af13c7d2e8b40571fa3c9d6e0b8247"
	return strings.Repeat(drawn, n/len(drawn)+1)[:n]
}

func TestLooksLikeKey(t *testing.T) {
	key := func(name, value string) {
		t.Helper()
		if why, yes := convert.LooksLikeKey(name, value); !yes || why == "" {
			t.Errorf("%s=%s is not taken for a key", name, value)
		}
	}
	plain := func(name, value string) {
		t.Helper()
		if why, yes := convert.LooksLikeKey(name, value); yes {
			t.Errorf("%s=%s is taken for a key: %s", name, value, why)
		}
	}

	// By what the value looks like, whatever the name.
	for _, value := range []string{
		"sk-" + random(48), "sk-proj-" + random(60), "sk-ant-api03-" + random(90), "sk-or-v1-" + hex(64), "sk-lf-" + hex(8) + "-" + hex(24),
		"gsk_" + random(52), "xai-" + random(80), "pplx-" + hex(48), "r8_" + random(37), "hf_" + random(34), "nvapi-" + random(64), "pcsk_" + random(60),
		"AIza" + random(35), "GOCSPX-" + random(28), "ya29." + random(60), "lsv2_pt_" + hex(32) + "_" + hex(10), "glsa_" + random(32) + "_" + hex(8),
		"ghp_" + random(36), "github_pat_" + random(22) + "_" + random(59), "glpat-" + random(20), "xoxb-" + "123456789012-" + random(24), "npm_" + random(36),
		"sk_live_" + random(24), "rk_test_" + random(24), "whsec_" + random(32), "SG." + random(22) + "." + random(43), "SK" + hex(32), "key-" + hex(32),
		"dop_v1_" + hex(64), "dapi" + hex(32), "hvs." + random(24), "dp.st.prd." + random(40), "llmc_" + random(43), "pypi-" + random(60), "lin_api_" + random(40),
		"12345678:" + random(35), "https://hooks.slack.com/services/T0/B0/" + random(24), "https://discord.com/api/webhooks/1/" + random(60),
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + random(43), "Bearer " + random(30), "basic " + random(20) + "==",
		"-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\\nabc",
		"-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nabc", "AGE-SECRET-KEY-1" + strings.ToUpper(hex(58)),
		`{"type":"service_account","private_key":"-----BEGIN…"}`,
		"postgres://app:hunter2@db:5432/app", "redis://:hunter2@cache:6379/0", "https://api.example.com/v1?api_key=" + random(12),
		"postgres://app:hu/nter%2@db/app", "mongodb://a:b@one:1,b:c@two:2/x", "amqp://u:p@h,amqp://u:p@i",
		"Server=db;User Id=app;Password=hunter2;", "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=" + random(86) + "==",
		"Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=" + random(43) + "=",
		hex(32), hex(40), hex(64), random(32), random(40) + "==",
	} {
		key("SETTING", value)
	}

	// By the name, where the value says nothing.
	for _, name := range []string{
		"OPENAI_API_KEY", "OPENAI_KEY", "DB_PASSWORD", "db.password", "dbPassword", "POSTGRES_PASS", "MYSQL_PWD", "JWT_SECRET", "SECRET", "SECRET_KEY_BASE",
		"AWS_SECRET_ACCESS_KEY", "AZURE_OPENAI_API_KEY", "SESSION_TOKEN", "GITHUB_TOKEN", "ENCRYPTION_KEY", "SIGNING_KEYS", "APP_KEY", "CREDENTIALS", "HASH_SALT",
		"REDIS_AUTH", "UNLOCK_PIN", "COHERE_APIKEY", "MISTRAL_API_KEY",
	} {
		key(name, "correct horse")
		key(name, "12345678")
	}
	key("COHERE_API_KEY", hex(8)+"-"+hex(4)+"-"+hex(4)+"-"+hex(4)+"-"+hex(12)) // some keys are UUIDs
	key("AZURE_CLIENT_SECRET", "abc8Q~"+random(34))
	key("AWS_SECRET_ACCESS_KEY", "/"+random(39))

	// Settings.
	plain("OPENAI_API_KEY", "")
	plain("OPENAI_BASE_URL", "https://api.openai.com/v1")
	plain("DATABASE_URL", "postgres://db:5432/app?sslmode=require")
	plain("DATABASE_URL", "postgres://app@db/app")
	plain("DATABASE_URL", "sqlite:///var/lib/app.db")
	plain("REDIS_URL", "redis://localhost:6379/0")
	plain("PROXY", "http://proxy.example.com:3128")
	plain("SEARCH", "https://example.com/?token=true&page=2")
	plain("MAX_TOKENS", "4096")
	plain("TOKEN_LIMIT", "8000")
	plain("TOKENS_PER_MINUTE", "90000")
	plain("TOKENIZERS_PARALLELISM", "false")
	plain("TOKEN_TTL", "3600")
	plain("USE_TOKEN", "true")
	plain("API_KEY_HEADER", "X-Api-Key")
	plain("OPENAI_KEY_FILE", "/run/secrets/openai")
	plain("TLS_KEY", "/etc/tls/tls.key")
	plain("KEY_ID", "main-2024")
	plain("AWS_ACCESS_KEY_ID", "AKIA"+"IOSFODNN7EXAMPLE")
	plain("AZURE_TENANT_ID", "8a9c1f6e-1b2c-4d3e-9f80-1234567890ab")
	plain("PRIMARY_KEY", "user_id")
	plain("CACHE_KEY", "v2")
	plain("AUTH_METHOD", "oidc")
	plain("AUTH", "none")
	plain("NEXT_PUBLIC_ANALYTICS_KEY", "G-ABC123")
	plain("STRIPE_PUBLISHABLE_KEY", "pk_live_"+random(24))
	plain("LANGFUSE_PUBLIC_KEY", "pk-lf-"+hex(8))
	plain("SSH_KEY", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 someone@example.com")
	plain("CA", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")
	plain("GIT_COMMIT", hex(40))
	plain("IMAGE", "registry.example.com/app@sha256:"+hex(64))
	plain("DIGEST", "sha256:"+hex(64))
	plain("MODEL", "meta-llama/Llama-3.3-70B-Instruct-Turbo")
	plain("MODEL_NAME", "anthropic.claude-3-5-sonnet-20241022-v2")
	plain("DEPLOYMENT", "gpt-4o-mini-2024-07-18-europe-west")
	plain("GREETING", "a sentence with password in it")
	plain("NUMBER", "123456789012345678901234567890")
	plain("BUCKET", "team-platform-artifacts-production-eu")
	plain("HOSTNAME", "gateway-7c9f6d5b8-x2x4q.internal.example.com")
	for _, place := range []string{"your-api-key-here", "<your key>", "xxxxxxxx", "***", "${OPENAI_API_KEY}", "replace-me", "sk-xxx-here"} {
		plain("OPENAI_API_KEY", place)
	}
}
