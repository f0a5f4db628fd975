# make help shows what there is. A newcomer needs Go, make and a C compiler.
SHELL := /bin/bash
TAGS  := minicore_disabled,duckdb_arrow,sqlite_fts5
GO    ?= go
TEST  := $(GO) test -tags $(TAGS)
CASES ?= ../shared/conformance
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidemill
export TIDEMILL_CACHE := $(CACHE)
LINT  := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2

.PHONY: FORCE help build node demo demo-360 check test race test-real conformance bench soak fmt generate lint clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/tidemill
	$(GO) build -tags $(TAGS) -trimpath -o bin/tidemill ./cmd/tidemill

node: bin/tidemill-node-linux-amd64 bin/tidemill-node-linux-arm64 ## build the program of cluster nodes, without cgo

bin/tidemill-node-linux-%: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build -tags $(TAGS),grpcnotrace -trimpath -ldflags '-s -w' -o $@ ./cmd/tidemill-node
	@test $$(stat -c %s $@) -le 60000000 || { echo "$@ is larger than 60 MB"; exit 1; }

demo: build ## run three days of real orders and show the result
	@scripts/demo

demo-360: build ## run three days of Order 360 with every system on this machine
	@scripts/demo-360

test: ## all tests that need nothing but Go and a C compiler
	$(TEST) ./...

race: ## the same under the race detector
	$(TEST) -race -short ./...

test-real: ## tests against real parts: AWS CLI, boto3, Airflow, Spark, search nodes, web APIs, fakesnow, PostgreSQL, moto, …; parts are cached outside the clone
	scripts/parts aws spark airflow moto opensearch elasticsearch rest snowflake
	$(TEST) -tags $(TAGS),real -p 1 -run Real -count=1 -timeout 40m $(addprefix ./,$(sort $(dir $(shell grep -rl '^//go:build real' internal cmd))))

conformance: ## play the recorded judges of CASES
	CASES=$(abspath $(CASES)) $(TEST) -tags $(TAGS),conformance -run 'TestConformance|TestSparkSQL' -count=1 -v ./internal/jsonata ./internal/duckdb ./internal/machine | grep -vE '^(=== |--- PASS|PASS$$)'; exit $${PIPESTATUS[0]}

bench: build ## measure, side by side with rivals
	scripts/bench

soak: build ## long tests: hundreds of kills (thirty of a Spark on a cluster), 100 million rows, every day of the PySpark example, Order 360 killed twice in each state
	$(TEST) -tags $(TAGS),soak -run Soak -timeout 120m -count=1 -v ./internal/cli/...
	scripts/parts spark moto opensearch rest snowflake
	$(TEST) -tags $(TAGS),soak,real -run SoakReal -parallel 1 -timeout 120m -count=1 -v ./internal/cli

fmt: ## format
	gofmt -w cmd internal

generate: build ## print the pages and schemas that the binary describes
	bin/tidemill schema --reference > docs/format.md
	bin/tidemill schema > docs/pipeline.schema.json
	bin/tidemill schema --project > docs/tidemill.schema.json
	bin/tidemill schema --sql > docs/manual/sql-constructs.md
	bin/tidemill schema --connections > docs/connections.md

lint: $(CACHE)/bin/golangci-lint
	$(CACHE)/bin/golangci-lint run --allow-parallel-runners --build-tags $(TAGS) ./...

$(CACHE)/bin/golangci-lint:
	GOBIN=$(CACHE)/bin GOFLAGS=-mod=mod $(GO) install $(LINT)

check: build node lint ## format, vet, lint, generated files
	@test -z "$$(gofmt -l cmd internal)" || { gofmt -l cmd internal; echo "gofmt: run make fmt"; exit 1; }
	$(GO) vet -tags $(TAGS) ./...
	@d=$$(mktemp -d) && cp docs/format.md docs/connections.md docs/*.json docs/manual/sql-constructs.md $$d && $(MAKE) --no-print-directory generate >/dev/null && \
	for f in format.md connections.md pipeline.schema.json tidemill.schema.json manual/sql-constructs.md; do diff -u $$d/$$(basename $$f) docs/$$f || { echo "docs/$$f differs from what the binary prints: commit it"; exit 1; }; done

clean: ## remove what was built
	rm -rf bin
