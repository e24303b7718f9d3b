# The commands of this project. CI runs `make ci`; the documentation names the same targets.

GO ?= go
export CGO_ENABLED = 0

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
SYSTEMS = linux/arm64 darwin/arm64 windows/amd64

# What is not in the default build: NVIDIA cards (docs/cuda.md).
CUDA = ./cmd/flashback ./internal/device/cuda/...

# Where goroutines meet.
RACED = . ./internal/device/cpu ./internal/engine ./internal/hub ./internal/kvcache ./internal/library ./internal/ralm ./internal/retrieve/... ./internal/server

.PHONY: help build cuda test check format cross lint generate generated race clients page load soak packages demo model bench ci

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the binary into ./flashback
	$(GO) build -o flashback ./cmd/flashback

cuda: ## Build the binary that computes on NVIDIA cards too into ./flashback-cuda
	$(GO) build -tags cuda -o flashback-cuda ./cmd/flashback

test: ## Run the tests; those that need the model say how to get it and skip without it
	$(GO) test -timeout 30m ./...

check: format cross lint generated ## Everything that must hold besides the tests

format:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt these files: $$unformatted"; exit 1; fi

cross:
	$(GO) build ./...
	$(GO) build -tags cuda ./... && $(GO) vet -tags cuda $(CUDA)
	GOARCH=arm64 $(GO) vet -tags cuda $(CUDA)
	@for s in $(SYSTEMS); do echo "build and vet for $$s"; \
		GOOS=$${s%/*} GOARCH=$${s#*/} $(GO) build ./... && GOOS=$${s%/*} GOARCH=$${s#*/} $(GO) vet ./... || exit 1; done

lint:
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

generate: ## Write the assembly again with its generator, and compile the CUDA kernels
	$(GO) generate ./internal/device/cpu/kernel
	python3 tools/cuda/compile.py

# The generators' output must be what is committed.
generated:
	$(GO) generate ./internal/device/cpu/kernel
	@if [ -n "$$(git status --porcelain -- internal/device/cpu/kernel)" ]; then \
		git --no-pager diff --stat -- internal/device/cpu/kernel; echo "the assembly is not what its generator writes: run 'make generate' and commit"; exit 1; fi
	python3 tools/cuda/compile.py --check

race: ## Run the race detector where goroutines meet; needs a C compiler
	CGO_ENABLED=1 $(GO) test -timeout 30m -race -short $(RACED)

clients: build ## Ask the server through each of its clients, which are installed beside their scripts
	tools/clients/run.sh ./flashback

page: ## Try the server's page in Chromium, with axe-core from npm; pictures go to tools/page/shots
	cd tools/page && npm install --no-save --no-audit --no-fund --silent axe-core@4
	FLASHBACK_AXE=$(CURDIR)/tools/page/node_modules/axe-core/axe.min.js FLASHBACK_SHOTS=$(CURDIR)/tools/page/shots $(GO) test -timeout 20m -count=1 -v ./tools/page

load: build ## Put the server under load for a quarter of an hour; nothing else is to run beside it
	$(GO) run ./tools/load --flashback ./flashback

soak: ## Run the tests of the server's faults at their full length
	FLASHBACK_LONG=1 $(GO) test -timeout 60m -count=1 -v -run 'Disconnects|Faults|Alternating|Hostile|Mutated|Kill' ./internal/server ./internal/library

packages: ## Make all packages of a release, unsigned, into ./dist; needs goreleaser and cyclonedx-gomod
	goreleaser release --snapshot --clean --skip docker

model: ## Pull the default model
	$(GO) run ./cmd/flashback pull smollm2-135m

demo: ## Index Go's documentation, answer a question, compare the placements
	$(GO) run ./cmd/flashback demo

bench: ## Measure the loop of each placement on this machine
	$(GO) run ./cmd/flashback bench loop

# In CI tests that need the model or the text sets fail instead of skipping.
ci: check model ## What must pass before a change lands
	FLASHBACK_REQUIRE=1 $(MAKE) test
	FLASHBACK_REQUIRE=0 $(MAKE) race
	$(MAKE) demo </dev/null
