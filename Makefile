# The commands of this project: the same ones everywhere, CI included. `make help` lists them.

GO       := scripts/go
# The program, the linters and the tests are compiled in one way, so that each package is compiled once.
export GOFLAGS := $(GOFLAGS) -trimpath
GOFMT     = $$($(GO) env GOROOT)/bin/gofmt
FOLDERS   = api bench cmd deploy internal test web
FUZZTIME ?= 1m
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Few linters, at fixed versions. A finding is mended, or waived where it stands with the reason beside it.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help
.PHONY: help run build docs format lint test unit portable web e2e e2e-long e2e-cluster e2e-package e2e-image helm soak-sip suites fuzz bench quality install install-test install-long install-package install-machine package release image clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## install what is missing, build the server and start it
	@exec bin/transponder

build: install ## build bin/transponder, its pages included
	$(GO) run ./web/build
	$(GO) build -ldflags "-X main.version=$(VERSION)" -o bin/ ./cmd/...

docs: install ## build the documentation as files for any web server, in dist/docs
	$(GO) run ./web/build -site dist/docs

format: install ## format the Go files
	$(GOFMT) -l -w $(FOLDERS)

lint: install ## formatting, go vet, staticcheck
	@bad=$$($(GOFMT) -l $(FOLDERS)); test -z "$$bad" || { echo "not formatted, try make format:" $$bad >&2; exit 1; }
	$(GO) vet -tags e2e ./...
	$(GO) run $(STATICCHECK) -tags e2e ./...

test: install-test build lint unit portable web e2e ## install what the tests need, and run all of them

# Tests that only compute for long are skipped with -short, and run without the race detector.
LONG := ./bench ./internal/transcode/sound ./internal/transcode/soundfile ./internal/transcode/aac

# These only compute, on memory of one goroutine: the hash of passwords, and SQLite in Go as a program has translated it from C. The race
# detector finds nothing in them, and makes them twenty times as slow. Our packages, and the driver of SQLite, are watched.
UNWATCHED := golang.org/x/crypto/blowfish modernc.org/libc modernc.org/sqlite/lib

# make lint vets everything once.
VETTED := -vet=off

unit: install ## the Go tests, with the race detector
	$(GO) test $(VETTED) -race $(UNWATCHED:%=-gcflags=%=-race=false) -short -p 3 -timeout 10m ./...
	$(GO) test $(VETTED) -timeout 10m $(LONG)
	$(GO) test $(VETTED) ./deploy/grafana
	$(GO) test $(VETTED) -timeout 10m -run 'TestSlowDestination|TestSilentDestination' ./internal/transponder
	$(GO) test $(VETTED) -timeout 10m -run TestCrowd ./internal/rtc

portable: install ## build the program without cgo, as on a machine without FFmpeg's libraries
	CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/...

web: install-test build ## type-check the pages, and test them in a browser
	cd test/e2e/browser && npm run --silent typecheck && npm test --silent

# What runs side by side mostly waits: with four tests at once, two cores were idle for two fifths of the time.
e2e: install-test build ## real browsers in, real RTMP servers out
	$(GO) test $(VETTED) -tags e2e -count 1 -parallel 5 -timeout 15m -skip '$(SLOW)' ./test/e2e/...

SLOW := ^TestLong|^TestCluster

e2e-long: install-test install-long build ## faults that take minutes: networks that change, laptops that sleep
	$(GO) test -tags e2e -count 1 -timeout 40m -run '^TestLong' ./test/e2e/

e2e-cluster: install-test build ## several servers with NATS, and their faults (TRANSPONDER_SOAK=1: fifty kills, ten minutes without NATS)
	$(GO) test -tags e2e -count 1 -timeout 10m -run '^TestLong' ./internal/cluster/
	$(GO) test -tags e2e -count 1 -parallel 1 -timeout 90m -run '^TestCluster' ./test/e2e/

e2e-package: install-test install-package install-machine ## the Debian package on a fresh Debian 12 with systemd: install, push, upgrade, break, remove; the package of arm64; and the image (needs root)
	$(GO) test -tags e2e -count 1 -v -timeout 40m ./test/machine

e2e-image: install-test install-package ## the container image, run by an OCI runtime (needs root)
	$(GO) test $(VETTED) -tags e2e -count 1 -v -timeout 20m -run '^TestImage$$' ./test/machine

helm: install-package build ## the Helm chart, the Compose file and the SBOM, held to what Helm, Kubernetes, Compose and CycloneDX say (compiles Helm)
	cd deploy/helm/test && ../../../$(GO) test -vet=off -count 1 -timeout 15m .

soak-sip: install-test build ## the SIP tests in full size: ten minutes of call, 10 000 strangers, 200 calls
	TRANSPONDER_SOAK=1 $(GO) test -tags e2e -count 1 -parallel 4 -timeout 30m -run '^TestSIP(LongCall|Refresh|Strangers|Shutdown)$$' ./test/e2e/

suites: install-test build ## the official suite of the Web SDK over a SIP server, and with a backend that is asked
	TRANSPONDER_SOAK=1 $(GO) test -tags e2e -count 1 -timeout 15m -run '^Test(OfficialSuiteOverSIP|HooksOfficialSuite)$$' ./test/e2e/

fuzz: install ## run every fuzz target for FUZZTIME (1m) in turn
	@GO=$(GO) FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

bench: build ## measure the server's cost beside its peers' (BENCH="-n 25,50 -duration 20s")
	@command -v ffmpeg >/dev/null || scripts/install.sh test
	$(GO) build -o bin/ ./bench
	bench/mkmedia.sh bench/testdata
	bin/bench compare $(BENCH)
	bin/bench fanout
	bin/bench calls
	bin/bench sound
	bin/bench rendition
	bin/bench cluster

quality: build ## measure how good our AAC is, on recordings (QUALITY="-rates 96"; bench/README.md)
	@command -v ffmpeg >/dev/null || scripts/install.sh test
	$(GO) build -o bin/ ./bench ./internal/transcode/aac/aacenc
	bin/bench quality $(QUALITY)

package: install-package ## build dist/transponder_VERSION_ARCH.deb, for Debian 12 (VERSION=1.2.3 ARCH=arm64)
	@test -z "$(ARCH)" || scripts/install.sh $(ARCH)
	$(GO) run ./deploy/build $(RELEASE) $(if $(ARCH),-arch $(ARCH)) package

image: install-package ## build dist/transponder-VERSION-ARCH.oci.tar, a container image
	$(GO) run ./deploy/build $(RELEASE) image

release: install-package ## build the package, the source archive, the list of what is in the program (SBOM) and SHA256SUMS, in dist
	$(GO) run ./deploy/build $(RELEASE) release

# Between versions the version comes from the commit. VERSION has another value then: what git says.
RELEASE = $(if $(filter command environment,$(firstword $(origin VERSION))),-version $(VERSION))

install:
	@scripts/install.sh build

install-package: install
	@scripts/install.sh package

install-machine:
	@scripts/install.sh machine

install-test:
	@scripts/install.sh test

install-long:
	@scripts/install.sh long

clean: ## remove what was built
	rm -rf bin dist bench/testdata test/e2e/browser/node_modules web/sdk/dist web/react/dist
	find web/dist -type f ! -name .gitkeep -delete
