.DEFAULT_GOAL := help
.PHONY: help demo test lint e2e bench torture fuzz images golden docs clean

# Where images go: make images REGISTRY=shop.azurecr.io/ TAG=1.2.3 ARCH=arm64
REGISTRY ?=
TAG      ?= $(shell sed -n 's/^appVersion: *//p' charts/twelvefold/Chart.yaml)
ARCH     ?= $(shell go env GOARCH)
FUZZTIME ?= 10s

programs := webhook agent emulator
package_webhook  := ./cmd/webhook
package_agent    := ./cmd/agent
package_emulator := ./internal/emulator/cmd/emulator

help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## see it work: no cluster, nothing but Go
	@go run ./cmd/twelvefold demo

test: ## unit and integration tests, with the race detector; no Docker
	@assets=$$(go run ./test/envtest/assets) && KUBEBUILDER_ASSETS=$$assets go test -race -timeout 30m ./...
	@go test -C test/kubelet -race ./...

lint: ## formatting, go vet, staticcheck (the version in tools/go.mod)
	@files=$$(git ls-files '*.go' | xargs gofmt -l); \
	test -z "$$files" || { echo "not formatted, run gofmt -w:" $$files; exit 1; }
	go vet -tags e2e ./...
	go vet -C test/kubelet ./...
	go tool -modfile=tools/go.mod staticcheck -tags e2e ./...

e2e: ## tests in a kind cluster of their own (Docker, and the image kindest/node:v1.37.2), and in Chromium
	go test -tags e2e -count=1 -timeout 30m -v ./test/browser ./test/e2e

bench: ## speed of the admission endpoints beside a handler that does nothing, of fetch beside the bare SDK, of tail beside tail -F
	go test -run '^$$' -bench . -benchmem ./test/bench

torture: ## 1,000,000 lines through tail while it is killed and its files rotate; writes docs/logs-torture.md
	go test -count=1 -run TestTorture -v ./internal/agent/tail -torture.lines 1000000 -torture.report ../../../docs/logs-torture.md

fuzz: ## every fuzz target for FUZZTIME (10s)
	@{ go list -f '{{.Dir}}' ./...; go list -C test/kubelet -f '{{.Dir}}' ./...; } | while read -r dir; do \
		for target in $$(cat "$$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
			echo "$$target in $$dir"; \
			(cd "$$dir" && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x .) </dev/null || exit 1; \
		done; \
	done

images: $(programs:%=image-%) ## images of webhook, agent and emulator (REGISTRY, TAG, ARCH)

image-%:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -ldflags '-s -w' -o dist/linux-$(ARCH)/$*/twelvefold-$* $(package_$*)
	docker build -q --platform linux/$(ARCH) -f images/$*.Dockerfile -t $(REGISTRY)twelvefold-$*:$(TAG) dist/linux-$(ARCH)/$*

golden: ## write what is generated from the code: pages, expected outputs; read the difference
	go test $$(git grep -l --untracked -E 'reviewtest"|flag\.Bool\("update"' -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's|^|./|') -update

docs: ## of that, only the pages
	go test ./docs -update

clean: ## remove what make built
	rm -rf bin dist
