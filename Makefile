# Go, git and make are all that is needed; `make help` lists the targets.

.DEFAULT_GOAL := help
SHELL := /bin/sh

GO ?= go
BIN := bin/llm-config
GOLANGCI_LINT := bin/tools/golangci-lint
GOLANGCI_LINT_VERSION := v2.15.0
VAULTD := bin/tools/vaultd

# The race detector needs a C compiler; without one the tests run all the same.
CC := $(shell $(GO) env CC)
RACE := $(shell command -v $(firstword $(CC)) >/dev/null 2>&1 && echo -race)

# What computes on memory of its own, and shares none with another goroutine, is
# not watched: the races that tests are to find are in the code that calls it,
# and watching SQLite, ciphers and regular expressions takes more time than all
# the rest. Nothing that synchronises may be in here: what it orders would look
# unordered.
FIPS := crypto/internal/fips140
UNWATCHED := modernc.org/sqlite/lib $(FIPS)/edwards25519/... $(FIPS)/nistec/... $(FIPS)/bigmod $(FIPS)/sha256 $(FIPS)/sha512 $(FIPS)/aes/... \
	golang.org/x/crypto/argon2 golang.org/x/crypto/blake2b regexp regexp/syntax
RACE_FLAGS := $(if $(RACE),$(RACE) -gcflags='modernc.org/...=-d=checkptr=0' $(foreach p,$(UNWATCHED),-gcflags='$(p)=-race=false -d=checkptr=0'))

# The two verifiers have one goroutine, in which there are no races to find, and
# try every tampering there is: without the race detector in a tenth of the time.
ALONE := .*/(internal/audit|cmd/llm-config-verify)

FUZZTIME ?= 30s
SOAKTIME ?= 60m
AUDIT_RECORDS ?= 10000000
COVER_PACKAGES := ./internal/config ./internal/secret ./internal/seal ./internal/service
COVER_FLOOR := 90

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## build bin/llm-config and bin/llm-config-verify
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/llm-config
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)-verify ./cmd/llm-config-verify

.PHONY: run
run: build ## serve on 127.0.0.1:8700 with the example platform, until Ctrl-C
	@exec sh scripts/run $(BIN)

.PHONY: test
test: $(VAULTD) ## vet and test everything
ifeq ($(RACE),)
	@echo "no C compiler ($(CC)): the tests run without the race detector"
endif
	$(GO) vet ./...
	$(GO) test $(RACE_FLAGS) -timeout 15m $$($(GO) list ./... | grep -vxE '$(ALONE)')
	$(GO) test -timeout 5m $$($(GO) list ./... | grep -xE '$(ALONE)')
ifeq ($(RACE),)
	@echo "no C compiler ($(CC)): PKCS#11 is not tested"; [ -z "$$CI" ]
else
	$(GO) test $(RACE_FLAGS) -tags pkcs11 -timeout 5m ./internal/seal/keepers
endif

# A module of its own, built once: minutes from nothing, seconds after that.
.PHONY: vaultd
vaultd: $(VAULTD) ## build the Vault server that tests start

$(VAULTD): test/vaultd/go.mod test/vaultd/go.sum $(wildcard test/vaultd/*.go)
	cd test/vaultd && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(CURDIR)/$@ .

.PHONY: lint
lint: $(GOLANGCI_LINT) ## run golangci-lint, installing it into bin/tools first
	$(GOLANGCI_LINT) run ./...
ifneq ($(RACE),)
	$(GOLANGCI_LINT) run --build-tags pkcs11 ./internal/seal/keepers/...
endif

$(GOLANGCI_LINT):
	GOBIN=$(CURDIR)/bin/tools $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

.PHONY: fmt
fmt: ## gofmt everything
	gofmt -l -w $$(git ls-files '*.go')

.PHONY: bench
bench: ## run every benchmark
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: load
load: build ## measure the server against a bare handler (minutes; LOAD=read|write|watch|secret|append|rotate|noisy for one)
	$(GO) run ./test/load -server $(BIN) $(LOAD)

.PHONY: audit-load
audit-load: ## fill, index, verify, search and pack AUDIT_RECORDS audit records (10 million: at most an hour, about 8 GB below TMPDIR)
	LLM_CONFIG_AUDIT_RECORDS=$(AUDIT_RECORDS) $(GO) test -v -run '^$$' -bench AuditTrail -benchtime 1x -timeout 60m ./internal/service

.PHONY: fuzz
fuzz: ## run every fuzz target for 30 s (FUZZTIME)
	@sh scripts/fuzz $(FUZZTIME)

.PHONY: soak
soak: ## run the long rounds of the tests that have them (at most SOAKTIME)
	LLM_CONFIG_SOAK=1 $(GO) test -count=1 -timeout $(SOAKTIME) -v -run 'Soak|Kill' ./...
	LLM_CONFIG_SOAK=1 $(GO) test -count=1 -timeout $(SOAKTIME) -v -skip 'Soak' ./internal/service

.PHONY: cover
cover: ## coverage of domain, sealing and service; fails under 90 %
	@sh scripts/cover $(COVER_FLOOR) $(COVER_PACKAGES)

.PHONY: compliance-docs
compliance-docs: ## write docs/compliance anew from the controls and checks in the code
	$(GO) test ./internal/compliance -run Documents -update

.PHONY: openapi
openapi: ## write docs/openapi.json anew from the types that serve
	$(GO) test ./internal/httpapi -run OpenAPI -update
