# mixdown: `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools that scripts/setup.sh had to fetch come before the system's own.
export PATH := $(CURDIR)/.cache/go/bin:$(CURDIR)/.cache/node/bin:$(PATH):/usr/local/go/bin

BOTS ?= 5
FUZZTIME ?= 30s
HOSTILE ?=
HOSTILE_TIME ?= 60s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

WEB := api/web
WEB_SRC := $(shell find $(WEB) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/e2e/*' 2>/dev/null)

.PHONY: help run load build page test nat lint fuzz hostile sanitize bench attention weak docker clean setup-build setup-run setup-bench setup-lint setup-test

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "Variables: BOTS=$(BOTS) for run and load; HTTP_PORT, HTTPS_PORT, RTC_PORT for run; FUZZTIME=$(FUZZTIME); HOSTILE=KIND,… and HOSTILE_TIME=$(HOSTILE_TIME); BENCH_QUICK=1."

run: setup-run build ## install what is missing, build, start a server and a demo room with BOTS people in it
	@BOTS=$(BOTS) scripts/run.sh

load: setup-run build ## send BOTS more people into the demo room of a running `make run`
	@BOTS=$(BOTS) scripts/run.sh load

build: setup-build page ## build bin/mixdown with the page in it
	go build -ldflags '-X main.version=$(VERSION)' -o bin/mixdown ./cmd/mixdown

page: $(WEB)/dist/index.html

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json | setup-build
	cd $(WEB) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(WEB_SRC) | setup-build
	cd $(WEB) && npm run --silent build

test: setup-test build ## everything: Go tests (those of goroutines with the race detector), page tests, browsers, NAT
	@scripts/test.sh

nat: setup-test build ## only the test behind an address translator (as root)
	MIXDOWN_BIN=$(CURDIR)/bin/mixdown go test -count=1 -v -run '^TestBehindNAT$$' ./cmd/mixdown

lint: setup-lint page ## gofmt, go vet, staticcheck, shellcheck, tsc
	@scripts/lint.sh $(STATICCHECK)

fuzz: setup-build ## every fuzz target for FUZZTIME, a time or a count (1000000x)
	@scripts/fuzz.sh $(FUZZTIME)

hostile: setup-build build ## hostile senders beside good ones, each kind (or those of HOSTILE) for HOSTILE_TIME
	@MIXDOWN_HOSTILE=$(HOSTILE_TIME) MIXDOWN_HOSTILE_KINDS=$(HOSTILE) MIXDOWN_BIN=$(CURDIR)/bin/mixdown \
	  go test -count=1 -v -timeout 1h -run '^TestHostileSenders$$' ./cmd/mixdown

sanitize: setup-build ## tests of all that is or uses C with the address, leak and undefined-behaviour sanitizers
	@scripts/sanitize.sh

bench: setup-bench build ## measure each stage, the whole server, and others at the same job; rewrites docs/bench.md (BENCH_QUICK=1: a short look)
	@scripts/bench.sh

attention: setup-build page ## measure what it brings low tiers to draw silent people less often; rewrites docs/attention.md
	go run ./cmd/attention -docs docs

weak: setup-test build ## measure a client behind bad links; rewrites docs/weak.md (as root; ROWS=100k,50k RUNS=1: a short look)
	@scripts/weak.sh

docker: ## build the image mixdown:latest
	docker build -t mixdown -f deploy/Dockerfile .

clean: ## remove what was built; keeps fetched tools and data/
	rm -rf bin $(WEB)/node_modules
	find $(WEB)/dist -mindepth 1 -not -name .gitkeep -delete

setup-build setup-run setup-bench setup-lint setup-test:
	@scripts/setup.sh $(@:setup-%=%)
