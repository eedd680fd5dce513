package keepers

import (
	"net/url"
	"strings"
	"testing"
)

func TestURLsThatAreRefused(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:8200")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	cases := []struct{ url, want string }{
		{"", "no master key is named"},
		{"s3://bucket/key", `"s3" is no scheme of a master key: take one of awskms, azurekeyvault, file, gcpkms, hashivault, passphrase, pkcs11`},
		{"https://user:hunter2@host/", `"https" is no scheme`},
		{"base64key://hunter2", `"base64key" is no scheme`},
		{"file:", "names no file"},
		{"file://host/key", "names no host"},
		{"hashivault://k\n", "control character"},
		{strings.Repeat("x", maxURLBytes+1), "at most 4096 are read"},

		{"hashivault://user:hunter2@key", "holds a user or password"},
		{"hashivault://hunter2@key", "holds a user or password"},
		{"hashivault:key", "another form than hashivault://KEY"},
		{"hashivault://key#hunter2", "another form"},
		{"hashivault://key?token=hunter2", "looks like a credential"},
		{"hashivault://key?vault-token=hunter2", "looks like a credential"},
		{"hashivault://key?password=hunter2", "looks like a credential"},
		{"hashivault://key?x=hunter2", `"x", which is not known here; known are engine, token-file, timeout`},
		{"hashivault://key?engine=a&engine=hunter2", "twice"},
		{"hashivault://key?engine=../sys", "write hashivault://KEY"},
		{"hashivault://a/b", "write hashivault://KEY"},
		{"hashivault://", "write hashivault://KEY"},
		{"hashivault://..", "write hashivault://KEY"},
		{"hashivault://key?%zz=hunter2", "cannot be read"},
		{"hashivault://key%zzhunter2", "cannot be read"},
		{"hashivault://host:hunter2/key", "cannot be read"},
		{"hashivault://key?timeout=0s", "no duration from 1s to 1m0s"},
		{"hashivault://key?timeout=1h", "no duration"},
		{"hashivault://key?timeout=hunter2", "no duration"},

		{"awskms://", "write awskms://KEY-ID"},
		{"awskms:///a%20b?region=eu-west-1", "write awskms://KEY-ID"},
		{"awskms://key", "no region is known"},
		{"awskms://key?region=eu-west-1&anonymous=true", `"anonymous", which is not known`},
		{"awskms://key?region=eu-west-1&aws_secret_access_key=hunter2", "looks like a credential"},
		{"awskms://key?region=eu-west-1&fips=hunter2", "neither true nor false"},
		{"awskms://key?region=eu-west-1&role=hunter2", "no ARN of a role"},
		{"awskms://key?region=eu-west-1&endpoint=http://kms.example.com", "would travel to kms.example.com"},
		{"awskms://key?region=eu-west-1&endpoint=https://u:hunter2@kms.example.com", "holds a user or password"},
		{"awskms://key?region=eu-west-1&context_=hunter2", "no name"},
		{"awskms://key?region=eu-west-1&context_llm-config=hunter2", "a name that is taken"},

		{"gcpkms://projects/p/locations/l/keyRings/r", "write gcpkms://projects/P"},
		{"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "without a key version"},
		{"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k?credentials=hunter2", "looks like a credential"},
		{"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k?additional_authenticated_data=*", "no base64"},

		{"azurekeyvault://evil.example.com/keys/k", "with the host name that Azure shows"},
		{"azurekeyvault://x.vault.evil.com/keys/k", "with the host name that Azure shows"},
		{"azurekeyvault://v.vault.azure.net.evil.com/keys/k", "with the host name that Azure shows"},
		{"azurekeyvault://v.vault.azure.net:8443/keys/k", "with the host name that Azure shows"},
		{"azurekeyvault://v.vault.azure.net/secrets/k", "write azurekeyvault://NAME"},
		{"azurekeyvault://v.vault.azure.net/keys/k/v1", "write azurekeyvault://NAME"},
		{"azurekeyvault://v.vault.azure.net/keys/k?algorithm=RSA1_5", "neither RSA-OAEP-256 nor RSA-OAEP"},
		{"azurekeyvault://v.vault.azure.net/keys/k?client_secret=hunter2", "looks like a credential"},
	}
	for _, c := range cases {
		name := c.url
		if len(name) > 60 {
			name = name[:60]
		}
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), c.url)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Open: %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error %q shows the credential", err)
			}
		})
	}
}

func TestVaultsEnvironment(t *testing.T) {
	cases := []struct{ name, value, want string }{
		{"VAULT_ADDR", "", "set VAULT_ADDR"},
		{"VAULT_ADDR", "http://vault.example.com:8200", "keys would travel to vault.example.com:8200 in clear"},
		{"VAULT_ADDR", "https://u:hunter2@vault.example.com", "holds a user or password"},
		{"VAULT_ADDR", "vault.example.com", "is no address"},
		{"VAULT_SKIP_VERIFY", "true", "would let anyone answer"},
		{"VAULT_SERVER_URL", "http://vault.example.com:8200", "in clear"},
	}
	for _, c := range cases {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			t.Setenv("VAULT_ADDR", "https://vault.example.com")
			t.Setenv(c.name, c.value)
			_, err := Open(t.Context(), "hashivault://key")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Open: %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error %q shows the credential", err)
			}
		})
	}
}

func TestNamesHoldNoParameters(t *testing.T) {
	t.Setenv("VAULT_ADDR", "https://vault.example.com")
	for address, want := range map[string]string{
		"hashivault://k?engine=kms/transit&token-file=/run/t":                                          "hashivault kms/transit/k",
		"awskms:///arn:aws:kms:eu-west-1:123456789012:key/abc?context_team=x":                          "awskms arn:aws:kms:eu-west-1:123456789012:key/abc",
		"awskms://alias/config?region=eu-west-1&timeout=20s":                                           "awskms alias/config",
		"azurekeyvault://V.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef?algorithm=RSA-OAEP": "azurekeyvault v.vault.azure.net/keys/k",
	} {
		if got := mustOpen(t, address).Name(); got != want {
			t.Errorf("the name of %s is %q, want %q", address, got, want)
		}
	}
}

func TestLoopbackOnly(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://kms.example.com": true, "http://127.0.0.1:1": true, "http://[::1]:1": true, "http://localhost:1": true, "unix:///run/vault.sock": true,
		"http://127.0.0.1.example.com": false, "http://10.0.0.1": false, "http://localhost.example.com": false, "ftp://127.0.0.1": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkPrivate(u); ok != (err == nil) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
