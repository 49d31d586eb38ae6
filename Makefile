# Needs make and Python 3.11 or later; everything else is fetched into this folder.

UV_VERSION := 0.13.8

.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

# a uv that answers, else our own: version managers leave stubs on the path
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)
DOCKER := $(shell docker info >/dev/null 2>&1 && echo yes)

.PHONY: help install run up down logs test unit check fmt docs demo bench chaos replay events psql

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

install: .venv/.for-development  ## all packages, those for development too

run: .venv/.for-running  ## everything on this machine, no Docker; Ctrl-C stops it
	@exec $(BIN)/opensync up

up: .env  ## everything in containers; waits until it is healthy, and shows the first key
	@docker compose up --build --detach --wait
	@docker compose run --rm --no-deps owner
	@echo "OpenSync answers on http://$$(docker compose port gateway 8000)"

down:  ## stop and remove the containers; the data stays
	@docker compose --profile search --profile tools down

logs:  ## follow what the containers say
	@docker compose logs --follow --tail 100

test: .venv/.for-development  ## everything that needs no Docker, on real embedded servers
ifeq ($(DOCKER),yes)
	$(BIN)/pytest -n 2 --dist loadgroup
else
	$(BIN)/pytest -n 2 --dist loadgroup -m "not docker"
	@$(BIN)/pytest --collect-only -q -m docker 2>/dev/null | sed -n 's/.*::.*/skipped, no Docker: &/p'
endif

unit: .venv/.for-development  ## the fast ring; what you run all day
	$(BIN)/pytest -m "not e2e and not docker"

check: .venv/.for-development  ## format, lint, types, architecture, docs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest tests/test_architecture.py tests/test_docs.py

fmt: .venv/.for-development  ## format, and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: .venv/.for-development  ## write the event list and the AsyncAPI document anew
	$(BIN)/python docs/generate.py

demo: .venv/.for-running  ## feed a short story through the front door
	@exec $(BIN)/python -m bench.demo

bench: .venv/.for-development  ## the numbers in the README
	@exec $(BIN)/python -m bench

chaos: .venv/.for-development  ## break everything under load, and judge what is left
	@exec $(BIN)/python -m bench.chaos

replay: .venv/.for-running  ## build a projection again: make replay p=ingest-sessions
	@exec $(BIN)/opensync replay $(or $(p),--all)

events: .venv/.for-running  ## tail the log, one readable line per event
	@exec $(BIN)/opensync events --follow

psql: .venv/.for-running  ## a shell in the running system's Postgres
	@exec $(BIN)/python -m deploy.local.psql

# made once and never again: volumes remember the passwords they were made with
.env:
	@umask 077; python3 -c "import re, secrets; print(re.sub('(?m)(?<=_PASSWORD=)$$', lambda _: secrets.token_hex(24), open('.env.example').read()), end='')" >$@.new
	@mv $@.new $@

# inexact: what make test has installed may stay
.venv/.for-running: uv.lock pyproject.toml | $(filter .tools/%,$(UV))
	$(UV) sync --frozen --inexact --no-dev
	@touch $@

.venv/.for-development: uv.lock pyproject.toml | $(filter .tools/%,$(UV))
	$(UV) sync --frozen
	@touch $@ .venv/.for-running

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
