# Everything is built and tested by these targets; each does its own set-up.
# Tools are run at pinned versions, so that go.mod holds none of them.

SHELL       := /bin/bash
BIN         := bin/wattbook
DATA        ?= demo-data
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
GOTESTSUM   := gotest.tools/gotestsum@v1.13.0

# go-nvml marks what newer drivers drop as deprecated, at every compilation.
export CGO_CFLAGS := -O2 -Wno-deprecated-declarations
export GOTOOLCHAIN := local

# What links DuckDB is tested without the race detector; all else with it.
PACKAGES = $(shell go list ./...)
CGO      = $(filter wattbook/queries/% wattbook/cmd/wattbook,$(PACKAGES))
PURE     = $(filter-out $(CGO),$(PACKAGES))

.PHONY: help build demo test race fuzz crash bench lint golden clean

help: ## list the targets
	@echo "The targets are:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

build: ## build bin/wattbook
	@mkdir -p bin
	go build -trimpath -o $(BIN) ./cmd/wattbook

demo: build ## play a month at the sample site in demo-data/
	rm -rf $(DATA)
	$(BIN) demo --data $(DATA)

# gotestsum names and counts the tests that are skipped: those whose outside
# peer is not installed.
test: ## run the tests, with the race detector where no DuckDB is linked
	go run $(GOTESTSUM) --format pkgname -- -timeout 25m -race $(PURE)
	go run $(GOTESTSUM) --format pkgname -- -timeout 25m $(CGO)

race: ## run all tests with the race detector, DuckDB included
	go test -race ./...

# One fuzz target after the other: Go runs one at a time.
FUZZTIME ?= 20s
fuzz: ## run every fuzz target for FUZZTIME (20s)
	@set -e; for package in $(PACKAGES); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$package; \
	  done; \
	done

bench: ## the log beside other stores on one disk, then the benchmarks of the packages
	cd ingest/pebblelog/bench && go run . -dir $(CURDIR)
	go test -run '^$$' -bench . -benchmem ./...

# A failure prints its seed, and the line that plays it again.
crash: ## 10,000 simulated crashes, 200 kills and 100,000 changed bytes
	WATTBOOK_CRASHES=10000 go test -timeout 4h -count 1 -v -run TestCrashes ./cmd/crash
	WATTBOOK_KILLS=200 WATTBOOK_CHANGES=100000 go test -timeout 4h -count 1 -v -run 'TestKills|TestChangedBytes' ./ingest/pebblelog

lint: ## gofumpt, go vet, staticcheck; the rules of the house are tests in cmd
	@files=$$(go run $(GOFUMPT) -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	  if [ -n "$$files" ]; then echo "not formatted (gofumpt):"; echo "$$files"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go test ./cmd

golden: ## rewrite the golden files; read the difference before committing
	go test ./domain/wire ./settlement/document ./fixtures/cedarbend -update
	go test ./cmd/wattbook -run TestTheMonth -update

clean: ## remove what was built and played
	rm -rf bin demo-data
